"""Single measured points that are grossly wrong.

What a point says is compared with its neighbours. Beyond edges that the network misses points look
grossly wrong, too, but they spoil no prediction of others: that is what is judged in the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.metric.samples import (
    BEYOND,
    FEW,
    FEWEST_ALONE,
    JUDGING_TILES,
    LARGEST_ERROR,
    Samples,
    left_out_error,
    predicted_at,
)
from depth_anything_ros.metric.tiling import Floats, Indices, Tiling

# Own choices, made on real frames; errors are those of log depth.
_RIGHT = 0.02  # standard deviation from a network whose errors are those of its edges
_AT_EDGES, _LEAST_AT_EDGES = 6.0, 0.05  # of such a network, in deviations and at least
_MOST_AT_EDGES = 0.25  # share of the points
_TOO_FEW_TO_DOUBT = 40  # fewer points than this are no neighbours to each other
_GATE = 4.0  # standard deviations where a point is doubted
_GROSS = 0.5  # of log depth: whatever the deviation, less than that is not gross
_LARGEST_GATE = 0.7  # of log depth: a factor of two is always doubted
_FEW_GROSS = 0.03  # share of doubted points up to which none is dropped: edges look gross too
_TOO_MANY_FOR_EDGES = 0.19  # share of the points that do not look grossly wrong beyond an edge
_LESS_SPOILT = 0.65  # error of the others without the dropped points against that with them
_LESS_SPOILT_OF_FEW = 0.72  # the same of few points, among which there are fewer others
_LESS_SPOILT_BEHIND = 0.9  # the same of few points where those to drop lie behind the fit,
_BEHIND = 0.9  # so many of them: likelier hidden from the camera than in front of it
_NEIGHBOURS = 12
_EACH_NEIGHBOURS = 1_200  # points up to which each has neighbours of its own
_GROSS_LEFT_OUT = 0.5  # the same of a left-out point among those that agree,
_GROSS_LEFT_OUT_OF_FEW = 0.35  # and of few, of which a wrong one spoils more
_ROUNDS = 3
_AGREES = 0.4  # of log depth: a dropped point that is off by less is not gross
_AGREES_OF_FEW = 0.45  # the same where less than this share is dropped
_SOME_GROSS = 0.25
_NEAREST = 4
_NEAREST_ALIKE = 0.5  # share of the nearest
_SAME_DEPTH = 0.1  # of log depth
_EACH_BESIDE = 1_000  # points from which on each has others beside it
_NOT_ALONE = 0.3  # of log depth
_MOST_ALIKE = 2  # neighbours that make a point no longer alone: one is like it by chance


def trusted_points(samples: Samples, tiles: Tiling) -> npt.NDArray[np.bool_]:
    """Which points are not grossly wrong.

    Of a network that is right nearly everywhere no point is trusted that it is far off. Else what a
    point says against the global fit is compared with its neighbours. Edges that the
    network misses look grossly wrong too, so a few doubted points are dropped only where the
    remaining ones then predict each other better. A wrong cluster agrees with itself and stays.

    Args:
        samples: N points.
        tiles: They, shared out.

    Returns:
        N bool.
    """
    fitted = np.maximum(samples.fitted, samples.inverse.min() / BEYOND)
    off = np.log(samples.inverse / fitted)
    spread = _spread(off)
    if spread < _RIGHT:
        # What it misses at an edge says nothing of the surfaces around; what several points beside
        # each other say is an object that it misses.
        gate = max(_AT_EDGES * spread, _LEAST_AT_EDGES)
        beside = off[_neighbours(samples.places)[:, :_NEAREST]]
        alone = (np.abs(beside - off[:, None]) < gate).mean(axis=1) < _NEAREST_ALIKE
        at_edges = (np.abs(off) > gate) & alone
        if at_edges.mean() < _MOST_AT_EDGES:
            return ~at_edges
    kept = np.ones(len(samples), bool)
    if len(samples) < _TOO_FEW_TO_DOUBT:
        return kept
    plain = np.log(samples.inverse)
    if len(samples) > FEW:
        agreeing = _agreeing(off, plain, tiles.members, tiles.owner)
        if len(samples) > _EACH_BESIDE:
            which = np.flatnonzero(~agreeing)
            kept[which[_alone(off, plain, which, tiles.members[tiles.owner[which]])]] = False
        if agreeing.sum() >= (1 - _FEW_GROSS) * len(samples):
            return kept
    if len(samples) <= _EACH_NEIGHBOURS:
        near = _neighbours(samples.places)
        agreeing = _agreeing(off, plain, near, np.arange(len(samples)))
        # Neighbours that say the same are a surface, not single errors.
        same = np.abs(plain[near[:, :_NEAREST]] - plain[:, None]) < _SAME_DEPTH
        agreeing |= same.sum(axis=1) >= _NEAREST // 2
    dropped = 1 - agreeing.mean()
    alone = ~kept
    if dropped > _FEW_GROSS and agreeing.sum() > FEWEST_ALONE:
        few = len(samples) <= FEW
        most = _LESS_SPOILT_OF_FEW if few else _LESS_SPOILT
        if few and np.mean(off[~agreeing] < 0) >= _BEHIND:
            most = _LESS_SPOILT_BEHIND
        errors = _errors_if_spoilt(samples, agreeing, most, JUDGING_TILES)
        if errors is not None and len(tiles.members) > JUDGING_TILES:
            # Some tiles show chance as well: what they say is confirmed by all.
            errors = _errors_if_spoilt(samples, agreeing, most, len(samples))
        if errors is not None:
            kept = agreeing.copy()
            floor = _GROSS_LEFT_OUT_OF_FEW if few else _GROSS_LEFT_OUT
            for rounds_left in reversed(range(_ROUNDS)):
                sound = np.abs(errors) < max(_GATE * _spread(errors), floor)
                kept[np.flatnonzero(kept)[~sound]] = False
                if sound.all() or not rounds_left:
                    break
                _, errors = left_out_error(samples.chosen(kept), len(kept))
            _readmit(samples, fitted, kept)
    few = kept.sum() < FEWEST_ALONE or kept.sum() > (1 - _FEW_GROSS) * len(samples)
    return ~alone if few else kept


def _agreeing(off: Floats, plain: Floats, near: Indices, row: Indices) -> npt.NDArray[np.bool_]:
    """Which points agree with their neighbours, with the network or without.

    Args:
        off: N log errors of the global fit.
        plain: N log inverse depths.
        near: RxK indices of neighbours.
        row: N, the row of each point's neighbours.

    Returns:
        N bool.
    """
    agreeing = np.ones(len(off), bool)
    for _ in range(_ROUNDS):
        among = agreeing[near]
        around = np.minimum(
            np.abs(off - _median(off[near], among, 0.0)[row]),  # of nobody, with the fit
            np.abs(plain - _median(plain[near], among, np.inf)[row]),  # of nobody, with nothing
        )
        gate = float(np.clip(_GATE * _spread(around[agreeing]), _GROSS, _LARGEST_GATE))
        before, agreeing = agreeing, around < gate
        if agreeing.sum() <= FEWEST_ALONE or np.array_equal(agreeing, before):
            break
    return agreeing


def _alone(off: Floats, plain: Floats, which: Indices, near: Indices) -> npt.NDArray[np.bool_]:
    """Which points have hardly a neighbour that says nearly the same, with the network or without.

    Args:
        off: N log errors of the global fit.
        plain: N log inverse depths.
        which: M indices.
        near: MxK their neighbours; they themselves may be among them.

    Returns:
        M bool.
    """
    alike = np.abs(plain[near] - plain[which, None]) < _NOT_ALONE
    alike |= np.abs(off[near] - off[which, None]) < _NOT_ALONE
    return np.asarray((alike & (near != which[:, None])).sum(axis=1) < _MOST_ALIKE)


def _errors_if_spoilt(
    samples: Samples, agreeing: npt.NDArray[np.bool_], most: float, tiles: int
) -> Floats | None:
    """Log errors of the agreeing points among themselves, if the others spoil their prediction.

    Args:
        samples: N points.
        agreeing: N bool.
        most: Error of the others without those relative to that with them, from which on they do.
        tiles: In how many to look.

    Returns:
        Of each that agrees, 0 where it was not left out; None where the others spoil nothing.
    """
    dropped = 1 - agreeing.sum() / len(samples)
    before, off_before = left_out_error(samples, tiles)
    after, off_after = left_out_error(samples.chosen(agreeing), tiles)
    if (1 - dropped) * after + dropped * LARGEST_ERROR >= before:
        return None
    spoilt = dropped > _TOO_MANY_FOR_EDGES or _without(off_before[agreeing], off_after) < most
    return off_after if spoilt else None


def _without(before: Floats, after: Floats) -> float:
    """Error of left-out points among themselves, relative to that among all.

    Points beyond an edge are hard to predict, yet leave the others as they are.

    Args:
        before: Log errors among all, 0 where they were not left out.
        after: The same among themselves.
    """
    both = (before != 0) & (after != 0)
    if not both.any():
        return 1.0
    among_all, among_themselves = (
        float(np.minimum(np.abs(np.expm1(-off[both])), LARGEST_ERROR).mean())
        for off in (before, after)
    )
    return among_themselves / max(among_all, 1e-9)


def _readmit(samples: Samples, fitted: Floats, kept: npt.NDArray[np.bool_]) -> None:
    """Keep the dropped points again that the kept ones, or the global fit, predict."""
    dropped = np.flatnonzero(~kept)
    if not len(dropped) or kept.sum() < FEWEST_ALONE:
        return
    guess = predicted_at(samples.chosen(kept), samples.places[dropped])
    inverse = samples.inverse[dropped]
    agrees = np.abs(np.log(np.maximum(guess / inverse, 1e-3))) < _AGREES
    if len(samples) <= FEW and len(dropped) < _SOME_GROSS * len(samples):
        # So few may well be right: what one of the two predicts is kept.
        agrees = np.abs(np.log(np.maximum(guess / inverse, 1e-3))) < _AGREES_OF_FEW
        agrees |= np.abs(np.log(fitted[dropped] / inverse)) < _AGREES_OF_FEW
    kept[dropped] = agrees


def _spread(values: npt.NDArray[Any]) -> float:
    """Robust standard deviation around zero: 1.4826 times the median absolute value."""
    return 1.4826 * float(np.median(np.abs(values)))


def _neighbours(places: Floats) -> Indices:
    """Indices of the points nearest to each in image and surface coordinate, itself aside."""
    from scipy.spatial import cKDTree

    near = places[:, :3] * np.array([1.0, 1.0, 0.5])
    count = min(_NEIGHBOURS, len(places) - 1)
    return np.asarray(cKDTree(near).query(near, k=count + 1)[1][:, 1:])


def _median(values: Floats, among: npt.NDArray[np.bool_], of_none: float) -> Floats:
    """Median of those of the values in each row that are among the chosen."""
    ordered = np.sort(np.where(among, values, np.inf), axis=1)
    count = among.sum(axis=1)
    row = np.arange(len(values))
    low = ordered[row, np.maximum(count - 1, 0) // 2]
    high = ordered[row, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, (low + high) / 2, of_none)
