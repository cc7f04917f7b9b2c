"""Universal kriging of scattered samples over an image and the surfaces in it.

A place is (u, v, s, ...): column and row in image widths, a surface coordinate (what the network
says of the pixel) and the image's colour in any number of coordinates, which keep neighbours across
an edge apart. Between two places the samples differ by a power of their distance (power variogram;
Chiles and Delfiner, "Geostatistics", 2012, sections 2.5 and 3.4), around an unknown mean that may
rise linearly with the surface coordinate. Which variogram suits a scene cannot be known in advance:
each sample is left out in turn, in closed form, and the variograms that predict it best are
averaged.

Each tile of samples (`tiling`) has an equation of its own, so the cost grows linearly with the
number of samples.

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

from depth_anything_ros.metric.tiling import Floats, Indices

Floats32 = npt.NDArray[np.float32]

# Own choices, made on real frames.
_TEMPERATURE = 6.0
_MOST_EVIDENCE = 300  # samples beyond which more do not make the choice surer
_RIDGE = 1e-6
_NO_TREND = 1e12
_BEYOND_ALL = 1e30  # a variance that nothing takes away
_PLAIN_TERMS = 6  # of a place without colour
_ROW = 16  # places of one tile in a product
_BLOCK = 100_000  # distances at once, so that they stay in the processor's cache


@dataclass(frozen=True)
class Variogram:
    """How samples differ with distance; the numbers are relative to the tile's mean distance.

    Attributes:
        surface: Weight of the surface coordinate against image widths.
        power: Power of the distance; 1 is rough, towards 2 smooth.
        noise: Variance of a sample's own error, relative to the mean of distance ** power.
        trend: Whether the mean rises linearly with the surface coordinate.
        logarithm: Whether the logarithm of the samples is kriged.
        colour: Weight of the coordinates of colour against image widths.
    """

    surface: float
    power: float
    noise: float
    trend: bool = False
    logarithm: bool = False
    colour: float = 0.0


VARIOGRAMS = (
    Variogram(0.0, 1.0, 1e-2),
    Variogram(0.25, 1.0, 1e-1),
    Variogram(0.25, 1.0, 1e-2, trend=True),
    Variogram(0.25, 1.0, 1e-3, logarithm=True),
    Variogram(0.5, 0.5, 1e-2),
    Variogram(0.5, 1.5, 1e-2),
    Variogram(1.0, 1.0, 1e-3),
    Variogram(1.0, 1.0, 1e-2, trend=True),
    Variogram(0.0, 1.0, 1e-2, colour=0.1),
    Variogram(0.25, 1.0, 1e-2, colour=0.1),
    Variogram(0.25, 1.0, 1e-2, trend=True, colour=0.1),
    Variogram(0.5, 1.0, 1e-2, colour=0.2),
    Variogram(0.5, 1.0, 1e-2, trend=True, colour=0.1),
    Variogram(1.0, 1.0, 1e-3, colour=0.2),
)
"""The ones to choose from: found by trial on real frames with 20 to 5000 points."""

VARIOGRAMS_OF_MANY = (
    Variogram(0.25, 1.0, 1e-3, colour=0.1),
    Variogram(0.5, 1.0, 1e-3, colour=0.2),
    Variogram(1.0, 1.0, 1e-2, trend=True, colour=0.1),
)
"""The same for samples near to each other: more or less weight on edges of network and image."""


class Kriging:
    """The samples of some tiles, with what the equations of all variograms share.

    A square distance is a sum of products of what belongs to one of the two places each, so a
    stack of small matrix products gives those of all pairs; to keep float32 exact enough, places
    are taken relative to the centre of their tile.

    Args:
        places: TxKxD places of the members of each tile.
        values: TxK positive samples.
    """

    def __init__(self, places: Floats, values: Floats) -> None:
        self.values = values.astype(np.float32)
        along = np.ascontiguousarray(np.moveaxis(places, 2, 0), np.float32)
        self._centre = along.mean(axis=2)
        self._members = _terms(along, self._centre)
        surface = self._members[:, 2]
        self._spread = surface.std(axis=1) + np.float32(1e-9)
        self._rise = surface / self._spread[:, None]
        self._solved: dict[Variogram, Kriged] = {}

    def solve(self, variograms: Sequence[Variogram]) -> list[Kriged]:
        """Solve the equations for some variograms.

        Args:
            variograms: How samples may differ.

        Returns:
            The solutions in the same order; kept for the next call.
        """
        missing = [each for each in variograms if each not in self._solved]
        if missing:
            self._solved.update(zip(missing, self._solve(missing), strict=True))
        return [self._solved[each] for each in variograms]

    def left_out(self, variograms: Sequence[Variogram], last: int) -> Floats32:
        """Predict only the last members of each tile from all its others.

        Their part of the inverse is that of the last rows of the triangular factor, so this costs
        half as much as `solve`.

        Args:
            variograms: How samples may differ.
            last: Number L of members.

        Returns:
            VxTxL.
        """
        from scipy.linalg import lapack

        tiles, count = self.values.shape
        equations = self._equations(variograms)
        # Rows under a matrix become products of its factor's inverse with them.
        whole = np.zeros((len(equations.ridge), count + 3, count + 3), np.float32)
        whole[:, :count, :count] = equations.matrix
        whole[:, count:, :count] = equations.known
        whole.reshape(len(whole), -1)[:, count * (count + 4) :: count + 4] = _BEYOND_ALL
        # The transpose is what LAPACK overwrites without a copy.
        for each in whole.transpose(0, 2, 1):
            lapack.spotrf(each, 0, 0, 1)  # upper, not cleaned, overwriting
        inverse = _inverse_of_lower(whole[:, count - last : count, count - last : count])
        drift = _Drift.of(whole[:, count:, :count], equations.ridge)
        weight, precision = drift.without(whole[:, count:, count - last : count], inverse)
        result = equations.known[:, 0, count - last :] - weight / precision
        result = result.reshape(len(variograms), tiles, last)
        for part, each in zip(result, variograms, strict=True):
            if each.logarithm:
                np.exp(part, out=part)
        return result

    def _solve(self, variograms: Sequence[Variogram]) -> list[Kriged]:
        from scipy.linalg import lapack

        equations = self._equations(variograms)
        inverse, known = equations.matrix, equations.known
        factor, invert = lapack.spotrf, lapack.strtri  # found once, so many times are they called
        # The transpose is what LAPACK overwrites without a copy.
        for each in inverse.transpose(0, 2, 1):
            factor(each, 0, 1, 1)  # upper, cleaned, overwriting
            invert(each, 0, 0, 1)  # upper, its own diagonal, overwriting
        turned = np.matmul(known, inverse.transpose(0, 2, 1))
        drift = _Drift.of(turned, equations.ridge)
        weight, precision = drift.without(turned, inverse)
        left_out = (known[:, 0] - weight / precision).astype(np.float64)
        # Prediction is level + slope * s - sum of weight * distance ** power, and the constant that
        # the unknown mean absorbed.
        mean = drift.level + np.einsum("ti,ti->t", equations.from_first, weight)
        np.negative(weight, out=weight)
        solutions = []
        for part, each in zip(_parts(len(variograms), len(self.values)), variograms, strict=True):
            if each.logarithm:
                np.exp(left_out[part], out=left_out[part])
            slope = drift.slope[part] / self._spread
            solutions.append(Kriged(each, weight[part], mean[part], slope, left_out[part]))
        return solutions

    def _equations(self, variograms: Sequence[Variogram]) -> _Equations:
        tiles, count = self.values.shape
        number = len(variograms)
        distance = np.empty((number * tiles, count, count), np.float32)
        known = np.ones((number * tiles, 3, count), np.float32)
        known.reshape(number, tiles, 3, count)[:, :, 2] = self._rise
        ridge = np.empty(number * tiles, np.float32)
        noise = np.empty(number * tiles, np.float32)
        for part, each in zip(_parts(number, tiles), variograms, strict=True):
            square = distance[part]
            other = _other_terms(self._members, each)
            np.matmul(self._members.transpose(0, 2, 1), other, out=square)
            square.reshape(tiles, -1)[:, :: count + 1] = 0
            _power(square, each.power)
            known[part, 0] = np.log(self.values) if each.logarithm else self.values
            # All samples may lie on one surface: then there is no trend.
            ridge[part] = _RIDGE if each.trend else _NO_TREND
            noise[part] = each.noise / count**2
        noise *= np.maximum(np.einsum("tij->t", distance), np.float32(1e-10))
        # Minus a power of the distance is a covariance up to a constant, which the unknown mean
        # absorbs; seen from one sample (the first) it is positive definite.
        from_first = distance[:, 0].copy()
        matrix = np.subtract(from_first[:, None], distance, out=distance)
        matrix += from_first[:, :, None]
        matrix.reshape(len(matrix), -1)[:, :: count + 1] += noise[:, None]
        return _Equations(matrix, known, from_first, ridge)

    def at(
        self, chosen: Sequence[tuple[Variogram, float]], places: Floats32, tile: Indices
    ) -> Floats32:
        """Weighted sum of the predictions of some variograms at places.

        Args:
            chosen: Variograms and their weights.
            places: DxP coordinates of the places, as those of the samples.
            tile: P tile each lies in.

        Returns:
            P float32.
        """
        solved = self.solve([variogram for variogram, _ in chosen])
        others = [_other_terms(self._members, variogram) for variogram, _ in chosen]
        row, of = _rows_of_tiles(tile, len(self.values))
        sums = np.zeros(row.shape, np.float32)
        step = max(1, _BLOCK // (row.shape[1] * self.values.shape[1]))
        for start in range(0, len(row), step):
            here = slice(start, start + step)
            index, total = of[here], sums[here]
            term = _terms(places.take(row[here], axis=1), self._centre.take(index, axis=1))
            for kriged, other, (variogram, share) in zip(solved, others, chosen, strict=True):
                square = np.matmul(term.transpose(0, 2, 1), other.take(index, axis=0))
                distance = _power(square, variogram.power)
                part = np.matmul(distance, kriged.weights.take(index, axis=0)[:, :, None])[..., 0]
                part += kriged.mean[index, None]
                if variogram.trend:
                    part += kriged.slope[index, None] * term[:, 2]
                if variogram.logarithm:
                    np.exp(part, out=part)
                part *= np.float32(share)
                total += part
        result = np.empty(places.shape[1], np.float32)
        result[row] = sums
        return result


@dataclass(frozen=True)
class _Equations:
    """Equations of all tiles for some variograms, one variogram behind the other.

    Attributes:
        matrix: ExKxK covariance of the members.
        known: Ex3xK samples, ones and the surface coordinate, normalised.
        from_first: ExK power of the distance of each member to the first one.
        ridge: E, on the square of the trend.
    """

    matrix: Floats32
    known: Floats32
    from_first: Floats32
    ridge: Floats32


@dataclass(frozen=True)
class _Drift:
    """The unknown mean of each equation and its rise, as generalised least squares has them.

    Attributes:
        level: E mean of the samples where the surface coordinate is 0.
        slope: E rise of it.
    """

    level: Floats32
    slope: Floats32
    _of_one: Floats32  # the terms that the elimination of both needs again
    _of_rise: Floats32
    _shared: Floats32

    @classmethod
    def of(cls, turned: Floats32, ridge: Floats32) -> _Drift:
        """Find it.

        Args:
            turned: Ex3xK: samples, ones and surface coordinate, times the inverse of the factor.
            ridge: E, on the square of the slope.
        """
        (_, one, rise), (_, a, b), (_, _, c) = np.einsum("epk,eqk->pqe", turned, turned)
        b = b / a
        c = np.maximum(c - b * b * a, 0) + ridge * a  # of the rise without its mean
        slope = (rise - b * one) / c
        return cls(one / a - b * slope, slope, a, c, b)

    def without(self, turned: Floats32, inverse: Floats32) -> tuple[Floats32, Floats32]:
        """Weights and precisions of samples from which the drift is taken.

        Args:
            turned: Ex3xL, as in `of`, of the last samples.
            inverse: ExLxL of their part of the factor.

        Returns:
            ExL and ExL.
        """
        weight, one, rise = np.matmul(turned, inverse).transpose(1, 0, 2)
        weight = weight - self.level[:, None] * one
        weight -= self.slope[:, None] * rise
        precision = np.einsum("tji,tji->ti", inverse, inverse)
        precision -= one * one / self._of_one[:, None]
        precision -= np.square(rise - self._shared[:, None] * one) / self._of_rise[:, None]
        return weight, precision


@dataclass(frozen=True)
class Kriged:
    """The equations of some tiles, solved for one variogram.

    Attributes:
        variogram: Which one.
        weights: TxK weights of the members.
        mean: T mean at the centre of each tile's members.
        slope: T rise of the mean with the surface coordinate.
        left_out: TxK prediction of each member from the others.
    """

    variogram: Variogram
    weights: Floats32
    mean: Floats32
    slope: Floats32
    left_out: Floats


def _parts(number: int, size: int) -> list[slice]:
    """Some slices of one size, one behind the other."""
    return [slice(first * size, (first + 1) * size) for first in range(number)]


def _inverse_of_lower(matrix: Floats32) -> Floats32:
    """Inverse of TxNxN lower triangular matrices; what lies above the diagonal is not read."""
    lower = np.ascontiguousarray(matrix.transpose(1, 2, 0))
    inverse = np.zeros_like(lower)
    for row in range(len(lower)):
        inverse[row, row] = 1 / lower[row, row]
        if row:
            before = np.einsum("jt,jkt->kt", lower[row, :row], inverse[:row, :row])
            np.multiply(before, -inverse[row, row], out=inverse[row, :row])
    return np.ascontiguousarray(inverse.transpose(2, 0, 1))


def _terms(places: Floats32, centre: Floats32) -> Floats32:
    """What places bring into square distances: their coordinates and the squares of these.

    Args:
        places: DxTxN.
        centre: DxT, from where they are measured.

    Returns:
        TxMxN: the coordinates, the sums of their squares in the image, in the surface coordinate
        and, where there is colour, in colour, and 1.
    """
    dimensions, tiles, count = places.shape
    off = places - centre[:, :, None]
    squares = [slice(0, 2), slice(2, 3), slice(3, None)][: 2 + (dimensions > 3)]
    terms = np.ones((tiles, dimensions + len(squares) + 1, count), np.float32)
    terms[:, :dimensions] = off.transpose(1, 0, 2)
    np.square(off, out=off)
    for number, (first, *others) in enumerate((off[each] for each in squares), dimensions):
        for other in others:
            first += other
        terms[:, number] = first
    return terms


def _other_terms(members: Floats32, variogram: Variogram) -> Floats32:
    """What the terms of a place are multiplied with for square distances to members.

    Args:
        members: TxMxK terms of the members.
        variogram: Whose weights.

    Returns:
        TxMxK.
    """
    terms = members.shape[1]
    surface, colour = variogram.surface**2, variogram.colour**2
    if terms == _PLAIN_TERMS:
        square, along = [1, surface], [1, 1, surface]
    else:
        square = [1, surface, colour]
        along = [1, 1, surface] + [colour] * (terms - _PLAIN_TERMS - 1)
    other = np.empty_like(members)
    dimensions = len(along)
    twice = np.array(along, np.float32)[:, None] * np.float32(-2)
    np.multiply(members[:, :dimensions], twice, out=other[:, :dimensions])
    weights = np.array(square, np.float32)
    other[:, dimensions:-1] = weights[:, None]
    np.einsum("m,tmk->tk", weights, members[:, dimensions:-1], out=other[:, -1])
    return other


def _rows_of_tiles(tile: Indices, tiles: int) -> tuple[Indices, Indices]:
    """Places in rows of one tile each, so that each row is one product of matrices.

    Args:
        tile: P tile of each place.
        tiles: Number of tiles.

    Returns:
        RxN indices of places, the last one of a tile filling its last row; and R, the tile of each
        row.
    """
    few_bits = tile.astype(np.min_scalar_type(tiles))  # which sort faster
    order = np.argsort(few_bits, kind="stable")
    number = np.bincount(tile, minlength=tiles)
    rows = -(-number // _ROW)
    last, last_row = np.cumsum(number), np.cumsum(rows)
    of = np.repeat(np.arange(tiles), rows)
    first = (last - number - _ROW * (last_row - rows))[of] + _ROW * np.arange(len(of))
    place = np.minimum(first[:, None] + np.arange(_ROW), last[of, None] - 1)
    return order[place], of


def _power(square: Floats32, power: float) -> Floats32:
    """A power of distances, a multiple of a half, from their squares, in place."""
    np.maximum(square, 0, out=square)  # rounding may leave less
    distance = np.sqrt(square, out=square)
    if power == 0.5:
        return np.sqrt(distance, out=distance)
    if power == 1.5:
        distance *= np.sqrt(distance)
    return distance


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
