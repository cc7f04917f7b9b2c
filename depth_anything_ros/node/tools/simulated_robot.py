"""A robot driving a procedural room or street: cameras, LiDAR, odometry, IMU and the truth."""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
import torch
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Quaternion, TransformStamped, Vector3
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, Imu, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.errors import DepthAnythingError, SettingError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.messages import (
    cloud_to_message,
    floats_to_image,
    info_from_camera,
    nanoseconds,
    rgb_to_image,
)
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.node.sensors.transforms import Matrix
from depth_anything_ros.synthetic.rendering.memory import keep_freed_memory
from depth_anything_ros.synthetic.robot import KINDS, Robot

_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_GRAVITY = 9.80665  # m/s^2, standard gravity (ISO 80000-3)
_ODOM, _BASE, _LIDAR = "odom", "base_link", "lidar"
_ANSWER_TIMEOUT = 2.0
_SETTLING = 0.5
_IDLE = 0.05


@dataclasses.dataclass(frozen=True)
class _CameraTopics:
    """What one camera publishes.

    Attributes:
        name: Name of the camera.
        frame_id: Name of its optical frame.
        camera: Its calibration.
        image: The picture.
        info: Its camera_info.
        depth: The true depth.
        depth_info: Its camera_info.
    """

    name: str
    frame_id: str
    camera: Camera
    image: Publisher
    info: Publisher
    depth: Publisher
    depth_info: Publisher

    @property
    def image_wanted(self) -> bool:
        """Whether anybody listens to the picture."""
        return self.image.get_subscription_count() > 0

    @property
    def wanted(self) -> bool:
        """Whether anybody listens to the picture or the true depth."""
        return self.image_wanted or self.depth.get_subscription_count() > 0


