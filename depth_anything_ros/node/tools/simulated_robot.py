"""A robot driving a procedural room or street: cameras, LiDAR, odometry and more, and the truth."""

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
from geometry_msgs.msg import Point, Vector3
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu, LaserScan, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.extrinsics import position_and_quaternion
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.geometry.scan import ScanLayout
from depth_anything_ros.node.messages import (
    cloud_to_message,
    floats_to_image,
    info_from_camera,
    nanoseconds,
    quaternion_message,
    rgb_to_image,
    scan_message,
    transform_to_message,
)
from depth_anything_ros.node.parameter import (
    LARGEST,
    ParameterSet,
    parameter,
    unknown_parameters,
)
from depth_anything_ros.node.runtime.program import run_program
from depth_anything_ros.node.sensors.transforms import Matrix
from depth_anything_ros.synthetic.lidar import FARTHEST
from depth_anything_ros.synthetic.rendering.memory import keep_freed_memory
from depth_anything_ros.synthetic.robot import CAMERA_HEIGHT, KINDS, Robot

_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_GRAVITY = 9.80665  # m/s^2, standard gravity (ISO 80000-3)
_ODOM, _BASE, _LIDAR, _LASER = "odom", "base_link", "lidar", "laser"
_GROUND = "base_footprint"  # REP-120: below the robot, on the ground, where its base_link is
_NEAREST_LASER = 0.05  # metres
_ANSWER_TIMEOUT = 2.0
_SETTLING = 0.5
_IDLE = 0.05
_PURPOSE = "Drives through a procedural world and publishes what a robot's sensors see there."


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


