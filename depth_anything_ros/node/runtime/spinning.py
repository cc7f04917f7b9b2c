"""How the processes of this package run and stop."""

from __future__ import annotations

import signal

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node


def spin_until_stopped(node: Node) -> None:
    """Serve a node until Ctrl-C, SIGTERM or a shutdown of ROS.

    A terminal and `ros2 launch` both send SIGINT on Ctrl-C; from the first one on the process is
    on its way out, and the second must not break its clean-up off.

    Args:
        node: The node.
    """
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
