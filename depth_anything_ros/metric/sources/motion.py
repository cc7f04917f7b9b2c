"""Scale from the camera's own motion: corners tracked between keyframes and triangulated.

Odometry is better for the distance of the motion, the image for the rotation: an error of half
a degree is common in odometry and ruins triangulation, yet moves every corner by several pixels. So
the relative pose is first adjusted to the tracked corners, as far as odometry may be wrong.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Frame, Prediction, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, distort, project
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
    fit_settings,
)
from depth_anything_ros.metric.sources.sparse import measure_points
from depth_anything_ros.metric.triangulation import (
    ROTATION_ERROR_DEG,
    TRANSLATION_ERROR,
    GreyImage,
    adjusted_motion,
    depths_along,
    epipolar_distance,
    follow_both_ways,
    rays_of,
)
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MotionSettings:
    """How structure is taken from motion.

    Attributes:
        corners: Most corners per keyframe.
        keyframes: Keyframes kept; the current image is compared with each.
        memory: Images whose points are kept and carried into the present one.
        min_parallax_deg: Smallest angle between the two rays of a point.
        max_error_px: Largest forward-backward, epipolar and reprojection error.
        rotation_error_deg: Standard deviation of the odometry's relative rotation, per axis.
        translation_error: The same of its relative translation, as a share of the way.
        new_keyframe_deg: Median parallax to the newest keyframe that calls for another one.
        max_range: Metres beyond which a point is not used.
        fit: How scale and shift are fitted to the points.
    """

    corners: int = 600
    keyframes: int = 3
    memory: int = 10
    min_parallax_deg: float = 1.5
    max_error_px: float = 1.5
    rotation_error_deg: float = ROTATION_ERROR_DEG
    translation_error: float = TRANSLATION_ERROR
    new_keyframe_deg: float = 4.0
    max_range: float = 100.0
    fit: FitSettings = field(default_factory=FitSettings)


@dataclass(frozen=True)
class _Keyframe:
    """An image to compare later ones with."""

    grey: GreyImage
    corners: FloatArray  # Nx2 pixels
    rays: FloatArray  # Nx3, z = 1
    pose: FloatArray


class MotionSource:
    """Triangulates corners with the metric poses of the camera and fits the network to them.

    Args:
        settings: How to triangulate.
    """

    name = "motion"

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self._settings = settings or MotionSettings()
        self._keyframes: list[_Keyframe] = []
        self._map: deque[FloatArray] = deque(maxlen=self._settings.memory)

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Track, triangulate, fit; see `ScaleSource.measure`."""
        if frame.pose is None:
            raise UnmeasurableError("no odometry: the camera's motion is unknown")
        if frame.camera is None:
            raise UnmeasurableError("no camera_info: pixel rays are unknown")
        points = self.triangulate(frame.rgb, frame.camera, frame.pose)
        if not len(points):
            raise UnmeasurableError(
                "the camera has not moved enough (or nothing could be tracked) to triangulate"
            )
        return measure_points(prediction, points, self._settings.fit, self.name)

    def reset(self) -> None:
        """Reset the keyframes."""
        self._keyframes = []
        self._map.clear()

    def triangulate(self, rgb: RgbImage, camera: Camera, pose: FloatArray) -> SparsePoints:
        """Points of this image that were seen in two images or more, here or a moment ago.

        Args:
            rgb: HxWx3 uint8 image.
            camera: Its camera.
            pose: 4x4, optical frame -> metric fixed frame.

        Returns:
            Points of this image; none while the camera has not moved.
        """
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        found: list[FloatArray] = []
        parallax = np.inf
        for keyframe in self._keyframes:
            relative = np.linalg.inv(pose) @ keyframe.pose
            pixels, tracked = _track(keyframe, grey, camera, relative, self._settings)
            rays, pixels = keyframe.rays[tracked], pixels[tracked]
            relative = adjusted_motion(
                rays,
                pixels,
                camera,
                relative,
                self._settings.rotation_error_deg,
                self._settings.translation_error,
            )
            points, angle = _triangulate(rays, pixels, camera, relative, self._settings)
            found.append(points)
            enough = len(angle) >= 0.4 * len(keyframe.corners)
            parallax = float(np.median(angle)) if enough else np.inf
        if parallax > self._settings.new_keyframe_deg:
            self._add_keyframe(grey, camera, pose)
        here = np.concatenate([*found, np.zeros((0, 3))])
        inverse = np.linalg.inv(pose)
        before = np.concatenate([*self._map, np.zeros((0, 3))])
        carried = project(camera, before @ inverse[:3, :3].T + inverse[:3, 3])
        if len(here):
            in_camera = rays_of(camera, here[:, :2]) * here[:, 2:]
            self._map.append(in_camera @ pose[:3, :3].T + pose[:3, 3])
        u, v, z = (np.concatenate(pair) for pair in zip(here.T, carried, strict=True))
        return SparsePoints(u, v, z, "camera motion")

    def _add_keyframe(self, grey: GreyImage, camera: Camera, pose: FloatArray) -> None:
        spacing = max(4, grey.shape[1] // 80)
        found = cv2.goodFeaturesToTrack(grey, self._settings.corners, 0.005, spacing)
        if found is None:
            return
        corners = found[:, 0].astype(np.float64)
        rays = rays_of(camera, corners)
        usable = np.isfinite(rays).all(axis=1)
        self._keyframes.append(_Keyframe(grey, corners[usable], rays[usable], pose.copy()))
        del self._keyframes[: -self._settings.keyframes]


def _track(
    keyframe: _Keyframe,
    grey: GreyImage,
    camera: Camera,
    relative: FloatArray,
    settings: MotionSettings,
) -> tuple[FloatArray, Mask]:
    """Follow the corners of a keyframe into an image, forward and backward.

    The known motion gives the place of a corner of a given depth. Where the range of depths spans
    more pixels than the tracker can bridge, several depths are tried and the best match is kept.

    Returns:
        Nx2 pixels in the image, and which of them were found both ways.
    """
    rotation, translation = relative[:3, :3], relative[:3, 3]
    span = camera.fx * float(np.linalg.norm(translation))  # pixels of parallax at 1 m
    inverse_depths = [0.0] if span < 20 else [0.02, 0.15, 0.35, 0.7]
    height, width = grey.shape
    start = keyframe.corners.astype(np.float32)
    best = np.full_like(start, np.nan)
    least = np.full(len(start), np.inf)
    for inverse in inverse_depths:
        there = keyframe.rays @ rotation.T + inverse * translation
        ahead = there[:, 2] > 0.1
        ratio = there[:, :2] / np.where(ahead, there[:, 2], 1.0)[:, None]
        u, v = distort(camera, ratio[:, 0], ratio[:, 1])
        near = ahead & (u > 0) & (v > 0) & (u < width - 1) & (v < height - 1)
        if not near.any():
            continue
        guess = np.stack([u[near], v[near]], axis=1).astype(np.float32)
        forward, back, difference = follow_both_ways(keyframe.grey, grey, start[near], guess)
        good = back < settings.max_error_px
        index, forward, difference = np.flatnonzero(near)[good], forward[good], difference[good]
        better = difference < least[index]
        best[index[better]], least[index[better]] = forward[better], difference[better]
    return best.astype(np.float64), np.isfinite(least)


def _triangulate(
    rays: FloatArray,
    pixels: FloatArray,
    camera: Camera,
    relative: FloatArray,
    settings: MotionSettings,
) -> tuple[FloatArray, FloatArray]:
    """Depth of pixels from the rays of the same corners in another image.

    A point is kept when its parallax is large enough, the pixel
    lies near the epipolar line, and the point in between projects near the pixel.

    Returns:
        Mx3 (u, v, z) of the kept points, and the parallax in degrees of all tracked ones.
    """
    rotation, translation = relative[:3, :3], relative[:3, 3]
    a, b = rays @ rotation.T, rays_of(camera, pixels)
    z_a, z_b, angle = depths_along(rays, b, relative)
    angle = np.degrees(angle)

    epipolar = np.abs(epipolar_distance(rays, b, relative))
    middle = (z_a[:, None] * a + translation + z_b[:, None] * b) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = distort(camera, middle[:, 0] / middle[:, 2], middle[:, 1] / middle[:, 2])
        keep = (
            (angle >= settings.min_parallax_deg)
            & (z_a > 0)
            & (z_b > 0)
            & (z_b <= settings.max_range)
            & (epipolar * camera.fx <= settings.max_error_px)
            & (np.hypot(u - pixels[:, 0], v - pixels[:, 1]) <= settings.max_error_px)
        )
    return np.column_stack([pixels[keep], z_b[keep]]), angle[np.isfinite(angle)]


def _make(settings: ScalerSettings, info: ModelInfo) -> MotionSource:
    return MotionSource(MotionSettings(fit=fit_settings(settings)))


SCALE_SOURCES.register(
    SourceRecord(
        name="motion",
        rank=20,
        meaning="the camera's own motion, known in metres from odometry",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA, FrameInput.POSE}),
        settings=("fit_shift", "min_points", "refinement"),
    )
)
