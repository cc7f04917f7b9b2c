"""Which measured points are grossly wrong, one by one or a whole place.

A bad echo is a single wrong point; a dirty window of a LiDAR, a mirror or a reflection gives many
in one place, which agree with each other. Both look like something else: an edge, or an object that
the depth network misses. What `wrong_points_network` says of each point is judged here with what
its neighbours say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, RgbImage, SparsePoints
from depth_anything_ros.metric.samples import Samples, off_by_others
from depth_anything_ros.metric.wrong_points_network import (
    BESIDE,
    FEWEST,
    MOST,
    SURFACE_AND_COLOURS,
    Evidence,
    evidence,
    log_off,
    logits,
)

# Own choices, made on real frames; a logit is what a point or a place is wrong from. A right object
# that the network misses is frequent, a wrong place rare, and what is dropped for it no costmap
# sees.
_SOME = 300  # points that are judged of more than MOST
_WRONG = 0.5
_SOME_WRONG = 0.05  # share of the points from which on all are judged again by the others,
_MOST_BESIDE = 0.5  # where so few of them lie side by side:
_WRONG_BY_OTHERS = 0.55  # log of the factor by which the others disagree with a wrong one,
_PER_LOGIT = 0.1  # less for each of its logit
_SUREST = 5.0
_AGAIN = 2  # rounds of it
_WRONG_TOGETHER = 2.0  # mean of a place;
_WRONG_BEHIND = 3.0  # of one behind the fit: it may be a gap that the network does not see,
_FEW = 150  # of which fewer points show too little
_NEARLY_RIGHT = 0.08  # deviation from a fit, of log depth, that sees gaps:
_WRONG_BEHIND_RIGHT, _FAR_BEHIND = 0.0, 0.6  # mean of a place so far behind it, in log depth
_LESS_SURE = 1.0  # that others must be, of more than MOST points, which confirm it
_DEVIATIONS_TOGETHER = 3.0  # from the fit, that a place is off by, at least,
_LEAST_OFF_TOGETHER = 0.2  # in log depth, and no more than
_OFF_TOGETHER = 0.4  # or
_OFF_TOGETHER_OF_FEW = 0.5  # of few points, of which some are together by chance
_MAY_BE_WRONG = -2.0  # of a point that belongs to a place
_TOO_FEW_FOR_PLACES = 60  # fewer points than this tell no place from chance,
_WRONG_OF_FEW = 5.0  # and each right one is dear
_TOGETHER = 2  # neighbours that are as wrong and as far off make it a place
_AS_FAR_OFF = 0.3
_AS_DEEP = 0.1  # of log depth, which makes it one of a flat thing
_AROUND = 3.0  # times as far as BESIDE are apart, where others may follow a wrong place,
_JUDGED_AROUND = 12  # by what so many judged ones say, then
_ALL_AROUND = 8  # so many of all
_MOST_WRONG = 0.5  # of the points; of more it cannot be said which ones are


@dataclass(frozen=True)
class WrongPoints:
    """Which of N points are grossly wrong.

    Attributes:
        alone: N bool, one by one.
        together: N bool, with others beside them that are off by the same.
    """

    alone: npt.NDArray[np.bool_]
    together: npt.NDArray[np.bool_]

    @property
    def all(self) -> npt.NDArray[np.bool_]:
        """N bool."""
        return self.alone | self.together


def wrong_points(
    points: SparsePoints, fitted_inverse: FloatArray, values: FloatImage, rgb: RgbImage
) -> WrongPoints:
    """Find points that are grossly wrong, one by one or a whole place.

    Args:
        points: N points inside the image, in front of the camera.
        fitted_inverse: N inverse depths of the global fit at the points, 1/m.
        values: HxW values of the depth network, nearer or farther being greater.
        rgb: HxWx3 image.

    Returns:
        The points; none where it cannot be said which ones.
    """
    count = len(points)
    none = np.zeros(count, bool)
    if count < FEWEST:
        return WrongPoints(none, none)
    off = log_off(points.z, fitted_inverse)

    def judge(which: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.float32], Evidence]:
        among = SparsePoints(points.u[which], points.v[which], points.z[which])
        seen = evidence(among, fitted_inverse[which], values, rgb)
        return logits(seen), seen

    judged = np.linspace(0, count - 1, count if count <= MOST else _SOME).astype(np.intp)
    logit, seen = judge(judged)
    depth = np.log(points.z)
    if count < _TOO_FEW_FOR_PLACES:
        together, alone = none, logit > _WRONG_OF_FEW
    else:
        together = _places(logit, off[judged], seen.beside, depth[judged] if count > MOST else None)
        alone = (logit > _WRONG) & ~together
    number = alone.sum()
    if together.sum() + number > _MOST_WRONG * len(judged):
        return WrongPoints(none, none)
    beside = _beside(alone, off[judged], seen.beside)
    # Single errors lie anywhere: what lies side by side is an object that the network misses.
    some = count >= _TOO_FEW_FOR_PLACES and number > _SOME_WRONG * len(judged)
    if some and beside.sum() < _MOST_BESIDE * number:
        where = np.stack([points.u, points.v], axis=1)[judged] / values.shape[1]
        places = np.concatenate([where, seen.points[:, SURFACE_AND_COLOURS]], axis=1)
        samples = Samples(places, 1 / points.z[judged], fitted_inverse[judged])
        alone = _judged_by_others(alone, together, logit, samples)
    else:
        alone &= ~beside
    if count > len(judged):
        places = np.stack([points.u, points.v], axis=1)
        together = _following(together, judged, off, depth, places)
        if together.any():  # so few may be so by chance: others must say the same
            other = (judged[:-1] + judged[1:]) // 2
            logit, seen = judge(other)
            found = _places(logit + np.float32(_LESS_SURE), off[other], seen.beside, depth[other])
            together &= _following(found, other, off, depth, places)
        # What is beside a single wrong point may well be right.
        single = np.zeros(count, bool)
        single[judged[alone]] = True
        alone = single
    return WrongPoints(alone, together)


def _places(
    logit: npt.NDArray[np.float32],
    off: FloatArray,
    beside: npt.NDArray[np.intp],
    depth: FloatArray | None,
) -> npt.NDArray[np.bool_]:
    """Points of groups that are wrong on average: neighbours that are off by the same.

    Args:
        logit: N.
        off: N log errors of the fit.
        beside: NxB indices.
        depth: N log depths, where points are so far apart that beside a point of a flat thing
            another one of it may be off by something else; or None.

    Returns:
        N bool.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    which = np.flatnonzero(logit > _MAY_BE_WRONG)
    found = np.zeros(len(logit), bool)
    if len(which) <= _TOGETHER:
        return found
    near = beside[which]
    number = np.full(len(logit), -1)
    number[which] = np.arange(len(which))
    alike = np.abs(off[near] - off[which, None]) < _AS_FAR_OFF
    if depth is not None:
        alike |= np.abs(depth[near] - depth[which, None]) < _AS_DEEP
    linked = (number[near] >= 0) & alike
    one, other = np.nonzero(linked)[0], number[near][linked]
    links = coo_matrix((np.ones(len(one), np.int8), (one, other)), (len(which), len(which)))
    label = connected_components(links, directed=False)[1]
    size = np.bincount(label)
    mean = np.bincount(label, logit[which]) / size
    usual = np.median(off)
    apart = np.bincount(label, off[which]) / size - usual
    deviation = 1.4826 * np.median(np.abs(off - usual))
    few = len(logit) < _FEW
    least = np.where((apart > 0) & (not few), _WRONG_BEHIND, _WRONG_TOGETHER)
    if deviation < _NEARLY_RIGHT:
        least[apart > _FAR_BEHIND] = _WRONG_BEHIND_RIGHT
    most = _OFF_TOGETHER_OF_FEW if few else _OFF_TOGETHER
    gross = np.abs(apart) > np.clip(_DEVIATIONS_TOGETHER * deviation, _LEAST_OFF_TOGETHER, most)
    found[which] = ((size > _TOGETHER) & (mean > least) & gross)[label]
    return found


