"""The ground plane that measured points show, in one frame and over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from depth_anything_ros.frames import FloatArray, Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.metric.camera_mount import find_ground
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.scan_line import are_in_line

_MIN_POINTS = 100  # fewer do not tell where the ground is
_MOST_POINTS = 20_000
_KNOWN_WITHIN = 0.1  # relative error of a known ground's height
_KNOWN_WITHIN_DEG = 3.0  # error of its attitude
_LEVEL_WITHIN_DEG = 5.0  # of odometry's horizon
_UP_WITHIN_DEG = 35.0  # of the image's upward direction, or the fixed frame's z is not up
_GROUND_HELD = 2.0  # seconds for which a measured ground is used without a new one
_FLOOR_HELD = 10.0  # metres that the camera moves meanwhile, where its pose is known
_SAME_GROUND = 0.03  # relative difference in height up to which two planes are the same ground
_NEW = 0.3  # weight of a new measurement of it
_OF_USUAL = 0.1  # weight of each in the camera's usual height
_SOME_BELOW = 0.2  # share of a plane's points that show it to be lower than another


def measured_ground(
    points: SparsePoints, camera: Camera, known: Plane | None, pose: FloatArray | None = None
) -> Plane | None:
    """The ground plane through measured points.

    Args:
        points: Measured points of an image.
        camera: Its camera.
        known: What is known of the ground; points far from it do not count.
        pose: 4x4, optical frame -> a fixed frame whose z is up (REP-103), which the ground is level
            in if nothing else is known of it; or None.

    Returns:
        The plane through the points on the ground, else what is known.
    """
    if len(points) < _MIN_POINTS:
        return known
    if are_in_line(points.u, points.v):  # all lie in the plane of a laser scan
        return known
    xyz = _in_optical_frame(points, camera)
    up, tilt = None, _UP_WITHIN_DEG
    if known is not None:
        xyz = xyz[np.abs(_heights(xyz, known)) < _KNOWN_WITHIN]
    elif pose is not None and -pose[2, 1] >= math.cos(math.radians(_UP_WITHIN_DEG)):
        up, tilt = pose[2, :3], _LEVEL_WITHIN_DEG
    try:
        found = find_ground(xyz[:_MOST_POINTS], tilt, up=up)
    except UnmeasurableError:
        return known
    return found if known is None or _near(found, known, _KNOWN_WITHIN) else known


def _in_optical_frame(points: SparsePoints, camera: Camera) -> FloatArray:
    x, y = rays_of_pixels(camera, points.u, points.v)
    return np.stack([points.z * x, points.z * y, points.z], axis=1)


def _heights(xyz: FloatArray, plane: Plane) -> FloatArray:
    """Heights over a plane, relative to the camera's; those of what is far away count less."""
    return np.asarray(
        (xyz @ np.array(plane.normal) + plane.offset) / (plane.offset + 0.1 * xyz[:, 2])
    )


@dataclass(frozen=True)
class _Sighting:
    """A plane in the optical frame of one moment.

    Attributes:
        plane: The plane.
        frame: The frame of that moment.
    """

    plane: Plane
    frame: Frame

    def carried_to(self, frame: Frame) -> Plane | None:
        """The plane in the optical frame of a later moment, None where it may be another there."""
        before = self.frame
        age = (frame.stamp - before.stamp) * 1e-9
        if age < 0:
            return None
        if before.pose is None or frame.pose is None or before.fixed_frame != frame.fixed_frame:
            return self.plane if age <= _GROUND_HELD else None
        motion = np.linalg.inv(frame.pose) @ before.pose
        normal = motion[:3, :3] @ np.array(self.plane.normal)
        offset = self.plane.offset - float(normal @ motion[:3, 3])
        if offset <= 0 or np.linalg.norm(motion[:3, 3]) > _FLOOR_HELD:
            return None
        return Plane((float(normal[0]), float(normal[1]), float(normal[2])), offset)


class FollowedGround:
    """The ground plane of a camera over time.

    What points show of it is averaged. A plane far from that, or where nothing is known any plane,
    counts once it is seen again; but while odometry says that the camera is as high as ever over
    the one before, only if points lie below that: a pavement may fill the image of a robot on the
    road.
    """

    def __init__(self) -> None:
        self._newest: _Sighting | None = None
        self._other: _Sighting | None = None
        self._usual_height: float | None = None

    def follow(self, frame: Frame, camera: Camera) -> Plane | None:
        """The ground of a frame.

        Args:
            frame: The frame.
            camera: Its camera.

        Returns:
            The plane measured now or before, else what the frame knows, or None.
        """
        known = frame.ground
        plane, other = (
            None if each is None else each.carried_to(frame) for each in (self._newest, self._other)
        )
        if plane is not None and known is not None and not _near(plane, known, _KNOWN_WITHIN):
            plane = None  # the camera was turned or lifted
        points = frame.points
        if points is None:
            return known if plane is None else plane
        found = measured_ground(points, camera, known, frame.pose)
        if found is None or found is known:
            return known if plane is None else plane
        sighting = _Sighting(found, replace(frame, points=None))
        if plane is not None and _near(found, plane, _SAME_GROUND):
            self._newest = replace(sighting, plane=_mean_plane(plane, found))
            self._other = None
        elif (
            plane is not None
            and frame.pose is not None
            and self._is_as_high_as_ever(plane)
            and not _lies_below(points, camera, found, plane)
        ):
            return plane
        elif (plane is None and known is not None) or (
            other is not None and _near(found, other, _SAME_GROUND)
        ):
            self._newest, self._other = sighting, None
        else:
            self._other = sighting
            return plane
        height = self._newest.plane.offset
        if self._usual_height is None or not self._is_as_high_as_ever(self._newest.plane):
            self._usual_height = height
        self._usual_height += _OF_USUAL * (height - self._usual_height)
        return self._newest.plane

    def _is_as_high_as_ever(self, plane: Plane) -> bool:
        """Whether the camera stands over a plane as it usually does over the ground."""
        usual = self._usual_height
        return usual is not None and abs(plane.offset - usual) < _SAME_GROUND * usual


def _lies_below(points: SparsePoints, camera: Camera, found: Plane, before: Plane) -> bool:
    """Whether some of the points that a plane was found by lie below another one."""
    xyz = _in_optical_frame(points, camera)
    on = np.abs(_heights(xyz, found)) < _SAME_GROUND
    below = _heights(xyz, before) < -_SAME_GROUND
    return bool(np.count_nonzero(on & below) > _SOME_BELOW * np.count_nonzero(on))


def _near(one: Plane, other: Plane, share: float) -> bool:
    """Whether planes differ by less than a share of the height, and as little in attitude."""
    turned = float(np.dot(one.normal, other.normal))
    widest = math.cos(math.radians(_KNOWN_WITHIN_DEG) * share / _KNOWN_WITHIN)
    return abs(one.offset - other.offset) <= share * other.offset and turned >= widest


def _mean_plane(before: Plane, now: Plane) -> Plane:
    """The two weighed, with a normal of unit length."""
    normal = (1 - _NEW) * np.array(before.normal) + _NEW * np.array(now.normal)
    normal /= np.linalg.norm(normal)
    offset = (1 - _NEW) * before.offset + _NEW * now.offset
    return Plane((float(normal[0]), float(normal[1]), float(normal[2])), offset)
