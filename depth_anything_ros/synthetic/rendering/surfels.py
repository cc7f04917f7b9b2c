"""Surface points that rays hit: position, normal and material."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.rendering.patterns import SIZE
from depth_anything_ros.synthetic.rendering.scene_batch import MATERIAL, Scenes
from depth_anything_ros.synthetic.rendering.solids import Kind, longest, unit_normal
from depth_anything_ros.synthetic.rendering.terrain import normals_at
from depth_anything_ros.synthetic.rendering.textures import Atlas
from depth_anything_ros.synthetic.rendering.vectors import unit

COARSE = 2
"""Shadows and occlusion are sampled at every second pixel along both axes."""


@dataclass(frozen=True)
class Surfels:
    """The points rays hit, groups G x rays P.

    Attributes:
        hit: Whether there is one, G x P bool.
        point: 3 x G x P metres; undefined where nothing is hit.
        normal: 3 x G x P unit vectors, towards the ray's origin.
        albedo: 3 x G x P linear RGB.
        gloss: G x P.
        mirror: G x P.
        glow: G x P.
        face: G x P int64, equal for points on the same smooth face.
    """

    hit: Tensor
    point: Tensor
    normal: Tensor
    albedo: Tensor
    gloss: Tensor
    mirror: Tensor
    glow: Tensor
    face: Tensor


def _table(scenes: Scenes) -> Tensor:
    """Numbers per surface, column by column: (3 + 9 + 3 + 12) x (B * S)."""
    batch, count = scenes.kind.shape
    rows = torch.cat([scenes.centre, scenes.turn.flatten(2), scenes.half, scenes.material], 2)
    return rows.view(batch * count, -1).T.contiguous()


def surfels_at(
    scenes: Scenes,
    atlas: Atlas,
    scene_of: Tensor,
    origin: Tensor,
    direction: Tensor,
    t: Tensor,
    surface: Tensor,
    footprint: Tensor,
) -> Surfels:
    """Describe the points that rays hit.

    Args:
        scenes: B scenes.
        atlas: Textures.
        scene_of: G int64, the scene of each group.
        origin: G x 3 x 1 or G x 3 x P metres.
        direction: G x 3 x P.
        t: G x P ray parameters.
        surface: G x P surfaces, -1 for none.
        footprint: G x 1, length of a pixel at ray parameter 1 in metres.

    Returns:
        The points.
    """
    hit = surface >= 0
    row = scene_of[:, None] * scenes.kind.shape[1] + surface.clamp_min(0)
    flat = row.int().flatten()
    values = _table(scenes).index_select(1, flat).unflatten(1, row.shape)
    kind = scenes.kind.int().flatten().index_select(0, flat).view(row.shape)
    depth = torch.where(hit, t, torch.ones_like(t))
    point = (origin + depth[:, None] * direction).transpose(0, 1).contiguous()
    offset = point - values[:3]
    turn = values[3:12].unflatten(0, (3, 3))
    half, material = values[12:15], values[15:]
    local = (turn * offset[None]).sum(1)
    bare = unit_normal(kind, local / half) / half
    normal = unit((turn * bare[:, None]).sum(0), dim=0)
    normal = _terrain_normals(scenes, scene_of, kind, point, normal)

    axis = longest(bare.abs())
    u = torch.where(axis == 0, local[1], local[0])
    v = torch.where(axis == 2, local[1], local[2])
    scale, shift = material[MATERIAL["scale"]][0], material[MATERIAL["shift"]][0]
    ray = direction.transpose(0, 1)
    slant = (normal * unit(ray, dim=0)).sum(0).abs().clamp_min(0.1)
    pixels = depth * footprint / (scale * slant.sqrt()) * SIZE
    texture = material[MATERIAL["texture"]][0]
    mix = textures.sample(
        atlas, texture, u / scale + shift, v / scale + shift, pixels.clamp_min(1e-6).log2()
    )
    dark, bright = material[MATERIAL["dark"]], material[MATERIAL["bright"]]
    # Colours are mixed in sRGB; squaring approximates its curve and is cheap.
    albedo = torch.lerp(dark, bright, mix) ** 2
    side = (normal * ray).sum(0) > 0
    return Surfels(
        hit,
        point,
        torch.where(side, -normal, normal),
        albedo,
        material[MATERIAL["gloss"]][0],
        material[MATERIAL["mirror"]][0],
        material[MATERIAL["glow"]][0],
        torch.where(hit, row * 8 + torch.where(kind == Kind.BOX, axis, 3), -1),
    )


def _terrain_normals(
    scenes: Scenes, scene_of: Tensor, kind: Tensor, point: Tensor, normal: Tensor
) -> Tensor:
    for number, heights in enumerate(scenes.heights):
        if heights is None:
            continue
        mine = (scene_of == number)[:, None] & (kind == Kind.TERRAIN)
        normal[:, mine] = normals_at(heights, scenes.extent[number], point[:, mine])
    return normal


def coarse(surfels: Surfels, tile: int) -> Surfels:
    """The points shadows and occlusion are sampled at.

    Args:
        surfels: Points of tiles, G x (tile * tile).
        tile: Side of a tile in pixels.

    Returns:
        Every COARSE-th of them along both axes.
    """

    def thin(values: Tensor) -> Tensor:
        square = values.unflatten(-1, (tile, tile))
        return square[..., ::COARSE, ::COARSE].flatten(-2)

    return Surfels(*(thin(getattr(surfels, field.name)) for field in fields(surfels)))
