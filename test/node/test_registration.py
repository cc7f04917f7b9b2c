"""A scale source and an output registered by a test are choices, documentation and behaviour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import toy_node
from ros_harness import RELIABLE, Consumer, NodeProcess
from std_msgs.msg import Float32
from tiny_networks import red_depth, write_red_network

from depth_anything_ros.cli.support.scale_options import file_scalers
from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.reference import outputs, reference

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)


@pytest.fixture
def toys() -> Iterator[None]:
    toy_node.register()
    yield
    toy_node.unregister()


def test_unknown_before_they_are_registered() -> None:
    with pytest.raises(SettingError, match="scaler is 'doubling'; use one of auto, none, sparse"):
        NodeParameters(scaler="doubling")
    assert "median_depth" not in reference()


def test_choices_and_documentation_know_them(toys: None) -> None:
    assert NodeParameters(scaler="doubling").scaler == "doubling"
    assert "doubling" in file_scalers()
    assert ("~/median_depth", "std_msgs/Float32", toy_node.MEDIAN.meaning) in outputs()
    assert "`~/median_depth`" in reference()
    assert "doubling: everything twice as far" in reference()


def test_the_node_has_them(
    start: Callable[..., NodeProcess], consumer: Consumer, tmp_path: Path
) -> None:
    start(toy_node.__file__, model=write_red_network(tmp_path, "metric_depth"), scaler="network")
    medians: list[Float32] = []
    consumer.node.create_subscription(
        Float32, "depth_anything/median_depth", medians.append, RELIABLE
    )
    consumer.subscribe("scale_state")
    consumer.wait_ready()
    rgb = np.full((120, 160, 3), 100, np.uint8)
    consumer.send(rgb, CAMERA)
    consumer.wait(lambda: len(medians) == 1, 30, "no median")
    assert medians[0].data == pytest.approx(float(red_depth(rgb)[0, 0]), rel=1e-5)
    assert consumer.set_parameters(scaler="doubling").successful
    consumer.send(rgb, CAMERA)
    consumer.wait(lambda: len(medians) == 2, 30, "no second median")
    assert medians[1].data == pytest.approx(2 * float(red_depth(rgb)[0, 0]), rel=1e-5)
    assert consumer.scale_state(2)["scaler"] == "doubling"
