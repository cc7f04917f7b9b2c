"""The similarity (scale, rotation, translation) between two sets of paired positions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.frames import FloatArray
from depth_anything_ros.metric.fit import UnmeasurableError

_STREAM = 4  # apart from other users of the same seed
_TRIPLES = 64  # with 40 % of the pairs wrong, some 14 are right
_ROUNDS = 10
_TUKEY = 4.685  # 95 % efficiency for Gaussian noise (Holland and Welsch 1977)


@dataclass(frozen=True)
class Similarity:
    """A Sim(3): target = scale * rotation @ source + translation.

    Attributes:
        scale: Ratio of lengths, target / source.
        rotation: 3x3 float64.
        translation: 3 float64, in target units.
        inlier_share: Share of the pairs of positions that agree.
    """

    scale: float
    rotation: FloatArray
    translation: FloatArray
    inlier_share: float = 1.0

    def apply(self, points: FloatArray) -> FloatArray:
        """Move Nx3 points of the source into the target."""
        return self.scale * points @ self.rotation.T + self.translation


def umeyama(source: FloatArray, target: FloatArray, weight: FloatArray | None = None) -> Similarity:
    """Least-squares similarity between paired points (Umeyama 1991, eqs. 40 to 42).

    Args:
        source: Nx3 points.
        target: Nx3 points, in order.
        weight: N weights, None for equal ones.

    Returns:
        The similarity.

    Raises:
        UnmeasurableError: All source or all target points coincide.
    """
    weight = np.ones(len(source)) if weight is None else weight
    share = weight / weight.sum()
    centre_source, centre_target = share @ source, share @ target
    a, b = source - centre_source, target - centre_target
    u, singular, vt = np.linalg.svd((b * share[:, None]).T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1])
    variance = float(share @ (a**2).sum(axis=1))
    scale = float(singular @ sign) / variance if variance > 0 else 0.0
    if not scale > 0:
        raise UnmeasurableError("the positions coincide: there is no motion to take a scale from")
    rotation = (u * sign) @ vt
    return Similarity(scale, rotation, centre_target - scale * rotation @ centre_source)


def robust_umeyama(
    source: FloatArray, target: FloatArray, seed: int = 0, noise: float = 1e-12
) -> Similarity:
    """The similarity that most pairs agree on.

    Triples of pairs, random ones where there are many, the one with the least median distance
    starts (least median of squares, Rousseeuw 1984), then Umeyama with Tukey's weights.

    Args:
        source: Nx3 points, N at least 3.
        target: Nx3 points, in order.
        seed: Of the triples.
        noise: Distance between pairs that are right to be expected at least, in target units. A
            few pairs alone do not tell it: a triple of five fits the third best nearly exactly,
            and without `noise` the two others would be thrown away.

    Returns:
        The similarity.

    Raises:
        UnmeasurableError: The points coincide.
    """
    best, least = umeyama(source, target), np.inf
    for triple in _triples(len(source), seed):
        try:
            candidate = umeyama(source[triple], target[triple])
        except UnmeasurableError:
            continue
        median = float(np.median(_distances(candidate, source, target)))
        if median < least:
            best, least = candidate, median
    for _ in range(_ROUNDS):
        distance = _distances(best, source, target)
        spread = max(1.4826 * float(np.median(distance)), noise)
        weight = np.clip(1 - (distance / (_TUKEY * spread)) ** 2, 0, None) ** 2
        best = umeyama(source, target, weight)
    return Similarity(
        best.scale, best.rotation, best.translation, float(np.mean(distance < 3 * spread))
    )


def _triples(count: int, seed: int) -> Iterable[list[int]]:
    """Three different numbers below `count`, each time: all such triples, or some at random."""
    if math.comb(count, 3) <= _TRIPLES:
        return map(list, itertools.combinations(range(count), 3))
    rng = np.random.default_rng((seed, _STREAM))
    return (list(rng.choice(count, 3, replace=False)) for _ in range(_TRIPLES))


def _distances(similarity: Similarity, source: FloatArray, target: FloatArray) -> FloatArray:
    return np.linalg.norm(similarity.apply(source) - target, axis=1)
