"""Measured points and a network's picture of the scene made one: inverse depth, kriged.

Planes are linear in inverse depth, and so is what a relative network says of the scene, up to
errors that vary slowly and differ from surface to surface. So inverse depth itself is kriged from
the points over image, network value and grey (`kriging`), by the variograms that predict left-out
points best; the global fit takes part as one of them, so a network that is right is not spoilt.
What then remains at the points is averaged over near neighbours on the same surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage, SparsePoints
from depth_anything_ros.metric.apply import FARTHEST_M
from depth_anything_ros.metric.kriging import (
    VARIOGRAMS,
    VARIOGRAMS_OF_MANY,
    Floats,
    Indices,
    Kriging,
    Tiling,
    Variogram,
    relative_error,
    shares,
    tiling,
)
from depth_anything_ros.metric.uncertainty import LeftOut, error_between_points, local_mean

MIN_POINTS = 4
"""Fewer points than this correct nothing: too few to leave one out and predict it."""

_FEWEST_ALONE = 8  # fewer points than this cannot tell a trend from chance
_STREAM = 2  # apart from other users of the same seed
# Own choices for cost.
_MAX_POINTS = 20_000
_MAX_SAMPLES = 5_000
_JUDGING_TILES = 150
_JUDGED_TILES = 60
_KEPT = 2  # ways, variograms and the global fit, that are solved everywhere
_KEPT_OF_FEW = 5
_NODES_OF_FEW = 4_800
_NODES = 19_200
_NODES_OF_MANY = 38_400
_MANY = 2_000  # points from which on the latter are more and one variogram is kept
_FEW = 300  # points up to which there is more to choose from
_WINDOW = 3
# Own choices for accuracy, made on real frames.
_BEYOND = 1.5  # factor by which depth may leave the range of points and global fit
_LARGEST_ERROR = 0.5  # of a left-out point, in its contribution to the local error
_TRUST_IN_FIT = 1.0  # factor on the error of the global fit, which is the simplest way
_NEARER = 0.5
_CELLS_PER_POINT = 4
_MAX_CELLS = 40_000
_SAME_SURFACE = 0.1  # step of the surface coordinate over which neighbours lose touch
_ALONE = 3.5  # reaches of the points beyond which nothing but the global fit is left
_MOST_OFF = 3.0  # relative error of a left-out point in the depth's deviation
_COHERENT = 0.8  # error of left-out points, relative to that of their median, that is not chance
_COHERENT_OF_SOME = 0.6  # the same where points were dropped because they do not agree
_OWN_WEIGHT = 10.0  # of a cell's own points against those of a cell next to it
_DOUBTS = (0.1, 0.5, 2.0, 8.0)  # strengths of shrinkage to choose from, in cells
_TOO_FEW_TO_DOUBT = 40  # fewer points than this are no neighbours to each other
_GATE = 4.0  # standard deviations where a point is doubted
_GROSS = 0.5  # of log depth: whatever the deviation, less than that is not gross
_LARGEST_GATE = 0.7  # of log depth: a factor of two is always doubted
_FEW_GROSS = 0.03  # share of doubted points up to which none is dropped: edges look gross too
_LESS_SPOILT = 0.65  # error of the others without the dropped points against that with them
_TOO_MANY_FOR_EDGES = 0.19  # share of the points that do not look grossly wrong beyond an edge
_LESS_SPOILT_OF_FEW = 0.72  # the same of few points, among which there are fewer others
_MANY_GROSS = 0.15  # share of dropped points from which on they say nothing of the depth's error
_NEIGHBOURS = 12
_EACH_NEIGHBOURS = 1_200  # points up to which each has neighbours of its own
_GROSS_LEFT_OUT = 0.22  # the same of a left-out point among those that agree,
_GROSS_PER_DISTANCE = 1.3  # and more the farther the points are apart: over root of their number
_ROUNDS = 3
_AGREES = 0.3  # of log depth: a dropped point that is off by less is not gross
_AGREES_OF_FEW = 0.45  # the same where less than this share is dropped
_SOME_GROSS = 0.25
_NEAREST = 4
_SAME_DEPTH = 0.1  # of log depth
_FEWEST_IN_LINES = 200  # points that show whether they lie in lines
_NEAREST_IN_LINE = 9
_THIN = 0.2  # width of such neighbours against their length; lines have 0.01, scattered points 0.6
_PLAIN = Variogram(0.5, 1.0, 1e-2)
_SAME_PLACE = 1e-5  # image widths: nearer points are one that was given twice, not a line
_THINNEST_LAYER = np.float32(0.02)  # of the surface coordinate
_FLATTEST = 1e-3  # range of a network's inverse depth, relative; less is noise of float32
_LEAST_GUIDE = 1e-2
_GREY_WIDTH = 640  # pixels of which the grey is made
_GREY_BLUR = 1 / 320  # of the image's width


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


def refine(
    inverse_m: FloatImage,
    points: SparsePoints,
    seed: int = 0,
    rgb: RgbImage | None = None,
) -> Refined | None:
    """Correct the inverse depth of a global fit by measured points.

    Args:
        inverse_m: HxW float32 1/m of the global fit, unbounded (0 and less is the horizon and
            beyond), NaN where the network says nothing; not modified.
        points: Visible measured points inside the image.
        seed: Of the random choice among many points.
        rgb: HxWx3 image, whose edges tell surfaces apart that the network does not; None for
            without.

    Returns:
        The corrected inverse depth, or None where there are too few points.
    """
    height, width = inverse_m.shape
    order = np.random.default_rng((seed, _STREAM)).permutation(len(points))[:_MAX_POINTS]
    u, v, z = points.u[order], points.v[order], points.z[order]
    columns = np.clip(np.rint(u), 0, width - 1).astype(np.intp)
    rows = np.clip(np.rint(v), 0, height - 1).astype(np.intp)
    here = inverse_m[rows, columns].astype(np.float64)
    usable = np.isfinite(here) & np.isfinite(z) & (z > 0)
    if usable.sum() < MIN_POINTS:
        return None
    known = np.sort(inverse_m[::4, ::4], axis=None)  # NaN last; faster than np.percentile
    known = known[: np.count_nonzero(np.isfinite(known))]
    low, high = known[len(known) // 50], known[-1 - len(known) // 50]
    span = max(float(high - low), _FLATTEST * float(max(abs(high), abs(low))), 1e-6)
    grey = _grey(rgb, inverse_m.shape)
    tone = np.zeros(len(here)) if grey is None else grey[rows, columns].astype(np.float64)
    samples = _Samples(
        np.stack([(u + 0.5) / width, (v + 0.5) / width, (here - low) / span, tone], axis=1)[usable],
        1 / z[usable],
        here[usable],
    )
    few = samples.chosen(_spread_out(samples.places))
    few = few.chosen(np.arange(len(few)) < _MAX_SAMPLES)
    all_few = len(few) == len(samples)
    tiles = tiling(few.places)
    trusted = _trusted(few, tiles)
    doubted = few.chosen(~trusted)
    if len(doubted):
        few = few.chosen(trusted)
        tiles = tiling(few.places)
    lattice = _Lattice.over(inverse_m, grey, len(few), float(low), span)
    fused, left_out = _fuse(few, doubted, tiles, lattice)
    level, slope = (_resized(part, inverse_m.shape) for part in fused[:2])
    slope *= inverse_m
    level += slope
    if grey is not None:
        np.multiply(_resized(fused[2], inverse_m.shape), grey, out=slope)
        level += slope
    if all_few:
        samples = few
    level *= _resized(_rest(samples, level, inverse_m, lattice), inverse_m.shape)
    least, most = few.inverse.min() / _BEYOND, few.inverse.max() * _BEYOND
    # With an error s of inverse depth, the guess of least relative error for a place at infinity is
    # about 1 / s: where the fit is that far it is not known how far.
    doubt = 1.4826 * float(np.median(np.abs(few.fitted - few.inverse)))
    low = np.flatnonzero(level < np.float32(least))
    there = inverse_m.ravel()[low]
    bound = np.sqrt(np.square(np.maximum(there, 0)) + np.float32(doubt**2)) * np.float32(
        1 / _BEYOND
    )
    bound = np.clip(bound, np.float32(1 / FARTHEST_M), np.float32(max(least, 1 / FARTHEST_M)))
    level.ravel()[low] = np.maximum(level.ravel()[low], bound)
    high = np.flatnonzero(level > np.float32(most))
    bound = np.maximum(inverse_m.ravel()[high] * np.float32(_BEYOND), np.float32(most))
    level.ravel()[high] = np.minimum(level.ravel()[high], bound)
    # In reaches. Where no point is near, kriging extrapolates: the global fit is the better guess.
    reach = tiles.reach(few.places)
    distance = lattice.distance(few) / np.float32(reach)
    if distance.max() > 1:
        apart = _resized(distance, inverse_m.shape)
        level[(inverse_m < np.float32(1 / FARTHEST_M)) & (apart > 1)] = np.nan
        share = np.clip((np.float32(_ALONE) - apart) * np.float32(1 / (_ALONE - 1)), 0, 1)
        level -= inverse_m
        level *= share
        level += inverse_m
    error = error_between_points(left_out, level, lattice.shape, reach)
    away = np.clip((distance - 1) / np.float32(_ALONE - 1), 0, 1)
    if away.any():
        off = np.sort(np.abs(few.fitted / few.inverse - 1))
        of_fit = max(off[int(0.683 * len(few))], off[int(0.954 * len(few))] / 2)
        away = _resized(away, error.shape)
        error = np.sqrt((1 - away) * np.square(error) + away * np.float32(of_fit**2))
    return Refined(level, error)


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
        Inverse depth, NaN beyond the reach of the points; None where there are too few or they
        say no more of each other than their median does.
    """
    if len(points) < _FEWEST_ALONE:
        return None
    inverse = 1 / points.z
    middle = float(np.median(inverse))
    flat = np.full(shape, middle, np.float32)
    places = np.stack([points.u, points.v], axis=1) / shape[1]
    places = np.concatenate([places, np.zeros((len(points), 2))], axis=1)
    samples = _Samples(places, inverse, np.full(len(points), middle))
    trusted = _trusted(samples, tiling(places))
    samples = samples.chosen(trusted)
    error, _ = _left_out_error(samples, _JUDGING_TILES)
    alone = np.minimum(relative_error(samples.fitted, samples.inverse), _LARGEST_ERROR)
    most = _COHERENT if trusted.all() else _COHERENT_OF_SOME
    if error > most * float(alone.mean()):
        return None
    refined = refine(flat, points, seed, rgb)
    if refined is None:
        return None
    tiles = tiling(places)
    apart = np.ones(shape, np.uint8)
    rows = np.clip(np.rint(points.v), 0, shape[0] - 1).astype(np.intp)
    columns = np.clip(np.rint(points.u), 0, shape[1] - 1).astype(np.intp)
    apart[rows, columns] = 0
    reach = _ALONE * tiles.reach(places) * shape[1]
    refined.inverse_m[cv2.distanceTransform(apart, cv2.DIST_L2, 3) > reach] = np.nan
    return refined


