"""How often the error of depth lies within its sigma, at pixels whose depth was not given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.benchmark.fusion import Scene
from depth_anything_ros.frames import FloatArray, Frame, Prediction, PredictionKind
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.sparse import SparseSource

LEVELS = tuple(round(0.25 * step, 2) for step in range(1, 17))
"""Multiples of sigma at which a reliability diagram is drawn."""


@dataclass(frozen=True)
class Reliability:
    """Errors in units of sigma in one scene.

    Attributes:
        scene: Its name.
        count: Points given.
        seed: Of their choice.
        errors: N float64, |error| / sigma at truth points that were not given.
    """

    scene: str
    count: int
    seed: int
    errors: FloatArray


def reliability(scene: Scene, count: int, seed: int) -> Reliability | None:
    """Compare error and sigma in one scene.

    Args:
        scene: Network and truth.
        count: Points given.
        seed: Of their choice.

    Returns:
        The errors, or None where the scene has too few points or no depth comes of them.
    """
    parts = scene.split(count, seed)
    if parts is None:
        return None
    given, asked = parts
    shape = scene.disparity.shape
    prediction = Prediction(scene.disparity, PredictionKind.RELATIVE_DISPARITY, shape)
    rgb = np.zeros((*shape, 3), np.uint8) if scene.rgb is None else scene.rgb
    scaled = LiveScaler([SparseSource()]).scale(prediction, Frame(rgb, points=given))
    if scaled.depth_m is None or scaled.sigma_m is None:
        return None
    error = np.abs(values_at(scaled.depth_m, asked) - asked.z)
    errors = error / values_at(scaled.sigma_m, asked)
    return Reliability(scene.name, count, seed, errors[np.isfinite(errors)])


def within(found: Sequence[Reliability], times: float) -> float:
    """Share of errors that are at most so many sigma.

    Args:
        found: At least one, with errors.
        times: Multiple of sigma.
    """
    return float(np.mean(np.concatenate([each.errors for each in found]) <= times))


def normal_within(times: float) -> float:
    """The same share of a normal distribution, whose sigma is right."""
    return math.erf(times / math.sqrt(2))
