"""Depth at each pixel as the measured points near to it say, of those on its own surface.

Kriging gives a smooth picture: at an edge its depth lies between those of the two surfaces, where
nothing is, and what a point differs from it remains. Here every pixel takes the mean of points
around it, by distance and by how alike kriged depth is at point and pixel (a joint bilateral
filter; Petschnigg et al. 2004, section 4, from scattered points): of the measured inverse depth
itself, which is never between surfaces, and of what it differs from the kriged one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.samples import LARGEST_ERROR, MANY, Samples

# Own choices, made on real frames; the first two for cost.
_CELLS = 77_000
_CELLS_OF_FEW = 48_000
_ALIKE = 0.02  # of log kriged depth
_NEAREST_SQUARE = 0.3  # square cells that are added to the square distance
_FEW = 150.0  # points with which the mean of measured values counts half
_MOST_OFF = 0.5  # of the kriged value, that a point's difference counts
# Distance of points along lines, as beams draw them, over that across from which on and up to which
# they count as such; there, the weight of the nearest point whatever kriged depth is like (that of
# few points of other lines goes to and fro along an edge), and the share of the distance along a
# line up to which a pixel is on it.
_IN_LINES = (0.5, 0.25)
_UNLIKE = 0.01
_ON_A_LINE = 0.35
_LEAST = 1e-4  # 1/m
_EACH_BESIDE = 1_000  # points from which on each has others beside it
_GROSS = 0.3  # of log depth
_NOT_ALONE = 0.2
_BESIDE = 17.0  # places around where there must be another, times root of the share of gross ones
_MOST_BESIDE = 4  # of them, as right points beside edges that kriging smooths have no more,
_MOSTLY_WRONG = 0.16  # share of gross ones from which on those are few among them
_MOST_BESIDE_OF_WRONG = 6
_NOWHERE = 1e6  # cells: place of a point that does not count
_MORE_THAN_LEFT_OUT = 2.0  # as pixels have nearer points than left-out points have
_JUDGED = 400  # points that are predicted from the others, for cost
_OF_RIGHT = 2.0  # weight of the kriged depth itself where the network is right; else
_OF_DOUBTED = 4.0  # over the number of points: what is left where no point is alike
# Half mean distances between points, at which the points around a pixel are looked for.
_AROUND = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1), (-2, 0), (2, 0), (0, -2), (0, 2))


def follow_points(
    samples: Samples, kriged: FloatImage, doubt: float, left_out: float
) -> FloatImage:
    """Draw inverse depth to the points near every pixel.

    Args:
        samples: N points.
        kriged: HxW float32 1/m, NaN where unknown, which it stays; not modified.
        doubt: 0 to 1, how little the network is trusted: one that is right follows surfaces between
            points better than the mean of their values.
        left_out: Mean relative error of kriging at points that it was not given.

    Returns:
        HxW float32 1/m.
    """
    height, width = kriged.shape
    number = _CELLS_OF_FEW if len(samples) <= MANY else _CELLS
    thinned = max(1.0, (height * width / number) ** 0.5)
    columns, rows = max(2, round(width / thinned)), max(2, round(height / thinned))
    x = (samples.places[:, 0] * columns - 0.5).astype(np.float32)
    y = (samples.places[:, 1] * (width / height * rows) - 0.5).astype(np.float32)
    column, row = (samples.places[:, :2] * width).astype(np.intp).T
    there = kriged[np.minimum(row, height - 1), np.minimum(column, width - 1)]
    there = np.maximum(there, np.float32(_LEAST))
    inverse = samples.inverse.astype(np.float32)
    most = np.float32(_MOST_OFF) * there
    values = np.stack([np.log(there), inverse, np.clip(inverse - there, -most, most), x, y])
    across = np.arange(columns, dtype=np.float32)
    down = np.arange(rows, dtype=np.float32)[:, None]
    nearest, apart = _nearest(x, y, (rows, columns))
    cells = cv2.resize(kriged, (columns, rows), interpolation=cv2.INTER_LINEAR)
    unknown = np.isnan(cells)
    if unknown.any():  # else what is unknown would spread to the pixels beside it
        cells[unknown] = there[nearest[unknown]]
    np.maximum(cells, np.float32(_LEAST), out=cells)
    here = np.log(cells)
    high, wide = (max(1, round(each / 2)) for each in apart)
    border = 2 * high, 2 * high, 2 * wide, 2 * wide
    nearest = np.asarray(cv2.copyMakeBorder(nearest, *border, cv2.BORDER_REPLICATE), np.int32)
    if len(samples) > _EACH_BESIDE:
        values[-2:, _alone(values, nearest, (high, wide))] = _NOWHERE
    around = [each.take(nearest) for each in values]
    narrow = min(apart) / max(apart)
    in_lines = float(np.interp(narrow, _IN_LINES[::-1], (1, 0)))
    unlike = np.float32(in_lines * _UNLIKE * min(apart) ** 2)
    mass, off, weight, part, square = np.zeros((5, rows, columns), np.float32)
    little = (1 - doubt) * _OF_RIGHT + doubt * _OF_DOUBTED / len(samples)
    little /= apart[0] * apart[1]
    mass += np.float32(little)
    measured = cells * np.float32(little)
    for dy, dx in _AROUND:
        top, left = (2 + dy) * high, (2 + dx) * wide
        alike, value, difference, u, v = (
            each[top : top + rows, left : left + columns] for each in around
        )
        np.subtract(alike, here, out=weight)
        np.abs(weight, out=weight)
        weight *= np.float32(-1 / _ALIKE)
        np.exp(weight, out=weight)
        np.square(np.subtract(u, across, out=part), out=part)
        np.square(np.subtract(v, down, out=square), out=square)
        part += square
        part += np.float32(_NEAREST_SQUARE)
        if unlike:
            weight += np.divide(unlike, part, out=square)
        weight /= part
        mass += weight
        measured += np.multiply(weight, value, out=part)
        off += np.multiply(weight, difference, out=part)
    off /= mass
    rest, error = _judged(values, around, (high, wide), little)
    off *= np.float32(rest)
    followed = cv2.resize(off, (width, height), interpolation=cv2.INTER_LINEAR)
    followed += kriged
    np.maximum(followed, np.float32(1 - _MOST_OFF) * kriged, out=followed)
    # As for two guesses with errors of their own. With few points kriging is better than where they
    # are left out, corrected as it is (`correction`). Between beams depth slopes: what lies between
    # two has the value of none, which points left out of a beam do not show.
    share = left_out**2 / max(left_out**2 + error**2, 1e-12)
    share *= doubt * len(samples) / (len(samples) + _FEW)
    if share:
        if in_lines:
            middle = slice(2 * high, 2 * high + rows), slice(2 * wide, 2 * wide + columns)
            away = np.hypot(around[-2][middle] - across, around[-1][middle] - down)
            on_it = np.float32(_ON_A_LINE * min(apart)) / np.maximum(away, np.float32(_LEAST))
            narrow += in_lines * (np.clip(on_it, narrow, 1) - narrow)
        shares = np.full((rows, columns), share * narrow, np.float32)
        measured /= mass
        measured *= shares
        followed *= 1 - cv2.resize(shares, (width, height), interpolation=cv2.INTER_LINEAR)
        followed += cv2.resize(measured, (width, height), interpolation=cv2.INTER_LINEAR)
    return followed


def _alone(
    values: npt.NDArray[np.float32], nearest: npt.NDArray[np.int32], steps: tuple[int, int]
) -> npt.NDArray[np.intp]:
    """Points that are grossly off, and no other one around measures nearly the same.

    Args:
        values: 5xN of the points.
        nearest: Which of them is nearest to every cell, with a border.
        steps: In rows and columns.

    Returns:
        Indices.
    """
    log = np.log(values[1])
    which = np.flatnonzero(np.abs(log - values[0]) > _GROSS)
    x, y = values[-2:, which]
    others = nearest.take(_there(x, y, nearest.shape, steps))
    alike = (np.abs(log[others] - log[which]) < _NOT_ALONE) & (others != which)
    # Wrong ones may be alike by chance, the likelier the more there are.
    share = len(which) / len(log)
    most = _MOST_BESIDE if share < _MOSTLY_WRONG else _MOST_BESIDE_OF_WRONG
    least = np.clip(round(_BESIDE * share**0.5), 1, most)
    return which[alike.sum(axis=0) < least]


def _there(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    shape: tuple[int, ...],
    steps: tuple[int, int],
) -> npt.NDArray[np.intp]:
    """Flat indices of the places around some points in an image with a border."""
    top, left = ([(2 + each[axis]) * steps[axis] for each in _AROUND] for axis in (0, 1))
    row = np.clip(np.rint(y), 0, shape[0] - 4 * steps[0] - 1).astype(np.intp)
    column = np.clip(np.rint(x), 0, shape[1] - 4 * steps[1] - 1).astype(np.intp)
    return (row + np.array(top)[:, None]) * shape[1] + column + np.array(left)[:, None]


def _judged(
    values: npt.NDArray[np.float32],
    around: Sequence[npt.NDArray[Any]],
    steps: tuple[int, int],
    little: float,
) -> tuple[float, float]:
    """What the means around some points, without themselves, say of them.

    Args:
        values: 5xN of the points.
        around: As of `_nearest`, with the border.
        steps: In rows and columns.
        little: Weight of what kriging says.

    Returns:
        Which share of the mean difference around predicts that of a point by least squares, 0 where
        it is noise; and mean relative error of the mean value around, each at most LARGEST_ERROR.
    """
    values = values[:, values[-1] < _NOWHERE]
    log, inverse, difference, x, y = values[:, :: max(1, len(values[0]) // _JUDGED)]
    alike, value, differences, u, v = (
        each.take(_there(x, y, around[0].shape, steps)) for each in around
    )
    weight = np.exp(np.abs(alike - log) * np.float32(-1 / _ALIKE))
    weight /= np.square(u - x) + np.square(v - y) + np.float32(_NEAREST_SQUARE)
    weight[(u == x) & (v == y)] = 0
    mass = weight.sum(axis=0) + little
    guess = (weight * differences).sum(axis=0) / mass / inverse
    share = float(guess @ (difference / inverse)) / max(float(guess @ guess), 1e-12)
    measured = ((weight * value).sum(axis=0) + little * np.exp(log)) / mass
    error = float(np.minimum(np.abs(inverse / measured - 1), LARGEST_ERROR).mean())
    return float(np.clip(_MORE_THAN_LEFT_OUT * share, 0, 1)), error


def _nearest(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int32], tuple[float, float]]:
    """Which point is nearest to every cell, and how far points are apart.

    Args:
        x: N columns, in cells.
        y: N rows.
        shape: Rows and columns.

    Returns:
        Indices, of that shape; and the mean distance between points in rows and in columns, which
        is another one along beams than across.
    """
    rows, columns = shape
    column = np.clip(np.rint(x), 0, columns - 1).astype(np.intp)
    row = np.clip(np.rint(y), 0, rows - 1).astype(np.intp)
    empty = np.ones(shape, np.uint8)
    empty[row, column] = 0
    label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[
        1
    ]
    which = np.zeros(int(label.max()) + 1, np.int32)
    which[label[row, column]] = np.arange(len(column))
    across = int(np.count_nonzero(label[:, 1:] != label[:, :-1]))
    down = int(np.count_nonzero(label[1:] != label[:-1]))
    apart = min(rows * columns / max(down, 1), rows), min(rows * columns / max(across, 1), columns)
    return which[label], apart
