"""Scale from a monocular SLAM system whose trajectory is laid over metric odometry."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from depth_anything_ros.frames import FloatArray, Frame, Prediction, SparsePoints
from depth_anything_ros.geometry.camera import project
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
    fit_settings,
)
from depth_anything_ros.metric.sources.sparse import measure_points
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

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


@dataclass(frozen=True)
class SlamSettings:
    """How SLAM is brought to metres.

    Attributes:
        window: Number of poses the trajectories are compared over.
        min_poses: Fewest poses to compare.
        min_motion: Metres that the camera must have moved within the window.
        min_step: Metres between poses that are kept.
        min_inlier_share: Smallest share of the poses that must agree.
        fit: How scale and shift are fitted to the map points.
    """

    window: int = 100
    min_poses: int = 8
    min_motion: float = 0.3
    min_step: float = 0.02
    min_inlier_share: float = 0.5
    fit: FitSettings = field(default_factory=FitSettings)


class SlamSource:
    """Scales the SLAM map to metric odometry and fits the network to its points.

    Args:
        settings: How to scale.
    """

    name = "slam"

    def __init__(self, settings: SlamSettings | None = None) -> None:
        self._settings = settings or SlamSettings()
        self._poses: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=self._settings.window)

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Align and fit; see `ScaleSource.measure`."""
        if frame.slam is None:
            raise UnmeasurableError("no SLAM pose and map for this image")
        if frame.pose is None:
            raise UnmeasurableError("no metric odometry to scale the SLAM map with")
        if frame.camera is None:
            raise UnmeasurableError("no camera_info: map points cannot be projected")
        similarity = self._align(frame.slam.pose, frame.pose)
        rotation, position = frame.slam.pose[:3, :3], frame.slam.pose[:3, 3]
        in_camera = similarity.scale * (frame.slam.points - position) @ rotation
        points = SparsePoints(*project(frame.camera, in_camera), source="SLAM map")
        return measure_points(prediction, points, self._settings.fit, self.name)

    def reset(self) -> None:
        """Reset the trajectories."""
        self._poses.clear()

    def _align(self, slam_pose: FloatArray, metric_pose: FloatArray) -> Similarity:
        settings = self._settings
        here = metric_pose[:3, 3]
        if not self._poses or np.linalg.norm(self._poses[-1][1] - here) >= settings.min_step:
            self._poses.append((slam_pose[:3, 3].copy(), here.copy()))
        source, target = (np.array(part) for part in zip(*self._poses, strict=True))
        moved = float(np.linalg.norm(np.ptp(target, axis=0)))
        if len(target) < settings.min_poses or moved < settings.min_motion:
            raise UnmeasurableError(
                f"the camera has moved {moved:.2f} m over {len(target)} poses; the SLAM scale "
                f"needs {settings.min_motion:g} m and {settings.min_poses} poses"
            )
        similarity = robust_umeyama(source, target, settings.fit.seed)
        if similarity.inlier_share < settings.min_inlier_share:
            raise UnmeasurableError(
                f"only {similarity.inlier_share:.0%} of the SLAM poses agree with the odometry; "
                f"at least {settings.min_inlier_share:.0%} must"
            )
        return similarity


def _make(settings: ScalerSettings, info: ModelInfo) -> SlamSource:
    return SlamSource(SlamSettings(fit=fit_settings(settings)))


SCALE_SOURCES.register(
    SourceRecord(
        name="slam",
        rank=30,
        meaning="the map of a monocular SLAM system, brought to metres by odometry",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA, FrameInput.POSE, FrameInput.SLAM}),
        settings=("fit_shift", "min_points", "refinement"),
    )
)
