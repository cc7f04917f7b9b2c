"""Measured points that agree with each other and with nothing else.

A dirty window of a LiDAR, a mirror or a reflection gives many wrong points in one place. They agree
with their neighbours, so no test of single points finds them. What gives them away: all of them are
off the global fit, at their border the measured depth itself steps all around, and there is no edge
of the image along that border. An object or a gap that the network misses looks the same but for
the edge, and is much more frequent than a dirty sensor: what is not sure stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
_FEWEST_IN_GROUP = 10
_LEAST_SHARE, _MOST_SHARE = 0.07, 0.4  # of the points, in a group that may be wrong
_CLOSED = 0.7  # share of the steps across its border that are large and to the same side
_LARGE_STEP = 0.4  # of the error
_MEASURED_STEP = 0.7  # of depth itself across the border, relative to the group's error
_USELESS = 0.45  # standard deviation of the error: a network that is off by more is no judge
# How far a group must be off, at least, and more the likelier the image has an edge at its border:
# times the share of neighbours with less of an edge between them than those across the border,
# and times the distance of the colours on both sides, in their deviations.
_OFF, _OFF_PER_EDGE, _OFF_PER_COLOUR = 0.4, 0.7, 0.15
_LEAST_OFF = 0.7
_SAMPLES = 9  # places between two neighbours where an edge of the image is looked for
_BLUR = 1 / 320  # of the image's width
_GREY_LEVELS = 3.0  # noise of a colour
_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


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
    depth = np.log(z)
    found = np.zeros(len(judged), bool)
    picture: _Picture | None = None
    for largest in _STEPS:
        for group in _groups(one, other, np.abs(step) < largest, len(judged)):
            if found[group].all():
                continue
            apart = _apart(off, group)
            if abs(apart) < _LEAST_OFF:
                continue
            inside, outside = group[one], group[other]
            # A single point in the middle of the group is no border of it.
            alone = ~group & (group[near].mean(axis=1) > 0.5)
            across = (inside != outside) & ~alone[one] & ~alone[other]
            if not across.any():  # nothing beside it to compare with
                continue
            # Of the group against what is beside it, positive where that is to the side it is off.
            sign = np.where(inside[across], 1, -1) * np.sign(apart)
            if np.mean(sign * step[across] > _LARGE_STEP) < _CLOSED:
                continue
            of_depth = sign * (depth[one] - depth[other])[across]
            if np.median(of_depth) < _MEASURED_STEP * abs(apart):
                continue
            if picture is None:
                picture = _Picture.of(rgb, places[judged], one, other)
            if abs(apart) > picture.least_off(group, across):
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
    least = max(_LEAST_SHARE * count, _FEWEST_IN_GROUP)
    sized = (size >= least) & (size <= _MOST_SHARE * count)
    return [label == number for number in np.flatnonzero(sized)]


def _may_be_off(ordered: FloatArray) -> bool:
    """Whether any group of the allowed sizes could be off; spares the search for groups."""
    count = len(ordered)
    # Half of a group is farther than _LEAST_OFF from the median of the others, which has half of
    # them on either side; 80 % of the others lie within _USELESS of it.
    few = int(0.5 * max(_LEAST_SHARE * count, _FEWEST_IN_GROUP))
    half = int(0.5 * (1 - _MOST_SHARE) * count)
    far = ordered[-1 - few] - ordered[half] > _LEAST_OFF
    far = far or ordered[-1 - half] - ordered[few] > _LEAST_OFF
    most = int(0.8 * (1 - _MOST_SHARE) * count) - 1
    dense = float(np.min(ordered[most:] - ordered[: count - most]))
    return far and dense < 2 * 1.2816 * _USELESS


def _apart(off: FloatArray, group: npt.NDArray[np.bool_]) -> float:
    """How far a group is off beyond the others; 0 where those scatter too much to tell."""
    others = off[~group]
    middle = float(np.median(others))
    spread = np.abs(others - middle)
    # Standard deviation from the median and from the 80th percentile: the larger one.
    deviation = max(1.4826 * float(np.median(spread)), float(np.quantile(spread, 0.8)) / 1.2816)
    return float(np.median(off[group])) - middle if deviation < _USELESS else 0.0


@dataclass(frozen=True)
class _Picture:
    """What the image shows at points and between neighbours.

    Attributes:
        colour: Nx3, at each point.
        edge: M, largest step of colour on the way from one neighbour to the other.
        one: M, the one neighbour.
        other: M, the other.
    """

    colour: FloatArray
    edge: FloatArray
    one: npt.NDArray[np.intp]
    other: npt.NDArray[np.intp]

    @classmethod
    def of(
        cls,
        rgb: RgbImage,
        places: FloatArray,
        one: npt.NDArray[np.intp],
        other: npt.NDArray[np.intp],
    ) -> _Picture:
        height, width = rgb.shape[:2]
        blurred = cv2.GaussianBlur(rgb, (0, 0), max(0.5, _BLUR * width))
        share = np.linspace(0, 1, _SAMPLES)[:, None, None]
        way = np.rint(places[one] * (1 - share) + places[other] * share).astype(np.intp)
        column, row = np.clip(way[..., 0], 0, width - 1), np.clip(way[..., 1], 0, height - 1)
        step = np.diff(blurred[row, column].astype(np.float32), axis=0)
        edge = np.sqrt(np.square(step).sum(axis=2).max(axis=0))
        column, row = np.rint(places).astype(np.intp).T
        at = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
        return cls(blurred[at].astype(np.float64), edge, one, other)

    def least_off(self, group: npt.NDArray[np.bool_], across: npt.NDArray[np.bool_]) -> float:
        """How far a group must be off to be wrong.

        Args:
            group: N bool, its points.
            across: M bool, the pairs of neighbours of which one belongs to it.
        """
        border = np.zeros_like(group)
        border[self.one[across]] = border[self.other[across]] = True
        beside = border & ~group
        edge = 0.5
        within = ~across & (group[self.one] | beside[self.one])
        if within.any():
            ordered = np.sort(self.edge[within])
            rank = sum(np.searchsorted(ordered, self.edge[across], side) for side in _SIDES)
            edge = float(np.mean(rank)) / (2 * len(ordered))  # area under the ROC curve
        inside, outside = self.colour[group], self.colour[beside]
        scatter = (inside.var(axis=0).sum() + outside.var(axis=0).sum()) / 2 + _GREY_LEVELS**2
        apart = np.linalg.norm(inside.mean(axis=0) - outside.mean(axis=0)) / scatter**0.5
        return _OFF + _OFF_PER_EDGE * edge + _OFF_PER_COLOUR * float(apart)
