"""Watches a depth node from any machine of its network and hands what it sees to a recorder."""

from __future__ import annotations

import importlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.doctor.graph import DepthNodeView, GraphView, State
from depth_anything_ros.node.doctor.inputs import cameras_of
from depth_anything_ros.node.messages import (
    camera_from_info,
    cloud_from_message,
    decode,
    depth_of,
    nanoseconds,
)
from depth_anything_ros.node.runtime.boundary import GuardedNode
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.node.runtime.spinning import ros, spin_until_stopped
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher
from depth_anything_ros.node.sensors.transforms import Matrix, matrix_of_transform

COMPRESSED = "sensor_msgs/msg/CompressedImage"

LEVELS = {
    DiagnosticStatus.OK: "OK",
    DiagnosticStatus.WARN: "WARN",
    DiagnosticStatus.ERROR: "ERROR",
    DiagnosticStatus.STALE: "STALE",
}
"""Levels of a DiagnosticStatus in words."""

_RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_RATE_OVER = 20
"""Messages that a rate is counted over."""
_LOOK_AGAIN_S = 2.0


class Recorder(Protocol):
    """Shows or stores what is seen; stamps are nanoseconds, frames are names of tf2."""

    def picture(self, camera: str, rgb: RgbImage, stamp: int) -> None:
        """The camera's image, HxWx3 uint8 RGB."""
        ...

    def camera(self, camera: str, model: Camera, frame: str, stamp: int) -> None:
        """The calibration of the depth image and its optical frame."""
        ...

    def depth(self, camera: str, depth_m: FloatImage, stamp: int) -> None:
        """HxW float32 metres, NaN where unknown."""
        ...

    def sigma(self, camera: str, sigma_m: FloatImage, stamp: int) -> None:
        """HxW float32 metres: one standard deviation of depth."""
        ...

    def cloud(self, camera: str, cloud: Cloud, frame: str, stamp: int) -> None:
        """Points without NaN, in a frame."""
        ...

    def transform(self, parent: str, child: str, matrix: Matrix, stamp: int | None) -> None:
        """Pose of a frame in its parent, 4x4; a stamp of None holds for ever."""
        ...

    def number(self, name: str, value: float, stamp: int) -> None:
        """A figure over time."""
        ...

    def words(self, name: str, level: str, text: str, stamp: int) -> None:
        """A state in words."""
        ...


@dataclass(frozen=True)
class ViewedCamera:
    """A camera of a depth node.

    Attributes:
        name: Its name, empty for the only one.
        image_topic: Full name of its images' topic, empty where none is known.
        compressed: Whether they are CompressedImage.
    """

    name: str
    image_topic: str = ""
    compressed: bool = False


@dataclass(frozen=True)
class ViewSettings:
    """What is shown.

    Attributes:
        rate: Most pictures of each kind per second; the others are passed over.
        cloud: Whether to subscribe to the points, which are the largest messages.
        transforms: Whether to listen to tf2.
    """

    rate: float = 5.0
    cloud: bool = True
    transforms: bool = False


def find_depth_node(name: str, say: Callable[[str], None]) -> tuple[str, list[ViewedCamera]]:
    """Look for a depth node until there is one that is active.

    Args:
        name: Its full name, empty for the only one.
        say: Told what is waited for.

    Returns:
        Full name and cameras.

    Raises:
        InputError: There are several and none was named.
    """
    told = ""
    while True:
        with GraphView() as graph:
            views = {
                view.name: view
                for view in graph.depth_nodes(0.1)
                if not name or view.name == f"/{name.strip('/')}"
            }
            domain = graph.domain
        if len(views) > 1:
            raise InputError(f"there are several depth nodes; name one of {', '.join(views)}")
        words = f"no depth node answers in {domain}; waiting for one"
        for full_name, view in views.items():
            if view.state == State.ACTIVE.value:
                return full_name, viewed_cameras(view)
            words = f"{full_name} is {view.state}; waiting until it is active"
        if words != told:
            say(words)
            told = words
        time.sleep(_LOOK_AGAIN_S)


