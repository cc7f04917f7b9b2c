"""A consumer for benchmarks: arrival times of a depth node's outputs, and the node's counts."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from depth_anything_ros.benchmark.node.parent import end_with_parent
from depth_anything_ros.node.camera.output import OUTPUTS, Output
from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory

_NODE = "depth_anything"
_LOOK = 0.1
_RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class BenchmarkListener(Node):
    """Subscribes to outputs of a depth node and keeps arrival times only.

    Attributes:
        received: By output, [stamp, time of arrival] of every message in nanoseconds.
        counted: The depth node's last diagnostics, by name.
    """

    def __init__(self, outputs: list[Output]) -> None:
        super().__init__("benchmark_listener")
        self.received: dict[str, list[tuple[int, int]]] = {each.name: [] for each in outputs}
        self.counted: dict[str, str] = {}
        for output in outputs:
            self.create_subscription(
                output.message, f"{_NODE}/{output.name}", self._keeper(output), _RELIABLE
            )
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _keeper(self, output: Output) -> Callable[[Any], None]:
        received = self.received[output.name]

        def keep(message: Any) -> None:
            if not received:
                print(f"first {output.name}", flush=True)
            received.append((nanoseconds(message.header.stamp), time.time_ns()))

        return keep

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f"/{_NODE}: depth":
                self.counted = {item.key: item.value for item in status.values}


def stamped_outputs() -> list[str]:
    """Names of the outputs whose messages carry the stamp of their image."""
    return [each.name for each in OUTPUTS if "header" in each.message.get_fields_and_field_types()]


def main() -> int:
    """Listen until SIGINT or the end of standard input, then print what was received.

    Lines on standard output announce the listener and when the first message of each
    output has come; the last one is JSON with `received` and `counted` of `BenchmarkListener`.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("outputs", nargs="+", choices=stamped_outputs())
    options = parser.parse_args()
    prefer_shared_memory()
    # An exception out of the handler could hit rclpy in the middle of a message.
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    end_with_parent()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    listener = BenchmarkListener([OUTPUTS.get(name) for name in options.outputs])
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    print("there", flush=True)
    while not stopped.is_set():
        executor.spin_once(timeout_sec=_LOOK)
    report = {"received": listener.received, "counted": listener.counted}
    print(json.dumps(report), flush=True)
    listener.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
