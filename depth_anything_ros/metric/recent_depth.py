"""Depth compared with that of a moment ago, from where the camera was then.

While odometry tells how the camera moved, still things keep their place: depths that disagree are
wrong, now or then. A wrong scale makes most of an image disagree, so the median tells how sure the
depth of an image is as a whole. What moves by itself disagrees, too, and is left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.camera_motion import displacement
from depth_anything_ros.metric.independent_motion import Mask

# Own choices, compared on simulated drives at five images a second.
_COLUMNS = 80  # of the images that are compared
_APART = 0.15  # seconds between depths that are remembered, at least
_LONGEST = 0.6  # seconds after which a depth is forgotten
_REMEMBERED = 2
_SURE = 0.1  # most relative standard deviation of depths that are compared,
_RANGE = 6.0  # and metres up to which they are
_LEAST = 10  # pixels that must be seen in both images
_PER_MEDIAN = 1.05
"""Standard deviations per median difference of two depths whose errors are independent and alike:
1 / (0.6745 sqrt 2)."""


class RecentDepth:
    """Remembers the depths of one camera for a moment; one thread calls it."""

    def __init__(self) -> None:
        self._recent: deque[_Seen] = deque(maxlen=_REMEMBERED)
        self._known: tuple[Camera, str] | None = None

    def doubted(
        self, depth_m: FloatImage, sigma_m: FloatImage, frame: Frame, still: Mask
    ) -> FloatImage:
        """The standard deviation of a depth, no less than it disagrees with those of a moment ago.

        Args:
            depth_m: HxW float32 metres, NaN where unknown.
            sigma_m: HxW float32 metres, its standard deviation; not modified.
            frame: Its frame; without camera and pose nothing is known of before.
            still: HxW bool, what is neither known to be ground nor seen to move by itself.

        Returns:
            HxW float32 metres; larger on what is still where most of it disagrees.
        """
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None:
            return sigma_m
        known = (camera, frame.fixed_frame)
        recent = self._recent
        if known != self._known or (recent and frame.stamp <= recent[-1].stamp):
            recent.clear()
        self._known = known
        while recent and frame.stamp - recent[0].stamp > _LONGEST * 1e9:
            recent.popleft()
        size = (_COLUMNS, max(1, round(_COLUMNS * depth_m.shape[0] / depth_m.shape[1])))
        depth, sigma = _shrunk(depth_m, size), _shrunk(sigma_m, size)
        with np.errstate(invalid="ignore"):
            sure = (sigma < np.float32(_SURE) * depth) & (depth < np.float32(_RANGE))
        depth = np.where(sure, depth, np.float32(np.nan))
        judged = np.where(_shrunk(still.astype(np.uint8), size) > 0, depth, np.float32(np.nan))
        small_camera = camera.resized(*size)
        off = max((_median_off(judged, pose, then, small_camera) for then in recent), default=0.0)
        if not recent or frame.stamp - recent[-1].stamp >= _APART * 1e9:
            recent.append(_Seen(frame.stamp, np.array(pose), _without_holes(depth)))
        if not off:
            return sigma_m
        return np.where(still, np.fmax(sigma_m, np.float32(_PER_MEDIAN * off) * depth_m), sigma_m)


@dataclass(frozen=True)
class _Seen:
    stamp: int
    pose: FloatArray
    depth_m: FloatImage


def _median_off(depth_m: FloatImage, pose: FloatArray, then: _Seen, camera: Camera) -> float:
    """Median difference of log depth of an image and an earlier one; 0 where little is seen."""
    height, width = depth_m.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        motion = np.linalg.inv(then.pose) @ pose
        du, dv, ratio = displacement(camera, np.float32(1) / depth_m, motion)
        u, v = np.rint(du + np.arange(width)), np.rint(dv + np.arange(height)[:, None])
    seen = (u >= 0) & (v >= 0) & (u < width) & (v < height)
    before = then.depth_m[v[seen].astype(np.intp), u[seen].astype(np.intp)]
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(depth_m[seen] * ratio[seen] / before))
    off = off[np.isfinite(off)]
    return float(np.median(off)) if len(off) >= _LEAST else 0.0


def _without_holes(depth_m: FloatImage) -> FloatImage:
    """Depth whose unknown pixels have the nearest depth beside them."""
    known = np.where(np.isfinite(depth_m), depth_m, np.float32(np.inf))
    beside = np.asarray(cv2.erode(known, np.ones((3, 3), np.uint8)), np.float32)
    return np.where(np.isfinite(known), known, beside)


def _shrunk(image: npt.NDArray, size: tuple[int, int]) -> npt.NDArray:
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT)
