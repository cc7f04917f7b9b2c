"""Odometry's poses reach a network that sees several images, and its depth comes back in metres."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, PoseStamped, PoseWithCovariance, Quaternion
from nav_msgs.msg import Odometry
from ros_harness import RELIABLE, Consumer, NodeProcess
from std_msgs.msg import Header
from views_node import WALL_M

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.messages import info_from_camera, rgb_to_image

Start = Callable[..., NodeProcess]
VIEWS_NODE = Path(__file__).parents[1] / "support" / "views_node.py"
CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)


def odometry(header: Header, x: float) -> Odometry:
    pose = Pose(position=Point(x=x), orientation=Quaternion(w=1.0))
    return Odometry(
        header=Header(stamp=header.stamp, frame_id="odom"),
        child_frame_id="base",
        pose=PoseWithCovariance(pose=pose),
    )


def test_several_views_give_metres_and_a_pose(start: Start, consumer: Consumer) -> None:
    start(
        str(VIEWS_NODE),
        window=3,
        scaler="views",
        sensor_extrinsics='"{odom: [0, 0, 0, 0, 0, 0, 1]}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    poses: list[PoseStamped] = []
    consumer.node.create_subscription(
        PoseStamped, "depth_anything/camera_pose", poses.append, RELIABLE
    )
    consumer.wait_ready()
    states = []
    for number, x in enumerate((0.0, 0.05, 0.35, 0.5, 0.65, 0.8), 1):
        header = consumer.header()
        rgb = np.full((48, 64, 3), round(100 * x), np.uint8)
        consumer.publish("odom", odometry(header, x))
        time.sleep(0.05)
        consumer.send_messages(rgb_to_image(rgb, header), info_from_camera(CAMERA, header))
        states.append(consumer.scale_state(number))
    assert [state["scale_quality"] for state in states] == ["INVALID"] * 2 + ["GOOD"] * 4
    assert "has not moved enough" in states[1]["message"]
    assert "camera positions over 0.80 m agree to 0.0%" in states[-1]["message"]
    message = consumer.answers("depth/image", 6)[-1]
    depth = np.frombuffer(message.data, np.float32)
    np.testing.assert_allclose(depth, WALL_M, rtol=1e-4)
    consumer.wait(lambda: len(poses) >= 4, 30.0, "no poses came")
    assert poses[-1].header.frame_id == "odom"
    assert poses[-1].pose.position.x == pytest.approx(0.8, abs=1e-3)
    assert poses[-1].pose.orientation.w == pytest.approx(1.0)
