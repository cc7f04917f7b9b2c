"""Colour of what rays hit: texture, lamps with soft shadows, ambient occlusion, mirrors, fog."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.rendering.scene import MATERIAL, Scenes
from depth_anything_ros.synthetic.rendering.solids import Kind, longest, unit_normal
from depth_anything_ros.synthetic.rendering.terrain import normals_at
from depth_anything_ros.synthetic.rendering.textures import Atlas
from depth_anything_ros.synthetic.rendering.tracing import (
    beam_candidates,
    cone_candidates,
    distances,
    nearest,
)

PATTERN = 4
"""Shadow and occlusion rays repeat their directions every 4 x 4 samples (interleaved sampling,
Keller and Heidrich 2001); a filter over as many samples of one face averages them."""

THIN = 0.05
"""Half the second largest side in metres up to which a surface casts no ambient occlusion."""

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
    normal = _unit((turn * bare[:, None]).sum(0), dim=0)
    normal = _terrain_normals(scenes, scene_of, kind, point, normal)

    axis = longest(bare.abs())
    u = torch.where(axis == 0, local[1], local[0])
    v = torch.where(axis == 2, local[1], local[2])
    scale, shift = material[MATERIAL["scale"]][0], material[MATERIAL["shift"]][0]
    ray = direction.transpose(0, 1)
    slant = (normal * _unit(ray, dim=0)).sum(0).abs().clamp_min(0.1)
    pixels = depth * footprint / (scale * slant.sqrt()) * textures.SIZE
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
    ray = _unit(direction, dim=1).transpose(0, 1)
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


def pattern(groups: int, tile: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The stratified pair of numbers each pixel of a tile draws its rays with.

    Args:
        groups: Number of tiles.
        tile: Side of a tile in pixels, a multiple of PATTERN.
        device: Where to put them.

    Returns:
        Two 1 x P tensors in 0..1.
    """
    order = torch.tensor(
        [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5], device=device
    ).view(PATTERN, PATTERN)  # Bayer's matrix: neighbours lie far apart
    times = tile // PATTERN
    index = order.repeat(times, times).flatten()[None]
    first = (index % 4 + 0.5) / 4
    second = (torch.div(index, 4, rounding_mode="floor") + 0.5) / 4
    return first, (second + first / 4) % 1


def visibility(
    scenes: Scenes, scene_of: Tensor, surfels: Surfels, tile: int
) -> tuple[Tensor, Tensor]:
    """Shadow of the main lamp and ambient occlusion of each point, one ray each.

    Args:
        scenes: B scenes.
        scene_of: G int64 in the order of the scenes, equally many groups each.
        surfels: The points.
        tile: Side of a group in samples.

    Returns:
        Unshadowed share of the lamp (0 or 1) and open share of the hemisphere (0 to 1), each
        G x P.
    """
    first, second = pattern(len(scene_of), tile, scenes.device)
    point, normal = surfels.point.transpose(0, 1), surfels.normal.transpose(0, 1)
    start = point + 2e-3 * (1 + _per_group(scenes, "occlusion", scene_of)[:, None]) * normal
    middle, radius = _ball(point, surfels.hit)
    helper = torch.where(normal[:, 2:3].abs() < 0.9, 2, 0)
    other = torch.zeros_like(normal).scatter_(1, helper, 1.0)
    tangent = _unit(_cross(other, normal), dim=1)
    bitangent = _cross(normal, tangent)

    # Cosine-weighted directions (Malley's method): the disc lifted onto the hemisphere.
    angle, length = 2 * math.pi * first, second.sqrt()
    x, y = length * angle.cos(), length * angle.sin()
    z = (1 - second).sqrt()
    around = x[:, None] * tangent + y[:, None] * bitangent + z[:, None] * normal
    reach = _per_group(scenes, "occlusion", scene_of)[:, 0]
    near = beam_candidates(scenes, middle, middle, radius + reach)
    # Thin surfaces hardly occlude; leaving them out saves half of the intersections.
    broad = scenes.half.sort(2).values[:, :, 1] > THIN
    near = (near & broad[scene_of]) | (scenes.kind == Kind.PLANE)[scene_of]
    t = distances(scenes, scene_of, start, around, near)
    open_share = (t / reach[:, None]).clamp(0, 1)

    lamp = _per_group(scenes, "sun", scene_of)
    is_near = _per_group(scenes, "near", scene_of)[:, :, None] > 0
    to_lamp = torch.where(is_near, lamp[:, :, None] - start, lamp[:, :, None].expand_as(start))
    size = _per_group(scenes, "radius", scene_of)[:, :, None]
    axis = _unit(to_lamp, dim=1)
    side = _unit(_cross(axis, other), dim=1)
    over = _cross(axis, side)
    radial = second.sqrt() * size
    towards = to_lamp + radial * (angle.cos()[:, None] * side + angle.sin()[:, None] * over)
    far_end = torch.where(is_near[:, :, 0], lamp, middle + lamp * 60)
    widest = torch.maximum(radius, torch.where(is_near[:, 0, 0], size[:, 0, 0], 0.0)) + 0.05
    shade = beam_candidates(scenes, middle, far_end, widest)
    t = distances(scenes, scene_of, start, towards, shade)
    blocked = torch.where(is_near[:, 0], t < 1, t.isfinite())
    return (~blocked).float(), open_share


