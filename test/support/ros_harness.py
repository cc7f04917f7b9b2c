"""Real nodes in processes of their own, and a consumer in this one, on one DDS domain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.benchmark.node.runner import reserve_domain
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.messages import info_from_camera, nanoseconds, rgb_to_image

DOMAIN = reserve_domain()
FRAME_ID = "test_camera_optical_frame"
OUTPUTS: dict[str, type] = {
    "depth/image": Image,
    "depth/image/compressedDepth": CompressedImage,
    "depth/sigma": Image,
    "depth/camera_info": CameraInfo,
    "points": PointCloud2,
    "disparity/image": Image,
    "depth/preview": Image,
    "confidence/image": Image,
    "scale_state": DiagnosticStatus,
}
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
T = TypeVar("T")


def eventually(check: Callable[[], T], timeout: float = 30.0) -> T:
    """What a check gives once its assertions hold; discovery learns of endpoints one by one."""
    until = time.monotonic() + timeout
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


class NodeProcess:
    """A node of this package in a process of its own."""

    def __init__(
        self, module: str, log: Path, options: Sequence[str] = (), **parameters: object
    ) -> None:
        self._log = log
        settings = [
            part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")
        ]
        command = [sys.executable, *([module] if module.endswith(".py") else ["-m", module])]
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "PYTHONUNBUFFERED": "1",
            "RCUTILS_LOGGING_USE_STDOUT": "1",
        }
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [*command, *options, "--ros-args", *settings],
                env=environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self._log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def shared_memory(self) -> list[Path]:
        """Fast DDS's files in shared memory that it keeps open, but for ports (they are shared)."""
        opened = [Path(file.path) for file in psutil.Process(self._process.pid).open_files()]
        return [
            path for path in opened if path.parent == Path("/dev/shm") and "port" not in path.name
        ]

    def wait(self, timeout: float) -> int:
        """Wait for its end; its exit status."""
        return self._process.wait(timeout)

    def stop(self) -> int:
        """Stop it as Ctrl-C does and wait; its exit status."""
        if self.alive:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


