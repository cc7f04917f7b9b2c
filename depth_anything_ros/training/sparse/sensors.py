"""Points as sensors measure them, from a depth image."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage, SparsePoints

Indices = npt.NDArray[np.intp]
Known = npt.NDArray[np.bool_]
Places = tuple[Indices, Indices]
"""Rows and columns."""

# Own choices: what LiDARs, depth cameras and SLAM of robots give.
_RANGES_M = (12.0, 80.0, 200.0)
_SHARE_OF_RANGES = (0.1, 0.6, 0.3)
_NEAREST_M = 0.05
_UNSEEN_ABOVE = 0.25  # share of the draws in which the upper part of the image is not measured
_LEAST_KNOWN = 400
_FEWEST = 10
_NOISES = (0.0, 0.003, 0.01, 0.02)
_SHARE_OF_NOISES = (0.3, 0.3, 0.3, 0.1)
_SINGLE_ERRORS, _WRONG_PLACES = 0.12, 0.08  # shares of the draws
_WRONG_FACTORS = (0.4, 0.5, 0.6, 1.6, 2.0, 2.5)
_MOST_LINES = 8_000
_MOST_CORNERS = 600


def _random(rng: np.random.Generator, known: Known, rgb: RgbImage, count: int) -> Places:
    rows, columns = np.nonzero(known)
    some = rng.choice(len(rows), count, replace=False)
    return rows[some], columns[some]


def _beams(rng: np.random.Generator, known: Known, rgb: RgbImage, count: int) -> Places:
    """Lines of a turning LiDAR, a little bent."""
    height, width = known.shape
    measured = np.flatnonzero(known.any(axis=1))
    lines = int(rng.choice([4, 8, 16, 32, 64]))
    rows = np.linspace(measured[0] + 1, measured[-1] - 1, lines) + rng.uniform(-2, 2)
    columns = np.arange(0, width, int(rng.integers(1, 4)))
    bend = rng.uniform(-24, 24) * np.square(columns / width - 0.5)
    row = np.rint(rows[:, None] + bend).astype(np.intp)
    column = np.broadcast_to(columns, row.shape)
    inside = (row >= 0) & (row < height)
    row, column = row[inside], column[inside]
    order = rng.permutation(len(row))[:_MOST_LINES]
    return row[order], column[order]


def _laser_line(rng: np.random.Generator, known: Known, rgb: RgbImage, count: int) -> Places:
    height, width = known.shape
    row = int(np.clip(rng.normal(height / 2, height / 8), 5, height - 6))
    columns = np.arange(0, width, int(rng.integers(1, 4)))
    return np.full(len(columns), row), columns


def _grid(rng: np.random.Generator, known: Known, rgb: RgbImage, count: int) -> Places:
    """A depth camera of few pixels."""
    height, width = known.shape
    across = int(rng.integers(8, 33))
    down = max(4, across * 3 // 4)
    rows = ((np.arange(down) + 0.5) * height / down).astype(np.intp)
    columns = ((np.arange(across) + 0.5) * width / across).astype(np.intp)
    row, column = np.meshgrid(rows, columns, indexing="ij")
    return row.ravel(), column.ravel()


def _corners(rng: np.random.Generator, known: Known, rgb: RgbImage, count: int) -> Places:
    """What SLAM follows: corners, not quite where they are."""
    height, width = known.shape
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    found = cv2.goodFeaturesToTrack(grey, min(count, _MOST_CORNERS), 0.005, 4)
    if found is None:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    column, row = found.reshape(-1, 2).astype(np.intp).T
    off = rng.integers(-1, 2, (2, len(row)))
    return np.clip(row + off[0], 0, height - 1), np.clip(column + off[1], 0, width - 1)


_PATTERNS: tuple[Callable[[np.random.Generator, Known, RgbImage, int], Places], ...] = (
    _random,
    _beams,
    _laser_line,
    _grid,
    _corners,
)
_SHARE_OF_PATTERNS = (0.62, 0.16, 0.05, 0.06, 0.11)


def measured_points(
    rng: np.random.Generator,
    depth_m: FloatImage,
    rgb: RgbImage,
    count: int,
    gross_errors: bool = True,
) -> SparsePoints | None:
    """Draw the points of some sensor, with its noise and now and then with gross errors.

    Args:
        rng: Decides everything.
        depth_m: HxW metres, infinite for sky, NaN where unknown.
        rgb: HxWx3 image.
        count: Points, where the sensor has no number of its own.
        gross_errors: Whether some may be grossly wrong.

    Returns:
        The points; None where the image shows too little.
    """
    height, width = depth_m.shape
    farthest = rng.choice(_RANGES_M, p=_SHARE_OF_RANGES)
    known = np.isfinite(depth_m) & (depth_m > _NEAREST_M) & (depth_m < farthest)
    if rng.random() < _UNSEEN_ABOVE:
        known[: int(height * rng.uniform(0.1, 0.5))] = False
    if known.sum() < max(2 * count, _LEAST_KNOWN):
        return None
    pattern = _PATTERNS[int(rng.choice(len(_PATTERNS), p=_SHARE_OF_PATTERNS))]
    row, column = pattern(rng, known, rgb, count)
    there = known[row, column]
    row, column = row[there], column[there]
    if len(row) < (1 if pattern is _random else _FEWEST):
        return None
    z = depth_m[row, column].astype(np.float64)
    z *= np.exp(rng.choice(_NOISES, p=_SHARE_OF_NOISES) * rng.standard_normal(len(z)))
    kind = rng.random() if gross_errors else 1.0
    if kind < _SINGLE_ERRORS:
        wrong = rng.random(len(z)) < rng.uniform(0.02, 0.3)
        z[wrong] *= np.exp(rng.normal(0, 0.8, np.count_nonzero(wrong)))
    elif kind < _SINGLE_ERRORS + _WRONG_PLACES:
        away = np.hypot(column - rng.uniform(0, width), row - rng.uniform(0, height))
        z[away < rng.uniform(0.06, 0.2) * width] *= rng.choice(_WRONG_FACTORS)
    points = column.astype(np.float64), row.astype(np.float64), np.clip(z, _NEAREST_M, 300.0)
    return SparsePoints(*points)
