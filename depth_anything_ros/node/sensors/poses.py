"""Poses over time: odometry, and the trajectory and map of a SLAM system."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from sensor_msgs.msg import PointCloud2

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.transform_tree import interpolated
from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher
from depth_anything_ros.node.sensors.points import cloud_points
from depth_anything_ros.node.sensors.transforms import Matrix, matrix_of_pose

_POSES_KEPT = 400
_LONGEST_GAP = 0.5
_FURTHEST = 1e8
"""Metres from the origin up to which a pose is accepted; UTM and ECEF lie within."""

POSE_TYPES: dict[str, type] = {"pose": PoseStamped, "odometry": Odometry, "path": Path}
"""Messages that carry poses, by the word that selects them."""


class PoseBuffer:
    """Stamped poses, read at any time between them. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poses: deque[tuple[int, Matrix]] = deque(maxlen=_POSES_KEPT)

    def add(self, stamp: int, pose: Matrix) -> None:
        """Take in a pose; one that is older than the newest starts the buffer anew.

        Args:
            stamp: Time in nanoseconds.
            pose: 4x4 float64.

        Raises:
            InputError: The position is nowhere.
        """
        if not np.abs(pose[:3, 3]).max() < _FURTHEST:
            raise InputError(f"position {pose[:3, 3].tolist()} lies off the Earth")
        with self._lock:
            if self._poses and stamp <= self._poses[-1][0]:
                if stamp == self._poses[-1][0]:
                    return
                self._poses.clear()
            self._poses.append((stamp, pose))

    def replace(self, poses: list[tuple[int, Matrix]]) -> None:
        """Take a whole trajectory in place of what is known (SLAM corrects its past).

        Args:
            poses: Stamps in nanoseconds, rising, and 4x4 poses.
        """
        with self._lock:
            believed = [each for each in poses if np.abs(each[1][:3, 3]).max() < _FURTHEST]
            self._poses = deque(believed, maxlen=_POSES_KEPT)

    def at(self, stamp: int) -> Matrix | None:
        """The pose at a time, interpolated (rotation along the shortest arc).

        Args:
            stamp: Time in nanoseconds.

        Returns:
            4x4 float64, or None outside what is known or in a gap of more than half a second; up
            to 0.1 s after the newest pose that pose is taken.
        """
        with self._lock:
            poses = list(self._poses)
        stamps = [known for known, _ in poses]
        after = int(np.searchsorted(stamps, stamp))
        if after < len(poses) and stamps[after] == stamp:
            return poses[after][1]
        if after == len(poses):
            fresh = bool(poses) and stamp - stamps[-1] <= 100_000_000
            return poses[-1][1] if fresh else None
        if after == 0:
            return None
        (start, first), (end, second) = poses[after - 1], poses[after]
        if end - start > _LONGEST_GAP * 1e9:
            return None
        return interpolated(first, second, (stamp - start) / (end - start))


class OdometryInput:
    """Metric poses of the robot's base from nav_msgs/Odometry.

    Attributes:
        base_frame: child_frame_id of the newest message, or empty.
        fixed_frame: Its frame_id, or empty.
    """

    def __init__(self, matcher: QosMatcher, topic: str) -> None:
        """Subscribe.

        Args:
            matcher: The node's subscriptions.
            topic: Topic of the odometry.
        """
        self.base_frame = ""
        self.fixed_frame = ""
        self._poses = PoseBuffer()
        self._subscription = MatchedSubscription(matcher, Odometry, topic, self._receive, 20)

    def close(self) -> None:
        """Unsubscribe."""
        self._subscription.close()

    def at(self, stamp: int) -> Matrix | None:
        """Pose of the base in the odometry frame at a time in nanoseconds, or None."""
        return self._poses.at(stamp)

    def _receive(self, message: Odometry) -> None:
        self.base_frame = message.child_frame_id
        self.fixed_frame = message.header.frame_id
        self._poses.add(nanoseconds(message.header.stamp), matrix_of_pose(message.pose.pose))


class SlamInput:
    """Trajectory and map points of a SLAM system without metric scale, in its own frame."""

    def __init__(
        self, matcher: QosMatcher, pose_topic: str, pose_type: str, points_topic: str
    ) -> None:
        """Subscribe.

        Args:
            matcher: The node's subscriptions.
            pose_topic: Topic of the poses of the camera's optical frame in the map.
            pose_type: One of `POSE_TYPES`.
            points_topic: Topic of the map points (PointCloud2 in the map frame).
        """
        self._poses = PoseBuffer()
        self._points: npt.NDArray[np.float64] | None = None
        self._subscriptions = [
            MatchedSubscription(matcher, POSE_TYPES[pose_type], pose_topic, self._receive_pose, 20),
            MatchedSubscription(matcher, PointCloud2, points_topic, self._receive_points, 2),
        ]

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            subscription.close()

    def at(self, stamp: int) -> tuple[Matrix, npt.NDArray[np.float64]] | None:
        """Pose of the camera and map points, in SLAM units, at a time; None while unknown."""
        pose = self._poses.at(stamp)
        if pose is None or self._points is None:
            return None
        return pose, self._points

    def _receive_pose(self, message: Any) -> None:
        if isinstance(message, Path):
            stamped = sorted(message.poses, key=lambda each: nanoseconds(each.header.stamp))
            self._poses.replace(
                [
                    (nanoseconds(each.header.stamp), matrix_of_pose(each.pose))
                    for each in stamped[-_POSES_KEPT:]
                ]
            )
            return
        pose = message.pose.pose if isinstance(message, Odometry) else message.pose
        self._poses.add(nanoseconds(message.header.stamp), matrix_of_pose(pose))

    def _receive_points(self, message: PointCloud2) -> None:
        points = cloud_points(message)
        self._points = points[np.isfinite(points).all(axis=1)]
