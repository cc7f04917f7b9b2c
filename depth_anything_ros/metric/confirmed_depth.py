"""Depth that the motion of a camera confirmed a moment ago, seen from where it is now.

A camera that turns on the spot sees no parallax: nothing tells a table from the floor, and nothing
confirms a scale. But what was seen while it moved is still there, and from the same place it looks
the same.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, Quality, ScaledDepth
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.camera_motion import displacement
from depth_anything_ros.metric.ground_odometry import told_by_ground

Mask = npt.NDArray[np.bool_]

# Own choices, made on simulated rooms and streets whose robot stops and turns.
_COLUMNS = 160  # of the depths that are remembered
_REMEMBERED = 12
_SECONDS = 12.0  # for which they are: people move meanwhile
_TURNED, _WAY = math.radians(8.0), 0.05  # radians and metres between them
_MOST_WAY = 0.3  # metres: from farther off, what stands hides other places
_SURE = 0.1  # most relative standard deviation of what is remembered
_LOOKS = 2  # times that a place is looked up, each from the depth found before
_FADES = 0.02  # of log depth by which what is remembered may be off, per square root of a second
_NEARER = 2.0  # standard deviations by which a thing is in front of what was confirmed
_CONTRADICTED = 0.25  # of log depth by which most may be off what was confirmed,
_ENOUGH = 200  # of so many pixels


@dataclass(frozen=True)
class _Seen:
    stamp: int
    pose: FloatArray
    depth_m: FloatImage
    sigma_m: FloatImage


class ConfirmedDepth:
    """Remembers the depths of one camera that its motion confirmed; one thread calls it.

    Only odometry tells where the camera was: poses that were told by the ground are no use where
    no ground is seen.
    """

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_REMEMBERED)
        self._known: tuple[Camera, str] | None = None

    def remember(self, depth_m: FloatImage, sigma_m: FloatImage, frame: Frame, still: Mask) -> None:
        """Remember the depth of a frame whose camera's motion confirms it.

        Args:
            depth_m: HxW float32 metres, NaN where unknown.
            sigma_m: HxW float32 metres, its standard deviation.
            frame: The frame; nothing is kept of one without camera and odometry.
            still: HxW bool, what does not move by itself.
        """
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None or told_by_ground(frame):
            return
        self._forget(camera, frame)
        if self._seen and _nearly_the_same(self._seen[-1].pose, pose):
            self._seen.pop()
        with np.errstate(invalid="ignore"):
            kept = still & (sigma_m < np.float32(_SURE) * depth_m)
        size = _size(depth_m.shape)
        depth, sigma = (
            _nearest(np.where(kept, each, np.float32(np.nan)), size) for each in (depth_m, sigma_m)
        )
        self._seen.append(_Seen(frame.stamp, np.array(pose), depth, sigma))

    def fused(
        self, scaled: ScaledDepth, frame: Frame, doubt: FloatImage, wanted: bool
    ) -> ScaledDepth:
        """A depth that nothing confirms, with what was confirmed of the same places.

        Args:
            scaled: The depth of a frame, or why there is none.
            frame: The frame; without camera and odometry nothing is known of before.
            doubt: HxW float32, standard deviation of log depth while nothing confirms it, beside
                its own.
            wanted: Whether what is remembered serves where there is no depth.

        Returns:
            The depth, less sure where nothing confirms it; of one that contradicts what was
            confirmed, that alone. The same where nothing is remembered.
        """
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None or told_by_ground(frame):
            return scaled
        self._forget(camera, frame)
        if not self._seen:
            return scaled
        depth, variance = self._recalled(camera, pose, frame.stamp)
        own_m, own_sigma_m = scaled.depth_m, scaled.sigma_m
        if own_m is None or own_sigma_m is None:
            known = wanted and bool(np.isfinite(depth).any())
            return _of_before(scaled, depth, variance) if known else scaled
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.log(depth / own_m)
            own = np.square(own_sigma_m / own_m) + np.square(doubt)
            # What has come in between is new, and no error.
            apart = np.where(apart > _NEARER * np.sqrt(own + variance), np.float32(np.nan), apart)
        both = np.isfinite(apart)
        if np.count_nonzero(both) >= _ENOUGH and (
            float(np.median(np.abs(apart[both]))) > _CONTRADICTED
        ):
            return _of_before(scaled, depth, variance)  # a wrong scale is wrong all over the image
        weight = np.where(both, own / (own + variance), 0)
        # Two that contradict each other are less sure by the ratio of Birge (1932, Phys. Rev. 40,
        # 207).
        birge = np.where(both, np.square(apart) / (own + variance), 0)
        left = (1 - weight) * own * np.maximum(birge, 1)
        fused = own_m * np.exp(np.where(both, weight * apart, 0))
        filled = np.isfinite(depth) & ~np.isfinite(own_m)
        fused = np.where(filled, depth, fused).astype(np.float32)
        left = np.where(filled, variance, left).astype(np.float32)
        return replace(scaled, depth_m=fused, sigma_m=np.sqrt(left) * fused)

    def _recalled(
        self, camera: Camera, pose: FloatArray, stamp: int
    ) -> tuple[FloatImage, FloatImage]:
        """Metres of what was confirmed, the newest first, and the variance of their logarithm."""
        size = _size((camera.height, camera.width))
        small = camera.resized(*size)
        depth, variance = (np.full(size[::-1], np.nan, np.float32) for _ in range(2))
        for seen in reversed(self._seen):
            motion = np.linalg.inv(seen.pose) @ pose
            if float(np.linalg.norm(motion[:3, 3])) > _MOST_WAY:
                continue
            here, of_it = _from_here(seen, small, motion)
            new = np.isnan(depth) & np.isfinite(here)
            age = (stamp - seen.stamp) * 1e-9
            depth[new] = here[new]
            variance[new] = of_it[new] + np.float32(_FADES**2 * age)
        whole = (camera.width, camera.height)
        depth, variance = (_nearest(each, whole) for each in (depth, variance))
        return depth, variance

    def _forget(self, camera: Camera, frame: Frame) -> None:
        """Forget what is old, and all where camera, frame of the odometry or time are others."""
        known = (camera, frame.fixed_frame)
        if known != self._known or (self._seen and frame.stamp < self._seen[-1].stamp):
            self._seen.clear()
        self._known = known
        while self._seen and frame.stamp - self._seen[0].stamp > _SECONDS * 1e9:
            self._seen.popleft()


def _from_here(seen: _Seen, camera: Camera, motion: FloatArray) -> tuple[FloatImage, FloatImage]:
    """A depth as another pose sees it, and the variance of its logarithm; NaN where unknown.

    Args:
        seen: The depth.
        camera: The camera in its size.
        motion: 4x4, optical frame of the other pose -> that of the depth.
    """
    turn = motion.copy()
    turn[:3, 3] = 0
    rows, columns = np.indices(seen.depth_m.shape, np.float32)
    inverse = np.ones_like(rows)
    for way in (turn, *[motion] * _LOOKS):
        du, dv, ratio = displacement(camera, inverse, way)
        u, v = (
            np.nan_to_num(each, nan=-9).astype(np.float32) for each in (columns + du, rows + dv)
        )
        depth, sigma = (_looked_up(each, u, v) for each in (seen.depth_m, seen.sigma_m))
        with np.errstate(divide="ignore", invalid="ignore"):
            here = depth / ratio
            inverse = 1 / here
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.square(sigma / depth)
    return np.where(here > 0, here, np.float32(np.nan)), variance


def _of_before(scaled: ScaledDepth, depth_m: FloatImage, variance: FloatImage) -> ScaledDepth:
    """What was confirmed in place of a depth."""
    reason = f"{scaled.state.reason}; depth is what was seen while the camera moved"
    state = replace(scaled.state, quality=Quality.HELD, reason=reason)
    return replace(scaled, depth_m=depth_m, sigma_m=np.sqrt(variance) * depth_m, state=state)


def _nearly_the_same(first: FloatArray, second: FloatArray) -> bool:
    """Whether two poses show nearly the same."""
    motion = np.linalg.inv(first) @ second
    turned = (np.trace(motion[:3, :3]) - 1) / 2 < math.cos(_TURNED)
    return not turned and float(np.linalg.norm(motion[:3, 3])) < _WAY


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    return _COLUMNS, max(1, round(_COLUMNS * shape[0] / shape[1]))


def _nearest(image: FloatImage, size: tuple[int, int]) -> FloatImage:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.float32)


def _looked_up(image: FloatImage, u: FloatImage, v: FloatImage) -> FloatImage:
    """The nearest values at columns and rows; NaN outside."""
    found = cv2.remap(
        image,
        u,
        v,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float("nan"),
    )
    return np.asarray(found, np.float32)
