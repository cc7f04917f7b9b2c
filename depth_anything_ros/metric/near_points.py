"""What kriged inverse depth still misses at the points, averaged over near ones of a surface."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.lattice import Lattice
from depth_anything_ros.metric.samples import LARGEST_ERROR, Samples
from depth_anything_ros.metric.tiling import Floats, Indices

# Own choices, made on real frames.
_WINDOW = 3
_CELLS_PER_POINT = 4
_MAX_CELLS = 40_000
_SAME_SURFACE = 0.1  # step of the surface coordinate over which neighbours lose touch
_OWN_WEIGHT = 10.0  # of a cell's own points against those of a cell next to it
_DOUBTS = (0.1, 0.5, 2.0, 8.0)  # strengths of shrinkage to choose from, in cells


def rest_at_points(
    samples: Samples, fused: FloatImage, inverse_m: FloatImage, lattice: Lattice
) -> FloatImage:
    """Factor that brings the fused inverse depth to the points, averaged over near neighbours.

    Weights fall with distance and with the step between surfaces; the strength of the shrinkage
    towards no change is the one that predicts each point best from the others.

    Args:
        samples: The points.
        fused: HxW float32 1/m, as kriged.
        inverse_m: HxW float32 1/m of the global fit.
        lattice: Over the same image.

    Returns:
        Rows x columns float32 over the whole image.
    """
    height, width = fused.shape
    aspect = height / width
    pixel = _cell_of(samples.places[:, 0], samples.places[:, 1] / aspect, fused.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = samples.inverse / fused.ravel()[pixel] - 1
    residual = np.where(np.abs(residual) < LARGEST_ERROR, residual, 0).astype(np.float32)
    cells = float(np.clip(_CELLS_PER_POINT * len(samples), 1_200, _MAX_CELLS))
    across = max(2, round((cells / aspect) ** 0.5))
    shape = (max(2, round(across * aspect)), across)
    cell = _cell_of(samples.places[:, 0], samples.places[:, 1] / aspect, shape)
    nearest = cv2.resize(inverse_m, shape[::-1], interpolation=cv2.INTER_NEAREST)
    level = nearest.astype(np.float32, copy=False)
    level -= np.float32(lattice.low)
    level *= np.float32(1 / lattice.span)
    np.copyto(level, np.float32(0), where=~np.isfinite(level))
    size = level.size
    count = np.bincount(cell, minlength=size).astype(np.float32)
    share = np.maximum(count, 1)
    mean = np.bincount(cell, residual, size).astype(np.float32)
    mean /= share
    measured = np.bincount(cell, samples.places[:, 2], size).astype(np.float32)
    measured /= share
    np.copyto(level.ravel(), measured, where=count > 0)
    weight = count / (count + np.float32(0.5))
    mean, weight = mean.reshape(shape), weight.reshape(shape)
    total, mass = _window_sums(mean, level, weight)
    total_of, mass_of = total.ravel()[cell], mass.ravel()[cell]
    best_error, best_doubt = np.inf, _DOUBTS[-1]
    for doubt in _DOUBTS:
        error = float(np.abs(residual - total_of / (mass_of + np.float32(doubt))).mean())
        if error < best_error:
            best_error, best_doubt = error, doubt
    own = np.float32(_OWN_WEIGHT) * weight
    return np.asarray(1 + (total + own * mean) / (mass + own + np.float32(best_doubt)))


def _cell_of(across: Floats, down: Floats, shape: tuple[int, int]) -> Indices:
    """Flat index of the cell of an image in which places lie, given as shares of its sides."""
    rows, columns = shape
    row = np.clip((down * rows).astype(np.intp), 0, rows - 1)
    row *= columns
    row += np.clip((across * columns).astype(np.intp), 0, columns - 1)
    return row


def _window_sums(
    mean: FloatImage, level: FloatImage, weight: FloatImage
) -> tuple[FloatImage, FloatImage]:
    """Weighted sum of the means in the window around each cell, without its own, and the weight."""
    rows, columns = mean.shape
    # Empty columns part the rows, so that a step in the window is one shift of all cells in a row.
    parted = ((0, 0), (0, _WINDOW))
    mean, level, weight = (np.pad(part, parted).ravel() for part in (mean, level, weight))
    weighted = weight * mean
    total, mass = np.zeros_like(mean), np.zeros_like(mean)
    edge = (_WINDOW + 0.5) ** 2
    for dy in range(_WINDOW + 1):
        for dx in range(-_WINDOW, _WINDOW + 1):
            square = dx * dx + dy * dy
            if (dy, dx) <= (0, 0) or square > edge:
                continue
            shift = dy * (columns + _WINDOW) + dx
            one, other = np.s_[:-shift], np.s_[shift:]
            near = level[one] - level[other]
            np.abs(near, out=near)
            near *= np.float32(-1 / _SAME_SURFACE)
            np.exp(near, out=near)
            near *= np.float32((1 - square / edge) ** 2 / square)
            product = np.empty_like(near)
            for here, there in ((one, other), (other, one)):
                mass[here] += np.multiply(near, weight[there], out=product)
                total[here] += np.multiply(near, weighted[there], out=product)
    shape = (rows, columns + _WINDOW)
    sums = (each.reshape(shape)[:, :columns] for each in (total, mass))
    total, mass = (np.ascontiguousarray(each) for each in sums)
    return total, mass
