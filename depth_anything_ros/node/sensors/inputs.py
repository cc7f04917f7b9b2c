"""What is measured around a camera: everything a scaler may use, brought into one Frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import Frame, Plane, SlamView, SparsePoints
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.ground import up_of_attitude
from depth_anything_ros.metric.selection import AUTO, inputs_of
from depth_anything_ros.metric.source import FrameInput
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.log import ThrottledLog
from depth_anything_ros.node.runtime.subscriptions import QosMatcher
from depth_anything_ros.node.sensors.gravity import GravityInput
from depth_anything_ros.node.sensors.placement import Placement
from depth_anything_ros.node.sensors.points import (
    KINDS,
    DepthImageSensor,
    Points,
    PointSensor,
    points_in_image,
    points_within,
)
from depth_anything_ros.node.sensors.poses import OdometryInput, SlamInput
from depth_anything_ros.node.sensors.transforms import Matrix, TransformError

_AFFECTING = {
    "scaler",
    "cloud_topics",
    "scan_topics",
    "range_topics",
    "depth_topics",
    "points_slop",
    "points_min_range",
    "points_max_range",
    "sensor_extrinsics",
    "fixed_frame",
    "tf_timeout",
    "odometry_topic",
    "slam_pose_topic",
    "slam_pose_type",
    "slam_points_topic",
    "base_frame",
    "camera_height",
    "camera_pitch_deg",
    "camera_roll_deg",
    "imu_topic",
    "ground_fusion",
    "alignment_check",
}


class SensorInputs:
    """Subscribes to the inputs of the chosen scaler and completes frames with them.

    Callbacks of the executor only store messages; `complete` runs in the worker's thread.
    """

    def __init__(
        self,
        matcher: QosMatcher,
        parameters: NodeParameters,
        placement: Placement,
        on_points: Callable[[], None],
    ) -> None:
        """Subscribe to the sensors the parameters name.

        Args:
            matcher: The node's subscriptions.
            parameters: Which sensors, and what is known of the ground.
            placement: Where sensors stand to the cameras.
            on_points: Called when a sensor has sent something.

        Raises:
            rclpy.exceptions.InvalidTopicNameException: A topic has no possible name.
        """
        self._parameters = parameters
        self._placement = placement
        wanted = inputs_of(parameters.scaler)
        self._sensors: list[PointSensor] = []
        self._odometry: OdometryInput | None = None
        self._slam: SlamInput | None = None
        self._imu: GravityInput | None = None
        self._ground_wanted = FrameInput.GROUND in wanted or parameters.ground_fusion
        # auto and fusion must not wait for a frame that does not exist.
        self._ground_needed = FrameInput.GROUND in wanted and parameters.scaler != AUTO
        self._pose_needed = FrameInput.POSE in wanted
        compares = parameters.alignment_check and FrameInput.POINTS in wanted
        try:
            if FrameInput.POINTS in wanted:
                self._listen_to_points(matcher, on_points)
            if self._pose_needed or compares or parameters.ground_fusion:
                self._odometry = OdometryInput(matcher, parameters.odometry_topic)
            if FrameInput.SLAM in wanted:
                self._slam = SlamInput(
                    matcher,
                    parameters.slam_pose_topic,
                    parameters.slam_pose_type,
                    parameters.slam_points_topic,
                )
            if self._ground_wanted and parameters.imu_topic:
                self._imu = GravityInput(matcher, parameters.imu_topic)
        except Exception:
            self.close()  # nothing stays behind of a change that is refused
            raise

    def close(self) -> None:
        """Unsubscribe."""
        for listener in (*self._sensors, self._odometry, self._slam, self._imu):
            if listener is not None:
                listener.close()

    def are_complete(self, stamp: int) -> bool:
        """Whether every sensor that is alive has sent something as new as an image.

        Args:
            stamp: Time of the image in nanoseconds.
        """
        return all(not sensor.expected or sensor.has_seen(stamp) for sensor in self._sensors)

    def complete(self, frame: Frame, camera_name: str, log: ThrottledLog) -> Frame:
        """Add to a frame what is known of its moment.

        Args:
            frame: Image, stamp, frame_id and camera.
            camera_name: Name of the camera, empty for the only one.
            log: For what is missing.

        Returns:
            The same with points, ground, pose and slam where they are known.
        """
        camera = frame.camera
        if camera is None:
            return frame
        return dataclasses.replace(
            frame,
            points=self._points(frame, camera, camera_name, log),
            ground=self._ground(frame, camera_name, log),
            pose=self._pose(frame, camera_name, log),
            slam=self._slam_view(frame),
            fixed_frame=self._fixed_frame(),
        )

    def _listen_to_points(self, matcher: QosMatcher, on_points: Callable[[], None]) -> None:
        named = {
            "cloud": self._parameters.cloud_topics,
            "scan": self._parameters.scan_topics,
            "range": self._parameters.range_topics,
        }
        for kind, topics in named.items():
            for topic in filter(None, topics):
                self._sensors.append(PointSensor(matcher, topic, *KINDS[kind], on_points))
        for topic in filter(None, self._parameters.depth_topics):
            self._sensors.append(DepthImageSensor(matcher, topic, on_points))

    def _points(
        self, frame: Frame, camera: Camera, name: str, log: ThrottledLog
    ) -> SparsePoints | None:
        parts, offsets = [], []
        for sensor in self._sensors:
            message = sensor.nearest(frame.stamp)
            if message is None:
                continue
            apart = sensor.apart(message, frame.stamp)
            if abs(apart) > self._parameters.points_slop:
                log.warn(
                    f"{sensor.topic} is not used: its stamps are {abs(apart):.3g} s "
                    f"{'behind' if apart < 0 else 'ahead of'} the image's, points_slop allows "
                    f"{self._parameters.points_slop:g} s; synchronise the clocks, or raise it"
                )
                continue
            try:
                transform = self._placement.to_camera(sensor.name, message, frame, name)
                points = self._plausible(sensor.points(message), sensor.topic, log)
                parts.append((sensor.topic, points, transform))
                moved = self._placement.accounts_for_motion(name, sensor.name)
                offsets.append(0.0 if moved else apart)
            except InputError as error:
                log.warn(f"{sensor.topic} is not used: {error}")
        found = points_in_image(parts, camera)
        return None if found is None else dataclasses.replace(found, apart=float(np.mean(offsets)))

    def _plausible(self, points: Points, topic: str, log: ThrottledLog) -> Points:
        """The points within points_min_range and points_max_range of their sensor."""
        low = self._parameters.points_min_range
        high = self._parameters.points_max_range or math.inf
        near = points_within(points, low, high)
        if len(points) and not len(near):
            log.warn(
                f"{topic} is not used: none of its {len(points)} points lies within "
                f"points_min_range {low:g} m and points_max_range {high:g} m of the sensor"
            )
        return near

    def _pose(self, frame: Frame, name: str, log: ThrottledLog) -> Matrix | None:
        """Pose of the optical frame in a metric fixed frame: from tf2, else from odometry."""
        if self._odometry is None:
            return None
        parameters, transforms = self._parameters, self._placement.transforms
        fixed = parameters.fixed_frame
        timeout = parameters.tf_timeout if self._pose_needed else 0.0
        base = self._odometry.at(frame.stamp)
        try:
            if base is None:
                if not fixed or not transforms.available:
                    return None
                return transforms.lookup(fixed, frame.frame_id, frame.stamp, timeout)
            from_base = self._from_base(self._odometry.base_frame, frame, name, timeout)
            return base @ np.linalg.inv(from_base)
        except TransformError as error:
            if self._pose_needed and parameters.scaler != AUTO:  # auto goes without
                log.warn(f"odometry is not used: {error}")
            return None

    def _fixed_frame(self) -> str:
        """Name of the frame of `_pose`."""
        odometry = "" if self._odometry is None else self._odometry.fixed_frame
        return odometry or self._parameters.fixed_frame

    def _from_base(self, base_frame: str, frame: Frame, name: str, timeout: float) -> Matrix:
        """The transform from the odometry's base to the optical frame."""
        known = self._placement.configured(name, self._parameters.odometry_topic)
        if known is not None:
            return known
        transforms = self._placement.transforms
        return transforms.lookup(frame.frame_id, base_frame, frame.stamp, timeout)

    def _slam_view(self, frame: Frame) -> SlamView | None:
        known = None if self._slam is None else self._slam.at(frame.stamp)
        return None if known is None else SlamView(*known)

    def _ground(self, frame: Frame, name: str, log: ThrottledLog) -> Plane | None:
        """The ground in the optical frame: height and attitude from parameters, IMU and tf2."""
        if not self._ground_wanted:
            return None
        given, transforms = self._parameters, self._placement.transforms
        if given.camera_height > 0:
            up = self._gravity(frame, name, log)
            if up is None:
                up = up_of_attitude(given.camera_pitch_deg, given.camera_roll_deg)
            return Plane((float(up[0]), float(up[1]), float(up[2])), given.camera_height)
        if not transforms.available:
            return None
        asked = self._ground_needed
        try:
            camera_to_base = transforms.lookup(
                given.base_frame, frame.frame_id, frame.stamp, given.tf_timeout if asked else 0.0
            )
        except TransformError as error:
            if asked:
                log.warn(f"where the camera stands is not known: {error}")
            return None
        height = float(camera_to_base[2, 3])
        if height <= 0:
            return None
        up = self._gravity(frame, name, log)
        if up is None:
            up = camera_to_base[2, :3]
        return Plane((float(up[0]), float(up[1]), float(up[2])), height)

    def _gravity(
        self, frame: Frame, name: str, log: ThrottledLog
    ) -> npt.NDArray[np.float64] | None:
        """Unit vector up in the optical frame from the IMU, or None."""
        measured: tuple[Any, Any] | None = None if self._imu is None else self._imu.up()
        if measured is None:
            return None
        up, message = measured
        try:
            placed = self._placement.to_camera(self._parameters.imu_topic, message, frame, name)
        except TransformError as error:
            log.warn(f"the IMU is not used: {error}")
            return None
        return placed[:3, :3] @ up


def affects_sensor_inputs(names: Iterable[str]) -> bool:
    """Whether any of some parameters changes what `SensorInputs` listens to or does.

    Args:
        names: Names of parameters.
    """
    return bool(_AFFECTING & set(names))
