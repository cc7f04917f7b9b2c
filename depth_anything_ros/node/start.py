"""Where the executables of the node begin: told to stop while Python still imports, they just end.

Importing takes a second or more, and a KeyboardInterrupt in the middle of it would be a traceback.
"""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType
from typing import Any

_before: dict[int, Any] = {}
"""Handlers that were there before `end_on_signals`, by signal."""

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


def end_on_signals() -> None:
    """Let SIGINT and SIGTERM end the process without a word; for while Python imports."""
    for number in (signal.SIGINT, signal.SIGTERM):
        _before.setdefault(number, signal.signal(number, _end))


def signals_as_before() -> None:
    """Undo `end_on_signals`; what runs from now on ends in order."""
    while _before:
        number, handler = _before.popitem()
        signal.signal(number, handler)


def _run(module: str) -> int:
    end_on_signals()
    main = importlib.import_module(module).main
    signals_as_before()
    status: int = main()
    return status


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED if number == signal.SIGINT else 0)
