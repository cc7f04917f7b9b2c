"""Parameters as ROS brings them: what a user means by them, and what is refused in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python
from ros_harness import Consumer, NodeProcess
from tiny_networks import write_red_network

from depth_anything_ros.errors import SettingError
from depth_anything_ros.node.parameters import NodeParameters

Start = Callable[..., NodeProcess]


@pytest.mark.parametrize(
    ("name", "given", "meant"),
    [
        ("on_invalid", float("nan"), "nan"),
        ("rectify", False, "off"),
        ("rectify", True, "on"),
        ("max_rate", 5, 5.0),
        ("max_rate", "2.5", 2.5),
        ("cloud_stride", 2.0, 2),
        ("cloud_stride", "3", 3),
        ("cloud_color", "no", False),
        ("cameras", "front", ("front",)),
        ("cameras", "[front, rear]", ("front", "rear")),
        ("cameras", None, ()),
        ("cloud_topics", [], ()),
        ("experts", ["a"], ("a",)),
        ("model", 5, "5"),
        ("scale_file", None, ""),
        ("roi", [0, 0, 8, 8], (0, 0, 8, 8)),
    ],
)
def test_what_yaml_reads_as_another_type_is_taken_for_what_it_means(
    name: str, given: Any, meant: Any
) -> None:
    assert getattr(NodeParameters().changed({name: given}), name) == meant


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("max_rate", "fast", "max_rate is 'fast'; give a number"),
        ("max_rate", float("nan"), "max_rate is nan; use 0 to 1000"),
        ("max_rate", True, "max_rate is 'True'; give a number"),
        ("cloud_stride", 2.5, "cloud_stride is '2.5'; give an integer"),
        ("cloud_stride", float("inf"), "cloud_stride is 'inf'; give an integer"),
        ("cloud_color", "perhaps", "cloud_color is 'perhaps'; give true or false"),
        ("model", ["a"], "give a text"),
        ("cloud_topics", ["bad topic"], "cloud_topics is 'bad topic', which no topic can be"),
        ("odometry_topic", "", "odometry_topic is empty; give the name of a topic"),
        ("imu_topic", "//x", "imu_topic is '//x', which no topic can be"),
        ("roi", [1, 2], "give x, y, width, height"),
    ],
)
def test_what_means_nothing_is_refused_in_words(name: str, given: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        NodeParameters().changed({name: given})


def test_a_dump_loads_back(start: Start, consumer: Consumer, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    first = start("depth_node", model=model, rectify="off", max_rate=5, cloud_topics="[]")
    consumer.wait_ready()
    dumped = dump(consumer)
    assert dumped["on_invalid"] == "nan"
    assert dumped["rectify"] == "off"
    assert dumped["max_rate"] == 5.0
    assert set(dumped) >= {field.name for field in dataclasses.fields(NodeParameters)}
    assert first.stop() == 0
    file = tmp_path / "dump.yaml"
    # As ros2 param dump writes it: plain YAML, where nan and off are no longer texts.
    file.write_text(yaml.dump({"/depth_anything": {"ros__parameters": dumped}}))
    text = file.read_text().replace("'nan'", "nan").replace("'off'", "off")
    file.write_text(text)
    second = start("depth_node", "--ros-args", "--params-file", str(file), "--")
    consumer.wait(lambda: "active, listening" in second.log, 30, "it did not start")
    assert dump(consumer) == dumped
    assert "is ignored" not in second.log


def dump(consumer: Consumer) -> dict[str, Any]:
    """What `ros2 param dump` reads."""
    node = "/depth_anything"
    listed = consumer.call(ListParameters, f"{node}/list_parameters", ListParameters.Request())
    names = [name for name in listed.result.names if not name.startswith("qos_overrides")]
    request = GetParameters.Request(names=names)
    values = consumer.call(GetParameters, f"{node}/get_parameters", request).values
    plain = map(parameter_value_to_python, values)
    return {
        name: list(value) if hasattr(value, "tolist") or isinstance(value, list) else value
        for name, value in zip(names, plain, strict=True)
    }


def test_unknown_parameters_are_named(start: Start, tmp_path: Path, consumer: Consumer) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    node = start("depth_node", model=model, max_rnage=5.0, scaler="network")
    consumer.wait(lambda: "active, listening" in node.log, 30, "it did not start")
    assert "there is no parameter 'max_rnage', so it is ignored; did you mean 'max_range'?" in (
        node.log
    )


def test_help_is_printed_and_nothing_starts(start: Start) -> None:
    node = start("depth_node", "--help")
    assert node.wait(30) == 0
    assert "usage: depth_node" in node.log
    for field in dataclasses.fields(NodeParameters):
        assert f"  {field.name} (default" in node.log


def test_a_value_that_ros_cannot_parse_is_one_clear_line(start: Start) -> None:
    node = start("depth_node", cloud_topics="[a, 5]")
    assert node.wait(30) == 1
    assert "depth_node: " in node.log
    assert "Traceback" not in node.log
