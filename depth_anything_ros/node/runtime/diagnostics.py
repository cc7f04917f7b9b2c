"""The health of all cameras on /diagnostics."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from depth_anything_ros.node.runtime.health import CameraHealth


class DiagnosticsPublisher:
    """Publishes on /diagnostics, through diagnostic_updater where that is installed."""

    def __init__(self, node: Node, cameras: dict[str, Callable[[], CameraHealth]]) -> None:
        """Start publishing once a second.

        Args:
            node: The node to publish with.
            cameras: Health of each camera, by name.
        """
        self._node = node
        self._cameras = cameras
        # Simulated time may stand still; a robot must be heard all the same.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        try:
            updater = importlib.import_module("diagnostic_updater").Updater(node)
        except ImportError:
            self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
            node.create_timer(1.0, self._publish, clock=steady)
            return
        updater.setHardwareID("depth_anything_ros")
        for name, health in cameras.items():
            task = f"{name} depth" if name else "depth"
            updater.add(task, lambda status, health=health: _fill(status, health()))
        node.create_timer(1.0, updater.force_update, clock=steady)

    def _publish(self) -> None:
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [health().to_status() for health in self._cameras.values()]
        self._publisher.publish(array)


def _fill(status: Any, health: CameraHealth) -> Any:
    """Fill a diagnostic_updater status."""
    status.hardware_id = health.hardware_id
    status.summary(health.level, health.message)
    for key, value in health.values.items():
        status.add(key, value)
    return status
