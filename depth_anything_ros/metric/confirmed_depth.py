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

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, Quality, RgbImage, ScaledDepth
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
_SAME = 1.1  # ratio of depths of the same thing
_MOST_GAIN = 1.4  # of the brightness: more is another thing in front of most of the image
_UNLIKE, _UNLIKE_SHARE = 6.0, 0.12  # grey values by which the same place may differ, and share
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
    gray: FloatImage


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
        self._seen.append(_Seen(frame.stamp, np.array(pose), depth, sigma, _gray(frame.rgb, size)))

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
        depth, variance = self._recalled(camera, pose, frame)
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
        self, camera: Camera, pose: FloatArray, frame: Frame
    ) -> tuple[FloatImage, FloatImage]:
        """Metres of what was confirmed and looks the same, and the variance of their logarithm."""
        size = _size((camera.height, camera.width))
        gray = _gray(frame.rgb, size)
        small = camera.resized(*size)
        depth, variance = (np.full(size[::-1], np.nan, np.float32) for _ in range(2))
        for seen in reversed(self._seen):
            motion = np.linalg.inv(pose) @ seen.pose
            if float(np.linalg.norm(motion[:3, 3])) > _MOST_WAY:
                continue
            here, of_it, looked = _from_here(seen, small, motion)
            here = np.where(_look_alike(looked, gray), here, np.float32(np.nan))
            age = (frame.stamp - seen.stamp) * 1e-9
            new = np.isfinite(here) & np.isnan(depth)
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


def _from_here(
    seen: _Seen, camera: Camera, motion: FloatArray
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """A depth as another pose sees it, and the variance of its logarithm; NaN where unknown.

    Args:
        seen: The depth.
        camera: The camera in its size.
        motion: 4x4, optical frame of the depth -> that of the other pose.
    """
    rows, columns = seen.depth_m.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.float32(1) / seen.depth_m
        du, dv, ratio = displacement(camera, inverse, motion)
        u, v = np.rint(np.arange(columns) + du), np.rint(np.arange(rows)[:, None] + dv)
        there = seen.depth_m * ratio
        variance = np.square(seen.sigma_m * inverse)
        inside = (u >= 0) & (v >= 0) & (u < columns) & (v < rows) & (there > 0)
    order = np.argsort(-there[inside])  # what is nearer comes last and hides what is behind
    at = (v[inside][order].astype(np.intp), u[inside][order].astype(np.intp))
    depth, of_it, gray = np.zeros((3, rows, columns), np.float32)
    depth[at] = 1 / there[inside][order]
    of_it[at], gray[at] = (each[inside][order] for each in (variance, seen.gray))
    # Between pixels that are seen larger from here, what is behind shows through, or nothing.
    around = np.ones((3, 3), np.uint8)
    closed = np.asarray(cv2.morphologyEx(depth, cv2.MORPH_CLOSE, around), np.float32)
    gaps = closed > np.float32(_SAME) * depth
    of_it, gray = (np.where(gaps, cv2.dilate(each, around), each) for each in (of_it, gray))
    unknown = closed <= 0
    closed[unknown], gray[unknown] = np.nan, np.nan
    return np.float32(1) / closed, of_it, gray


def _gray(rgb: RgbImage, size: tuple[int, int]) -> FloatImage:
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(small.astype(np.float32), (3, 3)), np.float32)


def _look_alike(before: FloatImage, now: FloatImage) -> Mask:
    """Where grey values are the same but for how pictures are exposed: nothing came in between."""
    known = np.isfinite(before)
    if not known.any():
        return known
    gain = float(np.median((now[known] + 1) / (before[known] + 1)))
    gain = min(max(gain, 1 / _MOST_GAIN), _MOST_GAIN)
    off = np.abs(now - np.float32(gain) * np.where(known, before, 0))
    alike = off < np.float32(_UNLIKE) + np.float32(_UNLIKE_SHARE) * now
    return known & alike


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