class Consumer:
    """A node of this process that feeds a depth node and keeps all it answers."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.received: dict[str, list[Any]] = {name: [] for name in OUTPUTS}
        self.diagnostics: dict[str, str] = {}
        self.diagnostic_level = b"\x00"
        self.statuses: dict[str, DiagnosticStatus] = {}
        self._images = node.create_publisher(Image, "image", RELIABLE)
        self._infos = node.create_publisher(CameraInfo, "camera_info", RELIABLE)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}

    def subscribe(self, *outputs: str, camera: str = "") -> None:
        """Subscribe to outputs of the depth node; those of a camera are kept as camera/name."""
        below = f"{camera}/" if camera else ""
        for name in outputs:
            kept = self.received.setdefault(f"{below}{name}", [])
            self.node.create_subscription(
                OUTPUTS[name], f"depth_anything/{below}{name}", kept.append, RELIABLE
            )

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until the depth node listens reliably to image and sends what was subscribed."""
        self.wait(self._ready, timeout, "the depth node never subscribed reliably to image")
        self.settle()

    def settle(self, node: str = "depth_anything") -> None:
        """Wait until a node has learned of every endpoint of this one, and done what was sent.

        DDS tells of endpoints in order, so who answers a new client knows of those that were made
        before it; and the executor takes messages that have come before requests that have.
        """
        name = f"/{node}/get_parameters"
        client = self.node.create_client(GetParameters, name)
        until = time.monotonic() + 60
        asked: list[Any] = []
        while not any(future.done() for future in asked):
            if time.monotonic() > until:
                pytest.fail(f"{name} did not answer within 60 s; {self.diagnostics}")
            # Fast DDS loses an answer whose reader is not matched yet.
            if client.service_is_ready():
                asked.append(client.call_async(GetParameters.Request()))
            again = time.monotonic() + (0.5 if asked else 0.02)
            while time.monotonic() < again and not any(future.done() for future in asked):
                time.sleep(0.002)
        self.node.destroy_client(client)

    def send(self, rgb: npt.NDArray[np.uint8], camera: Camera | None = None) -> int:
        """Publish a picture, with its camera_info when it has one; its stamp."""
        header = self.header()
        if camera is not None:
            self._infos.publish(info_from_camera(camera, header))
        self._images.publish(rgb_to_image(rgb, header))
        return nanoseconds(header.stamp)

    def send_messages(self, image: Image, info: CameraInfo | None = None) -> None:
        """Publish an image message as it is."""
        if info is not None:
            self._infos.publish(info)
        self._images.publish(image)

    def publish(self, topic: str, message: Any) -> None:
        """Publish any message; the first on a topic waits until the depth node listens to it."""
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, RELIABLE)
            self.wait(lambda: self._reliable_listeners(topic) > 0, 30, f"nobody listens to {topic}")
            self.settle()
        self._publishers[topic].publish(message)

    def header(self, frame_id: str = FRAME_ID, seconds: float = 0.0) -> Header:
        """A header stamped with now, or some seconds later."""
        stamp = self.node.get_clock().now().nanoseconds + round(seconds * 1e9)
        return Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=frame_id)

    def scale_state(self, number: int, timeout: float = 30.0) -> dict[str, str]:
        """The scale state of the n-th answer (from 1), by name, with its message."""
        status = self.answers("scale_state", number, timeout)[number - 1]
        return {**{item.key: item.value for item in status.values}, "message": status.message}

    def _reliable_listeners(self, topic: str) -> int:
        name = self.node.resolve_topic_name(topic)
        return sum(
            listener.qos_profile.reliability == ReliabilityPolicy.RELIABLE
            for listener in self.node.get_subscriptions_info_by_topic(name)
        )

    def answers(self, output: str, count: int, timeout: float = 30.0) -> list[Any]:
        """Wait until an output has this many messages; all of them."""
        got = self.received[output]
        self.wait(lambda: len(got) >= count, timeout, f"{output}: {len(got)} of {count} came")
        return got

    def wait(self, condition: Callable[[], bool], timeout: float, complaint: str) -> None:
        """Wait for a condition, or fail with the complaint."""
        until = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > until:
                pytest.fail(f"{complaint} (waited {timeout:g} s); diagnostics: {self.diagnostics}")
            time.sleep(0.01)

    def call(self, kind: Any, name: str, request: Any, timeout: float = 30.0) -> Any:
        """Call a service and return its response."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.wait(client.service_is_ready, timeout, f"no service {name}")
        self.settle(name.split("/")[1])
        future = client.call_async(request)
        self.wait(future.done, timeout, f"{name} did not answer")
        return future.result()

    def set_parameters(self, node: str = "depth_anything", **values: object) -> Any:
        """Set parameters of a node atomically; the result."""
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        name = f"/{node}/set_parameters_atomically"
        return self.call(SetParametersAtomically, name, request).result

    def get_parameter(self, name: str, node: str = "depth_anything") -> Any:
        """One parameter's value message."""
        request = GetParameters.Request(names=[name])
        return self.call(GetParameters, f"/{node}/get_parameters", request).values[0]

    def describe_parameter(self, name: str, node: str = "depth_anything") -> Any:
        """One parameter's descriptor."""
        request = DescribeParameters.Request(names=[name])
        return self.call(DescribeParameters, f"/{node}/describe_parameters", request).descriptors[0]

    def change_state(self, transition: int, node: str = "depth_anything") -> bool:
        """Ask for a lifecycle transition; whether it succeeded."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call(ChangeState, f"/{node}/change_state", request, 60.0).success)

    def state(self, node: str = "depth_anything") -> str:
        """Name of the lifecycle state."""
        response = self.call(GetState, f"/{node}/get_state", GetState.Request())
        return str(response.current_state.label)

    def _ready(self) -> bool:
        mine = [s for s in self.node.subscriptions if "/depth_anything/" in s.topic_name]
        return (
            all(self._reliable_listeners(topic) > 0 for topic in ("image", "camera_info"))
            and self._images.get_subscription_count() > 0
            and all(self.node.count_publishers(s.topic_name) for s in mine)
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses[status.name] = status
            if status.name.endswith("depth"):
                self.diagnostic_level = status.level
                values = {item.key: item.value for item in status.values}
                self.diagnostics = {**values, "message": status.message}
