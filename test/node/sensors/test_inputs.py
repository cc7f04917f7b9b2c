"""Which sensors the node listens to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import DOMAIN

from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.subscriptions import QosMatcher
from depth_anything_ros.node.sensors.inputs import SensorInputs
from depth_anything_ros.node.sensors.placement import Placement


@pytest.fixture
def matcher() -> Iterator[QosMatcher]:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("inputs", context=context)
    yield QosMatcher(node)
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("scaler", "ground_fusion", "listens"),
    [("ground_plane", True, True), ("ground_plane", False, False), ("motion", False, True)],
)
def test_ground_fusion_hears_of_the_motion_without_points(
    matcher: QosMatcher, scaler: str, ground_fusion: bool, listens: bool
) -> None:
    parameters = NodeParameters(scaler=scaler, ground_fusion=ground_fusion)
    inputs = SensorInputs(matcher, parameters, cast(Placement, None), lambda: None)
    assert (inputs._odometry is not None) is listens
    inputs.close()
