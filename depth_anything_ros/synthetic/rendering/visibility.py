"""Soft shadows and ambient occlusion, one ray per sample, smoothed over faces."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from depth_anything_ros.synthetic.rendering.scene_batch import Scenes
from depth_anything_ros.synthetic.rendering.solids import Kind
from depth_anything_ros.synthetic.rendering.surfels import COARSE, Surfels
from depth_anything_ros.synthetic.rendering.tracing import beam_candidates, distances
from depth_anything_ros.synthetic.rendering.vectors import bounding_ball, cross, unit

PATTERN = 4
"""Shadow and occlusion rays repeat their directions every 4 x 4 samples (interleaved sampling,
Keller and Heidrich 2001); a filter over as many samples of one face averages them."""

THIN = 0.05
"""Half the second largest side in metres up to which a surface casts no ambient occlusion."""


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
    middle, radius = bounding_ball(point, surfels.hit)
    helper = torch.where(normal[:, 2:3].abs() < 0.9, 2, 0)
    other = torch.zeros_like(normal).scatter_(1, helper, 1.0)
    tangent = unit(cross(other, normal), dim=1)
    bitangent = cross(normal, tangent)

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
    axis = unit(to_lamp, dim=1)
    side = unit(cross(axis, other), dim=1)
    over = cross(axis, side)
    radial = second.sqrt() * size
    towards = to_lamp + radial * (angle.cos()[:, None] * side + angle.sin()[:, None] * over)
    far_end = torch.where(is_near[:, :, 0], lamp, middle + lamp * 60)
    widest = torch.maximum(radius, torch.where(is_near[:, 0, 0], size[:, 0, 0], 0.0)) + 0.05
    shade = beam_candidates(scenes, middle, far_end, widest)
    t = distances(scenes, scene_of, start, towards, shade)
    blocked = torch.where(is_near[:, 0], t < 1, t.isfinite())
    return (~blocked).float(), open_share


def _per_group(scenes: Scenes, name: str, scene_of: Tensor) -> Tensor:
    return scenes.of(name)[scene_of]


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
