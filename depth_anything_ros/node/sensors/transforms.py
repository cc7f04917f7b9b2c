"""Transforms: tf2 where it is installed, fixed extrinsics where not."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.extrinsics import extrinsics_of

Matrix = npt.NDArray[np.float64]


class TransformError(InputError):
    """A transform that is not known now; the message says which and what to do."""


class TransformLookup(Protocol):
    """Knows transforms between frames: tf2, or a recording."""

    @property
    def available(self) -> bool:
        """Whether it may know any."""
        ...

    def lookup(self, target: str, source: str, stamp: int, timeout: float) -> Matrix:
        """The transform source -> target at one time; see `Transforms.lookup`."""
        ...

    def lookup_moved(
        self,
        target: str,
        target_stamp: int,
        source: str,
        source_stamp: int,
        fixed_frame: str,
        timeout: float,
    ) -> Matrix:
        """The transform source -> target at two times; see `Transforms.lookup_moved`."""
        ...


class Transforms:
    """Looks up transforms between frames through tf2."""

    def __init__(self, node: Node) -> None:
        """Listen to /tf and /tf_static where tf2_ros is installed.

        Args:
            node: The node to listen with.
        """
        try:
            tf2_ros = importlib.import_module("tf2_ros")
        except ImportError:
            self._buffer: Any = None
            return
        self._errors: Any = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    @property
    def available(self) -> bool:
        """Whether tf2_ros is installed."""
        return self._buffer is not None

    def lookup(self, target: str, source: str, stamp: int, timeout: float) -> Matrix:
        """The transform that brings points of one frame into another at one time.

        Args:
            target: Frame of the result.
            source: Frame the points are in.
            stamp: Time in nanoseconds; 0 takes the newest known.
            timeout: Seconds to wait for it.

        Returns:
            4x4 float64.

        Raises:
            TransformError: It is not known, or tf2_ros is not installed.
        """
        if target == source:
            return np.eye(4)
        buffer = self._require(target, source)
        try:
            found = buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp), Duration(seconds=timeout)
            )
        except self._errors as error:
            raise TransformError(f"no transform {source} -> {target}: {error}") from error
        return matrix_of_transform(found.transform)

    def lookup_moved(
        self,
        target: str,
        target_stamp: int,
        source: str,
        source_stamp: int,
        fixed_frame: str,
        timeout: float,
    ) -> Matrix:
        """The transform between two frames at two times, through a frame that does not move.

        Args:
            target: Frame of the result.
            target_stamp: Time the target frame is taken at, in nanoseconds.
            source: Frame the points are in.
            source_stamp: Time the points were measured, in nanoseconds.
            fixed_frame: Frame that stands still between the two ("odom").
            timeout: Seconds to wait for it.

        Returns:
            4x4 float64.

        Raises:
            TransformError: It is not known, or tf2_ros is not installed.
        """
        buffer = self._require(target, source)
        try:
            found = buffer.lookup_transform_full(
                target,
                Time(nanoseconds=target_stamp),
                source,
                Time(nanoseconds=source_stamp),
                fixed_frame,
                Duration(seconds=timeout),
            )
        except self._errors as error:
            raise TransformError(
                f"no transform {source} -> {target} through {fixed_frame}: {error}"
            ) from error
        return matrix_of_transform(found.transform)

    def _require(self, target: str, source: str) -> Any:
        if self._buffer is None:
            raise TransformError(
                f"tf2_ros is not installed, so {source} -> {target} is not known; install "
                "ros-<distro>-tf2-ros, or give the extrinsics as a parameter"
            )
        return self._buffer


def matrix_of_transform(transform: Transform) -> Matrix:
    """A geometry_msgs/Transform as 4x4 float64.

    Raises:
        InputError: The quaternion has no length.
    """
    return _matrix(transform.translation, transform.rotation)


def matrix_of_pose(pose: Pose) -> Matrix:
    """A geometry_msgs/Pose as 4x4 float64.

    Raises:
        InputError: The quaternion has no length.
    """
    return _matrix(pose.position, pose.orientation)


def _matrix(position: Vector3 | Point, turn: Quaternion) -> Matrix:
    numbers = (position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w)
    return extrinsics_of(numbers, "a pose")
