"""The ground plane that measured points show, in one frame and over time."""

from __future__ import annotations

import math

import numpy as np

from depth_anything_ros.frames import Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.metric.camera_mount import find_ground
from depth_anything_ros.metric.fit import UnmeasurableError

_MIN_POINTS = 100  # fewer do not tell where the ground is
_MOST_POINTS = 20_000
_KNOWN_WITHIN = 0.1  # relative error of a known ground's height
_KNOWN_WITHIN_DEG = 3.0  # error of its attitude
_GROUND_HELD = 2.0  # seconds for which a measured ground is used without a new one
_SAME_GROUND = 0.03  # relative difference in height up to which two planes are the same ground
_NEW = 0.3  # weight of a new measurement of it


def measured_ground(points: SparsePoints, camera: Camera, known: Plane | None) -> Plane | None:
    """The ground plane through measured points.

    Args:
        points: Measured points of an image.
        camera: Its camera.
        known: What is known of the ground; points far from it do not count.

    Returns:
        The plane through the points on the ground, else what is known.
    """
    if len(points) < _MIN_POINTS:
        return known
    x, y = rays_of_pixels(camera, points.u, points.v)
    xyz = np.stack([points.z * x, points.z * y, points.z], axis=1)
    if known is not None:
        off = np.abs(xyz @ np.array(known.normal) + known.offset)
        xyz = xyz[off < _KNOWN_WITHIN * (known.offset + 0.1 * points.z)]
    try:
        found = find_ground(xyz[:_MOST_POINTS])
    except UnmeasurableError:
        return known
    return found if known is None or _near(found, known, _KNOWN_WITHIN) else known


class FollowedGround:
    """The ground plane of a camera over time.

    What points show of it is averaged; a plane far from that counts once it is seen again.
    """

    def __init__(self) -> None:
        self._stamp = 0
        self._plane: Plane | None = None
        self._other: Plane | None = None

    def follow(self, frame: Frame, camera: Camera) -> Plane | None:
        """The ground of a frame.

        Args:
            frame: The frame.
            camera: Its camera.

        Returns:
            The plane measured now or shortly before, else what the frame knows, or None.
        """
        age = (frame.stamp - self._stamp) * 1e-9
        if not 0 <= age <= _GROUND_HELD:
            self._plane = self._other = None
        known, plane = frame.ground, self._plane
        if plane is not None and known is not None and not _near(plane, known, _KNOWN_WITHIN):
            plane = None  # the camera was turned or lifted
        points = frame.points
        found = None if points is None else measured_ground(points, camera, known)
        if found is None or found is known:
            return known if plane is None else plane
        self._stamp = frame.stamp
        if plane is None:
            self._plane = found
        elif _near(found, plane, _SAME_GROUND):
            self._plane, self._other = _mean_plane(plane, found), None
        elif self._other is not None and _near(found, self._other, _SAME_GROUND):
            self._plane, self._other = found, None
        else:
            self._other = found
            return plane
        return self._plane


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