class SimulatedRobot(Node):
    """Drives, and publishes what its sensors see at every tick of its clock.

    Tick n is n / rate seconds after the start. What is seen at a tick depends on the parameters
    alone. In real time, ticks are left out where rendering does not keep up; on simulated time
    (`use_clock`) none is.
    """

    def __init__(self) -> None:
        """Declare the parameters and build the world.

        Raises:
            SettingError: A parameter has a value that cannot be used.
        """
        super().__init__("simulated_robot")
        world = self._text("world", "room", f"World to drive in: {' or '.join(KINDS)}.")
        self._seed = self._integer("seed", 0, "Decides the world, the way and all noise.", 0)
        self._rate = self._number("rate", 10.0, "Ticks (images, scans, ...) per second.", 0.01)
        self._speed = self._number("speed", 0.4, "Speed in m/s.", 0.0)
        cameras = self._cameras()
        lidar = self._flag("lidar", True, "Publish the 16-beam LiDAR on points.")
        self._lidar_noise = self._number(
            "lidar_noise", 0.0, "Standard deviation of the LiDAR's ranges in metres."
        )
        self._odometry_noise = self._number(
            "odometry_noise",
            0.0,
            "Standard deviation of length and turn of each step of odom, as a share of them.",
        )
        imu = self._flag("imu", False, "Publish imu: turning rate and specific force (gravity).")
        self._use_clock = self._flag(
            "use_clock", False, "Publish /clock and run on simulated time that starts at 0."
        )
        self._rate_factor = self._number(
            "rate_factor",
            1.0,
            "use_clock: seconds of simulated time per second; 0: as fast as the machine can, while "
            "anybody listens.",
        )
        answer_topic = self._text(
            "answer_topic",
            "",
            "use_clock: a consumer's Image topic (depth_anything/depth/image). Time stands still "
            "until the consumer is there; then each tick waits, at most "
            f"{_ANSWER_TIMEOUT:g} s, until it has answered the one before.",
        )
        self._robot = Robot(world, self._seed, cameras)
        self._topics = [self._announce(name, camera) for name, camera in cameras.items()]
        self._points = self._publisher(PointCloud2, "points") if lidar else None
        self._odom = self._publisher(Odometry, "odom")
        self._true_odom = self._publisher(Odometry, "true_odom")
        self._imu = self._publisher(Imu, "imu") if imu else None
        self._clock_topic = self._publisher(Clock, "/clock") if self._use_clock else None
        self._answers: str | None = None
        if answer_topic and self._use_clock:
            subscription = self.create_subscription(Image, answer_topic, self._on_answer, _RELIABLE)
            self._answers = subscription.topic_name
        self._answered = 0
        self._start = np.linalg.inv(self._robot.pose(0.0))
        self._last_pose = self._believed = np.eye(4)
        self._tf: Any = None
        self._broadcast_mounting()

    # Time ------------------------------------------------------------------------------------

    def drive(self) -> None:
        """Drive until told to stop."""
        tick, due = 0, time.monotonic()
        first_stamp = 0 if self._use_clock else self.get_clock().now().nanoseconds
        period = 1.0 / self._rate
        if self._use_clock:
            period = period / self._rate_factor if self._rate_factor else 0.0
        while rclpy.ok():
            late = 0
            if not self._use_clock:
                late = max(math.floor((time.monotonic() - due) / period) - 1, 0)
            tick += 1 + late
            # Simulated time that has fallen behind goes on from where it is.
            due = max(due, time.monotonic()) if self._use_clock else due + late * period
            due += period
            self._sleep_until(due)
            if self._use_clock:
                self._await_audience()
            if not rclpy.ok():
                return
            stamp = first_stamp + round(tick * 1e9 / self._rate)
            self._publish(tick, stamp)
            self._await_answer(stamp)

    def _sleep_until(self, moment: float) -> None:
        while rclpy.ok():
            remaining = moment - time.monotonic()
            rclpy.spin_once(self, timeout_sec=max(min(remaining, 0.1), 0.0))
            if remaining <= 0.1:
                time.sleep(max(moment - time.monotonic(), 0.0))
                return

    def _await_audience(self) -> None:
        """Let simulated time stand still while nobody would see what happens."""
        if self._has_audience():
            return
        while rclpy.ok() and not self._has_audience():
            rclpy.spin_once(self, timeout_sec=_IDLE)
        # The first subscription to appear is seldom the last one of its node.
        self._sleep_until(time.monotonic() + _SETTLING)

    def _has_audience(self) -> bool:
        if self._answers is not None:
            answered = self.count_publishers(self._answers) > 0
            return answered and any(topics.image_wanted for topics in self._topics)
        if self._rate_factor or any(topics.wanted for topics in self._topics):
            return True
        return self._points is not None and self._points.get_subscription_count() > 0

    def _await_answer(self, stamp: int) -> None:
        """Wait for the consumer's answer, where one is awaited; it may have been lost."""
        if self._answers is None:
            return
        until = time.monotonic() + _ANSWER_TIMEOUT
        while rclpy.ok() and self._answered < stamp and time.monotonic() < until:
            rclpy.spin_once(self, timeout_sec=_IDLE)

    def _on_answer(self, message: Image) -> None:
        self._answered = nanoseconds(message.header.stamp)

    # One tick --------------------------------------------------------------------------------

    def _publish(self, tick: int, stamp: int) -> None:
        """Send everything of one moment, the pictures last: then all that goes with them is out."""
        distance = self._speed * tick / self._rate
        # Noise is drawn tick by tick, whether somebody listens or not: it must not depend on that.
        noise = np.random.default_rng([self._seed, tick])
        slips = self._odometry_noise * noise.standard_normal(2)
        time_message = Time(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)
        if self._clock_topic is not None:
            self._clock_topic.publish(Clock(clock=time_message))
        self._publish_motion(time_message, distance, slips)
        if self._points is not None and self._points.get_subscription_count():
            points = self._robot.measure(distance, self._lidar_noise, noise)
            header = Header(stamp=time_message, frame_id=_LIDAR)
            self._points.publish(cloud_to_message(Cloud(points[None]), header))
        for topics in self._topics:
            header = Header(stamp=time_message, frame_id=topics.frame_id)
            info = info_from_camera(topics.camera, header)
            topics.info.publish(info)
            topics.depth_info.publish(info)
            if topics.wanted:
                coloured = topics.image_wanted
                rgb, depth = self._robot.photograph(topics.name, distance, coloured)
                topics.depth.publish(floats_to_image(depth, header))
                if coloured:
                    topics.image.publish(rgb_to_image(rgb, header))

    def _publish_motion(self, stamp: Time, distance: float, slips: npt.NDArray[np.float64]) -> None:
        pose = self._start @ self._robot.pose(distance)
        step = np.linalg.inv(self._last_pose) @ pose
        turn = math.atan2(step[1, 0], step[0, 0])
        believed_step = _planar(step[:2, 3] * (1 + slips[0]), turn * (1 + slips[1]))
        self._believed = self._believed @ believed_step
        self._last_pose = pose
        turning = self._speed * self._robot.curvature(distance)
        self._odom.publish(self._odometry(stamp, self._believed, turning))
        self._true_odom.publish(self._odometry(stamp, pose, turning))
        if self._tf is not None:
            self._tf.sendTransform(_transform(stamp, _ODOM, _BASE, self._believed))
        if self._imu is not None:
            imu = Imu(header=Header(stamp=stamp, frame_id=_BASE))
            imu.orientation_covariance[0] = -1.0  # sensor_msgs/Imu: no estimate of the attitude
            imu.angular_velocity.z = turning
            imu.linear_acceleration = Vector3(y=self._speed * turning, z=_GRAVITY)
            self._imu.publish(imu)

    def _odometry(self, stamp: Time, pose: Matrix, turning: float) -> Odometry:
        message = Odometry(header=Header(stamp=stamp, frame_id=_ODOM), child_frame_id=_BASE)
        x, y, z, *quaternion = _listed(pose)
        message.pose.pose.position = Point(x=x, y=y, z=z)
        message.pose.pose.orientation = _quaternion(quaternion)
        message.twist.twist.linear.x = self._speed
        message.twist.twist.angular.z = turning
        return message

    # Setting up ------------------------------------------------------------------------------

    def _cameras(self) -> dict[str, Camera]:
        names = self._names(
            "cameras",
            ["camera"],
            "Names of the cameras, at even angles around the robot from the front to the left; "
            "one publishes image, several <name>/image, with frames <name>_optical_frame.",
        )
        width = self._integer("width", 320, "Columns of the images.", 16)
        height = self._integer("height", 240, "Rows of the images.", 16)
        hfov = self._number(
            "hfov", 70.0, "Horizontal field of view in degrees, without distortion.", 1.0, 170.0
        )
        distortion = self._coefficients(
            "distortion", [0.0] * 5, "plumb_bob coefficients k1 k2 p1 p2 k3; zeros: an ideal lens."
        )
        if not names or len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
            raise SettingError(
                f"cameras is {names}; give one or more different names of letters, digits and _"
            )
        camera = Camera.from_hfov(width, height, hfov)
        if any(distortion):
            camera = dataclasses.replace(
                camera, distortion_model="plumb_bob", distortion=tuple(distortion)
            )
        return dict.fromkeys(names, camera)

    def _announce(self, name: str, camera: Camera) -> _CameraTopics:
        """Make a camera's publishers, and tell where it stands."""
        prefix = f"{name}/" if len(self._robot.cameras) > 1 else ""
        optical = np.linalg.inv(self._robot.base_camera[name])
        places = {"points": optical @ self._robot.base_lidar, "odom": optical, "imu": optical}
        entries = ", ".join(
            f"{topic}: [{', '.join(f'{number:.9g}' for number in _listed(place))}]"
            for topic, place in places.items()
        )
        described = ParameterDescriptor(
            description="Where the sensors stand, for the depth node's sensor_extrinsics (it needs "
            "them where there is no tf2).",
            read_only=True,
        )
        self.declare_parameter(
            f"{prefix.replace('/', '.')}sensor_extrinsics", f"{{{entries}}}", described, True
        )
        return _CameraTopics(
            name,
            f"{name}_optical_frame",
            camera,
            self._publisher(Image, f"{prefix}image"),
            self._publisher(CameraInfo, f"{prefix}camera_info"),
            self._publisher(Image, f"{prefix}true_depth/image"),
            self._publisher(CameraInfo, f"{prefix}true_depth/camera_info"),
        )

    def _broadcast_mounting(self) -> None:
        """Send the fixed transforms, and get ready to send the moving one."""
        try:
            tf2_ros = importlib.import_module("tf2_ros")
        except ImportError:
            self.get_logger().info(
                "tf2_ros is not installed, so nothing is sent on /tf; the parameters "
                "sensor_extrinsics say where the sensors stand"
            )
            return
        mounted = [
            _transform(Time(), _BASE, topics.frame_id, self._robot.base_camera[topics.name])
            for topics in self._topics
        ]
        mounted.append(_transform(Time(), _BASE, _LIDAR, self._robot.base_lidar))
        self._static_tf = tf2_ros.StaticTransformBroadcaster(self)
        self._static_tf.sendTransform(mounted)
        self._tf = tf2_ros.TransformBroadcaster(self)

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self.create_publisher(kind, topic, _RELIABLE)

    def _text(self, name: str, default: str, description: str) -> str:
        return str(self._declared(name, default, description))

    def _flag(self, name: str, default: bool, description: str) -> bool:
        return bool(self._declared(name, default, description))

    def _names(self, name: str, default: list[str], description: str) -> list[str]:
        return list(self._declared(name, default, description))

    def _coefficients(self, name: str, default: list[float], description: str) -> list[float]:
        return list(self._declared(name, default, description))

    def _integer(self, name: str, default: int, description: str, minimum: int) -> int:
        limits = IntegerRange(from_value=minimum, to_value=2**31 - 1, step=1)
        return int(self._declared(name, default, description, integer_range=[limits]))

    def _number(
        self,
        name: str,
        default: float,
        description: str,
        minimum: float = 0.0,
        maximum: float = 1e6,
    ) -> float:
        limits = FloatingPointRange(from_value=minimum, to_value=maximum)
        return float(self._declared(name, default, description, floating_point_range=[limits]))

    def _declared(self, name: str, default: Any, description: str, **limits: Any) -> Any:
        described = ParameterDescriptor(description=description, read_only=True, **limits)
        return self.declare_parameter(name, default, described).value


