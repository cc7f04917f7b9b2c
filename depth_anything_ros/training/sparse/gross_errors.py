"""Gross errors of measured points: bad echoes, dirty windows, mirrors, reflections."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import SparsePoints

# Own choices.
_RIGHT = 0.3  # share of the draws without errors
_ALONE = 0.35  # with single ones; the others have wrong places,
_BOTH = 0.05  # and some both
_SHARES_ALONE = (0.01, 0.38)  # of the points, uniform in the logarithm
_SHARES_TOGETHER = (0.03, 0.35)
_SECOND_PLACE = 0.15
_WITH_RIGHT_ONES = 0.15  # share of the places in which _RIGHT_AMONG of the points are right
_RIGHT_AMONG = 0.4
_GROSS = 0.25  # of log depth: what is off by less is not grossly wrong
_NEAREST_M, _FARTHEST_M = 0.05, 300.0


def with_gross_errors(
    rng: np.random.Generator, points: SparsePoints
) -> tuple[SparsePoints, npt.NDArray[np.bool_]]:
    """Make some points wrong, or none.

    Args:
        rng: Decides everything.
        points: N points, all right.

    Returns:
        The points, and N bool: which are off by more than a quarter.
    """
    z = points.z.copy()
    kind = rng.random()
    if _RIGHT <= kind < _RIGHT + _ALONE or kind >= 1 - _BOTH:
        share = np.exp(rng.uniform(*np.log(_SHARES_ALONE)))
        wrong = rng.random(len(z)) < share
        z[wrong] *= _factors(rng, points.z)[wrong]
    if kind >= _RIGHT + _ALONE:
        for _ in range(1 + (rng.random() < _SECOND_PLACE)):
            wrong = _place(rng, points)
            z[wrong] = _moved(rng, points.z, wrong)
            if rng.random() < _WITH_RIGHT_ONES:
                right = wrong[rng.random(len(wrong)) < _RIGHT_AMONG]
                z[right] = points.z[right]
    z = np.clip(z, _NEAREST_M, _FARTHEST_M)
    return SparsePoints(points.u, points.v, z), np.abs(np.log(z / points.z)) > _GROSS


def _factors(rng: np.random.Generator, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By what each point would be off, if it were wrong alone."""
    if rng.random() < 0.6:
        sides = rng.choice([-1, 1], len(z))
        factor = np.exp(rng.uniform(np.log(1.3), np.log(5.5), len(z)) * sides)
    else:
        factor = np.exp(rng.normal(0, 0.8, len(z)))
    kind = rng.random()
    if kind < 0.15:
        factor = np.maximum(factor, 1 / factor)
    elif kind < 0.3:
        factor = np.minimum(factor, 1 / factor)
    elif kind < 0.4:  # anywhere in the range of the sensor
        factor = rng.uniform(z.min(), z.max(), len(z)) / z
    return np.asarray(factor)


def _place(rng: np.random.Generator, points: SparsePoints) -> npt.NDArray[np.intp]:
    """Points in one place: a rectangle or a turned ellipse."""
    share = np.exp(rng.uniform(*np.log(_SHARES_TOGETHER)))
    centre = rng.integers(len(points))
    across, down = points.u - points.u[centre], points.v - points.v[centre]
    if rng.random() < 0.5:
        away = np.maximum(np.abs(across), np.abs(down) * rng.uniform(0.4, 2.5))
    else:
        turn = rng.uniform(0, np.pi)
        along = across * np.cos(turn) + down * np.sin(turn)
        away = np.hypot(along, (down * np.cos(turn) - across * np.sin(turn)) * rng.uniform(1, 3))
    return np.argsort(away)[: max(2, round(share * len(points)))]


def _moved(
    rng: np.random.Generator, z: npt.NDArray[np.float64], wrong: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Depth of a wrong place."""
    kind = rng.random()
    if kind < 0.3:
        return np.asarray(z[wrong] * rng.uniform(1.4, 3.5))
    if kind < 0.55:
        return np.asarray(z[wrong] * rng.uniform(0.25, 0.75))
    if kind < 0.7:  # dirt on the window
        dirt = np.quantile(z, 0.02) * rng.uniform(0.4, 1)
        return np.asarray(dirt * (1 + 0.03 * rng.standard_normal(len(wrong))))
    if kind < 0.85:  # a mirror: everything is farther by the same
        return np.asarray(z[wrong] + rng.uniform(0.3, 2) * np.median(z))
    side = (0.3, 0.7) if rng.random() < 0.5 else (1.4, 3)
    return np.full(len(wrong), np.median(z[wrong]) * rng.uniform(*side))
