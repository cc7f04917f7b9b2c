"""Watches a depth node from outside: counts its answers and keeps the last picture and cloud."""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2

from depth_anything_ros.formats.media import write_image
from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.formats.preview import side_by_side
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.node.messages import (
    cloud_from_message,
    depth_of,
    image_to_rgb,
    nanoseconds,
)
from depth_anything_ros.node.runtime.spinning import ros, spin_until_stopped

_IMAGES_KEPT = 30


class OutputRecorder(Node):
    """Subscribes like any consumer; `write` leaves preview.png, cloud.ply and summary.json.

    Where the true depth is known (simulation), the summary has the error against it.
    """

    def __init__(self) -> None:
        """Subscribe to a depth node's outputs, its input image and its diagnostics."""
        super().__init__("output_recorder")
        node = self._text("depth_node", "depth_anything", "Name of the depth node to watch.")
        self._folder = Path(self._text("output", "demo_output", "Folder to write to."))
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self.create_subscription(Image, "image", self._on_image, reliable)
        self.create_subscription(Image, f"{node}/depth/preview", self._on_preview, reliable)
        self.create_subscription(Image, f"{node}/depth/image", self._on_depth, reliable)
        self.create_subscription(Image, "true_depth/image", self._on_true_depth, reliable)
        self.create_subscription(PointCloud2, f"{node}/points", self._on_points, reliable)
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, qos_profile_sensor_data
        )
        self._status_name = f"/{node}: depth"
        self._images: OrderedDict[int, Image] = OrderedDict()
        self._preview: Image | None = None
        self._pictured: Image | None = None
        self._points: PointCloud2 | None = None
        self._latencies: list[float] = []
        self._true_depths: OrderedDict[int, Image] = OrderedDict()
        self._errors: list[float] = []
        self._first = self._last = 0.0
        self._depths = 0
        self._clouds = 0
        self._diagnosis: dict[str, str] = {}

    def write(self) -> None:
        """Write what was seen to the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        summary: dict[str, Any] = {
            "previews": len(self._latencies),
            "depth_images": self._depths,
            "clouds": self._clouds,
            "diagnostics": self._diagnosis,
        }
        if self._latencies:
            p50, p95 = np.percentile(self._latencies, (50, 95))
            summary["latency_p50_ms"] = round(1e3 * float(p50), 1)
            summary["latency_p95_ms"] = round(1e3 * float(p95), 1)
        if self._errors:
            summary["abs_rel"] = round(float(np.median(self._errors)), 4)
        if len(self._latencies) > 1:
            span = self._last - self._first
            summary["rate_hz"] = round((len(self._latencies) - 1) / max(span, 1e-9), 2)
        if self._preview is not None:
            picture = image_to_rgb(self._preview)
            if self._pictured is not None:
                picture = side_by_side(image_to_rgb(self._pictured), picture)
            path = self._folder / "preview.png"
            write_image(path, picture)
            summary["preview"] = str(path)
        if self._points is not None:
            path = self._folder / "cloud.ply"
            cloud = cloud_from_message(self._points)
            write_ply(path, cloud.xyz, cloud.rgb)
            summary["cloud"] = str(path)
            summary["cloud_points"] = len(cloud.xyz)
        write_whole(self._folder / "summary.json", json.dumps(summary, indent=2) + "\n")

    def _on_image(self, message: Image) -> None:
        _keep(self._images, message)

    def _on_true_depth(self, message: Image) -> None:
        _keep(self._true_depths, message)

    def _on_preview(self, message: Image) -> None:
        stamp = nanoseconds(message.header.stamp)
        self._last = time.monotonic()
        self._first = self._first or self._last
        self._latencies.append((self.get_clock().now().nanoseconds - stamp) * 1e-9)
        self._preview = message
        self._pictured = self._images.get(stamp)

    def _on_depth(self, message: Image) -> None:
        self._depths += 1
        true = self._true_depths.get(nanoseconds(message.header.stamp))
        if true is None:
            return
        depth, truth = depth_of(message), depth_of(true)
        known = np.isfinite(depth) & np.isfinite(truth)
        if known.any():
            self._errors.append(float(np.mean(np.abs(depth[known] / truth[known] - 1))))

    def _on_points(self, message: PointCloud2) -> None:
        self._clouds += 1
        self._points = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._status_name:
                self._diagnosis = {item.key: item.value for item in status.values}
                self._diagnosis["message"] = status.message

    def _text(self, name: str, default: str, description: str) -> str:
        described = ParameterDescriptor(description=description, read_only=True)
        return str(self.declare_parameter(name, default, described).value)


def _keep(messages: OrderedDict[int, Image], message: Image) -> None:
    """Keep a message by its stamp, and only the newest few."""
    messages[nanoseconds(message.header.stamp)] = message
    while len(messages) > _IMAGES_KEPT:
        messages.popitem(last=False)


def main(arguments: list[str] | None = None) -> int:
    """Record until stopped, then write.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.

    Returns:
        0.
    """
    with ros(arguments):
        recorder = OutputRecorder()
        try:
            spin_until_stopped(recorder)
        finally:
            recorder.write()
            recorder.destroy_node()
    return 0


if __name__ == "__main__":
    sys.exit(main())
