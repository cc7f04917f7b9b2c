"""A smooth field through scattered, partly wrong samples: kriging with a bilateral kernel.

Kriging (Gaussian process regression; Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, chapters 2 and 5) with mean zero: where samples are the field follows them, far
from all it is zero. A place is (u, v, l): column and row in image widths, and a third coordinate
that says which surface a pixel lies on, so that neighbours across an edge hardly speak to each
other. What cannot be known in advance (how far the third coordinate reaches, how noisy samples are,
whether some are grossly wrong) is chosen by leaving each sample out in turn, in closed form.

Linear algebra goes through SciPy alone: NumPy brings threads of its own, and two sets of threads
that wait for each other's cores make these small products several times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

REACH_UV = 0.8
"""Length of the exponential kernel over the image, in image widths (own choice: long, because
an exponential kernel that is long is the linear variogram, which needs no tuning)."""

REACHES_L = (0.5, 2.0)
"""Lengths over the third coordinate to choose from, in units of its range in the image."""

NOISES = (0.003, 0.03)
"""Noise variances to choose from, relative to the variance of the field."""

GROSS = 0.5
"""Difference from which on a sample counts as grossly wrong, and a left-out one as no worse."""

# Own choices, made on real frames for robustness (below) and cost (the last two).
_CUT = 2.5  # standard deviations where doubt about a sample sets in
_NEIGHBOURS = 12  # whose median a sample is compared with
_ROUNDS = 2  # of reweighting
_FEW = 0.03  # share of gross samples up to which none is doubted: edges look gross too
_MANY = 0.15  # share from which on gross samples are dropped before anything else
_MAX_CENTRES = 256
_MAX_JUDGES = 128


@dataclass(frozen=True)
class Field:
    """A fitted field.

    Attributes:
        centres: Mx3 float32 places of the samples it was made of.
        weights: M float32, one per centre.
        reach_l: Length of its kernel over the third coordinate.
        robust: Whether leaving samples out showed that some are grossly wrong.
        error: Mean of min(|residual|, GROSS) of left-out samples.
    """

    centres: Floats
    weights: Floats
    reach_l: float
    robust: bool
    error: float

    def on_lattice(self, u: Floats, v: Floats, layers: Floats) -> Floats:
        """Evaluate the field on a regular lattice; cheap because the kernel is a product.

        Args:
            u: Columns of the lattice in image widths.
            v: Rows of the lattice in image widths.
            layers: Third coordinates of the lattice.

        Returns:
            len(v) x len(u) x len(layers) float32.
        """
        from scipy.linalg import blas

        grid = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2).astype(np.float32)
        over_image = np.exp(_distance(grid, self.centres) * np.float32(-1 / REACH_UV))
        over_layers = _surface_kernel(layers, self.centres[:, 2], self.reach_l)
        values = blas.sgemm(1.0, over_image.T, self.weights[:, None] * over_layers.T, trans_a=1)
        return values.reshape(len(v), len(u), len(layers))


def fit_field(places: Floats, values: Floats) -> Field | None:
    """Fit the field that predicts left-out samples best.

    Args:
        places: Nx3 float32 (u, v, l), in random order: the first ones judge the choices.
        values: N float32 samples.

    Returns:
        The field, or None when no field predicts left-out samples better than zero does.
    """
    from scipy.linalg import lapack

    gross = _gross_share(places[:_MAX_CENTRES], values[:_MAX_CENTRES])
    if gross > _MANY:
        agree = _agreeing(places, values)
        places, values = places[agree], values[agree]
    centres, heights, noise = _merged(places, values)
    count = min(len(heights), _MAX_JUDGES)
    judges, truth = centres[:count], heights[:count]
    choices = [(False, noise)]
    if gross > _FEW:
        choices.append((True, _sample_noise(centres, heights, noise)))
    best = (float(np.minimum(np.abs(truth), GROSS).mean()), 0.0, 0.0, False, noise)
    for reach in REACHES_L:
        kernel = _kernel(judges, judges, reach)
        for robust, variances in choices:
            for level in NOISES:
                residual = _left_out(kernel, np.float32(level) * variances[:count], truth)[0]
                error = float(np.minimum(np.abs(residual), GROSS).mean())
                if error < best[0]:
                    best = (error, reach, level, robust, variances)
    error, reach, level, robust, variances = best
    if not reach:
        return None
    kernel = _kernel(centres, centres, reach)
    if robust:
        variances = _reweighted(kernel, level, heights, variances, noise)
    kernel[np.diag_indices_from(kernel)] += np.float32(level) * variances
    _, weights, _ = lapack.sposv(kernel, heights, lower=1)
    return Field(centres, weights, reach, robust or gross > _MANY, error)


def spread(values: npt.NDArray[Any]) -> float:
    """Robust standard deviation around zero: 1.4826 times the median absolute value."""
    return 1.4826 * float(np.median(np.abs(values))) + 1e-6


def _distance(a: Floats, b: Floats) -> Floats:
    """Distances over the image, len(a) x len(b)."""
    square = (a[:, :1] - b[:, 0]) ** 2
    square += (a[:, 1:2] - b[:, 1]) ** 2
    return np.sqrt(square, out=square)


def _surface_kernel(a: Floats, b: Floats, reach: float) -> Floats:
    """Matern kernel of smoothness 3/2 over the third coordinate, len(a) x len(b)."""
    ratio = np.abs(a[:, None] - b[None]) * np.float32(np.sqrt(3) / reach)
    return (1 + ratio) * np.exp(-ratio)


def _kernel(a: Floats, b: Floats, reach: float) -> Floats:
    """Exponential over the image times Matern over the third coordinate, len(a) x len(b)."""
    over_image = np.exp(_distance(a, b) * np.float32(-1 / REACH_UV))
    return over_image * _surface_kernel(a[:, 2], b[:, 2], reach)


def _left_out(kernel: Floats, noise: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Residual and variance of each sample predicted from all others.

    Rasmussen and Williams, eq. 5.12: with A = (K + noise)^-1 the residual is (A y)_i / A_ii and
    the variance 1 / A_ii; the sample's own noise is taken out of the latter.
    """
    from scipy.linalg import lapack

    matrix = kernel.copy()
    matrix[np.diag_indices_from(matrix)] += noise
    factor, _ = lapack.spotrf(matrix, lower=1, overwrite_a=1)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    diagonal: Floats = np.diag(inverse).astype(np.float32)
    lower = np.tril(inverse, -1)
    total = (lower * values).sum(axis=1) + (lower * values[:, None]).sum(axis=0)
    residual: Floats = total / diagonal + values
    variance: Floats = np.float32(1) / diagonal - noise
    return residual, variance


