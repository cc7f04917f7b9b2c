"""Advice names commands that exist in the installation at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from depth_anything_ros.errors import MissingExtraError, require
from depth_anything_ros.installed_commands import own_command, ros2_command


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Makes this process believe that programs lie on the PATH or below a prefix of ament."""

    def install(*on_path: str, below_prefix: bool = False, scripts: bool = False) -> None:
        folders = {"bin": tmp_path / "bin", "lib": tmp_path / "lib" / "depth_anything_ros"}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        for name in on_path:
            (folders["bin"] / name).write_text("#!/bin/sh\n")
            (folders["bin"] / name).chmod(0o755)
        if below_prefix:
            (folders["lib"] / "depth_anything").touch()
        monkeypatch.setenv("PATH", str(folders["bin"]))
        monkeypatch.setenv("AMENT_PREFIX_PATH", f"/opt/ros/jazzy{os.pathsep}{tmp_path}")
        place = sysconfig.get_path("scripts") if scripts else str(tmp_path / "none")
        monkeypatch.setattr(sysconfig, "get_path", lambda name: place)

    return install


def test_pip_has_the_program_on_the_path(installed: Callable[..., None]) -> None:
    installed("depth_anything", below_prefix=True)
    assert own_command("models") == "depth_anything models"
    assert own_command() == "depth_anything"


def test_colcon_has_it_behind_ros2_run(installed: Callable[..., None]) -> None:
    installed("ros2", below_prefix=True)
    assert own_command("models") == "ros2 run depth_anything_ros depth_anything models"
    assert ros2_command("topic hz /image", "its log") == "`ros2 topic hz /image`"
    with pytest.raises(MissingExtraError, match="`pip install onnx onnxruntime onnxscript`"):
        require("no_such_module", "onnx")


def test_an_environment_that_is_not_activated(installed: Callable[..., None]) -> None:
    installed(scripts=True)
    path = own_command("models").removesuffix(" models")
    assert Path(path).is_file() and Path(path).name == "depth_anything"
    assert ros2_command("topic hz", "its log") == "its log"
    with pytest.raises(MissingExtraError, match=r"`pip install depth_anything_ros\[onnx\]`"):
        require("no_such_module", "onnx")


@pytest.mark.parametrize(
    "program", ["depth_anything", "depth_node", "image_player", "simulated_robot"]
)
def test_without_any_script_the_module_starts(installed: Callable[..., None], program: str) -> None:
    assert shutil.which(sys.executable)
    installed()
    command = own_command("--help", program).split()
    assert command[0] == sys.executable
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert program in said
