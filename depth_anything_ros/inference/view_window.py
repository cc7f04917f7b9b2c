"""Which earlier images of a moving camera a network sees together with the newest one."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import FloatArray, Frame, Keyframe


@dataclass(frozen=True)
class WindowSettings:
    """When an image becomes a keyframe, and which keyframes go with an image (own choices).

    Attributes:
        baseline: Metres from the newest keyframe from which on an image becomes one.
        reach: Metres to the farthest keyframe of a window, at least: its scale is measured over
            that way, and odometry's noise is a larger share of a shorter one.
        angle_deg: Degrees from the newest keyframe from which on an image becomes one.
        largest_angle_deg: Degrees between two optical axes up to which images share enough scene.
        pool: Keyframes kept for every one that is shown.
        memory: Seconds after the last pose for which images are still shown with keyframes.
        fastest: Metres per second above which the poses have jumped and the keyframes are dropped.
        fastest_turn_deg: Degrees per second likewise.
    """

    baseline: float = 0.15
    reach: float = 0.3
    angle_deg: float = 15.0
    largest_angle_deg: float = 40.0
    pool: int = 3
    memory: float = 1.0
    fastest: float = 20.0
    fastest_turn_deg: float = 360.0


class ViewWindow:
    """Keeps keyframes of one camera and adds those to a frame that show its scene.

    Args:
        size: Images in the window, the newest among them.
        settings: When an image becomes a keyframe.

    Raises:
        SettingError: `size` is below 2.
    """

    def __init__(self, size: int, settings: WindowSettings | None = None) -> None:
        if size < 2:
            raise SettingError(f"window is {size}; it takes 2 images or more")
        self.size = size
        self._settings = settings or WindowSettings()
        self._keyframes: deque[Keyframe] = deque(maxlen=self._settings.pool * (size - 1))
        self._last: tuple[int, FloatArray] | None = None  # stamp and pose of the last placed image

    def reset(self) -> None:
        """Drop every keyframe."""
        self._keyframes.clear()
        self._last = None

    def complete(self, frame: Frame) -> Frame:
        """Add keyframes to a frame, and keep it as one where the camera has moved enough.

        An image whose own pose is not known is shown with the keyframes it was seen with last, for
        as long as `memory`.

        Args:
            frame: An image with its camera and pose, as far as they are known.

        Returns:
            The same with keyframes: none while the camera has not moved, nor where the image has
            no undistorted camera.
        """
        camera = frame.camera
        if camera is None or camera.is_distorted:
            return frame
        if self._last is not None and frame.stamp < self._last[0]:
            self.reset()  # time jumped back
        self._drop_other_cameras(frame)
        if frame.pose is None:
            return self._without_pose(frame)
        if self._jumped(frame.stamp, frame.pose):
            self.reset()
        self._last = frame.stamp, frame.pose
        shown = self._shown(frame.pose)
        if self._is_new(frame.pose):
            self._keyframes.append(Keyframe(frame.rgb, frame.stamp, camera, frame.pose))
        return replace(frame, keyframes=shown)

    def _drop_other_cameras(self, frame: Frame) -> None:
        if self._keyframes and self._keyframes[-1].camera != frame.camera:
            self.reset()

    def _without_pose(self, frame: Frame) -> Frame:
        if self._last is None or frame.stamp - self._last[0] > self._settings.memory * 1e9:
            return frame
        return replace(frame, keyframes=self._shown(self._last[1]))

    def _jumped(self, stamp: int, pose: FloatArray) -> bool:
        """Whether no robot moves as the poses have since the last image."""
        if self._last is None:
            return False
        seconds = max((stamp - self._last[0]) / 1e9, 0.05)
        way, angle = _apart(self._last[1], pose)
        settings = self._settings
        return way > settings.fastest * seconds or angle > settings.fastest_turn_deg * seconds

    def _is_new(self, pose: FloatArray) -> bool:
        if not self._keyframes:
            return True
        way, angle = _apart(self._keyframes[-1].pose, pose)
        return way >= self._settings.baseline or angle >= self._settings.angle_deg

    def _shown(self, pose: FloatArray) -> tuple[Keyframe, ...]:
        """Keyframes that look the same way, spread as far as they are, in their order of time."""
        alike = [
            each
            for each in self._keyframes
            if _apart(each.pose, pose)[1] <= self._settings.largest_angle_deg
        ]
        places = np.array([each.pose[:3, 3] for each in alike]).reshape(-1, 3)
        nearest = np.linalg.norm(places - pose[:3, 3], axis=1)
        if not len(alike) or nearest.max() < self._settings.reach:
            return ()
        chosen: list[int] = []
        while len(chosen) < min(self.size - 1, len(alike)):  # the farthest of those left, each time
            index = int(nearest.argmax())
            chosen.append(index)
            nearest = np.minimum(nearest, np.linalg.norm(places - places[index], axis=1))
            nearest[chosen] = -1.0
        return tuple(alike[index] for index in sorted(chosen))


def _apart(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Metres between two poses, and degrees between them."""
    way = float(np.linalg.norm(second[:3, 3] - first[:3, 3]))
    cosine = (float(np.trace(first[:3, :3].T @ second[:3, :3])) - 1) / 2
    return way, math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
