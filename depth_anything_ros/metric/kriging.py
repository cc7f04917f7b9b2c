"""Universal kriging of scattered samples over an image and the surfaces in it.

A place is (u, v, s, g): column and row in image widths, a surface coordinate (what the network says
of the pixel) and the image's grey, which keep neighbours across an edge apart. Between two places
the samples differ by a power of their distance (power variogram; Chiles and Delfiner,
"Geostatistics", 2012, sections 2.5 and 3.4), around an unknown mean that may rise linearly with the
surface coordinate. Which variogram suits a scene cannot be known in advance: each sample is left
out in turn, in closed form, and the variograms that predict it best are averaged.

Samples are shared out among tiles of about equal numbers. Each tile has an equation of its own over
the samples nearest to its centre, so the cost grows linearly with the number of samples.

Nothing here may start the threads of a BLAS: they wait for each other's cores and make such small
products a hundred times slower. So only those routines are called that stay in one thread at these
sizes: products of stacks of small matrices, and potrf and trtri of LAPACK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

# Own choices, made on real frames.
_ONE_TILE = 100  # samples up to which all are in one equation
_TILE_SAMPLES = 4  # about so many belong to a tile,
_TILE_REACH = 24  # and so many nearest ones are in its equation
_MANY = 2_000  # samples from which on the latter are fewer, for cost
_TILE_REACH_OF_MANY = 16
_TEMPERATURE = 6.0
_MOST_EVIDENCE = 300  # samples beyond which more do not make the choice surer
_RIDGE = 1e-6
_BLOCK = 1_200  # places predicted at once, so that their distances stay in the processor's cache


@dataclass(frozen=True)
class Variogram:
    """How samples differ with distance; the numbers are relative to the tile's mean distance.

    Attributes:
        surface: Weight of the surface coordinate against image widths.
        power: Power of the distance; 1 is rough, towards 2 smooth.
        noise: Variance of a sample's own error, relative to the mean of distance ** power.
        trend: Whether the mean rises linearly with the surface coordinate.
        logarithm: Whether the logarithm of the samples is kriged.
        grey: Weight of the grey (black 0, white 1) against image widths.
    """

    surface: float
    power: float
    noise: float
    trend: bool = False
    logarithm: bool = False
    grey: float = 0.0


VARIOGRAMS = (
    Variogram(0.0, 1.0, 1e-2),
    Variogram(0.25, 1.0, 1e-1),
    Variogram(0.25, 1.0, 1e-2, trend=True),
    Variogram(0.25, 1.0, 1e-3, logarithm=True),
    Variogram(0.5, 0.6, 1e-2),
    Variogram(0.5, 1.4, 1e-2),
    Variogram(1.0, 1.0, 1e-3),
    Variogram(1.0, 1.0, 1e-2, trend=True),
    Variogram(0.0, 1.0, 1e-2, grey=0.1),
    Variogram(0.25, 1.0, 1e-2, grey=0.1),
    Variogram(0.5, 1.0, 1e-2, grey=0.2),
)
"""The ones to choose from: found by forward selection on real frames with 20 to 5000 points."""

VARIOGRAMS_OF_MANY = (
    Variogram(0.0, 1.0, 1e-3),
    Variogram(0.0, 1.0, 1e-3, grey=0.1),
    Variogram(0.25, 1.0, 1e-3),
    Variogram(0.25, 1.0, 1e-3, grey=0.1),
    Variogram(0.25, 1.0, 1e-3, grey=0.2),
    Variogram(0.5, 1.4, 1e-2),
    Variogram(0.5, 1.4, 1e-2, grey=0.2),
    Variogram(1.0, 1.4, 1e-2),
    Variogram(1.0, 1.0, 1e-2, trend=True),
)
"""The same for samples near to each other: more or less weight on edges of network and image."""


@dataclass(frozen=True)
class Tiling:
    """Samples shared out among tiles.

    Attributes:
        centre: Tx2 mean column and row of each tile's own samples.
        owner: N, tile of every sample.
        members: TxK indices of the samples in each tile's equation.
        own: TxK bool, the members that belong to the tile.
    """

    centre: Floats
    owner: Indices
    members: Indices
    own: npt.NDArray[np.bool_]

    def chosen(self, most: int) -> Tiling:
        """Some tiles, evenly among all (neighbours in space have neighbouring numbers)."""
        count = len(self.members)
        if count <= most:
            return self
        some = np.linspace(0, count - 1, most).astype(np.intp)
        return Tiling(self.centre[some], self.owner, self.members[some], self.own[some])

    def reach(self, places: Floats) -> float:
        """Distance in image widths within which samples speak for what is around them.

        Args:
            places: Nx4 places that were shared out.

        Returns:
            The upper quartile of the distance to the ninth neighbour.
        """
        count = min(9, len(places) - 1)
        if len(self.members) == 1:
            off = places[:, None, :2] - places[None, :, :2]
            square = np.partition(np.square(off).sum(axis=2), count, axis=1)[:, count]
        else:
            off = places[self.members[:, count - 1], :2] - self.centre
            square = np.square(off).sum(axis=1)
        return float(np.sort(np.sqrt(square))[3 * len(square) // 4])


def tiling(places: Floats) -> Tiling:
    """Share samples out among tiles: columns of equal numbers, cut into rows of equal numbers.

    Sort-tile-recursive packing (Leutenegger, Lopez and Edgington 1997).

    Args:
        places: Nx4 places.

    Returns:
        The tiles.
    """
    from scipy.spatial import cKDTree

    count = len(places)
    if count <= _ONE_TILE:
        everyone = np.arange(count)[None]
        centre = places[:, :2].mean(axis=0)[None]
        return Tiling(centre, np.zeros(count, np.intp), everyone, np.ones((1, count), bool))
    wide, high = np.ptp(places[:, :2], axis=0) + 1e-9
    tiles = count / _TILE_SAMPLES
    columns = int(np.clip(round((tiles * wide / high) ** 0.5), 1, tiles))
    rows = max(1, round(tiles / columns))
    rank = np.empty(count, np.intp)
    rank[np.argsort(places[:, 0])] = np.arange(count)
    column = rank * columns // count
    order = np.lexsort((places[:, 1], column))
    first = np.searchsorted(column[order], np.arange(columns))
    inside = np.arange(count) - first[column[order]]
    size = np.bincount(column, minlength=columns)[column[order]]
    owner = np.empty(count, np.intp)
    owner[order] = column[order] * rows + inside * rows // size
    number = np.bincount(owner, minlength=columns * rows)
    sums = [np.bincount(owner, places[:, axis], columns * rows) for axis in (0, 1)]
    centre = np.stack(sums, axis=1) / number[:, None]
    reach = _TILE_REACH if count <= _MANY else _TILE_REACH_OF_MANY
    tree = cKDTree(places[:, :2], compact_nodes=False, balanced_tree=False)  # faster to build
    members = tree.query(centre, k=reach)[1]
    own = owner[members] == np.arange(len(members))[:, None]
    return Tiling(centre, owner, members, own)


class Kriging:
    """The samples of some tiles, with what the equations of all variograms share.

    Args:
        places: TxKx4 places of the members of each tile.
        values: TxK positive samples.
    """

    def __init__(self, places: Floats, values: Floats) -> None:
        self.places = places
        self.values = values
        u, v, s, g = (places[:, :, axis] for axis in range(4))
        square = np.square(u[:, :, None] - u[:, None])
        square += np.square(v[:, :, None] - v[:, None])
        self._in_image = square
        self._in_surface = np.square(s[:, :, None] - s[:, None])
        self._in_grey = np.square(g[:, :, None] - g[:, None])
        self._middle = s.mean(axis=1)
        self._spread = s.std(axis=1) + 1e-9
        self._solved: dict[Variogram, Kriged] = {}

    def solve(self, variogram: Variogram) -> Kriged:
        """Solve the equations for one variogram.

        Args:
            variogram: How samples differ.

        Returns:
            The solution; kept for the next call.
        """
        if variogram not in self._solved:
            self._solved[variogram] = self._solve(variogram)
        return self._solved[variogram]

    def _solve(self, variogram: Variogram) -> Kriged:
        from scipy.linalg import lapack

        tiles, count = self.values.shape
        samples = np.log(self.values) if variogram.logarithm else self.values
        square = self._in_image
        if variogram.surface:
            square = square + variogram.surface**2 * self._in_surface
        if variogram.grey:
            square = square + variogram.grey**2 * self._in_grey
        distance = _power(square, variogram.power)
        mean_distance = np.maximum(distance.mean(axis=(1, 2)), 1e-12)
        # Minus a power of the distance is a covariance up to a constant, which the unknown mean
        # absorbs; seen from one sample (the first) it is positive definite.
        matrix = distance[:, :1] + distance[:, :, :1]
        matrix -= distance
        diagonal = np.arange(count)
        matrix[:, diagonal, diagonal] += (variogram.noise * mean_distance)[:, None]
        for each in matrix:
            # The transpose is what LAPACK overwrites without a copy.
            factor, _ = lapack.dpotrf(each.T, lower=0, clean=1, overwrite_a=1)
            root, _ = lapack.dtrtri(factor, lower=0, overwrite_c=1)
            each[:] = root.T
        # A = U' U, matrix[t] is the transpose of U^-1, and A^-1 = U^-1 U^-T.
        known = np.empty((tiles, count, 2 + variogram.trend))
        known[:, :, 0], known[:, :, 1] = samples, 1.0
        if variogram.trend:
            known[:, :, 2] = (self.places[:, :, 2] - self._middle[:, None]) / self._spread[:, None]
        solved = np.matmul(matrix.transpose(0, 2, 1), np.matmul(matrix, known))
        precision = np.square(matrix).sum(axis=1)
        drift, turned = known[:, :, 1:], solved[:, :, 1:]
        normal = np.matmul(drift.transpose(0, 2, 1), turned)
        # All samples may lie on one surface: then there is no trend.
        normal[:, 1:, 1:] += _RIDGE * normal[:, :1, :1]
        gain = np.linalg.inv(normal)
        gained = np.matmul(turned, gain)
        level = np.einsum("tip,ti->tp", gained, samples)
        weight = solved[:, :, 0] - np.einsum("tip,tp->ti", turned, level)
        precision -= np.einsum("tip,tip->ti", gained, turned)
        left_out = samples - weight / precision
        # Prediction is level + slope * s - sum of weight * distance ** power, and the constant that
        # the unknown mean absorbed.
        mean = level[:, 0] + np.einsum("ti,ti->t", distance[:, 0], weight)
        slope = level[:, 1] / self._spread if variogram.trend else np.zeros(tiles)
        mean -= slope * self._middle
        if variogram.logarithm:
            np.exp(left_out, out=left_out)
        return Kriged(variogram, self.places, -weight, mean, slope, left_out)


@dataclass(frozen=True)
class Kriged:
    """The equations of some tiles, solved for one variogram.

    Attributes:
        variogram: Which one.
        places: TxKx4 places of the members.
        weights: TxK weights of the members.
        mean: T constant part of the mean.
        slope: T rise of the mean with the surface coordinate.
        left_out: TxK prediction of each member from the others.
    """

    variogram: Variogram
    places: Floats
    weights: Floats
    mean: Floats
    slope: Floats
    left_out: Floats

    def at(self, u: Floats32, v: Floats32, layers: Floats32, tile: Indices) -> Floats32:
        """Predict at places.

        Args:
            u: P columns.
            v: P rows.
            layers: 2xLxP surface coordinates and greys at each.
            tile: P tile each lies in.

        Returns:
            LxP float32.
        """
        s, g = layers
        result = np.empty_like(s)
        variogram = self.variogram
        known_u, known_v, known_s, known_g = np.moveaxis(self.places.astype(np.float32), 2, 0)
        pulls = [
            (np.float32(pull), known * np.float32(pull), asked)
            for pull, known, asked in (
                (variogram.surface, known_s, s),
                (variogram.grey, known_g, g),
            )
            if pull
        ]
        weights = self.weights.astype(np.float32)
        mean, slope = self.mean.astype(np.float32), self.slope.astype(np.float32)
        rows = max(1, _BLOCK * 32 // weights.shape[1])
        for start in range(0, len(u), rows):
            here = slice(start, start + rows)
            index = tile[here]
            square = np.square(known_u[index] - u[here, None])
            square += np.square(known_v[index] - v[here, None])
            weight = weights[index]
            if not pulls:
                value = np.einsum("pk,pk->p", _power(square, variogram.power), weight)
                result[:, here] = value
                continue
            known = [(pull, values[index], asked) for pull, values, asked in pulls]
            for number, layer in enumerate(result):
                distance = square.copy()
                for pull, values, asked in known:
                    step = values - (pull * asked[number, here])[:, None]
                    np.square(step, out=step)
                    distance += step
                layer[here] = np.einsum("pk,pk->p", _power(distance, variogram.power), weight)
        result += mean[tile]
        if variogram.trend:
            result += slope[tile] * s
        return np.exp(result, out=result) if variogram.logarithm else result


def _power(square: npt.NDArray[Any], power: float) -> npt.NDArray[Any]:
    """A power of distances from their squares."""
    distance = np.sqrt(square)
    return distance if power == 1 else distance ** np.asarray(power, distance.dtype)


def relative_error(left_out: npt.NDArray[Any], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Relative error of the depth of left-out samples of inverse depth, at most 1.

    Args:
        left_out: Predictions.
        values: The samples.

    Returns:
        Of the same shape.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(values / left_out - 1)
    return np.where(left_out > 0, np.minimum(error, 1.0), 1.0)


def shares(errors: Sequence[float], judged: int) -> Floats:
    """Share of each variogram in the average.

    A likelihood of left-out samples with Laplacian errors is the error to the power of minus
    their number; neighbours are not independent, so the power is tempered.

    Args:
        errors: Mean relative error of left-out samples of each.
        judged: Number of samples left out.

    Returns:
        Shares that sum to 1.
    """
    error = np.maximum(np.asarray(errors), 1e-9)
    power = min(judged, _MOST_EVIDENCE) / _TEMPERATURE
    share = (error / error.min()) ** -power
    return np.asarray(share / share.sum())
