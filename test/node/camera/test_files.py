"""The files that parameters of a camera name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.camera.files import CameraFiles, file_of_url
from depth_anything_ros.node.parameters import NodeParameters

CAMERA = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)


@pytest.mark.parametrize("below", ["front.yaml", "config/front.yaml"])
@pytest.mark.parametrize("form", ["{path}", "file://{path}", "package://my_robot/{below}"])
def test_calibrations_are_found_by_path_and_by_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, below: str, form: str
) -> None:
    path = tmp_path / "share" / "my_robot" / below
    path.parent.mkdir(parents=True)
    write_camera(path, CAMERA)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/opt/ros/jazzy{os.pathsep}{tmp_path}")
    url = form.format(path=path, below=below)
    files = CameraFiles.read(NodeParameters(camera_info_url=url), "")
    assert files.calibration is not None
    assert files.calibration.fx == CAMERA.fx


def test_the_folder_of_ros(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    found = file_of_url("file://${ROS_HOME}/camera_info/front.yaml", "camera_info_url")
    assert found == tmp_path / "camera_info" / "front.yaml"
    monkeypatch.delenv("ROS_HOME")
    found = file_of_url("file://${ROS_HOME}/front.yaml", "camera_info_url")
    assert found == Path.home() / ".ros" / "front.yaml"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("package://gone/front.yaml", "package 'gone' is not installed in /nowhere"),
        ("package://", "package '' is not installed"),
        ("https://example.org/front.yaml", "use file://, package:// or a path"),
    ],
)
def test_what_cannot_be_found_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/nowhere")
    with pytest.raises(InputError, match=said):
        file_of_url(url, "camera_info_url")
