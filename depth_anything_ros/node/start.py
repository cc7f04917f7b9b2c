"""Where the executables of the node begin: what can go wrong before rclpy is imported.

Importing takes a second or more, and a KeyboardInterrupt in the middle of it would be a traceback:
told to stop, they just end. Where shared memory is full to the last byte, LTTng, which rclpy comes
with, ends its process by SIGBUS without a word.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from depth_anything_ros.errors import DepthAnythingError, require

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What tells a program to stop."""

_INTERRUPTED = 130
"""Exit status of a program that Ctrl-C has ended, as shells have it."""


_SHARED_MEMORY = Path("/dev/shm")
_TRACING = "lttng-ust-wait-*"
_TRACING_FILES = 2
_PAGE = 4096


def depth_node() -> int:
    """Run the depth node; see `depth_anything_ros.node.depth_node.main`."""
    return _run("depth_anything_ros.node.depth_node")


def image_player() -> int:
    """Run the player; see `depth_anything_ros.node.tools.image_player.main`."""
    return _run("depth_anything_ros.node.tools.image_player")


def simulated_robot() -> int:
    """Run the robot; see `depth_anything_ros.node.tools.simulated_robot.main`."""
    return _run("depth_anything_ros.node.tools.simulated_robot")


def require_ros() -> None:
    """Import rclpy.

    Raises:
        MissingExtraError: It is not installed.
        DepthAnythingError: Shared memory is full, so that the process would be killed.
    """
    check_shared_memory()
    require("rclpy", "ros")


def check_shared_memory(folder: Path = _SHARED_MEMORY) -> None:
    """Refuse to import rclpy where that ends the process: LTTng has no room for its two files.

    Args:
        folder: Where shared memory is mounted.

    Raises:
        DepthAnythingError: It is full.
    """
    if not folder.is_dir() or shutil.disk_usage(folder).free >= _TRACING_FILES * _PAGE:
        return
    if sum(path.stat().st_blocks > 0 for path in folder.glob(_TRACING)) < _TRACING_FILES:
        raise DepthAnythingError(
            f"{folder} is full, so that no ROS 2 program can start; give the container more "
            f"(docker run --shm-size=1g), or delete {folder}/fastrtps_* (fastdds_*) left by nodes "
            "that were killed"
        )


def end_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process without a word; for while Python imports."""
    for number in STOP_SIGNALS:
        signal.signal(number, _end)


def _run(module: str) -> int:
    end_on_signals()
    try:
        check_shared_memory()
    except DepthAnythingError as error:
        print(f"{module.rpartition('.')[2]}: {error}", file=sys.stderr)
        return 1
    main = importlib.import_module(module).main
    status: int = main()
    return status


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED if number == signal.SIGINT else 0)
