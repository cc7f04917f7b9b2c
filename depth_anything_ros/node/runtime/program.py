"""Start and end of the small nodes of this package (player, simulated robot)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.node.parameter import ParameterSet, usage
from depth_anything_ros.node.runtime.boundary import sentence_of
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.node.runtime.spinning import asks_for_help, ros

NodeT = TypeVar("NodeT", bound=Node)


def run_program(
    name: str,
    purpose: str,
    parameters: type[ParameterSet],
    make: Callable[[], NodeT],
    work: Callable[[NodeT], None],
    arguments: list[str] | None,
) -> int:
    """Make a node and let it work until it is done or stopped.

    Args:
        name: Name of the executable.
        purpose: What it does, for --help.
        parameters: Its parameters, for --help.
        make: Makes the node.
        work: What it does.
        arguments: Command line with ROS arguments; None takes the process's own.

    Returns:
        0 after a normal end and for --help, 1 when a parameter or an input is unusable.
    """
    if asks_for_help(arguments):
        print(usage(name, purpose, parameters))
        return 0
    transport_warning = prefer_shared_memory()
    if transport_warning:
        print(f"{name}: {transport_warning}", file=sys.stderr)
    node: NodeT | None = None
    try:
        with ros(arguments):
            try:
                node = make()
                work(node)
            except ExternalShutdownException:
                pass
            except Exception:
                if rclpy.ok():  # else a signal has shut ROS down in the middle of something
                    raise
            finally:
                if node is not None:
                    node.destroy_node()
    except (DepthAnythingError, ParameterException) as error:
        print(f"{name}: {sentence_of(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if node is None:  # a command line that rcl cannot parse
            print(f"{name}: {sentence_of(error)}", file=sys.stderr)
            return 1
        raise
    return 0
