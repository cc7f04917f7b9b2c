"""The parameter file that ships says what the code says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from depth_anything_ros.errors import SettingError
from depth_anything_ros.node.parameter import ParameterInfo
from depth_anything_ros.node.parameters import NodeParameters, parameters_yaml

CONFIG = Path(__file__).parents[2] / "config" / "depth_anything.yaml"


def test_the_parameter_file_is_the_code_s() -> None:
    assert CONFIG.read_text() == parameters_yaml(), (
        "run `python -m depth_anything_ros.node.parameters > config/depth_anything.yaml`"
    )
    values = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    assert NodeParameters().changed(values) == NodeParameters()
    for name, value in values.items():
        # rclpy refuses an int for a double parameter, so the file must keep the type.
        default = getattr(NodeParameters(), name)
        assert type(value) is (list if isinstance(default, tuple) else type(default)), name


def test_every_parameter_is_described() -> None:
    for field in dataclasses.fields(NodeParameters):
        assert ParameterInfo.of(field).describe().endswith("."), field.name


def test_changes_are_checked_together() -> None:
    parameters = NodeParameters(min_range=1.0)
    with pytest.raises(SettingError, match=r"max_range is 0\.5 m but min_range is 1 m"):
        parameters.changed({"max_range": 0.5})
    changed = parameters.changed({"min_range": 0.1, "max_range": 0.5, "use_sim_time": True})
    assert changed.range_limits == (0.1, 0.5)
    assert parameters.range_limits == (1.0, float("inf"))