def _unit(vectors: Tensor, dim: int) -> Tensor:
    """Vectors of length 1; on the CPU several times as fast as F.normalize."""
    return vectors * (vectors * vectors).sum(dim, keepdim=True).clamp_min(1e-24).rsqrt()


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product along axis 1."""
    (ax, ay, az), (bx, by, bz) = a.unbind(1), b.unbind(1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def _per_group(scenes: Scenes, name: str, scene_of: Tensor) -> Tensor:
    return scenes.of(name)[scene_of]


def _ball(point: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and radius of a ball around the points of each group that are hit."""
    far = torch.where(hit[:, None], point, torch.inf)
    low = far.amin(2)
    high = torch.where(hit[:, None], point, -torch.inf).amax(2)
    empty = low.isinf()
    low, high = torch.where(empty, 0.0, low), torch.where(empty, 0.0, high)
    return (low + high) / 2, (high - low).norm(dim=1) / 2


def blend(values: Tensor, sampled: Tensor, face: Tensor) -> Tensor:
    """Average samples over PATTERN x PATTERN of one face and interpolate them to every pixel.

    Args:
        values: C x B x h x w samples, one for every COARSE pixels along both axes.
        sampled: B x h x w integers, the faces of the samples.
        face: B x H x W integers, the faces of the pixels.

    Returns:
        C x B x H x W.
    """
    sampled, face = sampled.int(), face.int()
    height, width = sampled.shape[-2:]
    low, high = PATTERN // 2 - 1, PATTERN // 2
    padded = F.pad(values, (low, high, low, high))
    faces = F.pad(sampled, (low, high, low, high), value=-2)
    total, weight = torch.zeros_like(values), torch.zeros_like(values[0])
    for y in range(PATTERN):
        for x in range(PATTERN):
            same = (faces[..., y : y + height, x : x + width] == sampled).float()
            total += same * padded[..., y : y + height, x : x + width]
            weight += same
    smooth = total / weight
    rows = torch.arange(face.shape[1], device=face.device) // COARSE
    columns = torch.arange(face.shape[2], device=face.device) // COARSE
    result = smooth[..., rows, :][..., columns]
    # A pixel whose sample lies on another face takes the mean of its neighbours' samples.
    b, v, u = (sampled[:, rows][..., columns] != face).nonzero(as_tuple=True)
    own = face[b, v, u]
    total, weight = result.new_zeros(len(values), len(b)), result.new_zeros(len(b))
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            row = (rows[v] + y).clamp(0, height - 1)
            column = (columns[u] + x).clamp(0, width - 1)
            same = (sampled[b, row, column] == own).float()
            total += same * smooth[:, b, row, column]
            weight += same
    result[:, b, v, u] = torch.where(weight > 0, total / weight, result[:, b, v, u])
    return result


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
    halfway = _unit(to_lamp - ray, dim=0)
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
    middle, radius = _ball(origin, torch.ones_like(origin[:, 0], dtype=torch.bool))
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