def _following(
    together: npt.NDArray[np.bool_],
    judged: npt.NDArray[np.intp],
    off: FloatArray,
    depth: FloatArray,
    places: FloatArray,
) -> npt.NDArray[np.bool_]:
    """Of all points, those that are of a wrong place.

    Of the judged ones around such a point one that is wrong is most like it; or, at the rim, of all
    points around.

    Args:
        together: J bool, the judged ones that are.
        judged: J indices.
        off: N log errors of the fit.
        depth: N log depths.
        places: Nx2.

    Returns:
        N bool.
    """
    from scipy.spatial import cKDTree

    def unlike(near: npt.NDArray[np.intp], which: npt.NDArray[np.intp]) -> FloatArray:
        by_off, by_depth = (np.abs(each[near] - each[which, None]) for each in (off, depth))
        return np.minimum(by_off, by_depth)

    follows = np.zeros(len(places), bool)
    if not together.any():
        return follows
    tree = cKDTree(places[judged])
    wrong = places[judged[together]]
    apart = float(np.median(tree.query(wrong, k=BESIDE + 1)[0][:, -1]))
    which = _near_to(wrong, _AROUND * apart, places)
    near = judged[tree.query(places[which], k=_JUDGED_AROUND)[1]]
    wrong_ones = np.zeros(len(places), bool)
    wrong_ones[judged[together]] = True
    most_alike = np.argmin(unlike(near, which), axis=1)
    follows[which] = wrong_ones[near[np.arange(len(which)), most_alike]]
    if not follows.any():
        return follows
    rim = _near_to(places[follows], apart, places)
    rim = rim[~follows[rim]]
    near = cKDTree(places).query(places[rim], k=_ALL_AROUND + 1)[1][:, 1:]
    apart_there = unlike(near, rim)
    as_wrong = np.where(follows[near], apart_there, np.inf).min(axis=1)
    # A point beside it may have been passed over as well: one that is like it is not enough.
    as_right = np.partition(np.where(follows[near], np.inf, apart_there), 1, axis=1)[:, 1]
    follows[rim[(as_wrong < as_right) & (as_wrong < _AS_FAR_OFF)]] = True
    return follows


