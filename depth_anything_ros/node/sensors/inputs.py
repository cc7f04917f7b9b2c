"""What is measured around a camera: everything a scaler may use, brought into one Frame."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from rclpy.node import Node
from sensor_msgs.msg import Imu

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.frames import Frame, Plane, SlamView, SparsePoints
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.ground import up_of_attitude
from depth_anything_ros.metric.selection import AUTO, inputs_of
from depth_anything_ros.metric.source import FrameInput
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription
from depth_anything_ros.node.runtime.throttled_log import ThrottledLog
from depth_anything_ros.node.sensors.points import (
    KINDS,
    DepthImageSensor,
    PointSensor,
    points_in_image,
)
from depth_anything_ros.node.sensors.poses import OdometryInput, SlamInput
from depth_anything_ros.node.sensors.transforms import Matrix, TransformError, Transforms

_AFFECTING = {
    "scaler",
    "cloud_topics",
    "scan_topics",
    "range_topics",
    "depth_topics",
    "points_slop",
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
}
_GRAVITY_SMOOTHING = 0.05
_IMU_FRESH = 0.5


class SensorInputs:
    """Listens to what the chosen scaler can use and completes frames with it."""

    def __init__(
        self,
        node: Node,
        parameters: NodeParameters,
        transforms: Transforms,
        on_points: Callable[[], None],
    ) -> None:
        """Subscribe to the sensors the parameters name.

        Args:
            node: The node to subscribe with.
            parameters: Which sensors, and where they stand.
            transforms: Where frames stand to each other.
            on_points: Called when a sensor has sent something.

        Raises:
            SettingError: `sensor_extrinsics` cannot be read.
        """
        self._parameters = parameters
        self._transforms = transforms
        read_extrinsics(parameters.sensor_extrinsics)  # refuse now what cannot be read
        wanted = inputs_of(parameters.scaler)
        self._sensors: list[PointSensor] = []
        self._odometry: OdometryInput | None = None
        self._slam: SlamInput | None = None
        self._imu: _Gravity | None = None
        if FrameInput.POINTS in wanted:
            self._sensors = _sensors(node, parameters, on_points)
        if FrameInput.POSE in wanted:
            self._odometry = OdometryInput(node, parameters.odometry_topic)
        if FrameInput.SLAM in wanted:
            self._slam = SlamInput(
                node,
                parameters.slam_pose_topic,
                parameters.slam_pose_type,
                parameters.slam_points_topic,
            )
        if FrameInput.GROUND in wanted and parameters.imu_topic:
            self._imu = _Gravity(node, parameters.imu_topic)
        self._ground_wanted = FrameInput.GROUND in wanted

    def match(self) -> None:
        """Look again at what the publishers offer."""
        for listener in (*self._sensors, self._odometry, self._slam, self._imu):
            if listener is not None:
                listener.match()

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
            log: Says what is missing.

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
        )

    def _points(
        self, frame: Frame, camera: Camera, name: str, log: ThrottledLog
    ) -> SparsePoints | None:
        parts = []
        for sensor in self._sensors:
            message = sensor.nearest(frame.stamp, self._parameters.points_slop)
            if message is None:
                continue
            try:
                transform = self._to_camera(sensor.name, message, frame, name)
                parts.append((sensor.topic, sensor.points(message), transform))
            except InputError as error:
                log.warn(f"{sensor.topic} is not used: {error}")
        return points_in_image(parts, camera)

    def _to_camera(self, topic: str, message: Any, frame: Frame, name: str) -> Matrix:
        """The transform from a sensor's frame to the optical frame at the image's time."""
        known = self._configured(name, topic)
        if known is None:
            known = self._configured(name, "")
        if known is not None:
            return known
        header, timeout = message.header, self._parameters.tf_timeout
        if header.frame_id == frame.frame_id:
            return np.eye(4)
        fixed = self._parameters.fixed_frame
        if not fixed:
            return self._transforms.lookup(frame.frame_id, header.frame_id, frame.stamp, timeout)
        stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        return self._transforms.lookup_moved(
            frame.frame_id, frame.stamp, header.frame_id, stamp, fixed, timeout
        )

    def _configured(self, name: str, topic: str) -> Matrix | None:
        return configured_extrinsics(self._parameters, name, topic)

    def _pose(self, frame: Frame, name: str, log: ThrottledLog) -> Matrix | None:
        """Pose of the optical frame in a metric fixed frame: from tf2, else from odometry."""
        if self._odometry is None:
            return None
        fixed, timeout = self._parameters.fixed_frame, self._parameters.tf_timeout
        base = self._odometry.at(frame.stamp)
        try:
            if base is None:
                if not fixed or not self._transforms.available:
                    return None
                return self._transforms.lookup(fixed, frame.frame_id, frame.stamp, timeout)
            return base @ np.linalg.inv(self._from_base(self._odometry.base_frame, frame, name))
        except TransformError as error:
            if self._parameters.scaler != AUTO:  # auto goes without, and says so if it must
                log.warn(f"odometry is not used: {error}")
            return None

    def _from_base(self, base_frame: str, frame: Frame, name: str) -> Matrix:
        """The transform from the odometry's base to the optical frame."""
        known = self._configured(name, self._parameters.odometry_topic)
        if known is not None:
            return known
        return self._transforms.lookup(
            frame.frame_id, base_frame, frame.stamp, self._parameters.tf_timeout
        )

    def _slam_view(self, frame: Frame) -> SlamView | None:
        known = None if self._slam is None else self._slam.at(frame.stamp)
        return None if known is None else SlamView(*known)

    def _ground(self, frame: Frame, name: str, log: ThrottledLog) -> Plane | None:
        """The ground in the optical frame: height and attitude from parameters, IMU and tf2."""
        if not self._ground_wanted:
            return None
        given = self._parameters
        if given.camera_height > 0:
            up = self._gravity(frame, name, log)
            if up is None:
                up = up_of_attitude(given.camera_pitch_deg, given.camera_roll_deg)
            return Plane((float(up[0]), float(up[1]), float(up[2])), given.camera_height)
        if not self._transforms.available:
            return None
        asked = given.scaler != AUTO  # auto must not wait for a frame nobody has
        try:
            camera_to_base = self._transforms.lookup(
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
        if self._imu is None:
            return None
        measured = self._imu.up()
        if measured is None:
            return None
        up, message = measured
        try:
            rotation = self._to_camera(self._parameters.imu_topic, message, frame, name)[:3, :3]
        except TransformError as error:
            log.warn(f"the IMU is not used: {error}")
            return None
        return rotation @ up


class _Gravity:
    """Up as an accelerometer feels it: the smoothed specific force of an IMU."""

    def __init__(self, node: Node, topic: str) -> None:
        self._clock = node.get_clock()
        self._newest: tuple[npt.NDArray[np.float64], Imu] | None = None
        self._subscription = MatchedSubscription(node, Imu, topic, self._receive, 20)

    def match(self) -> None:
        self._subscription.match()

    def close(self) -> None:
        self._subscription.close()

    def up(self) -> tuple[npt.NDArray[np.float64], Imu] | None:
        """Unit vector up in the IMU's frame and the message it comes from, or None when stale."""
        if self._newest is None:
            return None
        force, message = self._newest
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        if abs(self._clock.now().nanoseconds - stamp) > _IMU_FRESH * 1e9:
            return None
        length = float(np.linalg.norm(force))
        return (force / length, message) if length > 1.0 else None

    def _receive(self, message: Imu) -> None:
        a = message.linear_acceleration
        force = np.array([a.x, a.y, a.z])
        if not np.isfinite(force).all():
            return
        if self._newest is not None:
            force = self._newest[0] + _GRAVITY_SMOOTHING * (force - self._newest[0])
        self._newest = (force, message)


def affects_sensor_inputs(names: Iterable[str]) -> bool:
    """Whether any of some parameters changes what a camera's surroundings are.

    Args:
        names: Names of parameters.
    """
    return bool(_AFFECTING & set(names))


def configured_extrinsics(parameters: NodeParameters, camera: str, name: str) -> Matrix | None:
    """Where a sensor or frame stands to a camera, as the parameters give it.

    Args:
        parameters: Their `sensor_extrinsics` are looked up.
        camera: Name of the camera, empty for the only one.
        name: Topic of a sensor, or a frame.

    Returns:
        4x4 float64 into the optical frame, or None when it is not given.
    """
    given = read_extrinsics(parameters.sensor_extrinsics)
    return (given.get(camera) or given.get("") or {}).get(name)


@functools.lru_cache(maxsize=8)
def read_extrinsics(text: str) -> dict[str, dict[str, Matrix]]:
    """Read the parameter `sensor_extrinsics`.

    Args:
        text: YAML: 7 numbers (x y z in metres, qx qy qz qw) that bring points of every sensor into
            the optical frame; or a table from topic to 7 numbers; or, for several cameras, a table
            from camera to such a table. Empty for none.

    Returns:
        4x4 float64 by camera, then by topic as named in the parameters; the empty name stands for
        every camera or every sensor.

    Raises:
        SettingError: The text is something else.
    """
    if not text.strip():
        return {}
    try:
        content = yaml.safe_load(text)
        by_topic = content if isinstance(content, dict) else {"": content}
        nested = all(isinstance(value, dict) for value in by_topic.values())
        by_camera = by_topic if nested else {"": by_topic}
        return {
            str(camera): {
                str(topic): extrinsics_of(numbers, str(topic)) for topic, numbers in table.items()
            }
            for camera, table in by_camera.items()
        }
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, InputError) as error:
        raise SettingError(
            f"sensor_extrinsics is '{text}': {error}; write [x, y, z, qx, qy, qz, qw], "
            "{topic: [...]} or {camera: {topic: [...]}}"
        ) from error


def _sensors(
    node: Node, parameters: NodeParameters, on_points: Callable[[], None]
) -> list[PointSensor]:
    named = {
        "cloud": parameters.cloud_topics,
        "scan": parameters.scan_topics,
        "range": parameters.range_topics,
    }
    sensors = [
        PointSensor(node, topic, *KINDS[kind], on_points)
        for kind, topics in named.items()
        for topic in topics
        if topic
    ]
    return [
        *sensors,
        *(DepthImageSensor(node, topic, on_points) for topic in parameters.depth_topics if topic),
    ]
