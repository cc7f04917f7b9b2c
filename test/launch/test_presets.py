"""What lies in config/ fits the node, the launch files and itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.node.camera.output import OUTPUTS
from depth_anything_ros.node.parameters import NodeParameters

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "config"
LAUNCH_FILES = sorted((REPOSITORY / "launch").glob("*.launch.py"))
PRESETS = ("indoor", "outdoor", "lidar", "multi_camera", "nav2_depth")
RVIZ = sorted(CONFIG.glob("*.rviz"))


def preset(name: str) -> dict[str, Any]:
    content = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    return dict(content["/**"]["ros__parameters"])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_the_node(name: str) -> None:
    values, defaults = preset(name), NodeParameters()
    for parameter, value in values.items():
        default = getattr(defaults, parameter)
        # rclpy refuses an int for a double parameter.
        assert type(value) is (list if isinstance(default, tuple) else type(default)), parameter
    chosen = defaults.changed(values)
    assert chosen != defaults
    assert chosen.model in catalogue()
    metric = catalogue()[chosen.model].max_depth
    assert metric is None or chosen.max_range <= metric


def test_nav2_marks_with_points_and_clears_with_both_clouds() -> None:
    node = preset("nav2_depth")
    costmap = yaml.safe_load((CONFIG / "nav2_voxel_layer.yaml").read_text())
    parameters = costmap["/**"]["ros__parameters"]
    layer = parameters["voxel_layer"]
    points, floor, free, edges = (layer[name] for name in layer["observation_sources"].split())
    assert points["topic"] == floor["topic"] == "/depth_anything/points"
    assert free["topic"] == "/depth_anything/clearing_points"
    assert edges["topic"] == "/depth_anything/dropoffs"
    assert [points["marking"], points["clearing"]] == [True, True]
    assert [edges["marking"], edges["clearing"]] == [True, False]
    assert layer["min_obstacle_height"] <= edges["min_obstacle_height"] < 0  # on the ground
    for clears in (floor, free):
        assert [clears["marking"], clears["clearing"]] == [False, True]
        assert clears["min_obstacle_height"] < 0  # lines of sight to the floor
    assert node["max_range"] > 0  # without a limit there are no clearing points
    for furthest in (points["obstacle_max_range"], free["raytrace_max_range"]):
        assert furthest >= 1.5 * node["max_range"]  # 48 degrees off the axis
    assert points["obstacle_min_range"] >= node["min_range"]
    assert layer["z_voxels"] <= 16  # the most that Nav2's voxel grid holds
    top = layer["origin_z"] + layer["z_voxels"] * layer["z_resolution"]
    assert top >= layer["max_obstacle_height"] >= points["max_obstacle_height"]
    lidar = parameters["lidar_layer"]  # of its own: layers clear only what they marked
    assert lidar["lidar"]["topic"] not in {points["topic"], free["topic"]}
    for plugin in (*parameters["plugins"], "lidar_layer"):
        assert parameters[plugin]["plugin"].startswith("nav2_costmap_2d::")


@pytest.mark.parametrize("path", RVIZ, ids=lambda path: path.stem)
def test_rviz_shows_topics_that_exist(path: Path) -> None:
    cameras = ["", *(f"{name}/" for name in preset("multi_camera")["cameras"])]
    existing = {"image", "points", "costmap/costmap"}
    existing |= {f"depth_anything/{camera}{out.name}" for camera in cameras for out in OUTPUTS}
    displays = yaml.safe_load(path.read_text())["Visualization Manager"]["Displays"]
    shown = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    assert len(shown) >= 3
    assert shown <= existing


def test_foxglove_shows_topics_that_exist() -> None:
    text = (CONFIG / "foxglove_layout.json").read_text()
    content = json.loads(text)
    existing = {"/image", "/camera_info", "/diagnostics"}
    existing |= {f"/depth_anything/{out.name}" for out in OUTPUTS}
    shown = set(re.findall(r'"(/[a-z_/]+)"', text))
    assert {"/depth_anything/points", "/depth_anything/depth/sigma"} <= shown <= existing

    def panels(part: Any) -> list[str]:
        if isinstance(part, str):
            return [part]
        return panels(part["first"]) + panels(part["second"])

    assert sorted(panels(content["layout"])) == sorted(content["configById"])


def test_launch_files_name_files_that_exist() -> None:
    named = set()
    for path in LAUNCH_FILES:
        named |= set(re.findall(r"[\w.]+\.(?:rviz|yaml)", path.read_text()))
    assert {path.name for path in RVIZ} <= named
    assert all((CONFIG / name).is_file() for name in named), named
