"""Scale from several views: known camera positions against those a network estimates of them.

The network (Depth Anything 3) gives depth and camera positions in one unit of its own. The
similarity from the known positions to its own has that unit per metre as its scale (official
api.py, _align_to_input_extrinsics_intrinsics, there with RANSAC from ten views on).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from depth_anything_ros.frames import FloatArray, Frame, Prediction
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.similarity import Similarity, robust_umeyama, umeyama
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
)
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

_FEWEST_FOR_VOTE = 4  # with three positions any one may be the wrong one


def estimated_pose(prediction: Prediction, frame: Frame) -> FloatArray | None:
    """Where the image was taken, as the network sees it from the keyframes.

    Args:
        prediction: The network's answer, with poses.
        frame: The image with its keyframes; its own pose does not enter, but into the scale where
            the keyframes alone give none.

    Returns:
        4x4 float64, optical frame -> the fixed frame of the keyframes, metres; None where the
        positions give no scale.
    """
    source = ViewsSource()
    try:
        scale = source.measure(prediction, replace(frame, pose=None)).scale
    except UnmeasurableError:
        try:
            scale = source.measure(prediction, frame).scale
        except UnmeasurableError:
            return None
    assert prediction.poses is not None
    newest, others = prediction.poses[0], prediction.poses[1:]
    known = np.array([each.pose for each in frame.keyframes])
    turns = known[:, :3, :3] @ others[:, :3, :3].swapaxes(1, 2)
    turn = Rotation.from_matrix(turns).mean().as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = turn @ newest[:3, :3]
    ways = scale * (newest[:3, 3] - others[:, :3, 3]) @ turn.T
    pose[:3, 3] = np.median(known[:, :3, 3] + ways, axis=0)
    return pose


@dataclass(frozen=True)
class ViewsSettings:
    """When estimated camera positions are believed (own choices).

    Attributes:
        min_spread: Metres between the two known positions that are farthest apart: odometry that is
            wrong by 2 % on every 2 cm is so by 0.5 % over 0.3 m.
        noise: Distance to be expected at least between known and estimated positions, as a share of
            their spread.
        tolerance: Distance between a known and an estimated position up to which they agree, as a
            share of their spread.
        min_inlier_share: Smallest share of the positions that must agree.
        max_turn_deg: Largest median difference between known and estimated rotations from the
            image to its keyframes, in degrees.
    """

    min_spread: float = 0.3
    noise: float = 0.03
    tolerance: float = 0.1
    min_inlier_share: float = 0.7
    max_turn_deg: float = 10.0


class ViewsSource:
    """Compares known positions of the camera with those of the network.

    Args:
        settings: When they are believed.
        seed: Of random choices.
    """

    name = "views"

    def __init__(self, settings: ViewsSettings | None = None, seed: int = 0) -> None:
        self._settings = settings or ViewsSettings()
        self._seed = seed

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Align the positions; see `ScaleSource.measure`."""
        known_poses, estimated_poses = self._poses(prediction, frame)
        known, estimated = known_poses[:, :3, 3], estimated_poses[:, :3, 3]
        turn = _turn_between(known_poses[:, :3, :3], estimated_poses[:, :3, :3])
        similarity = self._similarity(known, estimated)
        spread = _spread(known)
        off = np.linalg.norm(similarity.apply(known) - estimated, axis=1)
        off /= similarity.scale * spread
        settings = self._settings
        agree = off < settings.tolerance
        inliers, share = int(agree.sum()), float(agree.mean())
        if share < settings.min_inlier_share or turn > settings.max_turn_deg:
            raise UnmeasurableError(
                f"the network sees another motion than the odometry ({inliers} of {len(known)} "
                f"camera positions over {spread:.2f} m agree, rotations differ by {turn:.0f} "
                "degrees)"
            )
        return Measurement(
            method=self.name,
            reason=f"{inliers} of {len(known)} camera positions over {spread:.2f} m agree to "
            f"{float(np.median(off[agree])):.1%}",
            scale=1 / similarity.scale,
            inliers=inliers,
            inlier_share=share,
        )

    def reset(self) -> None:
        """Nothing is remembered."""

    def _poses(self, prediction: Prediction, frame: Frame) -> tuple[FloatArray, FloatArray]:
        """Known and estimated poses of the same images, Nx4x4 each."""
        if not frame.keyframes:
            raise UnmeasurableError(
                "no odometry: where the camera was is unknown"
                if frame.pose is None
                else "the camera has not moved enough to see the scene from several places"
            )
        if prediction.poses is None:
            raise UnmeasurableError("the network estimates no poses")
        known = [each.pose for each in frame.keyframes]
        estimated = prediction.poses[1:]
        if frame.pose is not None:
            known, estimated = [frame.pose, *known], prediction.poses
        poses = np.array(known)
        spread = _spread(poses[:, :3, 3])
        if spread < self._settings.min_spread:
            raise UnmeasurableError(
                f"the known places of the camera are only {spread:.2f} m apart; the scale needs "
                f"{self._settings.min_spread:g} m"
            )
        return poses, estimated

    def _similarity(self, known: FloatArray, estimated: FloatArray) -> Similarity:
        if len(known) < _FEWEST_FOR_VOTE:
            return umeyama(known, estimated)
        noise = self._settings.noise * _spread(estimated)
        return robust_umeyama(known, estimated, self._seed, noise)


def _spread(positions: FloatArray) -> float:
    """Distance between the two positions that are farthest apart."""
    return float(np.linalg.norm(positions[:, None] - positions[None], axis=2).max())


def _turn_between(known: FloatArray, estimated: FloatArray) -> float:
    """Median angle in degrees between rotations to the first view, of the others."""
    relative = [rotations[:1].swapaxes(1, 2) @ rotations[1:] for rotations in (known, estimated)]
    cosines = (np.einsum("nij,nij->n", *relative) - 1) / 2
    return float(np.degrees(np.median(np.arccos(np.clip(cosines, -1, 1)))))


def _make(settings: ScalerSettings, info: ModelInfo) -> ViewsSource:
    return ViewsSource(seed=settings.seed)


def _why_not(settings: ScalerSettings, info: ModelInfo) -> str | None:
    if info.window > 1:
        return None
    return (
        f"scaler is 'views' but {info.name} sees one image at a time; use an any-view network of "
        "Depth Anything 3 (da3_small, da3_base) with a window of 2 or more"
    )


SCALE_SOURCES.register(
    SourceRecord(
        name="views",
        rank=15,
        meaning="several views of a moving camera, whose poses are known in metres from odometry",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA, FrameInput.POSE}),
        why_not=_why_not,
    )
)
