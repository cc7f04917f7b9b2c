"""Whether the floor that is seen is the ground that is known: its distance and its tilt.

Scale from measured points and scale from the ground plane disagree by the factor between the two
heights of the camera; a point sensor whose extrinsics are turned shows the floor turned. Where
points show none, the camera's motion may (`ground_correction`).
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Frame, Plane
from depth_anything_ros.geometry.camera import rays_of_pixels
from depth_anything_ros.metric.camera_mount import find_ground
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.scan_line import are_in_line

# Own choices; simulated rooms and streets stay below them.
_PERIOD_S = 1.0
_WINDOW_S = 60.0
_OF_HEIGHT = 20  # comparisons that a finding about the height is made of: a pavement is passed by
_OF_TILT = 8
_MIN_POINTS = 100
_MOST_POINTS = 3000
_FARTHEST = 12.0  # heights of the camera: farther floor says nothing of the tilt near by
_FACTOR = 0.08
_AGREE = 0.8  # share of the comparisons that say the same
_TILT_DEG = 0.5
_TILT_BY_MOTION_DEG = 1.0  # images of little contrast mislead by half of that
_STEADY = 0.7  # share of the newest comparisons that lie so near to their median:
_STEADY_DEG = 0.4  # a turned sensor is turned alike at all times; next to kerbs it varies
_NEAR_GROUND = (0.3, 0.1)  # heights, and shares of depth, up to which points may be floor
_MOST_TILT_DEG = 6.0  # what is tilted more is no floor


class FloorCheck:
    """Compares over time; one thread calls `add`, any other may read `finding`.

    Attributes:
        finding: What is wrong, as a sentence with numbers and a remedy; empty while nothing is.
        values: The medians by name: `floor_height_factor`, `floor_pitch_deg`, `floor_roll_deg`;
            empty while nothing was compared.
    """

    def __init__(self) -> None:
        self.finding = ""
        self.values: dict[str, float] = {}
        self._compared: deque[tuple[int, FloatArray]] = deque(maxlen=_OF_HEIGHT)
        self._by_motion = False
        self._last = 0

    def add(
        self,
        frame: Frame,
        wrong: npt.NDArray[np.bool_] | None = None,
        corrected: Plane | None = None,
    ) -> None:
        """Compare the floor that is seen with a frame's ground, about once a second.

        Args:
            frame: The frame; without camera and ground it says nothing.
            wrong: Of its points, N bool, those that are known to be wrong (a mirror, a dirty
                window) and do not count; None for none.
            corrected: The ground that its depth was made with, which is compared where the points
                show none; or None.
        """
        if frame.stamp < self._last:
            self._compared.clear()
        elif frame.stamp - self._last < _PERIOD_S * 1e9:
            return
        self._last = frame.stamp
        found = _shown_by_points(frame, wrong)
        by_motion = found is None
        if found is None:
            found = _shown_by_motion(frame, corrected)
        if found is not None:
            self._compared.append((frame.stamp, found))
            self._by_motion = by_motion
        while self._compared and frame.stamp - self._compared[0][0] > _WINDOW_S * 1e9:
            self._compared.popleft()
        self._judge(frame)

    def _judge(self, frame: Frame) -> None:
        if not self._compared:
            self.finding, self.values = "", {}
            return
        measured = np.array([each for _, each in self._compared])
        newest = measured[-_OF_TILT:, 1:]
        factor = float(np.median(measured[:, 0]))
        pitch, roll = (float(each) for each in np.median(newest, axis=0))
        self.values = {
            "floor_height_factor": factor,
            "floor_pitch_deg": pitch,
            "floor_roll_deg": roll,
        }
        self.finding = ""
        if len(newest) < _OF_TILT or frame.ground is None:
            return
        tilt = _TILT_BY_MOTION_DEG if self._by_motion else _TILT_DEG
        steady = np.mean(np.abs(newest - [pitch, roll]) < _STEADY_DEG, axis=0) > _STEADY
        steady &= np.abs(np.median(measured[:, 1:], axis=0)) > tilt
        agree = float(np.mean(np.sign(measured[:, 0] - 1) * np.sign(factor - 1) > 0))
        parts = []
        if len(measured) == _OF_HEIGHT and abs(factor - 1) > _FACTOR and agree > _AGREE:
            known = frame.ground.offset
            parts.append(
                f"lies {factor * known:.2f} m below the camera but the ground is said to be "
                f"{known:.2f} m below it: scales from the two differ by a factor of {factor:.2f}"
            )
        if abs(pitch) > tilt and steady[0]:
            parts.append(f"is turned {abs(pitch):.1f} degrees {'up' if pitch > 0 else 'down'}")
        if abs(roll) > tilt and steady[1]:
            way = "clockwise" if roll > 0 else "counterclockwise"
            parts.append(f"is turned {abs(roll):.1f} degrees {way} about the view")
        if not parts:
            return
        said = " and ".join(parts)
        if self._by_motion:
            self.finding = (
                f"the floor that the camera's motion shows {said}; depth follows what is seen; "
                "check camera_height, base_frame, the camera's attitude and odometry's scale"
            )
        elif frame.points is not None:
            self.finding = (
                f"the floor that {frame.points.source} shows {said}; check the pose "
                "of the sensor, base_frame, camera_height and the camera's attitude"
            )


def _shown_by_motion(frame: Frame, corrected: Plane | None) -> FloatArray | None:
    """Factor between the heights, and degrees of pitch and roll from known to corrected ground."""
    known = frame.ground
    if known is None or corrected is None or corrected == known:
        return None
    return np.array([corrected.offset / known.offset, *_turn(known, corrected)])


def _shown_by_points(frame: Frame, wrong: npt.NDArray[np.bool_] | None) -> FloatArray | None:
    """Factor between the heights, and degrees of pitch and roll from known to seen ground."""
    points, camera, known = frame.points, frame.camera, frame.ground
    if points is None or camera is None or known is None:
        return None
    right = np.arange(len(points)) if wrong is None else np.flatnonzero(~wrong)
    if len(right) < _MIN_POINTS or are_in_line(points.u[right], points.v[right]):
        return None  # a laser scan lies in a plane of its own
    order = np.random.default_rng(frame.stamp % 2**32).permutation(right)[:_MOST_POINTS]
    x, y = rays_of_pixels(camera, points.u[order], points.v[order])
    z = points.z[order]
    xyz = np.stack([z * x, z * y, z], axis=1)
    height, share = _NEAR_GROUND
    floor = np.abs(xyz @ np.array(known.normal) + known.offset) < height * known.offset + share * z
    try:
        seen = find_ground(xyz[floor & (z < _FARTHEST * known.offset)])
    except UnmeasurableError:
        return None
    pitch, roll = _turn(known, seen)
    if math.hypot(pitch, roll) > _MOST_TILT_DEG:
        return None
    return np.array([seen.offset / known.offset, pitch, roll])


def _turn(known: Plane, seen: Plane) -> tuple[float, float]:
    """Degrees about the optical frame's x and z axes that turn one normal into the other."""
    axis = np.cross(known.normal, seen.normal)
    return math.degrees(float(axis[0])), math.degrees(float(axis[2]))
