"""The similarity (scale, rotation, translation) between two sets of paired positions."""

from __future__ import annotations

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


def robust_umeyama(source: FloatArray, target: FloatArray, seed: int = 0) -> Similarity:
    """The similarity that most pairs agree on.

    Random triples of pairs, the one with the least median distance starts (least median of
    squares, Rousseeuw 1984), then Umeyama with Tukey's weights.

    Args:
        source: Nx3 points, N at least 3.
        target: Nx3 points, in order.
        seed: Of the triples.

    Returns:
        The similarity.

    Raises:
        UnmeasurableError: The points coincide.
    """
    rng = np.random.default_rng((seed, _STREAM))
    best, least = umeyama(source, target), np.inf
    for _ in range(_TRIPLES):
        triple = rng.choice(len(source), 3, replace=False)
        try:
            candidate = umeyama(source[triple], target[triple])
        except UnmeasurableError:
            continue
        median = float(np.median(_distances(candidate, source, target)))
        if median < least:
            best, least = candidate, median
    for _ in range(_ROUNDS):
        distance = _distances(best, source, target)
        spread = max(1.4826 * float(np.median(distance)), 1e-12)
        weight = np.clip(1 - (distance / (_TUKEY * spread)) ** 2, 0, None) ** 2
        best = umeyama(source, target, weight)
    return Similarity(
        best.scale, best.rotation, best.translation, float(np.mean(distance < 3 * spread))
    )


def _distances(similarity: Similarity, source: FloatArray, target: FloatArray) -> FloatArray:
    return np.linalg.norm(similarity.apply(source) - target, axis=1)
