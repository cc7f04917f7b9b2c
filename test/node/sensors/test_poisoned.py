"""Filters reject what is not physical, and heal."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import DOMAIN
from sensor_msgs.msg import Imu

from depth_anything_ros.errors import InputError
from depth_anything_ros.node.runtime.subscriptions import QosMatcher
from depth_anything_ros.node.sensors.gravity import GravityInput
from depth_anything_ros.node.sensors.poses import OdometryInput, PoseBuffer, SlamInput


@pytest.fixture
def matcher() -> Iterator[QosMatcher]:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("filters", context=context)
    yield QosMatcher(node)
    node.destroy_node()
    rclpy.shutdown(context=context)


def imu(matcher: QosMatcher, *force: float) -> Imu:
    message = Imu()
    message.header.stamp = matcher.node.get_clock().now().to_msg()
    a = message.linear_acceleration
    a.x, a.y, a.z = force
    return message


@pytest.mark.parametrize("force", [(1e308, 0.0, 0.0), (-1e200, 1e200, 0.0), (float("nan"),) * 3])
def test_gravity_stays_what_it_was(matcher: QosMatcher, force: tuple[float, ...]) -> None:
    gravity = GravityInput(matcher, "imu")
    gravity._receive(imu(matcher, 0.0, 0.0, 9.81))
    for _ in range(3):
        with pytest.raises(InputError, match="no robot feels"):
            gravity._receive(imu(matcher, *force))
    found = gravity.up()
    assert found is not None
    np.testing.assert_allclose(found[0], (0, 0, 1))


def test_poses_that_are_nowhere_are_refused(matcher: QosMatcher) -> None:
    odometry = OdometryInput(matcher, "odom")
    message = Odometry()
    with pytest.raises(InputError, match="quaternion has no length"):
        odometry._receive(_turned(message, 0.0))
    with pytest.raises(InputError, match="quaternion has no length"):
        odometry._receive(_turned(message, 1e308, 1e308))
    message.pose.pose.position.x = float("nan")
    with pytest.raises(InputError):
        odometry._receive(_turned(message, 1.0))
    message.pose.pose.position.x = 1e300
    with pytest.raises(InputError, match="lies off the Earth"):
        odometry._receive(_turned(message, 1.0))
    message.pose.pose.position.x = 3.0
    odometry._receive(_turned(message, 1.0))
    pose = odometry.at(0)
    assert pose is not None
    assert pose[0, 3] == 3.0


def _turned(message: Odometry, w: float, x: float = 0.0) -> Odometry:
    o = message.pose.pose.orientation
    o.x, o.y, o.z, o.w = x, 0.0, 0.0, w
    return message


def test_a_buffer_takes_no_pose_that_is_not_finite() -> None:
    poses = PoseBuffer()
    broken = np.eye(4)
    broken[0, 3] = np.inf
    with pytest.raises(InputError):
        poses.add(1, broken)
    assert poses.at(1) is None


def test_of_a_long_path_the_newest_poses_are_kept(matcher: QosMatcher) -> None:
    slam = SlamInput(matcher, "slam/pose", "path", "slam/points")
    slam._points = np.zeros((1, 3))
    poses = []
    for number in np.random.default_rng(0).permutation(20_000):
        pose = PoseStamped()
        pose.header.stamp.sec = int(number)
        pose.pose.position.x = float(number)
        pose.pose.orientation.w = 1.0
        poses.append(pose)
    slam._receive_pose(Path(poses=poses))
    newest = slam.at(19_999 * 10**9)
    assert newest is not None
    assert newest[0][0, 3] == 19_999.0
    assert slam.at(10 * 10**9) is None