def _near_to(some: FloatArray, distance: float, places: FloatArray) -> npt.NDArray[np.intp]:
    """Which places are within a distance of some."""
    from scipy.spatial import cKDTree

    tree = cKDTree(some)
    return np.flatnonzero(tree.query(places, distance_upper_bound=distance)[1] < tree.n)


def _judged_by_others(
    alone: npt.NDArray[np.bool_],
    together: npt.NDArray[np.bool_],
    logit: npt.NDArray[np.float32],
    samples: Samples,
) -> npt.NDArray[np.bool_]:
    """Points that are wrong one by one, by logit and by what those that are not predict.

    The network compares points with a fit that a third of wrong ones spoils, and with neighbours of
    which a third is wrong. What is kept predicts each point better than that, whether it was kept
    itself or not.

    Args:
        alone: N bool, wrong ones to begin with.
        together: N bool, points of wrong places, which stay so.
        logit: N.
        samples: They.

    Returns:
        N bool.
    """
    sure = _PER_LOGIT * np.clip(logit, -_SUREST, _SUREST)
    for _ in range(_AGAIN):
        off = off_by_others(samples, ~(alone | together))
        alone = (np.abs(off) + sure > _WRONG_BY_OTHERS) & ~together
        if (alone | together).mean() > _MOST_WRONG:
            return np.zeros_like(alone)
    return alone


def _beside(
    alone: npt.NDArray[np.bool_], off: FloatArray, near: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Points that are wrong, but together with others, which are not surely so."""
    beside = np.zeros_like(alone)
    which = np.flatnonzero(alone)
    if len(which):
        near = near[which]
        alike = alone[near] & (np.abs(off[near] - off[which, None]) < _AS_FAR_OFF)
        beside[which] = alike.sum(axis=1) >= _TOGETHER
    return beside
