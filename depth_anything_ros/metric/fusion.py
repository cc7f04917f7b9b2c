"""Measured points and a network's picture of the scene made one: inverse depth, kriged.

Planes are linear in inverse depth, and so is what a relative network says of the scene, up to
errors that vary slowly and differ from surface to surface. So inverse depth itself is kriged from
the points over image, network value and colour (`kriging`), by the variograms that predict left-out
points best; the global fit takes part as one of them, so a network that is right is not spoilt.
Then every pixel follows the points near to it that are on its own surface (`near_points`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage, SparsePoints
from depth_anything_ros.metric.apply import FARTHEST_M
from depth_anything_ros.metric.correction import correction
from depth_anything_ros.metric.extrapolation import extrapolation, keep_to_the_highest_points
from depth_anything_ros.metric.fit import range_of, values_at
from depth_anything_ros.metric.gross_errors import trusted_points
from depth_anything_ros.metric.kriging import (
    VARIOGRAMS,
    VARIOGRAMS_OF_MANY,
    Kriging,
    Variogram,
    relative_error,
    shares,
)
from depth_anything_ros.metric.lattice import Lattice, resized, smooth_colour, values_of
from depth_anything_ros.metric.near_points import follow_points
from depth_anything_ros.metric.samples import (
    BEYOND,
    FEW,
    FEWEST_ALONE,
    JUDGING_TILES,
    LARGEST_ERROR,
    Samples,
    kriging_of,
    left_out_error,
    spread_out,
)
from depth_anything_ros.metric.scan_line import are_in_line
from depth_anything_ros.metric.tiling import Floats, Tiling, tiling
from depth_anything_ros.metric.uncertainty import LeftOut, error_between_points, local_mean

MIN_POINTS = 4
"""Fewer points than this correct nothing: too few to leave one out and predict it."""

_STREAM = 2  # apart from other users of the same seed
# Own choices for cost.
_MAX_POINTS = 20_000
_MAX_SAMPLES = 5_000
_JUDGED_TILES = 40
_KEPT_OF_FEW = 5  # ways, variograms and the global fit, that are solved everywhere; else the best
# Own choices for accuracy, made on real frames.
_NEARER = 0.5
_BEYOND_NEAR = 1.2  # times the depth of the farthest point within reach, from where on it is unsure
_SEEN_BY = 200.0  # points that show half of the way between their own range and that of the network
_ALONE = 3.5  # reaches of the points beyond which they say nothing that pairs of them do not show
# The same, and reaches from where on the network counts, of few points and one nearly right.
_NEAR_OF_RIGHT = 0.75
_ALONE_OF_RIGHT = 1.3
_MOST_OFF = 3.0  # relative error of a left-out point in the depth's deviation
_COHERENT = 0.85  # error of left-out points, relative to that of their median, that is not chance
_COHERENT_OF_SOME = 0.6  # the same where points were dropped because they do not agree
# Relative error of the points' median up to which it may stand for all between them, and up to
# which for what is around them as well.
_NEARLY_ONE_DEPTH = 0.15
_ONE_DEPTH = 0.05
_MANY_GROSS = 0.15  # share of dropped points from which on they say nothing of the depth's error
# Median log error of the global fit up to which a network is nearly right; none of twice that is.
# Correction and means of near points are made for others: on real frames with disparity from dense
# truth that is off by 0.05 they cost 5 to 15 %.
_NEARLY_RIGHT = 0.04
_BESIDE_A_LINE = 0.5  # reaches of a laser scan from where on that begins to count, all at one more
_OFF_A_LINE = 0.15  # relative error of a fit beside a laser scan: as where nothing measures it
_UNSEEN = 0.15  # relative error far from points that lie in a small part of the image
_UNSEEN_FROM = 0.1  # image widths from where on it is far from a point; all of it at twice that
_SMALL_PART = 0.25  # share of the image that is near to them; twice that is no small part
_BY_CHANCE = 4.0  # points of which that says half of what is best, by left-out ones the other half
_LINEAR = 2  # scale and shift, that the global fit takes from the points
_LEAST_OF_TRUE = 1e-3
_FLATTEST = 1e-3  # range of a network's inverse depth, relative; less is noise of float32


@dataclass(frozen=True)
class Refined:
    """Inverse depth that follows measured points.

    Attributes:
        inverse_m: HxW float32 1/m, NaN where unknown.
        error: Rows x columns float32 over the whole image: standard deviation of the relative
            error there, as left-out points show it.
    """

    inverse_m: FloatImage
    error: FloatImage


@dataclass(frozen=True)
class Fused:
    """Measured points and a global fit made one, at the nodes of a lattice.

    Attributes:
        samples: All usable points, in random order.
        few: Those that were kriged.
        lattice: Over the image.
        value: Rows x columns float32 1/m, at the nodes.
        trust: Share of the global fit in it.
        nearly_right: 0 to 1, to what degree the network needs nothing but a slow bend.
        left_out: The points, each predicted from the others.
        reach: Image widths within which points speak for what is around them.
        all_few: Whether no point was passed over.
    """

    samples: Samples
    few: Samples
    lattice: Lattice
    value: FloatImage
    trust: float
    nearly_right: float
    left_out: LeftOut
    reach: float
    all_few: bool


def refine(
    inverse_m: FloatImage,
    points: SparsePoints,
    seed: int = 0,
    rgb: RgbImage | None = None,
    fit_error: float = 0.0,
) -> Refined | None:
    """Correct the inverse depth of a global fit by measured points.

    Args:
        inverse_m: HxW float32 1/m of the global fit, unbounded (0 and less is the horizon and
            beyond), NaN where the network says nothing; not modified.
        points: Visible measured points inside the image.
        seed: Of the random choice among many points.
        rgb: HxWx3 image, whose edges tell surfaces apart that the network does not; None for
            without.
        fit_error: Median |relative error| of the global fit that is to be expected all over the
            image, where that is more than the points show.

    Returns:
        The corrected inverse depth, or None where there are too few points.
    """
    fused = fuse(inverse_m, points, seed, rgb)
    if fused is None:
        return None
    samples, few, lattice = fused.samples, fused.few, fused.lattice
    left_out, reach = fused.left_out, fused.reach
    value = fused.value
    if fused.nearly_right < 1:
        factor = correction(few, lattice, value, left_out, reach)
        value = value * factor ** np.float32(1 - fused.nearly_right)
    level, slope = (resized(part, inverse_m.shape) for part in lattice.linear(value, fused.trust))
    slope *= inverse_m
    level += slope
    if fused.all_few:
        samples = few
    # Of the global fit: all of it up to a quarter of the shares, none from half of them on.
    doubt = float(np.clip(2 - 4 * fused.trust, 0, 1))
    _keep_within(level, inverse_m, few, doubt)
    if doubt:
        _draw_nearer(level, fused, doubt)
    kriging_off = float(np.minimum(left_out.error, LARGEST_ERROR).mean())
    level = follow_points(samples, level, doubt * (1 - fused.nearly_right), kriging_off)
    in_line = are_in_line(few.places[:, 0], few.places[:, 1])  # which shows nothing beside it
    # In reaches. Where no point is near, kriging extrapolates: the global fit may be better there.
    distance = lattice.distance(few) / np.float32(reach)
    right = _nearly_right(few)
    sooner = right if len(few) <= FEW else 0.0
    near, alone = 1 + (_NEAR_OF_RIGHT - 1) * sooner, _ALONE + (_ALONE_OF_RIGHT - _ALONE) * sooner
    away = np.clip((distance - np.float32(near)) * np.float32(1 / (alone - near)), 0, 1)
    beyond = np.zeros_like(away)  # square of the error of what points say beyond their reach
    if away.any():
        apart = resized(away, inverse_m.shape)
        level.ravel()[_behind_the_horizon(inverse_m, apart)] = np.nan
        if not in_line:
            there = extrapolation(few, distance, lattice.v, reach)
            beyond = away * (1 - there.share_of_fit) * np.square(there.error)
            away *= there.share_of_fit
            apart = resized(away, inverse_m.shape)
        # The step back to the fit, in its place.
        apart *= np.subtract(inverse_m, level)
        level += apart
    keep_to_the_highest_points(level, inverse_m, few, lattice, reach, right, in_line)
    error = error_between_points(left_out, level, lattice.colour, reach)
    if away.any() or beyond.any():
        off = np.sort(np.abs(few.fitted / few.inverse - 1))
        of_fit = max(off[int(0.683 * len(few))], off[int(0.954 * len(few))] / 2)
        of_fit = max(of_fit, 1.4826 * fit_error)
        if in_line:  # which shows the errors of neighbours along it, not of what is beside it
            of_fit = max(of_fit, _OFF_A_LINE)
            away = np.clip(distance - np.float32(_BESIDE_A_LINE), 0, 1)
        beyond += away * np.float32(of_fit**2)
        # Points in a small part of the image show the network's error there only.
        far = distance * np.float32(reach / _UNSEEN_FROM) - 1
        small = float(np.clip(2 - np.mean(far < 0) / _SMALL_PART, 0, 1))
        far = small * np.clip(far, 0, 1)
        np.maximum(beyond, far * np.float32(_UNSEEN**2), out=beyond)
        kept = 1 - resized(away, error.shape)
        error = np.sqrt(kept * np.square(error) + resized(beyond, error.shape))
    return Refined(level, error)


def fuse(
    inverse_m: FloatImage,
    points: SparsePoints,
    seed: int = 0,
    rgb: RgbImage | None = None,
) -> Fused | None:
    """Krige measured points over a global fit, at the nodes of a lattice.

    Args:
        inverse_m: HxW float32 1/m of the global fit; see `refine`.
        points: Visible measured points inside the image.
        seed: Of the random choice among many points.
        rgb: HxWx3 image, or None.

    Returns:
        Inverse depth at the nodes; None where there are too few points.
    """
    height, width = inverse_m.shape
    order = np.random.default_rng((seed, _STREAM)).permutation(len(points))[:_MAX_POINTS]
    u, v, z = points.u[order], points.v[order], points.z[order]
    here = values_at(inverse_m, SparsePoints(u, v, z))
    usable = np.isfinite(here) & np.isfinite(z) & (z > 0)
    if usable.sum() < MIN_POINTS:
        return None
    low, high = range_of(inverse_m)
    span = max(high - low, _FLATTEST * max(abs(high), abs(low)), 1e-6)
    colour = smooth_colour(rgb)
    shades = values_of(colour, u / width, v / height)
    places = np.stack([(u + 0.5) / width, (v + 0.5) / width, (here - low) / span, *shades], axis=1)
    samples = Samples(
        places[usable],
        1 / z[usable],
        here[usable],
    )
    few = samples.chosen(spread_out(samples.places))
    few = few.chosen(np.arange(len(few)) < _MAX_SAMPLES)
    all_few = len(few) == len(samples)
    tiles = tiling(few.places)
    trusted = trusted_points(few, tiles)
    doubted = few.chosen(~trusted)
    if len(doubted):
        few = few.chosen(trusted)
        tiles = tiling(few.places)
    lattice = Lattice.over(inverse_m, colour, len(few), low, span)
    value, trust, trend, left_out = _kriged(few, doubted, tiles, lattice)
    nearly_right = trend * _nearly_right(few)
    reach = tiles.reach(few.places)
    return Fused(samples, few, lattice, value, trust, nearly_right, left_out, reach, all_few)


def _nearly_right(samples: Samples) -> float:
    """0 to 1, by how little the global fit is off at the points."""
    ratio = np.maximum(samples.fitted / samples.inverse, _LEAST_OF_TRUE)
    off = float(np.median(np.abs(np.log(ratio))))
    off *= (len(samples) / (len(samples) - _LINEAR)) ** 0.5
    return float(np.clip(2 - off / _NEARLY_RIGHT, 0, 1))


def _behind_the_horizon(inverse_m: FloatImage, apart: FloatImage) -> npt.NDArray[np.intp]:
    """Flat indices of pixels away from points for which the global fit knows no distance."""
    behind = np.flatnonzero(inverse_m < np.float32(1 / FARTHEST_M))
    return behind[apart.ravel()[behind] > 0]


def _draw_nearer(level: FloatImage, fused: Fused, doubt: float) -> None:
    """Draw what is farther than all points within reach half of the way back to them, in place.

    It may be so far, but the same error of inverse depth is the larger error of depth the farther
    it is. The less so the less the global fit is doubted.
    """
    lattice, inverse = fused.lattice, fused.few.inverse.astype(np.float32)
    none = np.finfo(np.float32).max
    farthest = np.full(lattice.shape, none, np.float32)
    np.minimum.at(farthest.ravel(), lattice.cell_of(fused.few.places), inverse)
    side = 2 * round(fused.reach * lattice.shape[1]) + 1
    around = cv2.erode(farthest, np.ones((side, side), np.uint8))
    around = np.where(around < none, around * np.float32(1 / _BEYOND_NEAR), np.float32(0))
    bound = cv2.resize(around, level.shape[::-1], interpolation=cv2.INTER_NEAREST).ravel()
    beyond = np.flatnonzero(level.ravel() < bound)
    bound = bound[beyond]
    ratio = np.maximum(level.ravel()[beyond], np.float32(1 / FARTHEST_M)) / bound
    level.ravel()[beyond] = bound * ratio ** np.float32(1 - 0.5 * doubt)


def _keep_within(level: FloatImage, inverse_m: FloatImage, samples: Samples, doubt: float) -> None:
    """Bound inverse depth by the range of the points and the global fit, in place."""
    least, most = samples.inverse.min() / BEYOND, samples.inverse.max() * BEYOND
    # With an error s of inverse depth, the guess of least relative error for a place at infinity is
    # about 1 / s: where the fit is that far it is not known how far.
    error = 1.4826 * float(np.median(np.abs(samples.fitted - samples.inverse)))
    low = np.flatnonzero(level < np.float32(least))
    there = inverse_m.ravel()[low]
    bound = np.sqrt(np.square(np.maximum(there, 0)) + np.float32(error**2)) * np.float32(1 / BEYOND)
    bound = np.clip(bound, np.float32(1 / FARTHEST_M), np.float32(max(least, 1 / FARTHEST_M)))
    # The more points there are, the less is likely to be farther than all of them.
    own = doubt * _SEEN_BY / (len(samples) + _SEEN_BY)
    bound = bound ** np.float32(1 - own) * np.float32(least) ** np.float32(own)
    level.ravel()[low] = np.maximum(level.ravel()[low], bound)
    high = np.flatnonzero(level > np.float32(most))
    bound = np.maximum(inverse_m.ravel()[high] * np.float32(BEYOND), np.float32(most))
    level.ravel()[high] = np.minimum(level.ravel()[high], bound)


def interpolate(
    shape: tuple[int, ...], points: SparsePoints, seed: int = 0, rgb: RgbImage | None = None
) -> Refined | None:
    """Inverse depth between points that are not explained by any network.

    Args:
        shape: Height and width of the image.
        points: Visible measured points inside the image.
        seed: Of the random choice among many points.
        rgb: HxWx3 image, whose edges tell surfaces apart; None for without.

    Returns:
        Inverse depth, NaN beyond the reach of the points unless they lie at one depth; None where
        there are too few or they say no more of each other than a median that is far off.
    """
    if len(points) < FEWEST_ALONE:
        return None
    inverse = 1 / points.z
    middle = float(np.median(inverse))
    flat = np.full(shape, middle, np.float32)
    places = np.stack([points.u, points.v], axis=1) / shape[1]
    places = np.concatenate([places, np.zeros((len(points), 1))], axis=1)
    samples = Samples(places, inverse, np.full(len(points), middle))
    trusted = trusted_points(samples, tiling(places))
    samples = samples.chosen(trusted)
    error, _ = left_out_error(samples, JUDGING_TILES)
    alone = np.minimum(relative_error(samples.fitted, samples.inverse), LARGEST_ERROR)
    most = _COHERENT if trusted.all() else _COHERENT_OF_SOME
    of_median = float(alone.mean())
    nearly_one_depth = trusted.all() and of_median <= _NEARLY_ONE_DEPTH
    if error > most * of_median and not nearly_one_depth:
        return None
    everywhere = nearly_one_depth and of_median <= _ONE_DEPTH
    refined = refine(flat, points, seed, rgb)
    if refined is None or everywhere:
        return refined
    places = places[spread_out(places)]
    tiles = tiling(places)
    apart = np.ones(shape, np.uint8)
    rows = np.clip(np.rint(points.v), 0, shape[0] - 1).astype(np.intp)
    columns = np.clip(np.rint(points.u), 0, shape[1] - 1).astype(np.intp)
    apart[rows, columns] = 0
    reach = _ALONE * tiles.reach(places) * shape[1]
    refined.inverse_m[cv2.distanceTransform(apart, cv2.DIST_L2, 3) > reach] = np.nan
    return refined


def _kriged(
    samples: Samples, doubted: Samples, tiles: Tiling, lattice: Lattice
) -> tuple[FloatImage, float, float, LeftOut]:
    """Krige inverse depth.

    Returns:
        It at the nodes; in it the share of the global fit and that of variograms with a trend; and
        what left-out points show.
    """
    fitted = np.maximum(samples.fitted, samples.inverse.min() / BEYOND)
    kriging = kriging_of(samples, tiles)
    variograms = _choices(samples)
    share = _shares(samples, tiles, kriging, variograms, fitted)
    # The global fit itself, as far as left-out points say that it is good.
    value = lattice.surface.ravel() * np.float32(lattice.span * share[-1])
    value += np.float32(lattice.low * share[-1])
    left_out = fitted[tiles.members] * share[-1]
    chosen = [each for each in zip(variograms, share, strict=False) if each[1]]
    solved = kriging.solve([variogram for variogram, _ in chosen])
    for kriged, (_, weight) in zip(solved, chosen, strict=True):
        left_out += weight * kriged.left_out
    value += kriging.at(chosen, lattice.places(), lattice.nearest(tiles.centre))
    known = tiles.members[tiles.own]
    off = np.minimum(relative_error(left_out[tiles.own], samples.inverse[known]), LARGEST_ERROR)
    cell = lattice.cell_of(samples.places[known])
    square, _ = local_mean(np.square(off), cell, lattice.shape)
    # The depth whose expected relative error is least lies nearer than the mean: with inverse
    # depth normal around m with deviation s, 1/m * (1 + (s/m)^2); half of it, because the error
    # of left-out points is larger than that of pixels, and not normal.
    value *= (1 + np.float32(_NEARER) * square).ravel()
    predicted = fitted.copy()
    predicted[known] = left_out[tiles.own]
    # Relative to the depth given out, not to the true one.
    off = np.minimum(np.abs(predicted / samples.inverse - 1), _MOST_OFF)
    if len(known) < len(samples):  # too far from the centre of their tile
        off[np.isin(np.arange(len(samples)), known, invert=True)] = off[known].mean()
    if len(doubted) > _MANY_GROSS * (len(samples) + len(doubted)):
        doubted = doubted.chosen(np.empty(0, np.intp))
    # So few may be right as well: what is thin or far behind an edge.
    beside = lattice.cell_of(doubted.places)
    doubted_off = np.minimum(np.abs(value[beside] / doubted.inverse - 1), _MOST_OFF)
    judged, nearest, apart = tiles.chosen(_JUDGED_TILES).nearest(samples.places)
    cell = lattice.cell_of(samples.places)
    judgement = LeftOut(
        samples.places,
        samples.inverse,
        predicted,
        off,
        cell,
        judged,
        nearest,
        apart,
        doubted.places,
        doubted_off,
        beside,
    )
    trend = sum(weight for variogram, weight in chosen if variogram.trend)
    return value.reshape(lattice.shape), float(share[-1]), float(trend), judgement


def _choices(samples: Samples) -> Sequence[Variogram]:
    """Variograms to choose from; without a colour where there is none."""
    choices = VARIOGRAMS if len(samples) <= FEW else VARIOGRAMS_OF_MANY
    if samples.places[:, 3:].any():
        return choices
    return list(dict.fromkeys(replace(each, colour=0.0) for each in choices))


def _shares(
    samples: Samples,
    tiles: Tiling,
    kriging: Kriging,
    variograms: Sequence[Variogram],
    fitted: Floats,
) -> Floats:
    """Shares of the variograms and, last, of the global fit."""
    judged = tiles.judging(_JUDGED_TILES)
    last = int(judged.own[0].sum())
    known = judged.members[:, -last:]
    truth = samples.inverse[known]
    if judged is tiles:  # all in one equation, which the chosen ones need solved anyway
        left_out = [kriged.left_out for kriged in kriging.solve(variograms)]
    else:
        left_out = list(kriging_of(samples, judged).left_out(variograms, last))
    errors = [float(relative_error(each, truth).mean()) for each in [*left_out, fitted[known]]]
    share = shares(errors, truth.size)
    kept = _KEPT_OF_FEW if len(samples) <= FEW else 1
    share[np.argsort(share)[:-kept]] = 0
    share /= share.sum()
    # Of a handful of points left-out ones say little; a network that fits them well says more.
    own = _nearly_right(samples) / (1 + (len(samples) / _BY_CHANCE) ** 2)
    share *= 1 - own
    share[-1] += own
    return np.asarray(share)
