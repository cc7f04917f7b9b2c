"""How the processes of this package run and stop."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from depth_anything_ros.node.runtime.boundary import GuardedNode
from depth_anything_ros.node.runtime.shared_memory import remove_own_segments

RCL_ERROR: type[Exception] = RuntimeError
"""What rclpy raises for a command line that it cannot parse: RCLError, which it keeps private."""


def asks_for_help(arguments: list[str] | None) -> bool:
    """Whether a command line asks what the program is.

    Args:
        arguments: Command line; None takes the process's own.
    """
    own = sys.argv if arguments is None else arguments
    before_ros = own[: own.index("--ros-args")] if "--ros-args" in own else own
    return bool({"-h", "--help"} & set(before_ros))


def spin_until_stopped(node: Node) -> None:
    """Serve a node until Ctrl-C, SIGTERM or a shutdown of ROS.

    What a callback raises ends nothing where the node is guarded.

    Args:
        node: The node.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        while node.context.ok():
            _spin(executor, node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        ignore_further_signals()
        executor.remove_node(node)
        executor.shutdown(0)


def ignore_further_signals() -> None:
    """Let the clean-up of a process that is being stopped come to its end.

    A terminal and `ros2 launch` both send SIGINT on Ctrl-C: the second must not break it off.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def exit_at_once(status: int) -> NoReturn:
    """End the process though threads are deep in a network, which the interpreter cannot stop.

    Args:
        status: The process's exit status.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    remove_own_segments()
    os._exit(status)


def _spin(executor: SingleThreadedExecutor, node: Node) -> None:
    """Serve a node until something is raised; go on where it is guarded."""
    try:
        executor.spin()
    except ExternalShutdownException:
        raise
    except Exception as error:
        if not isinstance(node, GuardedNode):
            raise
        node.report("a callback failed", error)