def _doubt(z: Floats) -> Floats:
    """Factor on the noise of a sample z standard deviations off (Geman and McClure 1987)."""
    return (1 + (z / np.float32(_CUT)) ** 2) ** 2


def _sample_noise(places: Floats, values: Floats, noise: Floats) -> Floats:
    """Noise of every sample, large for those that contradict their neighbours.

    Starts from each sample's distance to the median of its neighbours, which a minority of gross
    errors cannot move, then reweights by left-out residuals.
    """
    off = values - _neighbour_median(places, values, places)
    doubted = noise * _doubt(off / np.float32(spread(off)))
    return _reweighted(_kernel(places, places, 1.0), NOISES[-1], values, doubted, noise)


def _neighbour_median(places: Floats, values: Floats, where: Floats) -> Floats:
    """Median of the samples nearest to some places, themselves aside."""
    from scipy.spatial import cKDTree

    near = np.array([1, 1, 0.5], np.float32)
    k = min(_NEIGHBOURS, len(values) - 1)
    _, index = cKDTree(places * near).query(where * near, k=k + 1)
    return np.median(values[index[:, 1:]], axis=1).astype(np.float32)


def _gross_share(places: Floats, values: Floats) -> float:
    """Share of the samples that are grossly off the median of their neighbours."""
    return float(np.mean(np.abs(values - _neighbour_median(places, values, places)) > GROSS))


def _agreeing(places: Floats, values: Floats) -> npt.NDArray[np.bool_]:
    """Samples near the median of their neighbours, in a second round of those that were."""
    agree = np.ones(len(values), bool)
    for _ in range(2):
        off = np.abs(values - _neighbour_median(places[agree], values[agree], places))
        agree = off < max(GROSS, 4 * spread(off[agree]))
    return agree


def _reweighted(
    kernel: Floats, level: float, values: Floats, doubted: Floats, noise: Floats
) -> Floats:
    """Noise of every sample from how far off it lies when it is left out."""
    for _ in range(_ROUNDS):
        residual, variance = _left_out(kernel, np.float32(level) * doubted, values)
        z = residual / np.sqrt(np.maximum(variance, 0) + np.float32(level))
        doubted = noise * _doubt(z / np.float32(spread(z)))
    return doubted.astype(np.float32)


def _merged(places: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Merge samples that share a cell until at most _MAX_CENTRES are left, in random order.

    Returns:
        Mean place and median value of each cell, and its noise relative to that of one sample.
    """
    count = len(values)
    if count <= _MAX_CENTRES:
        return places, values, np.ones(count, np.float32)
    size = 0.5 / np.sqrt(_MAX_CENTRES)
    while True:
        cells = (places * np.array([1 / size, 1 / size, 4], np.float32)).astype(np.int64)
        key = (cells[:, 2] * 4096 + cells[:, 1]) * 4096 + cells[:, 0]
        unique, index = np.unique(key, return_inverse=True)
        if len(unique) <= _MAX_CENTRES:
            break
        size *= 1.12
    members = np.bincount(index)
    order = np.lexsort((values, index))
    start = np.cumsum(members) - members
    median = (values[order[start + (members - 1) // 2]] + values[order[start + members // 2]]) / 2
    mean = np.stack([np.bincount(index, places[:, i]) / members for i in range(3)], axis=1)
    shuffle = np.argsort(np.modf(unique * 0.6180339887498949)[0])
    noise = np.maximum(1 / members, 0.2)
    return (
        mean[shuffle].astype(np.float32),
        median[shuffle].astype(np.float32),
        noise[shuffle].astype(np.float32),
    )
