"""Scale from the camera's own motion: corners tracked between keyframes and triangulated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Frame, Prediction, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, distort, rays_of_pixels
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError
from depth_anything_ros.metric.source import Measurement
from depth_anything_ros.metric.sparse import measure_points

GreyImage = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MotionSettings:
    """How structure is taken from motion.

    Attributes:
        corners: Most corners per keyframe.
        keyframes: Keyframes kept; the current image is compared with each.
        min_parallax_deg: Smallest angle between the two rays of a point.
        max_error_px: Largest forward-backward, epipolar and reprojection error.
        new_keyframe_deg: Median parallax to the newest keyframe that calls for another one.
        max_range: Metres beyond which a point is not used.
        fit: How scale and shift are fitted to the points.
    """

    corners: int = 400
    keyframes: int = 3
    min_parallax_deg: float = 1.5
    max_error_px: float = 1.5
    new_keyframe_deg: float = 4.0
    max_range: float = 100.0
    fit: FitSettings = field(default_factory=FitSettings)


@dataclass(frozen=True)
class _Keyframe:
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
        """Forget the keyframes."""
        self._keyframes = []

    def triangulate(self, rgb: RgbImage, camera: Camera, pose: FloatArray) -> SparsePoints:
        """Points seen both in this image and in a keyframe.

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
            points, angle = _triangulate(
                keyframe.rays[tracked], pixels[tracked], camera, relative, self._settings
            )
            found.append(points)
            enough = len(angle) >= 0.4 * len(keyframe.corners)
            parallax = float(np.median(angle)) if enough else np.inf
        if parallax > self._settings.new_keyframe_deg:
            self._add_keyframe(grey, camera, pose)
        points = np.concatenate([*found, np.zeros((0, 3))])
        return SparsePoints(points[:, 0], points[:, 1], points[:, 2], "camera motion")

    def _add_keyframe(self, grey: GreyImage, camera: Camera, pose: FloatArray) -> None:
        spacing = max(4, grey.shape[1] // 80)
        found = cv2.goodFeaturesToTrack(grey, self._settings.corners, 0.005, spacing)
        if found is None:
            return
        corners = found[:, 0].astype(np.float64)
        x, y = rays_of_pixels(camera, corners[:, 0], corners[:, 1])
        usable = np.isfinite(x)
        rays = np.stack([x, y, np.ones_like(x)], axis=1)[usable]
        self._keyframes.append(_Keyframe(grey, corners[usable], rays, pose.copy()))
        del self._keyframes[: -self._settings.keyframes]


def _track(
    keyframe: _Keyframe,
    grey: GreyImage,
    camera: Camera,
    relative: FloatArray,
    settings: MotionSettings,
) -> tuple[FloatArray, Mask]:
    """Follow the corners of a keyframe into an image, forward and backward.

    The known motion says where a corner of a given depth would be. Where the range of depths spans
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
        forward, back, distance = _both_ways(keyframe.grey, grey, start[near], guess)
        good = back < settings.max_error_px
        index = np.flatnonzero(near)[good & (distance < least[near])]
        chosen = np.isin(np.flatnonzero(near), index)
        best[index], least[index] = forward[chosen], distance[chosen]
    return best.astype(np.float64), np.isfinite(least)


def _both_ways(
    first: GreyImage, second: GreyImage, start: npt.NDArray[Any], guess: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """KLT (Lucas and Kanade 1981, Bouguet 2001) there and back.

    Returns:
        Nx2 pixels in the second image, distance of the way back from the start, and the mean grey
        difference of the patches.
    """
    options: dict[str, Any] = {
        "winSize": (21, 21),
        "maxLevel": 3,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
    }
    forward, there, difference = cv2.calcOpticalFlowPyrLK(
        first, second, start, guess.copy(), **options
    )
    backward, here, _ = cv2.calcOpticalFlowPyrLK(second, first, forward, start.copy(), **options)
    off = np.linalg.norm(backward - start, axis=1)
    off[(there.ravel() == 0) | (here.ravel() == 0)] = np.inf
    return forward, off, difference.ravel()


def _triangulate(
    rays: FloatArray,
    pixels: FloatArray,
    camera: Camera,
    relative: FloatArray,
    settings: MotionSettings,
) -> tuple[FloatArray, FloatArray]:
    """Depth of pixels from the rays of the same corners in another image.

    With a the ray turned into this image and b the ray of the pixel, the depth solves
    z_b * b = z_a * a + t in the least-squares sense (Hartley and Zisserman, "Multiple View
    Geometry", 2004, section 12.2). A point is kept when its parallax is large enough, the pixel
    lies near the epipolar line, and the point in between projects near the pixel.

    Returns:
        Mx3 (u, v, z) of the kept points, and the parallax in degrees of all tracked ones.
    """
    rotation, translation = relative[:3, :3], relative[:3, 3]
    x, y = rays_of_pixels(camera, pixels[:, 0], pixels[:, 1])
    b = np.stack([x, y, np.ones_like(x)], axis=1)
    a = rays @ rotation.T
    aa, bb, ab = (a * a).sum(1), (b * b).sum(1), (a * b).sum(1)
    at, bt = a @ translation, b @ translation
    determinant = np.maximum(aa * bb - ab**2, 1e-18)
    z_a = (ab * bt - bb * at) / determinant
    z_b = (aa * bt - ab * at) / determinant
    angle = np.degrees(np.arccos(np.clip(ab / np.sqrt(aa * bb), -1, 1)))

    essential = _cross(translation) @ rotation
    lines = rays @ essential.T
    epipolar = np.abs((b * lines).sum(1)) / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)
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


def _cross(t: FloatArray) -> FloatArray:
    """The matrix of the cross product with t."""
    return np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