@dataclass(frozen=True)
class _Samples:
    """Points in random order: places (u, v, s, g), inverse depth, that of the global fit."""

    places: Floats
    inverse: Floats
    fitted: Floats

    def __len__(self) -> int:
        return len(self.inverse)

    def chosen(self, which: npt.NDArray[Any]) -> _Samples:
        return _Samples(self.places[which], self.inverse[which], self.fitted[which])


def _spread_out(places: Floats) -> Indices:
    """Which points to take where they lie in lines, as beams do: all neighbours would be in one.

    One is then taken in every square of a third of the lines' distance.
    """
    from scipy.spatial import cKDTree

    everyone = np.arange(len(places))
    if len(places) < _FEWEST_IN_LINES:
        return everyone
    where = places[:, :2]
    some = where[:_FEWEST_IN_LINES]
    tree = cKDTree(where, compact_nodes=False, balanced_tree=False)
    distance, near = tree.query(some, k=_NEAREST_IN_LINE)
    off = where[near] - where[near].mean(axis=1, keepdims=True)
    thin, long = np.linalg.eigvalsh(np.einsum("tki,tkj->tij", off, off)).T
    if np.median(np.maximum(thin, 0) / np.maximum(long, 1e-12)) > _THIN**2:
        return everyone
    apart = float(np.median(distance[:, 1]))
    if apart < _SAME_PLACE:
        return everyone
    between = float(np.prod(np.ptp(where, axis=0))) / (len(places) * apart)
    if between < 3 * apart:
        return everyone
    square = np.floor(where * (3 / between)).astype(np.int64)
    _, first = np.unique(square[:, 1] * (1 << 32) + square[:, 0], return_index=True)
    return np.sort(first) if len(first) >= 2 * _FEWEST_ALONE else everyone


