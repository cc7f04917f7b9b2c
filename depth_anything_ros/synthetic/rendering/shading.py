"""Colour of rays: lamps, ambient light, highlights, mirrors, sky, fog."""

from __future__ import annotations

import torch
from torch import Tensor

from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.rendering.scene_batch import Scenes
from depth_anything_ros.synthetic.rendering.surfels import Surfels, surfels_at
from depth_anything_ros.synthetic.rendering.textures import Atlas
from depth_anything_ros.synthetic.rendering.tracing import cone_candidates, nearest
from depth_anything_ros.synthetic.rendering.vectors import bounding_ball, unit


def sky(scenes: Scenes, atlas: Atlas, scene_of: Tensor, direction: Tensor) -> Tensor:
    """Colour of rays that hit nothing.

    Args:
        scenes: B scenes.
        atlas: Textures (for the clouds).
        scene_of: G int64.
        direction: G x 3 x P.

    Returns:
        3 x G x P linear RGB.
    """
    ray = unit(direction, dim=1).transpose(0, 1)
    up = ray[2].clamp_min(0)

    def light(name: str) -> Tensor:
        return scenes.of(name)[scene_of].T[:, :, None]

    colour = torch.lerp(light("horizon"), light("zenith"), up.sqrt()[None])
    glow = (ray * light("sun")).sum(0).clamp(0, 1)
    far = 1 - light("near")[0]
    colour = colour + far * light("colour") * (0.25 * glow**8 + 6 * glow**900)
    level = (up + 0.08).clamp_min(0.02)
    texture = light("cloud_texture")[0].expand_as(up)
    noise = textures.sample(
        atlas, texture, ray[0] / level * 0.2, ray[1] / level * 0.2, torch.ones_like(up)
    )[0]
    cover = light("clouds")[0]
    cloud = ((noise - 1 + cover) * 4).clamp(0, 1) * (up * 6).clamp(0, 1)
    return torch.lerp(colour, (light("horizon") + 0.25).clamp_max(1.0), cloud)


def outgoing_light(
    scenes: Scenes,
    scene_of: Tensor,
    surfels: Surfels,
    ray: Tensor,
    lamp: Tensor | float,
    open_share: Tensor | float,
) -> Tensor:
    """Light that points send back along the rays that hit them.

    Args:
        scenes: B scenes.
        scene_of: G int64.
        surfels: The points.
        ray: 3 x G x P unit vectors, the rays that hit them.
        lamp: Unshadowed share of the main lamp, G x P.
        open_share: Share of the hemisphere that is not occluded, G x P.

    Returns:
        3 x G x P linear RGB.
    """

    def light(name: str) -> Tensor:
        return scenes.of(name)[scene_of].T[:, :, None]

    normal = surfels.normal
    near = light("near")[0]
    to_lamp = light("sun") - near * surfels.point
    square = (to_lamp * to_lamp).sum(0)
    to_lamp = to_lamp * square.rsqrt()
    # A near lamp falls off with the distance; it is set so that 2 m away it is as strong as far.
    strength = torch.where(near > 0, 4 / (square + 0.5), torch.ones_like(square)) * lamp
    facing = (normal * to_lamp).sum(0).clamp_min(0)
    fill = (normal * light("fill")).sum(0).clamp_min(0)
    up = 0.5 + 0.5 * normal[2]
    ambient = torch.lerp(light("below"), light("above"), up)
    total = ambient * open_share + light("fill_colour") * (fill * (0.4 + 0.6 * open_share))
    colour = surfels.albedo * (total + light("colour") * (facing * strength))
    # Blinn and Phong's highlight.
    halfway = unit(to_lamp - ray, dim=0)
    shine = (normal * halfway).sum(0).clamp_min(0) ** 40
    colour = colour + light("colour") * (surfels.gloss * shine * strength)
    return colour + surfels.albedo * surfels.glow * 2


def reflections(
    scenes: Scenes, atlas: Atlas, scene_of: Tensor, surfels: Surfels, ray: Tensor, colour: Tensor
) -> Tensor:
    """Add reflections of mirrors, one bounce.

    Args:
        scenes: B scenes.
        atlas: Textures.
        scene_of: G int64.
        surfels: The points.
        ray: 3 x G x P unit vectors, the rays that hit them.
        colour: 3 x G x P, the light of the points themselves.

    Returns:
        3 x G x P linear RGB.
    """
    mirrors = surfels.hit & (surfels.mirror > 0)
    if not mirrors.any():
        return colour
    pixels = [
        mine.nonzero(as_tuple=True)
        for number in range(len(scenes.heights))
        if (mine := mirrors & (scene_of == number)[:, None]).any()
    ]
    normal = [surfels.normal[:, rows, columns] for rows, columns in pixels]
    into = [ray[:, rows, columns] for rows, columns in pixels]
    cosine = [-(n * i).sum(0) for n, i in zip(normal, into, strict=True)]
    bounced = [_grouped(i + 2 * c * n) for n, i, c in zip(normal, into, cosine, strict=True)]
    origin = torch.cat(
        [
            _grouped(surfels.point[:, rows, columns] + 2e-3 * n)
            for n, (rows, columns) in zip(normal, pixels, strict=True)
        ]
    )
    scene = torch.cat(
        [
            scene_of[rows[:1]].expand(len(group))
            for group, (rows, _) in zip(bounced, pixels, strict=True)
        ]
    )
    direction = torch.cat(bounced)
    middle, radius = bounding_ball(origin, torch.ones_like(origin[:, 0], dtype=torch.bool))
    candidates = cone_candidates(scenes, scene, middle, direction, radius[:, None])
    t, surface = nearest(scenes, scene, origin, direction, candidates, terrain=False)
    footprint = torch.full((1, 1), 4e-3, device=scenes.device)
    seen = surfels_at(scenes, atlas, scene, origin, direction, t, surface, footprint)
    shown = outgoing_light(scenes, scene, seen, direction.transpose(0, 1), 0.7, 0.8)
    shown = torch.where(seen.hit, shown, sky(scenes, atlas, scene, direction))
    result = colour.clone()
    start = 0
    for (rows, columns), group, c in zip(pixels, bounced, cosine, strict=True):
        part = shown[:, start : start + len(group)].flatten(1)[:, : len(rows)]
        start += len(group)
        mirror = surfels.mirror[rows, columns]
        # Schlick's approximation: flat angles reflect more.
        share = (mirror + (1 - mirror) * (1 - c.clamp(0, 1)) ** 5).clamp(0, 0.95)
        result[:, rows, columns] = torch.lerp(colour[:, rows, columns], part, share)
    return result


def _grouped(vectors: Tensor) -> Tensor:
    """3 x R to G x 3 x 64, the last one repeated to fill the last group."""
    fill = vectors[:, -1:].expand(3, -vectors.shape[1] % 64)
    return torch.cat([vectors, fill], 1).unflatten(1, (-1, 64)).transpose(0, 1).contiguous()


def add_fog(scenes: Scenes, scene_of: Tensor, distance: Tensor, colour: Tensor) -> Tensor:
    """Blend colours into fog with distance (Beer-Lambert).

    Args:
        scenes: B scenes.
        scene_of: G int64.
        distance: G x P metres along the ray.
        colour: 3 x G x P linear RGB.

    Returns:
        3 x G x P linear RGB.
    """
    clear = (-scenes.of("fog")[scene_of] * distance).exp()
    veil = scenes.of("fog_colour")[scene_of].T[:, :, None]
    return torch.lerp(veil.expand_as(colour), colour, clear[None])
