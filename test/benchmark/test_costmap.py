"""The copy of Nav2's voxel layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from depth_anything_ros.benchmark.costmap import (
    ObservationSource,
    VoxelCostmap,
    VoxelLayerSettings,
)
from depth_anything_ros.benchmark.navigation import (
    COSTMAP,
    EDGE_ANGLE_DEG,
    MAX_RANGE,
    MAX_RELATIVE_SIGMA,
    MIN_RANGE,
    STRIDE,
    VOXEL_SIZE,
)
from depth_anything_ros.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
SENSOR = np.array([0.0, 0.0, 0.8])
SETTINGS = VoxelLayerSettings(
    robot_radius=0.0,
    sources={
        "depth": ObservationSource(
            marking=True,
            clearing=True,
            min_obstacle_height=0.1,
            max_obstacle_height=2.0,
            obstacle_min_range=0.3,
            obstacle_max_range=2.5,
            raytrace_max_range=8.0,
        )
    },
)


def seen(costmap: VoxelCostmap, *points: tuple[float, float, float]) -> None:
    costmap.update((0.0, 0.0), {"depth": (SENSOR, np.array(points))})


def is_lethal(costmap: VoxelCostmap, x: float, y: float) -> bool:
    assert costmap.corner is not None
    column, row = (
        int(np.floor(value / 0.05)) - low for value, low in zip((x, y), costmap.corner, strict=True)
    )
    return bool(costmap.lethal[row, column])


def test_settings_are_those_of_the_configuration() -> None:
    content = yaml.safe_load((CONFIG / "nav2_voxel_layer.yaml").read_text())
    assert VoxelLayerSettings.from_parameters(content["/**"]["ros__parameters"]) == COSTMAP
    node = yaml.safe_load((CONFIG / "nav2_depth.yaml").read_text())["/**"]["ros__parameters"]
    ours = (MIN_RANGE, MAX_RANGE, STRIDE, VOXEL_SIZE, EDGE_ANGLE_DEG, MAX_RELATIVE_SIGMA)
    names = ("min_range", "max_range", "cloud_stride", "voxel_size", "edge_angle_deg")
    assert tuple(node[name] for name in (*names, "max_relative_sigma")) == ours
    with pytest.raises(InputError, match="no section voxel_layer"):
        VoxelLayerSettings.from_parameters({})
    with pytest.raises(InputError, match="names the source depth"):
        VoxelLayerSettings.from_parameters({"voxel_layer": {"observation_sources": "depth"}})


@pytest.mark.parametrize(
    ("point", "marks"),
    [
        ((1.02, 0.52, 0.5), True),
        ((1.02, 0.52, 0.09), False),  # lower than min_obstacle_height
        ((1.02, 0.52, 2.01), False),  # higher than max_obstacle_height
        ((0.22, 0.02, 0.8), False),  # nearer than obstacle_min_range
        ((2.52, 0.02, 0.8), False),  # farther than obstacle_max_range
    ],
)
def test_what_marks(point: tuple[float, float, float], marks: bool) -> None:
    costmap = VoxelCostmap(SETTINGS)
    seen(costmap, point)
    assert is_lethal(costmap, point[0], point[1]) is marks
    assert costmap.lethal.sum() == marks


def test_a_line_of_sight_clears_up_to_two_cells_before_its_point() -> None:
    costmap = VoxelCostmap(SETTINGS)
    seen(costmap, *((x, 0.02, 0.8) for x in np.arange(0.52, 2.0, 0.05)))
    assert costmap.lethal.sum() == 30
    seen(costmap, (1.52, 0.02, 0.8))
    left = [x for x in np.arange(0.52, 2.0, 0.05) if is_lethal(costmap, x, 0.02)]
    assert left == pytest.approx(np.arange(1.47, 2.0, 0.05))


def test_a_line_of_sight_above_leaves_what_is_below() -> None:
    costmap = VoxelCostmap(SETTINGS)
    seen(costmap, (1.02, 0.02, 0.3))
    seen(costmap, (2.02, 0.02, 0.8))
    assert is_lethal(costmap, 1.02, 0.02)
    seen(costmap, (2.02, 0.02, 0.11))  # passes 1 m ahead at a height of 0.46 m
    assert is_lethal(costmap, 1.02, 0.02)
    seen(costmap, (1.36, 0.02, 0.13))  # passes at 0.30 m
    assert not is_lethal(costmap, 1.02, 0.02)


def test_mark_threshold_is_the_number_of_voxels_that_do_not_count() -> None:
    costmap = VoxelCostmap(replace(SETTINGS, mark_threshold=1))
    seen(costmap, (1.02, 0.02, 0.3))
    assert not costmap.lethal.any()
    seen(costmap, (1.02, 0.02, 1.5))
    assert costmap.lethal.sum() == 1


def test_the_map_moves_with_the_robot_which_frees_its_place() -> None:
    costmap = VoxelCostmap(replace(SETTINGS, robot_radius=0.2))
    seen(costmap, (1.02, 0.52, 0.5), (-2.02, 0.02, 0.5))
    costmap.update((1.5, 0.0), {})
    assert is_lethal(costmap, 1.02, 0.52)
    assert costmap.lethal.sum() == 1  # the other one has left the map
    costmap.update((1.0, 0.5), {})
    assert not costmap.lethal.any()