def viewed_cameras(view: DepthNodeView) -> list[ViewedCamera]:
    """The cameras of a depth node, with the topics of their images.

    Args:
        view: The node from outside.
    """
    names = [str(name) for name in view.parameters.get("cameras", ()) if name] or [""]
    links = [camera.image for camera in cameras_of(view)]
    cameras = []
    for name in names:
        # With several cameras the topic has the camera's name, unless it was remapped.
        own = [link for link in links if not name or f"/{name}/" in link.topic]
        link = own[0] if own else None
        cameras.append(
            ViewedCamera(name)
            if link is None
            else ViewedCamera(name, link.topic, link.kind == COMPRESSED)
        )
    return cameras


class LiveView(GuardedNode):
    """Subscribes to a depth node's outputs, its images, /diagnostics and tf2."""

    def __init__(
        self,
        node: str,
        cameras: Sequence[ViewedCamera],
        recorder: Recorder,
        settings: ViewSettings | None = None,
        context: Context | None = None,
    ) -> None:
        """Subscribe.

        Args:
            node: Full name of the depth node.
            cameras: Its cameras.
            recorder: Gets what is seen.
            settings: What is shown.
            context: Of rclpy; None for the default one.

        Raises:
            SettingError: Transforms are wanted, but tf2_msgs is not installed.
        """
        super().__init__(
            "depth_anything_view", context=context, enable_communication_interface=False
        )
        self._recorder = recorder
        self._settings = settings or ViewSettings()
        self._last: dict[str, float] = {}
        self._arrivals: dict[str, deque[float]] = {}
        self._name = node
        self._matcher = QosMatcher(self)
        for camera in cameras:
            self._watch(camera)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 20)
        if self._settings.transforms:
            self._listen_to_transforms()
        self.create_timer(1.0, self._matcher.match)

    def _watch(self, camera: ViewedCamera) -> None:
        """Subscribe to what there is of one camera."""
        below = f"{self._name}/{camera.name}/" if camera.name else f"{self._name}/"

        def listen(kind: type, topic: str, take: Callable[[str, Any], None]) -> None:
            def receive(message: Any) -> None:
                if self._is_due(topic):
                    take(camera.name, message)

            self.create_subscription(kind, below + topic, receive, _RELIABLE)

        if camera.image_topic:
            kind = CompressedImage if camera.compressed else Image

            def receive_image(message: Any) -> None:
                if self._is_due(camera.image_topic):
                    stamp = nanoseconds(message.header.stamp)
                    self._recorder.picture(camera.name, decode(message), stamp)

            MatchedSubscription(self._matcher, kind, camera.image_topic, receive_image, 1)
        listen(Image, "depth/image", self._on_depth)
        listen(Image, "depth/sigma", self._on_sigma)
        listen(CameraInfo, "depth/camera_info", self._on_info)
        if self._settings.cloud:
            listen(PointCloud2, "points", self._on_cloud)
        self.create_subscription(
            DiagnosticStatus,
            f"{below}scale_state",
            lambda message: self._on_scale_state(camera.name, message),
            _RELIABLE,
        )

    def _is_due(self, topic: str) -> bool:
        """Whether enough time has passed since the last message of a topic that was shown."""
        now = time.monotonic()
        if now - self._last.get(topic, -np.inf) < 1 / self._settings.rate:
            return False
        self._last[topic] = now
        return True

    def _on_depth(self, camera: str, message: Image) -> None:
        self._recorder.depth(camera, depth_of(message), nanoseconds(message.header.stamp))

    def _on_sigma(self, camera: str, message: Image) -> None:
        self._recorder.sigma(camera, depth_of(message), nanoseconds(message.header.stamp))

    def _on_info(self, camera: str, message: CameraInfo) -> None:
        header = message.header
        model = camera_from_info(message)
        self._recorder.camera(camera, model, header.frame_id, nanoseconds(header.stamp))

    def _on_cloud(self, camera: str, message: PointCloud2) -> None:
        cloud = cloud_from_message(message)
        header = message.header
        self._recorder.cloud(camera, cloud, header.frame_id, nanoseconds(header.stamp))

    def _on_scale_state(self, camera: str, message: DiagnosticStatus) -> None:
        """The state in words, its numbers, and how often and how late answers come."""
        values = {item.key: item.value for item in message.values}
        now = self.get_clock().now().nanoseconds
        seconds, _, fraction = values.get("stamp", "").partition(".")
        stamp = int(seconds) * 10**9 + int(fraction) if seconds and fraction else now
        name = f"{camera}/scale_state" if camera else "scale_state"
        self._recorder.words(name, LEVELS.get(message.level, "?"), message.message, stamp)
        for key in ("scale", "shift", "inliers", "residual", "age_s"):
            if key in values:
                self._recorder.number(f"{name}/{key}", float(values[key]), stamp)
        arrivals = self._arrivals.setdefault(camera, deque(maxlen=_RATE_OVER))
        arrivals.append(time.monotonic())
        if len(arrivals) > 1:
            rate = (len(arrivals) - 1) / max(arrivals[-1] - arrivals[0], 1e-9)
            self._recorder.number(f"{name}/rate_hz", rate, stamp)
        self._recorder.number(f"{name}/latency_s", (now - stamp) * 1e-9, stamp)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        stamp = self.get_clock().now().nanoseconds
        fronts = (f"{self._name}: ", f"{self._name.rpartition('/')[2]}: ")
        for status in message.status:
            if status.name.startswith(fronts):
                name = f"diagnostics/{status.name.partition(': ')[2]}"
                figures = ", ".join(f"{item.key} {item.value}" for item in status.values)
                text = f"{status.message} ({figures})" if figures else status.message
                self._recorder.words(name, LEVELS.get(status.level, "?"), text, stamp)

    def _listen_to_transforms(self) -> None:
        try:
            kind = importlib.import_module("tf2_msgs.msg").TFMessage
        except ImportError as error:
            raise SettingError(
                "tf2_msgs is not installed, so no transforms can be shown; leave --fixed-frame "
                "out, or use a ROS 2 installation"
            ) from error
        self.create_subscription(kind, "/tf", lambda each: self._on_transforms(each, False), 100)
        self.create_subscription(
            kind, "/tf_static", lambda each: self._on_transforms(each, True), _LATCHED
        )

    def _on_transforms(self, message: Any, fixed: bool) -> None:
        for each in message.transforms:
            matrix = matrix_of_transform(each.transform)
            stamp = None if fixed else nanoseconds(each.header.stamp)
            self._recorder.transform(each.header.frame_id, each.child_frame_id, matrix, stamp)


def watch(
    node: str,
    recorder_of: Callable[[], Recorder],
    settings: ViewSettings,
    say: Callable[[str], None],
) -> None:
    """Show a depth node until Ctrl-C.

    Args:
        node: Its full name, empty for the only one.
        recorder_of: Makes what gets the messages, once the node was found.
        settings: What is shown.
        say: Told what is waited for and what is shown.

    Raises:
        InputError: There are several depth nodes and none was named.
        SettingError: Transforms are wanted, but tf2_msgs is not installed.
    """
    prefer_shared_memory()
    name, cameras = find_depth_node(node, say)
    named = ", ".join(camera.name for camera in cameras if camera.name)
    say(f"showing {name}{f' ({named})' if named else ''}; Ctrl-C ends")
    recorder = recorder_of()
    with ros():
        view = LiveView(name, cameras, recorder, settings)
        try:
            spin_until_stopped(view)
        finally:
            view.destroy_node()