def _planar(offset: npt.NDArray[np.floating], turn: float) -> Matrix:
    """A step on level ground as 4x4."""
    matrix = np.eye(4)
    c, s = math.cos(turn), math.sin(turn)
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:2, 3] = offset
    return matrix


def _listed(pose: npt.NDArray[np.floating]) -> list[float]:
    """A 4x4 pose as x y z qx qy qz qw."""
    turn = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return [float(number) for number in (*pose[:3, 3], *turn)]


def _quaternion(numbers: list[float]) -> Quaternion:
    x, y, z, w = numbers
    return Quaternion(x=x, y=y, z=z, w=w)


def _transform(stamp: Time, parent: str, child: str, pose: Matrix) -> TransformStamped:
    x, y, z, *quaternion = _listed(pose)
    message = TransformStamped(header=Header(stamp=stamp, frame_id=parent), child_frame_id=child)
    message.transform.translation = Vector3(x=x, y=y, z=z)
    message.transform.rotation = _quaternion(quaternion)
    return message


def main(arguments: list[str] | None = None) -> int:
    """Drive until told to stop.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.

    Returns:
        0 after a normal stop, 1 when a parameter is unusable.
    """
    transport_warning = prefer_shared_memory()
    if transport_warning:
        print(f"simulated_robot: {transport_warning}", file=sys.stderr)
    # One core for the world; the others belong to whoever is tested with it.
    torch.set_num_threads(1)
    keep_freed_memory()
    rclpy.init(args=arguments)
    robot: SimulatedRobot | None = None
    try:
        robot = SimulatedRobot()
        robot.drive()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (DepthAnythingError, ParameterException) as error:
        print(f"simulated_robot: {error}", file=sys.stderr)
        return 1
    except Exception:
        if rclpy.ok():  # SIGTERM closes the context even in the middle of a tick
            raise
    finally:
        if robot is not None:
            robot.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
