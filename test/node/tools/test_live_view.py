"""The live view over real DDS, in this process, with a stand-in for what shows it."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.topic_endpoint_info import TopicEndpointInfo
from ros_harness import DOMAIN, RELIABLE, eventually
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.node.doctor.graph import DepthNodeView, Link
from depth_anything_ros.node.messages import (
    cloud_to_message,
    depth_to_image,
    floats_to_image,
    info_from_camera,
    nanoseconds,
    rgb_to_image,
)
from depth_anything_ros.node.tools.live_view import (
    LiveView,
    ViewedCamera,
    ViewSettings,
    viewed_cameras,
)

CAMERA = Camera.from_hfov(8, 6, 70.0)
DEPTH = np.linspace(1, 4, 48, dtype=np.float32).reshape(6, 8)
FRAME = "front_optical_frame"


class Kept:
    """Keeps what a recorder gets: arguments by method."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls[name].append(arguments)

    def words_of(self, name: str) -> tuple[str, str]:
        """Level and text of the newest words of a name."""
        return [call[1:3] for call in self.calls["words"] if call[0] == name][-1]

    def numbers(self) -> dict[str, float]:
        return {call[0]: call[1] for call in self.calls["number"]}


@pytest.fixture
def context() -> Iterator[Context]:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    yield context
    rclpy.shutdown(context=context)


def test_everything_of_a_camera_reaches_the_recorder(context: Context) -> None:
    kept = Kept()
    cameras = [ViewedCamera("front", "/robot/front/image")]
    settings = ViewSettings(rate=1000.0)
    view = LiveView("/robot/depth", cameras, kept, settings, context)
    robot = Node("robot", context=context)
    executor = SingleThreadedExecutor(context=context)
    for node in (view, robot):
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    own = "/robot/depth/front"
    topics: dict[str, type] = {
        "/robot/front/image": Image,
        f"{own}/depth/image": Image,
        f"{own}/depth/sigma": Image,
        f"{own}/depth/camera_info": CameraInfo,
        f"{own}/points": PointCloud2,
        f"{own}/scale_state": DiagnosticStatus,
        "/diagnostics": DiagnosticArray,
    }
    publishers = {
        topic: robot.create_publisher(kind, topic, RELIABLE) for topic, kind in topics.items()
    }
    stamp = robot.get_clock().now()
    header = Header(stamp=stamp.to_msg(), frame_id=FRAME)
    depth = DEPTH.copy()
    depth[0, 0] = np.nan
    rgb = np.full((6, 8, 3), 77, np.uint8)
    state = DiagnosticStatus(
        level=DiagnosticStatus.WARN,
        name="/robot/depth: front depth",
        message="HELD: no points for 0.4 s",
        values=[
            KeyValue(key="scale", value="0.25"),
            KeyValue(key="stamp", value=f"{header.stamp.sec}.{header.stamp.nanosec:09d}"),
        ],
    )
    other = DiagnosticStatus(name="/robot/lidar: driver", message="fine")
    messages = {
        "/robot/front/image": rgb_to_image(rgb, header),
        f"{own}/depth/image": depth_to_image(depth, "32FC1", header),
        f"{own}/depth/sigma": floats_to_image(depth / 10, header),
        f"{own}/depth/camera_info": info_from_camera(CAMERA, header),
        f"{own}/points": cloud_to_message(build_cloud(depth, CAMERA, rgb), header),
        f"{own}/scale_state": state,
        "/diagnostics": DiagnosticArray(status=[state, other]),
    }
    wanted = {"picture", "depth", "sigma", "camera", "cloud", "words", "number"}

    def complete() -> None:
        for topic, publisher in publishers.items():
            publisher.publish(messages[topic])
        assert wanted <= kept.calls.keys()
        assert {call[0] for call in kept.calls["words"]} >= {
            "front/scale_state",
            "diagnostics/front depth",
        }
        assert "front/scale_state/rate_hz" in kept.numbers()

    eventually(complete)
    executor.shutdown()
    thread.join(60)
    time_ns = nanoseconds(header.stamp)
    camera, shown_rgb, at = kept.calls["picture"][0]
    assert (camera, at) == ("front", time_ns)
    np.testing.assert_array_equal(shown_rgb, rgb)
    np.testing.assert_array_equal(kept.calls["depth"][0][1], depth)
    np.testing.assert_allclose(kept.calls["sigma"][0][1], depth / 10)
    _, model, frame, _ = kept.calls["camera"][0]
    assert (model.fx, frame) == (pytest.approx(CAMERA.fx), FRAME)
    _, cloud, frame, _ = kept.calls["cloud"][0]
    assert (len(cloud.xyz), frame) == (47, FRAME)
    assert cloud.rgb.tolist() == [[77, 77, 77]] * 47
    assert kept.words_of("front/scale_state") == ("WARN", "HELD: no points for 0.4 s")
    level, text = kept.words_of("diagnostics/front depth")
    assert level == "WARN" and text.startswith("HELD: no points for 0.4 s (scale 0.25, stamp ")
    assert not any("driver" in call[0] for call in kept.calls["words"])
    numbers = kept.numbers()
    assert numbers["front/scale_state/scale"] == 0.25
    assert numbers["front/scale_state/rate_hz"] > 0
    assert 0 < numbers["front/scale_state/latency_s"] < 60
    for node in (view, robot):
        node.destroy_node()


def test_pictures_are_limited_in_rate_and_words_are_not(context: Context) -> None:
    kept = Kept()
    view = LiveView("/d", [ViewedCamera("")], kept, ViewSettings(rate=0.001), context)
    subscriptions = {each.topic_name: each.callback for each in view.subscriptions}
    assert not any(topic.endswith("/image") and "/d/" not in topic for topic in subscriptions)
    header = Header(frame_id=FRAME)
    for _ in range(3):
        subscriptions["/d/depth/image"](depth_to_image(DEPTH, "32FC1", header))
        subscriptions["/d/scale_state"](DiagnosticStatus(message="GOOD"))
    assert len(kept.calls["depth"]) == 1
    assert len(kept.calls["words"]) == 3
    # What cannot be read is passed over, and the next message is shown.
    subscriptions["/d/points"](PointCloud2())
    assert "cloud" not in kept.calls
    view.destroy_node()


def test_transforms_need_tf2_msgs(context: Context) -> None:
    try:
        import tf2_msgs  # noqa: F401
    except ImportError:
        with pytest.raises(SettingError, match="tf2_msgs is not installed"):
            LiveView("/d", [], Kept(), ViewSettings(transforms=True), context)
    else:
        LiveView("/d", [], Kept(), ViewSettings(transforms=True), context).destroy_node()


def link(topic: str, kind: str) -> Link:
    return Link(topic, f"sensor_msgs/msg/{kind}", TopicEndpointInfo(), [])


def test_cameras_are_found_with_their_image_topics() -> None:
    single = DepthNodeView("/d", "active", {"cameras": [""]})
    single.inputs = [
        link("/webcam/image/compressed", "CompressedImage"),
        link("/webcam/camera_info", "CameraInfo"),
    ]
    assert viewed_cameras(single) == [ViewedCamera("", "/webcam/image/compressed", True)]
    several = DepthNodeView("/d", "active", {"cameras": ["front", "left"]})
    several.inputs = [
        link(f"/{name}/{each}", kind)
        for name in ("left", "front")
        for each, kind in (("image", "Image"), ("camera_info", "CameraInfo"))
    ]
    assert viewed_cameras(several) == [
        ViewedCamera("front", "/front/image"),
        ViewedCamera("left", "/left/image"),
    ]
