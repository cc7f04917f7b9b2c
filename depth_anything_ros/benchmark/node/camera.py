"""A camera for benchmarks: one picture at an even rate, and optionally a LiDAR's points."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.benchmark.node.parent import end_with_parent
from depth_anything_ros.frames import RgbImage
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.messages import (
    cloud_to_message,
    info_from_camera,
    nanoseconds,
    rgb_to_image,
)
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory

HFOV_DEG = 60.0
"""Horizontal field of view of the camera."""

POINTS_Z = 5.0
"""Metres of all points of the LiDAR, along the optical axis."""

_RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
_FRAME = "benchmark_camera_optical_frame"
_LOOK = 0.005


def picture(width: int, height: int) -> RgbImage:
    """What the camera shows, always.

    Args:
        width: Columns.
        height: Rows.

    Returns:
        HxWx3 uint8 noise.
    """
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


class BenchmarkCamera(Node):
    """Publishes `image`, `camera_info` and `points` as soon as `image` has a subscriber.

    Attributes:
        listened: System time in seconds when the first subscriber was seen.
        sent: Stamps of all images in nanoseconds.
    """

    def __init__(self, width: int, height: int, rate: float, points: int) -> None:
        super().__init__("benchmark_camera")
        self.listened: float | None = None
        self.sent: list[int] = []
        self._period = 1 / rate
        camera = Camera.from_hfov(width, height, HFOV_DEG)
        header = Header(frame_id=_FRAME)
        self._image = rgb_to_image(picture(width, height), header)
        self._info = info_from_camera(camera, header)
        self._points = cloud_to_message(_scan(camera, points), header) if points else None
        self._images = self.create_publisher(Image, "image", _RELIABLE)
        self._infos = self.create_publisher(CameraInfo, "camera_info", _RELIABLE)
        self._clouds = self.create_publisher(PointCloud2, "points", _RELIABLE)

    def run(self, stopped: threading.Event) -> None:
        """Publish until stopped.

        Args:
            stopped: Whether to stop.
        """
        while not stopped.is_set() and not self._images.get_subscription_count():
            time.sleep(_LOOK)
        self.listened = time.time()
        due = time.monotonic()
        while not stopped.is_set():
            due = max(due + self._period, time.monotonic())
            time.sleep(max(due - time.monotonic(), 0.0))
            self._publish()

    def _publish(self) -> None:
        stamp = self.get_clock().now().to_msg()
        for message in (self._image, self._info, self._points):
            if message is not None:
                message.header.stamp = stamp
        if self._points is not None:
            self._clouds.publish(self._points)
        self._infos.publish(self._info)
        self._images.publish(self._image)
        self.sent.append(nanoseconds(stamp))


def _scan(camera: Camera, points: int) -> Cloud:
    """Points at `POINTS_Z` all over the image, 1xN."""
    x, y = np.broadcast_arrays(*ray_table(camera))
    chosen = np.random.default_rng(0).choice(x.size, points)
    z = np.full(points, POINTS_Z, np.float32)
    return Cloud(np.stack([x.ravel()[chosen] * z, y.ravel()[chosen] * z, z], axis=1)[None])


def main() -> int:
    """Publish until SIGINT or the end of standard input, then print what was sent.

    A line on standard output announces the camera; the last one is JSON with `listened`
    and `sent` of `BenchmarkCamera`.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--points", type=int, default=0)
    options = parser.parse_args()
    prefer_shared_memory()
    # An exception out of the handler could hit rclpy in the middle of a message.
    stopped = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    end_with_parent()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    camera = BenchmarkCamera(options.width, options.height, options.rate, options.points)
    print("there", flush=True)
    camera.run(stopped)
    print(json.dumps({"listened": camera.listened, "sent": camera.sent}), flush=True)
    camera.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
