"""Height fields: generation and intersection with rays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 192
"""Samples along each side of a height field."""

_NEAR, _FAR, _STEPS, _REFINEMENTS = 0.1, 300.0, 24, 10


def fractal_heights(
    rng: np.random.Generator, extent: float, relief: float, roughness: float
) -> npt.NDArray[np.float32]:
    """Make hills by adding octaves of smooth noise.

    Args:
        rng: Random generator.
        extent: Side of the square in metres.
        relief: Height of the largest waves in metres.
        roughness: Factor from one octave to the next finer one.

    Returns:
        GRID x GRID float32 metres, 0 at the centre.
    """
    import cv2

    total = np.zeros((GRID, GRID), np.float32)
    amplitude = relief
    for cells in (3, 6, 12, 24, 48):
        noise = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
        smooth = cv2.resize(noise, (GRID, GRID), interpolation=cv2.INTER_CUBIC)
        total += amplitude * smooth
        amplitude *= roughness
    return (total - total[GRID // 2, GRID // 2]).astype(np.float32)


def height_at(heights: npt.NDArray[np.float32], extent: float, x: float, y: float) -> float:
    """Height of a field at one place, bilinear.

    Args:
        heights: GxG float32 metres.
        extent: Side of the square in metres.
        x: Metres from its centre.
        y: Metres from its centre.

    Returns:
        Metres; the edge's height outside.
    """
    point = torch.tensor([[x], [y], [0.0]], dtype=torch.float32)
    return -float(_above(torch.from_numpy(heights), extent, point)[0])


def hit_heights(heights: Tensor, extent: float, o: Tensor, d: Tensor) -> Tensor:
    """First intersections of rays with a height field.

    Marches in steps that grow with the distance, then halves the step that crossed; a crest
    thinner than a step can be missed.

    Args:
        heights: G x G metres.
        extent: Side of the square in metres.
        o: 3 x 1 (or 3 x R) origins in metres, above the field.
        d: 3 x R directions.

    Returns:
        R ray parameters, infinite without a hit inside the square.
    """
    best = torch.full_like(d[0], torch.inf)
    origin = o.expand_as(d)
    # Only between the heights of the highest and the lowest point is there anything to meet.
    slope = torch.where(d[2].abs() < 1e-9, 1e-9, d[2])
    top, bottom = (heights.max() - origin[2]) / slope, (heights.min() - origin[2]) / slope
    first = torch.minimum(top, bottom).clamp_min(_NEAR)
    last = torch.maximum(top, bottom).clamp(max=_FAR) * 1.0001 + 1e-3
    rows = (first < last).nonzero()[:, 0]
    origin, d, first, last = origin[:, rows], d[:, rows], first[rows], last[rows]
    growth = (last / first) ** (1 / _STEPS)
    lower, upper = torch.zeros_like(first), torch.full_like(first, torch.inf)
    before, t = lower, first
    for _ in range(_STEPS + 1):
        crossed = (_above(heights, extent, origin + t * d) <= 0) & upper.isinf()
        lower = torch.where(crossed, before, lower)
        upper = torch.where(crossed, t, upper)
        before, t = t, t * growth
    found = upper.isfinite()
    lower, upper, origin, d = lower[found], upper[found], origin[:, found], d[:, found]
    for _ in range(_REFINEMENTS):
        middle = (lower + upper) / 2
        under = _above(heights, extent, origin + middle * d) <= 0
        lower, upper = torch.where(under, lower, middle), torch.where(under, middle, upper)
    # One secant step on what is left, where the field is as good as flat.
    first = _above(heights, extent, origin + lower * d)
    last = _above(heights, extent, origin + upper * d)
    share = (first / (first - last).clamp_min(1e-9)).clamp(0, 1)
    t = lower + share * (upper - lower)
    inside = (origin + t * d)[:2].abs().amax(0) <= extent / 2
    best[rows[found]] = torch.where(inside, t, torch.inf)
    return best


def normals_at(heights: Tensor, extent: float, point: Tensor) -> Tensor:
    """Upward normals of a height field by differences over one cell.

    Args:
        heights: G x G metres.
        extent: Side of the square in metres.
        point: 3 x R metres.

    Returns:
        3 x R unit vectors.
    """
    step = extent / heights.shape[0]
    slopes = []
    for axis in (0, 1):
        shift = torch.zeros(3, 1, device=point.device)
        shift[axis] = step
        # `_above` falls where the ground rises.
        rise = _above(heights, extent, point - shift) - _above(heights, extent, point + shift)
        slopes.append(rise / (2 * step))
    return F.normalize(torch.stack([-slopes[0], -slopes[1], torch.ones_like(slopes[0])]), dim=0)


def _above(heights: Tensor, extent: float, point: Tensor) -> Tensor:
    """Height of points (3 x R) over the field."""
    size = heights.shape[0]
    x = (point[0] / extent + 0.5).clamp(0, 1) * (size - 1)
    y = (point[1] / extent + 0.5).clamp(0, 1) * (size - 1)
    column, row = x.floor().clamp_max(size - 2), y.floor().clamp_max(size - 2)
    right, down = x - column, y - row
    index = (row * size + column).int()
    flat = heights.flatten()

    def sample(shift: int) -> Tensor:
        return flat.index_select(0, index + shift)

    top = torch.lerp(sample(0), sample(1), right)
    bottom = torch.lerp(sample(size), sample(size + 1), right)
    return point[2] - torch.lerp(top, bottom, down)
