"""Measured points that agree with each other and with nothing else.

A dirty window of a LiDAR, a mirror or a reflection gives many wrong points in one place. They agree
with their neighbours, so no test of single points finds them. What gives them away: all of them are
off the global fit by far more than the other points are, and at their border this error steps all
around. An object that the network misses looks the same, but the image differs at its border.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, RgbImage, SparsePoints

# Own choices, made on real frames with whole clusters of wrong points, and without. Errors are
# those of log depth.
FEWEST_POINTS = 60
"""Among fewer points a cluster cannot be told from chance."""

_JUDGED = 1_000  # points that are judged; each other one follows the neighbour most like it
_NEIGHBOURS = 6
_STEPS = (0.3, 0.2, 0.12)  # of the error, up to which neighbours are of one group
_LEAST_SHARE, _MOST_SHARE = 0.05, 0.4  # of the points, in a group that may be wrong
_CLOSED = 0.75  # share of the steps across its border that are large and to the same side
_LARGE_STEP = 0.4  # of the error
_OFF = 0.65  # error of a group against that of the others, at least,
_FAR_OFF, _NEAR_OFF = 3.5, 5.0  # and in standard deviations of theirs; near ones may be obstacles
_USELESS = 0.25  # standard deviation of the error: a network that is off by more is no judge
_SAME_COLOUR = 1.1  # distance of colours, in their deviations, from which on there is an edge
_BLUR = 1 / 320  # of the image's width
_GREY_LEVELS = 3.0  # noise of a colour


def contradicting(
    points: SparsePoints, fitted_inverse: FloatArray, rgb: RgbImage
) -> npt.NDArray[np.bool_]:
    """Find groups of points in one place that contradict the network and all other points.

    Args:
        points: N points inside the image.
        fitted_inverse: N inverse depths of the global fit at the points, 1/m.
        rgb: HxWx3 image.

    Returns:
        N bool, True for points of such a group.
    """
    from scipy.spatial import cKDTree

    count = len(points)
    wrong = np.zeros(count, bool)
    if count < FEWEST_POINTS:
        return wrong
    judged = np.linspace(0, count - 1, min(count, _JUDGED)).astype(np.intp)
    places = np.stack([points.u, points.v], axis=1)
    z = points.z[judged]
    fitted = np.maximum(fitted_inverse[judged], 1 / (1.5 * z.max()))
    off = np.log(z * fitted)
    if not _may_be_off(np.sort(off)):
        return wrong
    tree = cKDTree(places[judged])
    near = tree.query(places[judged], k=_NEIGHBOURS + 1)[1][:, 1:]
    one, other = np.repeat(np.arange(len(judged)), _NEIGHBOURS), near.ravel()
    step = off[one] - off[other]
    if not (np.abs(step) > _LARGE_STEP).any():
        return wrong
    found = np.zeros(len(judged), bool)
    colour: FloatArray | None = None
    for largest in _STEPS:
        for group in _groups(one, other, np.abs(step) < largest, len(judged)):
            if found[group].all() or not _is_off(off, group):
                continue
            if not _is_closed(step, group[one], group[other]):
                continue
            if colour is None:
                colour = _colours(rgb, points, judged)
            beside = np.unique(
                np.r_[other[group[one] & ~group[other]], one[group[other] & ~group[one]]]
            )
            if not _differ(colour[group], colour[beside]):
                found |= group
    if not found.any():
        return wrong
    if count > len(judged):
        near = tree.query(places, k=_NEIGHBOURS)[1]
        own = np.log(points.z * np.maximum(fitted_inverse, 1 / (1.5 * z.max())))
        alike = np.argmin(np.abs(off[near] - own[:, None]), axis=1)
        return np.asarray(found[near[np.arange(count), alike]])
    return found


def _groups(
    one: npt.NDArray[np.intp],
    other: npt.NDArray[np.intp],
    linked: npt.NDArray[np.bool_],
    count: int,
) -> list[npt.NDArray[np.bool_]]:
    """Members of each connected group that is neither too small nor too large to be wrong."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(np.count_nonzero(linked), np.int8)
    links = coo_matrix((ones, (one[linked], other[linked])), (count, count))
    _, label = connected_components(links, directed=False)
    size = np.bincount(label)
    sized = (size >= _LEAST_SHARE * count) & (size <= _MOST_SHARE * count)
    return [label == number for number in np.flatnonzero(sized)]


def _may_be_off(ordered: FloatArray) -> bool:
    """Whether any group of the allowed sizes could be off; spares the search for groups."""
    count = len(ordered)
    # Half of a group lies beyond _OFF from the median of the others, which has half of them on
    # either side; 80 % of the others lie within _USELESS of it.
    few = int(0.5 * _LEAST_SHARE * count)
    half = int(0.5 * (1 - _MOST_SHARE) * count)
    far = ordered[-1 - few] - ordered[half] > _OFF or ordered[-1 - half] - ordered[few] > _OFF
    most = int(0.8 * (1 - _MOST_SHARE) * count) - 1
    dense = float(np.min(ordered[most:] - ordered[: count - most]))
    return far and dense < 2 * 1.2816 * _USELESS


def _is_off(off: FloatArray, group: npt.NDArray[np.bool_]) -> bool:
    others = off[~group]
    middle = float(np.median(others))
    spread = np.abs(others - middle)
    # Standard deviation from the median and from the 80th percentile: the larger one.
    deviation = max(1.4826 * float(np.median(spread)), float(np.quantile(spread, 0.8)) / 1.2816)
    apart = float(np.median(off[group])) - middle
    least = max(_OFF, (_FAR_OFF if apart > 0 else _NEAR_OFF) * deviation)
    return deviation < _USELESS and abs(apart) > least


def _is_closed(step: FloatArray, one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> bool:
    """Whether the error steps to the same side all around a group."""
    outwards = np.r_[step[one & ~other], -step[other & ~one]]
    side = np.sign(np.sum(np.sign(outwards)))
    return bool(np.mean(side * outwards > _LARGE_STEP) >= _CLOSED)


def _colours(rgb: RgbImage, points: SparsePoints, index: npt.NDArray[np.intp]) -> FloatArray:
    blurred = cv2.GaussianBlur(rgb, (0, 0), max(0.5, _BLUR * rgb.shape[1]))
    rows = np.clip(np.rint(points.v[index]), 0, rgb.shape[0] - 1).astype(np.intp)
    columns = np.clip(np.rint(points.u[index]), 0, rgb.shape[1] - 1).astype(np.intp)
    return np.asarray(blurred[rows, columns], np.float64)


def _differ(inside: npt.NDArray[Any], beside: npt.NDArray[Any]) -> bool:
    """Whether colours differ by more than they scatter."""
    scatter = (inside.var(axis=0).sum() + beside.var(axis=0).sum()) / 2 + _GREY_LEVELS**2
    apart = np.linalg.norm(inside.mean(axis=0) - beside.mean(axis=0))
    return bool(apart > _SAME_COLOUR * scatter**0.5)
