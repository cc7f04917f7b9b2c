"""Converting a recording gives what the node gives when the recording is played into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from ros_harness import OUTPUTS, Consumer, NodeProcess
from scaled_bag import IMAGES, SCALE, SHIFT, recorded_frames, write_scaled_bag
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from small_bag import write_bag
from tiny_networks import write_red_network

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.bag_copy import BagCopy, RawMessage
from depth_anything_ros.formats.bags import Bag
from depth_anything_ros.node.messages import depth_of
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.recorded.node import Answered, RecordedNode
from depth_anything_ros.node.recorded.parameters import read_parameters
from depth_anything_ros.node.runtime.model_loader import Networks, load_and_warm
from depth_anything_ros.node.setup import model_settings_of

REMAPPED = {
    "image": "/camera/image_raw",
    "camera_info": "/camera/camera_info",
    "points": "/lidar/points",
}
COMPARED = ("depth/image", "depth/camera_info", "points", "depth/sigma", "disparity/image")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_red_network(tmp_path_factory.mktemp("model"), "relative_disparity", HEIGHT)


HEIGHT = 48


@pytest.fixture(scope="module")
def networks(model: Path) -> Networks:
    return load_and_warm(model_settings_of(NodeParameters(model=str(model))))


def messages_of(bag: Path, scratch: Path) -> tuple[dict[str, str], list[RawMessage]]:
    """Type of every topic of a recording, and its messages as ROS 2 has them."""
    with Bag(bag) as opened, BagCopy(opened, scratch) as copy:
        return copy.topics, list(copy.messages())


def answers(
    networks: Networks, bag: Path, scratch: Path, outputs: tuple[str, ...], **values: object
) -> tuple[list[Answered], list[str]]:
    """What the recorded node publishes for a recording, and what it warns of."""
    said: list[str] = []
    parameters = NodeParameters().changed(values)
    topics, messages = messages_of(bag, scratch)
    name = "/depth_anything"
    node = RecordedNode(networks, parameters, topics, REMAPPED, outputs, name, said.append)
    got: list[Answered] = []
    with Bag(bag) as opened, BagCopy(opened, scratch / "transforms") as copy:
        for message in messages:
            got += node.receive(message.topic, message.type, message.stamp, message.cdr)
            transforms = copy.transforms(message)
            if transforms is not None:
                node.add_transforms(*transforms)
    return [*got, *node.finish()], said


def of_topic(got: list[Answered], output: str) -> list:
    return [
        deserialize_message(each.message.cdr, OUTPUTS[output])
        for each in got
        if each.message.topic == f"/depth_anything/{output}"
    ]


def test_messages_are_those_of_the_node_byte_for_byte(
    start: Callable[..., NodeProcess],
    consumer: Consumer,
    networks: Networks,
    model: Path,
    tmp_path: Path,
) -> None:
    bag = write_scaled_bag(tmp_path / "bag")
    start("depth_node", model=model, points_timeout=5.0)
    consumer.subscribe(*COMPARED)
    consumer.wait_ready()
    _, messages = messages_of(bag, tmp_path / "played")
    of_moment: dict[int, dict[str, Any]] = {}
    for each in messages:
        kind = {"/camera/image_raw": Image, "/camera/camera_info": CameraInfo}.get(
            each.topic, PointCloud2
        )
        of_moment.setdefault(each.stamp, {})[each.topic] = deserialize_message(each.cdr, kind)
    for number, one in enumerate(of_moment.values(), 1):
        consumer.publish("points", one["/lidar/points"])
        consumer.settle()
        consumer.send_messages(one["/camera/image_raw"], one["/camera/camera_info"])
        for name in COMPARED:
            consumer.answers(name, number)
    played = {name: consumer.received[name] for name in COMPARED}
    got, said = answers(networks, bag, tmp_path / "copy", COMPARED, model=str(model))
    assert said == []
    for name in COMPARED:
        assert of_topic(got, name) == played[name], name
    for message in of_topic(got, "depth/image"):
        assert np.isfinite(depth_of(message)).mean() > 0.99


def test_lidar_is_placed_by_the_recorded_transforms(networks: Networks, tmp_path: Path) -> None:
    direct, _ = answers(networks, write_scaled_bag(tmp_path / "a"), tmp_path / "1", COMPARED)
    bag = write_scaled_bag(tmp_path / "b", "lidar")
    placed, said = answers(networks, bag, tmp_path / "2", COMPARED)
    assert said == []
    for one, other in zip(
        of_topic(direct, "depth/image"), of_topic(placed, "depth/image"), strict=True
    ):
        # The last digits of the points count: fusion solves in float32.
        np.testing.assert_allclose(depth_of(other), depth_of(one), rtol=1e-3)


def test_every_image_has_the_scale_of_its_points(networks: Networks, tmp_path: Path) -> None:
    bag = write_scaled_bag(tmp_path / "bag")
    got, _ = answers(
        networks, bag, tmp_path / "copy", ("depth/image", "disparity/image"), refinement="none"
    )
    depths, disparities = of_topic(got, "depth/image"), of_topic(got, "disparity/image")
    assert len(depths) == len(disparities) == IMAGES
    for depth, disparity in zip(depths, disparities, strict=True):
        true = 1 / (SCALE * depth_of(disparity) + SHIFT)
        assert float(np.median(np.abs(depth_of(depth) / true - 1))) < 0.02
    assert [each.recorded for each in got] == sorted(each.recorded for each in got)


def test_a_topic_of_another_type_is_named(networks: Networks, tmp_path: Path) -> None:
    bag = write_scaled_bag(tmp_path / "bag")
    got, said = answers(
        networks, bag, tmp_path / "copy", ("depth/image",), scan_topics=("/lidar/points",)
    )
    assert len(got) == IMAGES
    assert said == [
        "/lidar/points is not used: it holds sensor_msgs/msg/PointCloud2, not "
        "sensor_msgs/msg/LaserScan"
    ]


def test_parameters_of_the_robots_file_and_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(
        "/**:\n  ros__parameters: {scaler: sparse, on_invalid: nan}\n"
        "other:\n  ros__parameters: {scaler: none}\n"
        "robot:\n  depth_anything:\n    ros__parameters: {min_points: 5, skaler: none}\n"
    )
    said: list[str] = []
    parameters = read_parameters(file, ("max_range:=8", "cloud_color:=off"), said.append)
    assert (parameters.scaler, parameters.on_invalid, parameters.min_points) == ("sparse", "nan", 5)
    assert (parameters.max_range, parameters.cloud_color) == (8.0, False)
    assert said == ["there is no parameter 'skaler', so it is ignored; did you mean 'scaler'?"]
    with pytest.raises(SettingError, match="'max_range=8' is no parameter; write NAME:=VALUE"):
        read_parameters(None, ("max_range=8",), said.append)
    with pytest.raises(SettingError, match="max_range is -1; use 0 to"):
        read_parameters(None, ("max_range:=-1",), said.append)
    with pytest.raises(InputError, match="cannot be read"):
        read_parameters(tmp_path / "nothing.yaml", (), said.append)


def test_temporal_filter_averages_images_that_show_the_same(
    networks: Networks, tmp_path: Path
) -> None:
    frames = recorded_frames()
    pictures = [each for each in frames if each.topic == "/camera/image_raw"]
    same = np.array(pictures[0].message.data)
    for number, picture in enumerate(pictures):
        picture.message.data = (same + 6 * (number % 2)).astype(np.uint8)
    write_bag(tmp_path / "bag", frames)
    fixed = {"scaler": "fixed", "scale": SCALE, "shift": SHIFT}
    spread = {}
    for choice in ("off", "on"):
        got, said = answers(
            networks,
            tmp_path / "bag",
            tmp_path / choice,
            ("depth/image",),
            temporal_filter=choice,
            **fixed,
        )
        assert said == []
        depths = np.stack([depth_of(each) for each in of_topic(got, "depth/image")])
        assert len(depths) == IMAGES
        spread[choice] = float(np.mean(np.abs(np.diff(np.log(depths), axis=0))))
    print(f"flicker {spread}")
    assert spread["on"] < 0.6 * spread["off"]