@dataclasses.dataclass(frozen=True)
class RobotParameters(ParameterSet):
    """The parameters of the robot."""

    world: str = parameter("room", "World to drive in.", choices=tuple(KINDS), read_only=True)
    seed: int = parameter(
        0,
        "Decides the world, the way and all noise.",
        minimum=0,
        maximum=2**31 - 1,
        read_only=True,
    )
    rate: float = parameter(
        10.0,
        "Ticks (images, scans, ...) per second.",
        minimum=0.01,
        maximum=LARGEST,
        read_only=True,
    )
    speed: float = parameter(0.4, "Speed in m/s.", minimum=0.0, maximum=1000.0, read_only=True)
    cameras: tuple[str, ...] = parameter(
        ("camera",),
        "Names of the cameras, at even angles around the robot from the front to the left; one "
        "publishes image, several <name>/image, with frames <name>_optical_frame.",
        read_only=True,
    )
    width: int = parameter(320, "Columns of the images.", minimum=16, maximum=16384, read_only=True)
    height: int = parameter(240, "Rows of the images.", minimum=16, maximum=16384, read_only=True)
    hfov: float = parameter(
        70.0,
        "Horizontal field of view in degrees, without distortion.",
        minimum=1.0,
        maximum=170.0,
        read_only=True,
    )
    camera_height: float = parameter(
        CAMERA_HEIGHT,
        "Metres of the cameras above the ground.",
        minimum=0.01,
        maximum=1000.0,
        read_only=True,
    )
    camera_pitch_deg: float = parameter(
        0.0, "Degrees the cameras look down.", minimum=-89.0, maximum=89.0, read_only=True
    )
    distortion: tuple[float, ...] = parameter(
        (0.0,) * 5, "plumb_bob coefficients k1 k2 p1 p2 k3; zeros: an ideal lens.", read_only=True
    )
    lidar: bool = parameter(True, "Publish the 16-beam LiDAR on points.", read_only=True)
    lidar_noise: float = parameter(
        0.0,
        "Standard deviation of the ranges of LiDAR and laser in metres.",
        minimum=0.0,
        maximum=LARGEST,
        read_only=True,
    )
    lidar_delay: float = parameter(
        0.0,
        "Seconds by which the LiDAR's scans are older than their stamps, as of a driver that "
        "stamps late.",
        minimum=0.0,
        maximum=10.0,
        read_only=True,
    )
    laser: bool = parameter(
        False,
        "Publish a level laser scanner, 0.25 m above the ground, on scan.",
        read_only=True,
    )
    odometry_noise: float = parameter(
        0.0,
        "Standard deviation of length and turn of each step of odom, as a share of them.",
        minimum=0.0,
        maximum=LARGEST,
        read_only=True,
    )
    imu: bool = parameter(
        False, "Publish imu: turning rate and specific force (gravity).", read_only=True
    )
    use_clock: bool = parameter(
        False, "Publish /clock and run on simulated time that starts at 0.", read_only=True
    )
    rate_factor: float = parameter(
        1.0,
        "use_clock: seconds of simulated time per second; 0: as fast as the machine can, while "
        "anybody listens.",
        minimum=0.0,
        maximum=LARGEST,
        read_only=True,
    )
    answer_topic: str = parameter(
        "",
        "use_clock: a consumer's Image topic (depth_anything/depth/image). Time stands still until "
        "the consumer is there; then each tick waits, at most "
        f"{_ANSWER_TIMEOUT:g} s, until it has answered the one before.",
        read_only=True,
        topic=True,
    )

    def check_together(self) -> None:
        """Refuse values that are impossible together; see `ParameterSet.check_together`."""
        names = self.cameras
        if not names or len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
            raise SettingError(
                f"cameras is {list(names)}; give one or more different names of letters, digits "
                "and _"
            )

    def camera(self) -> Camera:
        """The calibration that all cameras share."""
        camera = Camera.from_hfov(self.width, self.height, self.hfov)
        if not any(self.distortion):
            return camera
        return dataclasses.replace(camera, distortion_model="plumb_bob", distortion=self.distortion)


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
        settings = self._settings = RobotParameters.declare(self)
        for sentence in unknown_parameters(self, RobotParameters.__dataclass_fields__):
            self.get_logger().warning(sentence)
        cameras = dict.fromkeys(settings.cameras, settings.camera())
        self._robot = Robot(
            settings.world,
            settings.seed,
            cameras,
            settings.camera_height,
            settings.camera_pitch_deg,
        )
        self._points = self._publisher(PointCloud2, "points") if settings.lidar else None
        self._scan = self._publisher(LaserScan, "scan") if settings.laser else None
        turn = 2 * math.pi / len(self._robot.laser_beams)
        self._scan_layout = ScanLayout(
            0.0, 2 * math.pi - turn, turn, _NEAREST_LASER, FARTHEST, -math.inf, math.inf
        )
        self._topics = [self._announce(name, camera) for name, camera in cameras.items()]
        self._odom = self._publisher(Odometry, "odom")
        self._true_odom = self._publisher(Odometry, "true_odom")
        self._imu = self._publisher(Imu, "imu") if settings.imu else None
        self._clock_topic = self._publisher(Clock, "/clock") if self._settings.use_clock else None
        self._answers: str | None = None
        if settings.answer_topic and settings.use_clock:
            subscription = self.create_subscription(
                Image, settings.answer_topic, self._on_answer, _RELIABLE
            )
            self._answers = subscription.topic_name
        self._answered = 0
        self._start = np.linalg.inv(self._robot.pose(0.0))
        self._last_pose = self._believed = np.eye(4)
        self._tf: Any = None
        self._broadcast_mounting()

    # Time ------------------------------------------------------------------------------------

    def drive(self) -> None:
        """Drive until stopped."""
        tick, due = 0, time.monotonic()
        first_stamp = 0 if self._settings.use_clock else self.get_clock().now().nanoseconds
        period = 1.0 / self._settings.rate
        if self._settings.use_clock:
            period = period / self._settings.rate_factor if self._settings.rate_factor else 0.0
        while rclpy.ok():
            late = 0
            if not self._settings.use_clock:
                late = max(math.floor((time.monotonic() - due) / period) - 1, 0)
            tick += 1 + late
            # Simulated time that has fallen behind goes on from where it is.
            due = max(due, time.monotonic()) if self._settings.use_clock else due + late * period
            due += period
            self._sleep_until(due)
            if self._settings.use_clock:
                self._await_audience()
            if not rclpy.ok():
                return
            stamp = first_stamp + round(tick * 1e9 / self._settings.rate)
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
        """Let simulated time stand still while nobody subscribes."""
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
        if self._settings.rate_factor or any(topics.wanted for topics in self._topics):
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
        distance = self._settings.speed * tick / self._settings.rate
        # Noise is drawn tick by tick, independently of subscribers.
        noise = np.random.default_rng([self._settings.seed, tick])
        slips = self._settings.odometry_noise * noise.standard_normal(2)
        time_message = Time(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)
        if self._clock_topic is not None:
            self._clock_topic.publish(Clock(clock=time_message))
        self._publish_motion(time_message, distance, slips)
        if self._points is not None and self._points.get_subscription_count():
            scanned = distance - self._settings.speed * self._settings.lidar_delay
            points = self._robot.measure(scanned, self._settings.lidar_noise, noise)
            header = Header(stamp=time_message, frame_id=_LIDAR)
            self._points.publish(cloud_to_message(Cloud(points[None]), header))
        if self._scan is not None and self._scan.get_subscription_count():
            ranges = self._robot.sweep(distance, self._settings.lidar_noise, noise)
            header = Header(stamp=time_message, frame_id=_LASER)
            self._scan.publish(scan_message(ranges, self._scan_layout, header))
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
        turning = self._settings.speed * self._robot.curvature(distance)
        self._odom.publish(self._odometry(stamp, self._believed, turning))
        self._true_odom.publish(self._odometry(stamp, pose, turning))
        if self._tf is not None:
            self._tf.sendTransform(transform_to_message(stamp, _ODOM, _BASE, self._believed))
        if self._imu is not None:
            imu = Imu(header=Header(stamp=stamp, frame_id=_BASE))
            imu.orientation_covariance[0] = -1.0  # sensor_msgs/Imu: no estimate of the attitude
            imu.angular_velocity.z = turning
            imu.linear_acceleration = Vector3(y=self._settings.speed * turning, z=_GRAVITY)
            self._imu.publish(imu)

    def _odometry(self, stamp: Time, pose: Matrix, turning: float) -> Odometry:
        message = Odometry(header=Header(stamp=stamp, frame_id=_ODOM), child_frame_id=_BASE)
        x, y, z, *quaternion = position_and_quaternion(pose)
        message.pose.pose.position = Point(x=x, y=y, z=z)
        message.pose.pose.orientation = quaternion_message(quaternion)
        message.twist.twist.linear.x = self._settings.speed
        message.twist.twist.angular.z = turning
        return message

    # Setting up ------------------------------------------------------------------------------

    def _announce(self, name: str, camera: Camera) -> _CameraTopics:
        """Make a camera's publishers and publish its pose."""
        prefix = f"{name}/" if len(self._robot.cameras) > 1 else ""
        optical = np.linalg.inv(self._robot.base_camera[name])
        places = {"points": optical @ self._robot.base_lidar, "odom": optical, "imu": optical}
        if self._scan is not None:
            places["scan"] = optical @ self._robot.base_laser
        entries = ", ".join(
            f"{topic}: [{', '.join(f'{number:.9g}' for number in position_and_quaternion(place))}]"
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
            transform_to_message(
                Time(), _BASE, topics.frame_id, self._robot.base_camera[topics.name]
            )
            for topics in self._topics
        ]
        mounted.append(transform_to_message(Time(), _BASE, _LIDAR, self._robot.base_lidar))
        mounted.append(transform_to_message(Time(), _BASE, _LASER, self._robot.base_laser))
        mounted.append(transform_to_message(Time(), _BASE, _GROUND, np.eye(4)))
        self._static_tf = tf2_ros.StaticTransformBroadcaster(self)
        self._static_tf.sendTransform(mounted)
        self._tf = tf2_ros.TransformBroadcaster(self)

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self.create_publisher(kind, topic, _RELIABLE)


def _planar(offset: npt.NDArray[np.floating], turn: float) -> Matrix:
    """A step on level ground as 4x4."""
    matrix = np.eye(4)
    c, s = math.cos(turn), math.sin(turn)
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:2, 3] = offset
    return matrix


def main(arguments: list[str] | None = None) -> int:
    """Drive until stopped.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.

    Returns:
        0 after a normal stop and for --help, 1 when a parameter is unusable.
    """
    # One core for the world; the others belong to whoever is tested with it.
    torch.set_num_threads(1)
    keep_freed_memory()
    return run_program(
        "simulated_robot",
        _PURPOSE,
        RobotParameters,
        SimulatedRobot,
        SimulatedRobot.drive,
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
