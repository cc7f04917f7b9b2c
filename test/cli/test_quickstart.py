"""`depth_anything quickstart` writes what the node takes, asked on a terminal or by options."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from depth_anything_ros.cli.commands.quickstart import COMPUTERS, SENSORS
from depth_anything_ros.network.catalogue import EMBEDDED, catalogue
from depth_anything_ros.node.parameters import NodeParameters

RunCli = Callable[..., Any]


def parameters_of(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text())["/**"]["ros__parameters"])


@pytest.mark.parametrize(("sensor", "computer"), itertools.product(SENSORS, COMPUTERS))
def test_every_answer_gives_parameters_that_fit_the_node(
    run_cli: RunCli, tmp_path: Path, sensor: str, computer: str
) -> None:
    file = tmp_path / "node.yaml"
    result = run_cli(
        "quickstart", "--camera", "/front/image_raw", "--sensor", sensor, "--computer", computer,
        "-o", file,
    )  # fmt: skip
    assert result.code == 0, result.err
    values, defaults = parameters_of(file), NodeParameters()
    for name, value in values.items():
        default = getattr(defaults, name)
        # rclpy refuses an int for a double parameter.
        assert type(value) is (list if isinstance(default, tuple) else type(default)), name
    assert defaults.changed(values).model in catalogue()
    if SENSORS[sensor].topics:
        assert values[SENSORS[sensor].topics] == [SENSORS[sensor].example]
        assert "sensor_extrinsics" in result.out
    assert "image:=/front/image_raw" in result.out
    assert "camera_info:=/front/camera_info" in result.out
    assert str(file) in result.out


def test_what_is_not_given_is_asked(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "node.yaml"
    answers = iter(["webcam", "lidar", "/velodyne_points", "nvidia"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda text: next(answers))
    result = run_cli("quickstart", "-o", file, "--embedded")
    assert result.code == 0, result.err
    values = parameters_of(file)
    assert values["model"] == EMBEDDED
    assert values["cloud_topics"] == ["/velodyne_points"]
    assert values["device"] == "cuda"
    assert "image:=/image_raw" in result.out
    assert next(answers, None) is None


def test_without_a_terminal_what_is_missing_is_named(run_cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    result = run_cli("quickstart", "--camera", "/image", "-o", file)
    assert result.code == 2
    assert "there is no terminal to ask on: give --sensor, --computer" in result.err
    assert not file.exists()
    file.write_text("mine")
    common = ("quickstart", "--camera", "/i", "--sensor", "lidar", "--computer", "cpu", "-o", file)
    refused = run_cli(*common)
    assert refused.code == 2 and "is there already" in refused.err
    assert file.read_text() == "mine"
    assert run_cli(*common, "--overwrite", "--sensor-topic", "/ouster/points").code == 0
    assert parameters_of(file)["cloud_topics"] == ["/ouster/points"]
    refused = run_cli(
        "quickstart", "--camera", "/i", "--sensor", "indoors", "--computer", "cpu",
        "--sensor-topic", "/x", "-o", tmp_path / "other.yaml",
    )  # fmt: skip
    assert refused.code == 2 and "sensor indoors has no topic" in refused.err