@dataclass(frozen=True)
class _Lattice:
    """Nodes at the centres of about square cells, with the range of the network around each.

    Between the two layers of a node its pixels lie on either side of an edge, if there is one.

    Attributes:
        u: Columns of the nodes in image widths.
        v: Rows of the nodes in image widths.
        layers: 2 x 2 x rows x columns float32: surface coordinate and grey, of the one layer with
            the least and the other with the most surface coordinate near a node.
        low: Inverse depth of the global fit where the surface coordinate is 0.
        span: Inverse depth per unit of the surface coordinate.
    """

    u: npt.NDArray[np.float32]
    v: npt.NDArray[np.float32]
    layers: npt.NDArray[np.float32]
    low: float
    span: float

    @classmethod
    def over(
        cls,
        inverse_m: FloatImage,
        grey: FloatImage | None,
        samples: int,
        low: float,
        span: float,
    ) -> _Lattice:
        aspect = inverse_m.shape[0] / inverse_m.shape[1]
        cells = _NODES_OF_FEW if samples <= _FEW else _NODES
        cells = cells if samples <= _MANY else _NODES_OF_MANY
        columns = max(2, round((cells / aspect) ** 0.5))
        rows = max(2, round(columns * aspect))
        fine = (2 * columns, 2 * rows)
        surface = cv2.resize(inverse_m, fine, interpolation=cv2.INTER_NEAREST)
        surface -= np.float32(low)
        surface *= np.float32(1 / span)
        np.nan_to_num(surface, copy=False, nan=0.0)
        around = np.ones((5, 5), np.uint8)
        layers = np.zeros((2, 2, rows, columns), np.float32)
        layers[0, 0] = cv2.erode(surface, around)[::2, ::2]
        layers[0, 1] = cv2.dilate(surface, around)[::2, ::2]
        np.maximum(layers[0, 1], layers[0, 0] + _THINNEST_LAYER, out=layers[0, 1])
        if grey is not None:
            tone = cv2.resize(grey, fine, interpolation=cv2.INTER_NEAREST)
            mean, others, product = (
                cv2.blur(part, (5, 5))[::2, ::2] for part in (surface, tone, surface * tone)
            )
            least, most = cv2.erode(tone, around)[::2, ::2], cv2.dilate(tone, around)[::2, ::2]
            darker = product < mean * others  # what is nearer is darker
            layers[1, 0] = np.where(darker, most, least)
            layers[1, 1] = np.where(darker, least, most)
        return cls(
            ((np.arange(columns) + 0.5) / columns).astype(np.float32),
            ((np.arange(rows) + 0.5) * (aspect / rows)).astype(np.float32),
            layers,
            low,
            span,
        )

    def linear(
        self, value: FloatImage, guides: tuple[float, float]
    ) -> tuple[FloatImage, FloatImage, FloatImage]:
        """Values of the two layers as a linear function of the global fit and the grey.

        Args:
            value: 2 x rows x columns.
            guides: Weights of surface coordinate and grey where a pixel lies between the layers.

        Returns:
            Level, slope over inverse depth of the global fit, slope over grey; at every node.
        """
        across = self.layers[:, 1] - self.layers[:, 0]
        pull = across * np.square(np.array(guides, np.float32))[:, None, None]
        pull *= (value[1] - value[0]) / (pull * across).sum(axis=0)
        level = value[0] - (pull * self.layers[:, 0]).sum(axis=0)
        slope = pull[0] * np.float32(1 / self.span)
        return level - slope * np.float32(self.low), slope, pull[1]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.v), len(self.u)

    def cell_of(self, places: Floats) -> Indices:
        """Flat index of the cell each place lies in."""
        rows, columns = self.shape
        row = np.clip((places[:, 1] / self.v[-1] * (rows - 0.5)).astype(np.intp), 0, rows - 1)
        column = np.clip((places[:, 0] * columns).astype(np.intp), 0, columns - 1)
        return np.asarray(row * columns + column)

    def nearest(self, centre: Floats) -> Indices:
        """Which of some places is nearest to each node, flat."""
        empty = np.ones(self.shape, np.uint8)
        cell = self.cell_of(centre)
        empty.ravel()[cell] = 0
        _, label = cv2.distanceTransformWithLabels(
            empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        which = np.zeros(int(label.max()) + 1, np.intp)
        which[label.ravel()[cell]] = np.arange(len(centre))
        return which[label.ravel()]

    def distance(self, samples: _Samples) -> FloatImage:
        """Distance of each node to the nearest sample in image widths."""
        empty = np.ones(self.shape, np.uint8)
        empty.ravel()[self.cell_of(samples.places)] = 0
        cells = cv2.distanceTransform(empty, cv2.DIST_L2, 3)
        return np.asarray(cells / np.float32(len(self.u)))


def _resized(image: npt.NDArray[Any], shape: tuple[int, ...]) -> FloatImage:
    resized = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


def _grey(rgb: RgbImage | None, shape: tuple[int, ...]) -> FloatImage | None:
    """Smooth grey of an image, black 0 and white 1."""
    if rgb is None:
        return None
    height, width = shape
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if width > _GREY_WIDTH:
        small = (_GREY_WIDTH, max(1, round(height * _GREY_WIDTH / width)))
        grey = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(grey, (0, 0), _GREY_BLUR * grey.shape[1])
    return _resized(grey.astype(np.float32) * np.float32(1 / 255), shape)


def _fuse(
    samples: _Samples, doubted: _Samples, tiles: Tiling, lattice: _Lattice
) -> tuple[tuple[FloatImage, FloatImage, FloatImage], LeftOut]:
    """What `_Lattice.linear` gives, and what the points left out show of it."""
    fitted = np.maximum(samples.fitted, samples.inverse.min() / _BEYOND)
    kriging = _kriging(samples, tiles)
    variograms = _choices(samples)
    share = _shares(samples, tiles, kriging, variograms, fitted)
    column, row = (axis.ravel() for axis in np.meshgrid(lattice.u, lattice.v))
    tile = lattice.nearest(tiles.centre)
    layers = lattice.layers.reshape(2, 2, -1)
    # The global fit itself, as far as left-out points say that it is good.
    value = layers[0] * np.float32(lattice.span * share[-1])
    value += np.float32(lattice.low * share[-1])
    left_out = fitted[tiles.members] * share[-1]
    pulls = np.array([share[-1] + _LEAST_GUIDE, 0.0])
    chosen = [each for each in zip(variograms, share, strict=False) if each[1]]
    solved = kriging.solve([variogram for variogram, _ in chosen])
    for kriged, (variogram, weight) in zip(solved, chosen, strict=True):
        pulls += weight * np.array([variogram.surface, variogram.grey])
        left_out += weight * kriged.left_out
    value += kriging.at(chosen, column, row, layers, tile)
    known = tiles.members[tiles.own]
    off = np.minimum(relative_error(left_out[tiles.own], samples.inverse[known]), _LARGEST_ERROR)
    cell = lattice.cell_of(samples.places[known])
    square, _ = local_mean(np.square(off), cell, lattice.shape)
    # The depth whose expected relative error is least lies nearer than the mean: with inverse
    # depth normal around m with deviation s, 1/m * (1 + (s/m)^2); half of it, because the error
    # of left-out points is larger than that of pixels, and not normal.
    value *= (1 + np.float32(_NEARER) * square).ravel()
    value = value.reshape(2, *lattice.shape)
    level, slope, slope_of_grey = lattice.linear(value, (pulls[0], pulls[1]))
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
    guess = level.ravel()[beside] + slope.ravel()[beside] * doubted.fitted
    guess += slope_of_grey.ravel()[beside] * doubted.places[:, 3]
    doubted_off = np.minimum(np.abs(guess / doubted.inverse - 1), _MOST_OFF)
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
    return (level, slope, slope_of_grey), judgement


def _choices(samples: _Samples) -> Sequence[Variogram]:
    """Variograms to choose from; those that need the grey only where there is one."""
    choices = VARIOGRAMS if len(samples) <= _FEW else VARIOGRAMS_OF_MANY
    return choices if samples.places[:, 3].any() else [each for each in choices if not each.grey]


def _kriging(samples: _Samples, tiles: Tiling) -> Kriging:
    return Kriging(samples.places[tiles.members], samples.inverse[tiles.members])


def _shares(
    samples: _Samples,
    tiles: Tiling,
    kriging: Kriging,
    variograms: Sequence[Variogram],
    fitted: Floats,
) -> Floats:
    """Shares of the variograms and, last, of the global fit."""
    judged = tiles.judging(_JUDGED_TILES)
    if judged is not tiles:
        kriging = _kriging(samples, judged)
    known = judged.members[judged.own]
    truth = samples.inverse[known]
    errors = [
        float(relative_error(kriged.left_out[judged.own], truth).mean())
        for kriged in kriging.solve(variograms)
    ]
    errors.append(_TRUST_IN_FIT * float(relative_error(fitted[known], truth).mean()))
    share = shares(errors, len(truth))
    kept = _KEPT_OF_FEW if len(samples) <= _FEW else _KEPT if len(samples) <= _MANY else 1
    share[np.argsort(share)[:-kept]] = 0
    return np.asarray(share / share.sum())


def _rest(
    samples: _Samples, fused: FloatImage, inverse_m: FloatImage, lattice: _Lattice
) -> FloatImage:
    """Factor that brings the fused inverse depth to the points, averaged over near neighbours.

    Weights fall with distance and with the step between surfaces; the strength of the shrinkage
    towards no change is the one that predicts each point best from the others.
    """
    height, width = fused.shape
    aspect = height / width
    columns = np.clip((samples.places[:, 0] * width).astype(np.intp), 0, width - 1)
    rows = np.clip((samples.places[:, 1] * width).astype(np.intp), 0, height - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = samples.inverse / fused[rows, columns] - 1
    residual = np.where(np.abs(residual) < _LARGEST_ERROR, residual, 0).astype(np.float32)
    cells = float(np.clip(_CELLS_PER_POINT * len(samples), 1_200, _MAX_CELLS))
    across = max(2, round((cells / aspect) ** 0.5))
    shape = (max(2, round(across * aspect)), across)
    row = np.clip((samples.places[:, 1] / aspect * shape[0]).astype(np.intp), 0, shape[0] - 1)
    column = np.clip((samples.places[:, 0] * shape[1]).astype(np.intp), 0, shape[1] - 1)
    cell = row * shape[1] + column
    surface = cv2.resize(inverse_m, shape[::-1], interpolation=cv2.INTER_NEAREST)
    surface = (surface - np.float32(lattice.low)) * np.float32(1 / lattice.span)
    np.nan_to_num(surface, copy=False)
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size)
    share = np.maximum(count, 1)
    mean = (np.bincount(cell, residual, size) / share).astype(np.float32).reshape(shape)
    level = np.where(
        count > 0, np.bincount(cell, samples.places[:, 2], size) / share, surface.ravel()
    )
    level = level.astype(np.float32).reshape(shape)
    weight = (count / (count + 0.5)).astype(np.float32).reshape(shape)
    total, mass = _window_sums(mean, level, weight)
    best_error, best_doubt = np.inf, _DOUBTS[-1]
    for doubt in _DOUBTS:
        left_out = residual - (total / (mass + np.float32(doubt))).ravel()[cell]
        error = float(np.abs(left_out).mean())
        if error < best_error:
            best_error, best_doubt = error, doubt
    own = np.float32(_OWN_WEIGHT) * weight
    return np.asarray(1 + (total + own * mean) / (mass + own + np.float32(best_doubt)))


def _window_sums(
    mean: FloatImage, level: FloatImage, weight: FloatImage
) -> tuple[FloatImage, FloatImage]:
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


def _trusted(samples: _Samples, tiles: Tiling) -> npt.NDArray[np.bool_]:
    """Which points are not grossly wrong.

    What a point says against the global fit is compared with its neighbours. Edges that the
    network misses look grossly wrong too, so a few doubted points are dropped only where the
    remaining ones then predict each other better. A wrong cluster agrees with itself and stays.
    """
    if len(samples) < _TOO_FEW_TO_DOUBT:
        return np.ones(len(samples), bool)
    fitted = np.maximum(samples.fitted, samples.inverse.min() / _BEYOND)
    off = np.log(samples.inverse / fitted)
    kept = np.ones(len(samples), bool)
    agreeing = kept
    plain = np.log(samples.inverse)
    near, row = _neighbours(samples.places, tiles)
    for _ in range(_ROUNDS):
        # Doubted is only who contradicts the neighbours with and without the network.
        among = agreeing[near]
        around = np.minimum(
            np.abs(off - _median(off[near], among, 0.0)[row]),  # of nobody, with the fit
            np.abs(plain - _median(plain[near], among, np.inf)[row]),  # of nobody, with nothing
        )
        gate = float(np.clip(_GATE * _spread(around[agreeing]), _GROSS, _LARGEST_GATE))
        agreeing = kept & (around < gate)
        if agreeing.sum() <= _FEWEST_ALONE:
            break
    if len(near) == len(samples):
        # Neighbours that say the same are a surface, not single errors.
        same = np.abs(plain[near[:, :_NEAREST]] - plain[:, None]) < _SAME_DEPTH
        agreeing = agreeing | (same.sum(axis=1) >= _NEAREST // 2)
    dropped = 1 - agreeing.sum() / kept.sum()
    if dropped > _FEW_GROSS and agreeing.sum() > _FEWEST_ALONE:
        before, off_before = _left_out_error(samples, _JUDGING_TILES)
        after, off_after = _left_out_error(samples.chosen(agreeing), _JUDGING_TILES)
        better = (1 - dropped) * after + dropped * _LARGEST_ERROR < before
        if better and (dropped > _TOO_MANY_FOR_EDGES or _spoilt(off_before[agreeing], off_after)):
            kept = agreeing
            floor = _GROSS_LEFT_OUT + _GROSS_PER_DISTANCE / len(samples) ** 0.5
            for _ in range(_ROUNDS):
                _, off = _left_out_error(samples.chosen(kept), len(kept))
                sound = np.abs(off) < max(_GATE * _spread(off), floor)
                kept[np.flatnonzero(kept)[~sound]] = False
                if sound.all():
                    break
            # Else each has enough others around it.
            if len(samples) <= _FEW or kept.sum() < (1 - _SOME_GROSS) * len(samples):
                _readmit(samples, fitted, kept)
    few = kept.sum() < _FEWEST_ALONE or kept.sum() > (1 - _FEW_GROSS) * len(samples)
    return np.ones(len(samples), bool) if few else kept


def _spoilt(before: Floats, after: Floats) -> bool:
    """Whether what was dropped has spoilt the prediction of the others.

    Points beyond an edge are hard to predict, yet leave the others as they are.

    Args:
        before: Log errors of the left-out others among all, 0 where they were not left out.
        after: The same among themselves.
    """
    both = (before != 0) & (after != 0)
    if not both.any():
        return False
    error = [
        float(np.minimum(np.abs(np.expm1(-off[both])), _LARGEST_ERROR).mean())
        for off in (before, after)
    ]
    few = len(before) <= _FEW
    return error[1] < (_LESS_SPOILT_OF_FEW if few else _LESS_SPOILT) * error[0]


def _readmit(samples: _Samples, fitted: Floats, kept: npt.NDArray[np.bool_]) -> None:
    """Keep the dropped points again that the kept ones, or the global fit, predict."""
    from scipy.spatial import cKDTree

    dropped = np.flatnonzero(~kept)
    if not len(dropped) or kept.sum() < _FEWEST_ALONE:
        return
    among = samples.chosen(kept)
    tiles = tiling(among.places)
    tile = cKDTree(tiles.centre).query(samples.places[dropped, :2])[1]
    u, v, s, g = samples.places[dropped].T.astype(np.float32)
    layers = np.stack([s, g])[:, None]
    guess = _kriging(among, tiles).at([(_PLAIN, 1.0)], u, v, layers, tile)[0]
    inverse = samples.inverse[dropped]
    agrees = np.abs(np.log(np.maximum(guess / inverse, 1e-3))) < _AGREES
    if len(dropped) < _SOME_GROSS * len(samples):
        # So few may well be right: what one of the two predicts is kept.
        agrees = np.abs(np.log(np.maximum(guess / inverse, 1e-3))) < _AGREES_OF_FEW
        agrees |= np.abs(np.log(fitted[dropped] / inverse)) < _AGREES_OF_FEW
    kept[dropped] = agrees


def _spread(values: npt.NDArray[Any]) -> float:
    """Robust standard deviation around zero: 1.4826 times the median absolute value."""
    return 1.4826 * float(np.median(np.abs(values)))


def _neighbours(places: Floats, tiles: Tiling) -> tuple[Indices, Indices]:
    """Rows of indices of points near each other, and each point's row; itself aside if few."""
    from scipy.spatial import cKDTree

    if len(places) <= _EACH_NEIGHBOURS:
        near = places * np.array([1.0, 1.0, 0.5, 0.0])
        count = min(_NEIGHBOURS, len(places) - 1)
        index = cKDTree(near).query(near, k=count + 1)[1][:, 1:]
        return np.asarray(index), np.arange(len(places))
    return tiles.members, tiles.owner


def _median(values: Floats, among: npt.NDArray[np.bool_], of_none: float) -> Floats:
    """Median of those of the values in each row that are among the chosen."""
    ordered = np.sort(np.where(among, values, np.inf), axis=1)
    count = among.sum(axis=1)
    row = np.arange(len(values))
    low = ordered[row, np.maximum(count - 1, 0) // 2]
    high = ordered[row, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, (low + high) / 2, of_none)


def _left_out_error(samples: _Samples, most_tiles: int) -> tuple[float, Floats]:
    """Mean relative error of left-out points, each at most _LARGEST_ERROR, and log error of each.

    The latter is 0 for points that were not left out.
    """
    tiles = tiling(samples.places).chosen(most_tiles)
    left_out = _kriging(samples, tiles).solve([_PLAIN])[0].left_out[tiles.own]
    known = tiles.members[tiles.own]
    inverse = samples.inverse[known]
    error = np.minimum(relative_error(left_out, inverse), _LARGEST_ERROR)
    off = np.zeros(len(samples))
    off[known] = np.log(np.maximum(left_out / inverse, 1e-3))
    return float(error.mean()), off
