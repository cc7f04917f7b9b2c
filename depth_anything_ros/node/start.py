"""Where the executables of the node begin: told to stop while Python still imports, they just end.

Importing takes a second or more, and a KeyboardInterrupt in the middle of it would be a traceback.
"""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType

_INTERRUPTED = 130
"""Exit status of a program that Ctrl-C has ended, as shells have it."""


def depth_node() -> int:
    """Run the depth node; see `depth_anything_ros.node.depth_node.main`."""
    return _run("depth_anything_ros.node.depth_node")


def image_player() -> int:
    """Run the player; see `depth_anything_ros.node.tools.image_player.main`."""
    return _run("depth_anything_ros.node.tools.image_player")


def simulated_robot() -> int:
    """Run the robot; see `depth_anything_ros.node.tools.simulated_robot.main`."""
    return _run("depth_anything_ros.node.tools.simulated_robot")


def _run(module: str) -> int:
    before = {number: signal.signal(number, _end) for number in (signal.SIGINT, signal.SIGTERM)}
    main = importlib.import_module(module).main
    for number, handler in before.items():
        signal.signal(number, handler)
    status: int = main()
    return status


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED if number == signal.SIGINT else 0)
