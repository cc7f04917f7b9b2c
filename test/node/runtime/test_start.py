"""Told to stop at any moment of its start, an executable ends quietly."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ros_harness import DOMAIN

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.node import start

ENVIRONMENT = {
    **os.environ,
    "ROS_DOMAIN_ID": str(DOMAIN),
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.5, 1.2, 2.5])
def test_a_start_that_is_broken_off_is_no_error(number: signal.Signals, delay: float) -> None:
    code = (
        "import sys; from depth_anything_ros.node.start import depth_node; "
        "print('there', flush=True); sys.exit(depth_node())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", "-p", "model:=embedded"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    time.sleep(delay)  # any moment will do
    process.send_signal(number)
    out = process.communicate(timeout=60)[0]
    assert "Traceback" not in out
    assert process.returncode in (0, 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_module_that_python_still_imports_ends_quietly(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "depth_anything_ros.node.depth_node"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    until = time.monotonic() + 60
    while "_multiarray_umath" not in maps.read_text() and time.monotonic() < until:
        time.sleep(0.005)  # NumPy comes with the first imports
    process.send_signal(number)
    out = process.communicate(timeout=60)[0]
    assert "Traceback" not in out
    assert process.returncode in (0, 130)


def test_an_autostart_that_no_parameter_mends_ends_with_its_reason() -> None:
    code = (
        "import sys; from depth_anything_ros.errors import MissingExtraError\n"
        "from depth_anything_ros.node.depth_node import main\n"
        "def load(settings, experts): raise MissingExtraError(\"'torch' is not installed\")\n"
        "sys.exit(main(load=load))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "cannot configure: 'torch' is not installed" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("pause", [0.005, 0.1])
@pytest.mark.parametrize("name", ["depth_node", "simulated_robot"])
def test_more_signals_do_not_break_the_end_off(name: str, pause: float) -> None:
    code = f"import sys; from depth_anything_ros.node.start import {name}; sys.exit({name}())"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    observed, until = psutil.Process(process.pid), time.monotonic() + 60
    while not any(each.path.startswith("/dev/shm/fast") for each in observed.open_files()):
        assert time.monotonic() < until, "it never spoke DDS"
        time.sleep(0.02)
    for _ in range(6):  # a terminal, `ros2 launch` and an impatient person
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
    out = process.communicate(timeout=60)[0]
    assert "Traceback" not in out
    assert process.returncode in (0, 130)


def test_a_home_that_cannot_be_written_is_said_in_a_sentence() -> None:
    code = "import sys; from depth_anything_ros.node.depth_node import main; sys.exit(main())"
    environment = {**ENVIRONMENT, "HOME": "/proc/nowhere"}
    environment.pop("ROS_LOG_DIR", None)
    environment.pop("ROS_HOME", None)
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "log directory '/proc/nowhere" in ended.stderr
    assert ended.stderr.strip().endswith("set ROS_LOG_DIR to one that can")
    assert "Traceback" not in ended.stderr


def test_shared_memory_without_a_free_page_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """LTTng, which rclpy comes with, would end the process by SIGBUS while it is imported."""
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(8192, 4096, 4096))
    monkeypatch.setattr(start.check_shared_memory, "__defaults__", (tmp_path,))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert start.depth_node() == 1
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    said = capsys.readouterr().err
    assert said.startswith(f"depth_node: {tmp_path} is full, so that no ROS 2 program can start")
    with pytest.raises(DepthAnythingError, match=r"is full.*--shm-size=1g"):
        start.require_ros()
    for number in range(2):  # LTTng has made its files before the disk was full
        (tmp_path / f"lttng-ust-wait-{number}").write_bytes(bytes(4096))
    start.require_ros()
