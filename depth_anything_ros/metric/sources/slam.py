"""Scale from a monocular SLAM system whose trajectory is laid over metric odometry."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from depth_anything_ros.frames import FloatArray, Frame, Prediction, SparsePoints
from depth_anything_ros.geometry.camera import project
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError
from depth_anything_ros.metric.similarity import Similarity, robust_umeyama
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
