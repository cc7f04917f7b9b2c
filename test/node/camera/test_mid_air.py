"""Points in mid-air at edges of depth reach neither the cloud nor the scan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import LaserScan, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.frames import (
    DepthFrame,
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    ScaleState,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.camera.output import OUTPUTS, OutputRequest
from depth_anything_ros.node.parameters import NodeParameters

SIZE = (60, 80)
NEAR, FAR = 2.0, 8.0
UPRIGHT = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 0.8], [0, 0, 0, 1]])
"""Optical frame to a level frame (x forward, y left, z up) 0.8 m below it."""


class LevelPlacement:
    """The camera looks straight ahead."""

    def from_camera(self, *_: Any) -> Any:
        return UPRIGHT


def request_of(edge_angle_deg: float) -> OutputRequest:
    """A wall on the left, one further away on the right, and a smooth step of depth between."""
    depth = np.empty(SIZE, np.float32)
    depth[:, :38], depth[:, 42:] = NEAR, FAR
    depth[:, 38:42] = np.linspace(NEAR, FAR, 6)[1:-1]
    camera = Camera(80, 60, 60.0, 60.0, 39.5, 29.5)
    frame = Frame(np.zeros((*SIZE, 3), np.uint8), 1, "cam", camera)
    prediction = Prediction(depth, PredictionKind.METRIC_DEPTH, SIZE)
    answer = DepthFrame(frame, prediction, depth, None, ScaleState("n", Quality.GOOD, ""))
    parameters = NodeParameters(
        edge_angle_deg=edge_angle_deg, scan_frame="level", cloud_organized=False
    )
    placement: Any = LevelPlacement()
    log: Any = None
    return OutputRequest(answer, Header(), parameters, "", "", placement, log)


@pytest.mark.parametrize("edge_angle_deg", [0.0, 8.0])
def test_the_scan_and_the_cloud_obey_edge_angle_deg(edge_angle_deg: float) -> None:
    request = request_of(edge_angle_deg)
    scan: LaserScan = OUTPUTS.get("scan").make(request, LaserScan())
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    forward = np.array(scan.ranges) * np.cos(angles)
    between = (forward > NEAR * 1.1) & (forward < FAR * 0.9)
    cloud: PointCloud2 = OUTPUTS.get("points").make(request, PointCloud2())
    step = cloud.point_step // 4
    z = np.frombuffer(cloud.data, np.float32).reshape(-1, step)[:, 2]
    floating = (z > NEAR * 1.1) & (z < FAR * 0.9)
    if edge_angle_deg:
        assert not between.any()
        assert not floating.any()
    else:
        assert between.any()
        assert floating.sum() == 4 * SIZE[0]
    seen = math.radians(5)
    np.testing.assert_allclose(forward[(angles > seen) & np.isfinite(forward)], NEAR, rtol=0.01)
    np.testing.assert_allclose(forward[(angles < -seen) & np.isfinite(forward)], FAR, rtol=0.01)
