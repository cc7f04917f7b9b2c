"""Universal kriging of scattered samples over an image and the surfaces in it.

A place is (u, v, s): column and row in image widths, and a surface coordinate (what the network
says of the pixel) that keeps neighbours across an edge apart. Between two places the samples differ
by a power of their distance (power variogram; Chiles and Delfiner, "Geostatistics", 2012, sections
2.5 and 3.4), around an unknown mean that may rise linearly with the surface coordinate. Which
variogram suits a scene cannot be known in advance: each sample is left out in turn, in closed form,
and the variograms that predict it best are averaged.

Samples are shared out among tiles of about equal numbers (splits at the median, as in a k-d tree).
Each tile has an equation of its own over the samples nearest to its centre, so the cost grows
linearly with the number of samples.

Nothing here may start the threads of a BLAS: they wait for each other's cores and make such small
products a hundred times slower. So products are einsum, and of LAPACK only those routines are
called that stay in one thread at these sizes (potrf, potrs with few columns, trtri).
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
_TILE_SAMPLES = 12  # about so many belong to a tile,
_TILE_REACH = 48  # and so many nearest ones are in its equation
_MANY = 2_000  # samples from which on the latter are fewer, for cost
_TILE_REACH_OF_MANY = 32
_TEMPERATURE = 3.0
_MOST_EVIDENCE = 300  # samples beyond which more do not make the choice surer
_RIDGE = 1e-6


@dataclass(frozen=True)
class Variogram:
    """How samples differ with distance; the numbers are relative to the tile's mean distance.

    Attributes:
        surface: Weight of the surface coordinate against image widths.
        power: Power of the distance; 1 is rough, towards 2 smooth.
        noise: Variance of a sample's own error, relative to the mean of distance ** power.
        trend: Whether the mean rises linearly with the surface coordinate.
        logarithm: Whether the logarithm of the samples is kriged.
    """

    surface: float
    power: float
    noise: float
    trend: bool = False
    logarithm: bool = False


VARIOGRAMS = (
    Variogram(0.0, 1.0, 1e-2),
    Variogram(0.25, 1.0, 1e-1),
    Variogram(0.25, 1.0, 1e-2, trend=True),
    Variogram(0.25, 1.0, 1e-3, logarithm=True),
    Variogram(0.5, 0.6, 1e-2),
    Variogram(0.5, 1.4, 1e-2),
    Variogram(1.0, 1.0, 1e-3),
    Variogram(1.0, 1.0, 1e-2, trend=True),
)
"""The ones to choose from: found by forward selection on real frames with 20 to 5000 points."""


@dataclass(frozen=True)
class Tiling:
    """Samples shared out among tiles.

    Attributes:
        centre: Tx2 mean column and row of each tile's own samples.
        owner: N, tile of every sample.
        members: TxK indices of the samples in each tile's equation.
    """

    centre: Floats
    owner: Indices
    members: Indices


def tiling(places: Floats) -> Tiling:
    """Share samples out among tiles.

    Args:
        places: Nx3 places.

    Returns:
        The tiles, a power of two of them.
    """
    from scipy.spatial import cKDTree

    count = len(places)
    depth = 0 if count <= _ONE_TILE else int(np.ceil(np.log2(count / _TILE_SAMPLES)))
    parts = [np.arange(count)]
    for _ in range(depth):
        halves = []
        for part in parts:
            here = places[part, :2]
            axis = int(np.argmax(here.max(axis=0) - here.min(axis=0)))
            order = np.argsort(here[:, axis])
            middle = len(part) // 2
            halves += [part[order[:middle]], part[order[middle:]]]
        parts = halves
    owner = np.empty(count, np.intp)
    for tile, part in enumerate(parts):
        owner[part] = tile
    centre = np.stack([places[part, :2].mean(axis=0) for part in parts])
    if depth:
        reach = _TILE_REACH if count <= _MANY else _TILE_REACH_OF_MANY
        members = cKDTree(places[:, :2]).query(centre, k=reach)[1]
    else:
        members = parts[0][None]
    return Tiling(centre, owner, members)


@dataclass(frozen=True)
class Kriged:
    """The equations of some tiles, solved for one variogram.

    Attributes:
        variogram: Which one.
        weights: TxK weights of the members.
        mean: T constant part of the mean.
        slope: T rise of the mean with the surface coordinate.
        left_out: TxK prediction of each member from the others.
    """

    variogram: Variogram
    weights: Floats
    mean: Floats
    slope: Floats
    left_out: Floats

    def at(self, u: Floats32, v: Floats32, s: Floats32, tile: Indices, members: Floats) -> Floats32:
        """Predict at places.

        Args:
            u: P columns.
            v: P rows.
            s: PxL surface coordinates at each.
            tile: P tile each lies in.
            members: TxKx3 places of the members.

        Returns:
            PxL float32.
        """
        order = np.argsort(tile, kind="stable")
        bounds = np.searchsorted(tile[order], np.arange(len(members) + 1))
        result = np.empty_like(s)
        pull = self.variogram.surface
        half = np.float32(self.variogram.power / 2)
        places = members.astype(np.float32)
        weights = self.weights.astype(np.float32)
        for index in range(len(members)):
            here = order[bounds[index] : bounds[index + 1]]
            if not len(here):
                continue
            known = places[index]
            square = (u[here, None] - known[:, 0]) ** 2 + (v[here, None] - known[:, 1]) ** 2
            if pull:
                step = (s[here, :, None] - known[:, 2]) * np.float32(pull)
                square = np.square(step, out=step) + square[:, None]
            if half == 0.5:
                np.sqrt(square, out=square)
            else:
                square **= half
            value = np.einsum("...k,k->...", square, weights[index])
            if not pull:
                value = np.repeat(value[:, None], s.shape[1], axis=1)
            value += np.float32(self.mean[index]) + np.float32(self.slope[index]) * s[here]
            result[here] = value
        return np.exp(result, out=result) if self.variogram.logarithm else result


def krige(places: Floats, values: Floats, variogram: Variogram) -> Kriged:
    """Solve the kriging equations of some tiles.

    Args:
        places: TxKx3 places of the members of each tile.
        values: TxK positive samples.
        variogram: How they differ.

    Returns:
        The solution.
    """
    from scipy.linalg import lapack

    tiles, count, _ = places.shape
    samples = np.log(values) if variogram.logarithm else values
    scaled = places * np.array([1.0, 1.0, variogram.surface])
    distance = scaled[:, :, None] - scaled[:, None]
    distance = np.einsum("tijc,tijc->tij", distance, distance)
    distance **= variogram.power / 2
    mean_distance = np.maximum(distance.mean(axis=(1, 2)), 1e-12)
    # Minus a power of the distance is a covariance up to a constant, which the unknown mean
    # absorbs; seen from one sample (the first) it is positive definite.
    matrix = distance[:, :1] + distance[:, :, :1] - distance
    matrix += (variogram.noise * mean_distance)[:, None, None] * np.eye(count)
    surface = places[:, :, 2]
    middle = surface.mean(axis=1)
    spread = surface.std(axis=1) + 1e-9
    columns = [samples, np.ones((tiles, count))]
    if variogram.trend:
        columns.append((surface - middle[:, None]) / spread[:, None])
    known = np.stack(columns, axis=2)
    solved = np.empty_like(known)
    diagonal = np.empty((tiles, count))
    for tile in range(tiles):
        factor, _ = lapack.dpotrf(matrix[tile], lower=1)
        solved[tile], _ = lapack.dpotrs(factor, known[tile], lower=1)
        root, _ = lapack.dtrtri(factor, lower=1)
        diagonal[tile] = np.einsum("ij,ij->j", root, root)
    drift, turned = known[:, :, 1:], solved[:, :, 1:]
    gain = _inverted(np.einsum("tip,tiq->tpq", drift, turned))
    level = np.einsum("tpq,tiq,ti->tp", gain, turned, samples)
    weight = solved[:, :, 0] - np.einsum("tip,tp->ti", turned, level)
    diagonal -= np.einsum("tip,tpq,tiq->ti", turned, gain, turned)
    left_out = samples - weight / diagonal
    # Prediction is level + slope * s - sum of weight * distance ** power, and the constant that
    # the unknown mean absorbed.
    mean = level[:, 0] + np.einsum("ti,ti->t", distance[:, 0], weight)
    slope = np.zeros(tiles)
    if variogram.trend:
        slope = level[:, 1] / spread
        mean -= slope * middle
    if variogram.logarithm:
        np.exp(left_out, out=left_out)
    return Kriged(variogram, -weight, mean, slope, left_out)


def _inverted(matrix: Floats) -> Floats:
    """Inverse of Tx1x1 or Tx2x2 positive matrices."""
    if matrix.shape[1] == 1:
        return 1 / matrix
    a, b, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 1]
    d = d + _RIDGE * a  # where all samples lie on one surface there is no trend
    swapped = np.stack([np.stack([d, -b], axis=1), np.stack([-b, a], axis=1)], axis=1)
    return np.asarray(swapped / (a * d - b * b)[:, None, None])


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
