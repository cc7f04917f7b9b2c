"""Local correction of a globally scaled depth map by measured points.

A network's depth is off by a smooth, slowly varying factor that differs from surface to surface.
The logarithm of that factor is known at the points. First a kriged field over image position and
log depth spreads it (few points are used fully, many are merged), then what remains is averaged
over near neighbours on the same surface. Both must predict left-out points better than the global
fit alone, else they are dropped.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, SparsePoints
from depth_anything_ros.metric.kriging import GROSS, Field, Floats, fit_field, spread

MIN_POINTS = 8
"""Fewer points than this cannot tell a trend from chance."""

_STREAM = 2  # apart from other users of the same seed
# Own choices for cost: how many points are looked at, and on how coarse a grid.
_MAX_POINTS = 6_000
_FIELD_POINTS = 1_000
_MAX_WIDTH = 320
_LATTICE_NODES = 700
_LAYERS = np.linspace(0, 1, 6, dtype=np.float32)
_WINDOW = 3
# Own choices for accuracy.
_MAX_LOG = 2.0  # a point off by more than e^2 says nothing about the network
_GATE = 4.0  # standard deviations where a residual contradicts its neighbours
_SAME_SURFACE = 0.1  # step of the layer over which neighbours lose touch
_OWN_WEIGHT = 3.0  # of a cell's own points against those of a cell next to it
_DOUBTS = (0.1, 0.5, 2.0, 8.0)  # strengths of shrinkage to choose from, in cells


def refine(depth_m: FloatImage, points: SparsePoints, seed: int = 0) -> FloatImage:
    """Correct a depth map so that it follows measured points where they are.

    Args:
        depth_m: HxW float32 metres of the global fit, NaN where unknown; modified in place.
        points: Visible measured points inside the image.
        seed: Of the random choice among many points.

    Returns:
        `depth_m`, corrected, or as it was where left-out points say that no correction helps.
    """
    height, width = depth_m.shape
    order = np.random.default_rng((seed, _STREAM)).permutation(len(points))[:_MAX_POINTS]
    u, v, z = points.u[order], points.v[order], points.z[order]
    columns = np.clip(np.rint(u), 0, width - 1).astype(np.intp)
    rows = np.clip(np.rint(v), 0, height - 1).astype(np.intp)
    with np.errstate(invalid="ignore", divide="ignore"):
        log_here = np.log(depth_m[rows, columns])
        residual = (np.log(z) - log_here).astype(np.float32)
    usable = np.abs(residual) < _MAX_LOG
    if usable.sum() < MIN_POINTS:
        return depth_m
    residual = residual[usable]

    step = max(1, round(width / _MAX_WIDTH))
    shape = (max(1, height // step), max(1, width // step))
    surface = cv2.log(_resized(depth_m, shape, cv2.INTER_NEAREST))
    known = surface[::4, ::4][np.isfinite(surface[::4, ::4])]
    if not len(known):
        return depth_m
    near, far = np.percentile(known, [1, 99])
    extent = max(float(far - near), 1e-3)
    surface = np.clip((surface - np.float32(near)) / np.float32(extent), 0, 1)
    np.nan_to_num(surface, copy=False, nan=1.0)
    layer = np.clip((log_here[usable] - near) / extent, 0, 1)
    places = np.stack([u[usable] / width, v[usable] / width, layer], axis=1).astype(np.float32)

    correction = None
    robust = False
    field = fit_field(places[:_FIELD_POINTS], residual[:_FIELD_POINTS])
    if field is not None:
        robust = field.robust
        lattice = _lattice(field, height / width)
        residual = residual - _at_places(lattice, places, height / width)
        correction = _sliced(lattice, surface)
    rest = _neighbour_average(places, residual, surface, robust)
    if rest is not None:
        rest = _resized(rest, shape, cv2.INTER_LINEAR)
        correction = rest if correction is None else correction + rest
    if correction is not None:
        depth_m *= _resized(cv2.exp(correction), depth_m.shape, cv2.INTER_LINEAR)
    return depth_m


def _resized(image: npt.NDArray[Any], shape: tuple[int, ...], interpolation: int) -> FloatImage:
    return cv2.resize(image, (shape[1], shape[0]), interpolation=interpolation).astype(
        np.float32, copy=False
    )


def _grid(cells: float, aspect: float) -> tuple[int, int]:
    """Rows and columns of a grid of about square cells over an image height / width = aspect."""
    columns = max(2, round((cells / aspect) ** 0.5))
    return max(2, round(cells / columns)), columns


def _lattice(field: Field, aspect: float) -> Floats:
    """The field on a coarse lattice, rows x columns x layers, nodes at the centres of cells."""
    rows, columns = _grid(_LATTICE_NODES, aspect)
    u = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) / np.float32(columns)
    v = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) * np.float32(aspect / rows)
    return field.on_lattice(u, v, _LAYERS)


def _at_places(lattice: Floats, places: Floats, aspect: float) -> Floats:
    """Trilinear interpolation of the lattice at some places."""
    from scipy.ndimage import map_coordinates

    rows, columns, layers = lattice.shape
    where = np.stack(
        [
            places[:, 1] / aspect * rows - 0.5,
            places[:, 0] * columns - 0.5,
            places[:, 2] * (layers - 1),
        ]
    )
    return map_coordinates(lattice, where, order=1, mode="nearest", prefilter=False)


def _sliced(lattice: Floats, surface: FloatImage) -> FloatImage:
    """The lattice at every pixel: bilinear over the image, linear between layers."""
    position = surface * np.float32(lattice.shape[2] - 1)
    result = np.zeros_like(surface)
    for index in range(lattice.shape[2]):
        share = np.abs(position - np.float32(index))
        np.subtract(1, share, out=share)
        np.maximum(share, 0, out=share)
        share *= _resized(lattice[:, :, index], surface.shape, cv2.INTER_LINEAR)
        result += share
    return result


def _neighbour_average(
    places: Floats, residual: Floats, surface: FloatImage, robust: bool
) -> FloatImage | None:
    """Weighted average of the residuals near each cell of a grid, shrunk towards zero.

    The grid has about four cells per point, so a window holds a dozen neighbours whatever the
    density. Weights fall with distance and with the step between surfaces; the strength of the
    shrinkage is the one that predicts each cell best from the others.

    Args:
        places: Nx3 places (u, v, layer) of the residuals.
        residual: N residuals of log depth.
        surface: Layer of every pixel of the working image.
        robust: Whether to leave out residuals that contradict their neighbours.

    Returns:
        Rows x columns float32, or None where no strength predicts left-out cells.
    """
    aspect = surface.shape[0] / surface.shape[1]
    shape = _grid(float(np.clip(4 * len(residual), 1_200, 10_000)), aspect)
    row = np.clip((places[:, 1] / aspect * shape[0]).astype(np.intp), 0, shape[0] - 1)
    column = np.clip((places[:, 0] * shape[1]).astype(np.intp), 0, shape[1] - 1)
    cell = row * shape[1] + column
    pixels = _resized(surface, shape, cv2.INTER_NEAREST)

    kept = np.ones(len(residual), bool)
    if robust:
        kept = np.abs(residual) < max(_GATE * spread(residual), GROSS)
        cells = _binned(cell[kept], residual[kept], places[kept, 2], pixels)
        total, mass = _window_sums(*cells)
        off = residual - (total / (mass + np.float32(_DOUBTS[1]))).ravel()[cell]
        kept = np.abs(off) < max(_GATE * spread(off[kept]), GROSS)
    cell, residual = cell[kept], residual[kept]
    mean, level, weight = _binned(cell, residual, places[kept, 2], pixels)
    total, mass = _window_sums(mean, level, weight)

    best_error, best_doubt = float(np.minimum(np.abs(residual), GROSS).mean()), None
    for doubt in _DOUBTS:
        left_out = residual - (total / (mass + np.float32(doubt))).ravel()[cell]
        error = float(np.minimum(np.abs(left_out), GROSS).mean())
        if error < best_error:
            best_error, best_doubt = error, doubt
    if best_doubt is None:
        return None
    own = np.float32(_OWN_WEIGHT) * weight
    return (total + own * mean) / (mass + own + np.float32(best_doubt))


def _binned(
    cell: npt.NDArray[np.intp], residual: Floats, layer: Floats, pixels: FloatImage
) -> tuple[Floats, Floats, Floats]:
    """Mean residual, layer and weight of every cell; an empty one has its pixel's layer."""
    size = pixels.size
    count = np.bincount(cell, minlength=size)
    share = np.maximum(count, 1)
    mean = (np.bincount(cell, residual, size) / share).astype(np.float32)
    level = (np.bincount(cell, layer, size) / share).astype(np.float32)
    weight = (count / (count + 0.5)).astype(np.float32)
    level = np.where(count > 0, level, pixels.ravel())
    return mean.reshape(pixels.shape), level.reshape(pixels.shape), weight.reshape(pixels.shape)


def _window_sums(mean: Floats, level: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted sum of the means in the window around each cell, without its own, and the weight."""
    rows, columns = mean.shape
    means, levels, weights = (np.pad(part, _WINDOW) for part in (mean, level, weight))
    total = np.zeros_like(mean)
    mass = np.zeros_like(mean)
    edge = (_WINDOW + 0.5) ** 2
    for dy in range(-_WINDOW, _WINDOW + 1):
        for dx in range(-_WINDOW, _WINDOW + 1):
            square = dx * dx + dy * dy
            if not 0 < square <= edge:
                continue
            top, left = _WINDOW + dy, _WINDOW + dx
            window = np.s_[top : top + rows, left : left + columns]
            near = np.abs(level - levels[window])
            near *= np.float32(-1 / _SAME_SURFACE)
            np.exp(near, out=near)
            near *= weights[window]
            near *= np.float32((1 - square / edge) ** 2 / square)
            mass += near
            near *= means[window]
            total += near
    return total, mass
