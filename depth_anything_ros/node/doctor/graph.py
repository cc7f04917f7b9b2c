"""The running graph as one participant sees it: depth nodes, their inputs, outputs and state."""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, LaserScan, PointCloud2, Range

from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher
from depth_anything_ros.node.sensors.transforms import Transforms

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
POINT_TYPES = (
    "sensor_msgs/msg/PointCloud2",
    "sensor_msgs/msg/LaserScan",
    "sensor_msgs/msg/Range",
)
_CLASSES: dict[str, type] = {
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
    INFO_TYPE: CameraInfo,
    "sensor_msgs/msg/PointCloud2": PointCloud2,
    "sensor_msgs/msg/LaserScan": LaserScan,
    "sensor_msgs/msg/Range": Range,
    "sensor_msgs/msg/Imu": Imu,
    "nav_msgs/msg/Odometry": Odometry,
}
_DEPTH_NODE_PARAMETERS = {"model", "scaler", "on_invalid"}
"""What no other lifecycle node has together."""
_DISCOVERY = 3.5
"""Seconds; Fast DDS announces itself every 3 s, should the first announcements get lost."""
_ANSWER = 3.0
_TF_DELAY = 0.5
"""Seconds by which the transform of an image may come after it."""


class State(enum.Enum):
    """Lifecycle states of a depth node that can be told apart in words (lifecycle_msgs/State)."""

    UNCONFIGURED = "unconfigured"
    INACTIVE = "inactive"
    ACTIVE = "active"


@dataclass(frozen=True)
class Heard:
    """A message and the time it came at, in nanoseconds of the clock its reader uses."""

    message: Any
    arrival: int


@dataclass
class Link:
    """A topic of a depth node.

    Attributes:
        topic: Full name.
        kind: Its type on the side of the depth node.
        own: The depth node's endpoint.
        others: The endpoints on the other side.
        heard: A message on it; only of inputs.
    """

    topic: str
    kind: str
    own: TopicEndpointInfo
    others: list[TopicEndpointInfo]
    heard: Heard | None = None


@dataclass
class DepthNodeView:
    """One depth node from outside.

    Attributes:
        name: Full name.
        state: Label of its lifecycle state.
        parameters: All its parameters.
        inputs: What it subscribes to, of the kinds that this package reads.
        outputs: What it publishes below its own name.
        statuses: Its statuses on /diagnostics, one for each camera, newest by name.
    """

    name: str
    state: str
    parameters: dict[str, Any]
    inputs: list[Link] = field(default_factory=list)
    outputs: list[Link] = field(default_factory=list)
    statuses: dict[str, DiagnosticStatus] = field(default_factory=dict)

    @property
    def figures(self) -> list[dict[str, str]]:
        """The figures of each camera's status, by name."""
        return [{item.key: item.value for item in s.values} for s in self.statuses.values()]

    @property
    def simulated_time(self) -> bool:
        """Whether it takes the time from /clock."""
        return bool(self.parameters.get("use_sim_time", False))


class GraphView:
    """A participant that only observes: it changes nothing and subscribes to no output."""

    def __init__(self) -> None:
        """Join the graph; use it in a `with` statement."""
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node("_depth_anything_doctor", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._statuses: dict[str, DiagnosticStatus] = {}
        self._clock: int | None = None
        diagnostics = self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, 20
        )
        # Every clock is matched by best effort.
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(Clock, "/clock", self._on_clock, best_effort)
        self._own_topic = diagnostics.topic_name
        self.transforms = Transforms(self._node)

    def __enter__(self) -> GraphView:
        """Look around; nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    @property
    def domain(self) -> str:
        """ROS domain and discovery range, as text."""
        reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
        within = f", discovery range {reach}" if reach else ""
        return f"domain {self._context.get_domain_id()}{within}"

    @property
    def has_clock(self) -> bool:
        """Whether simulated time is published."""
        return self._node.count_publishers("/clock") > 0

    @property
    def own_gid(self) -> list[int]:
        """An endpoint of this process."""
        mine = self._node.get_subscriptions_info_by_topic(self._own_topic)
        name = self._node.get_name()
        return next((list(info.endpoint_gid) for info in mine if info.node_name == name), [])

    def names(self) -> list[str]:
        """Full names of all other nodes that do not hide."""
        return sorted(
            full_name(namespace, name)
            for name, namespace in self._node.get_node_names_and_namespaces()
            if not name.startswith("_")
        )

    def published(self, *kinds: str) -> list[str]:
        """Published topics of some types."""
        return sorted(
            topic
            for topic, types in self._node.get_topic_names_and_types()
            if set(kinds) & set(types) and self._node.count_publishers(topic)
        )

    def types(self, topic: str) -> list[str]:
        """The types under which a topic is published."""
        return sorted({i.topic_type for i in self._node.get_publishers_info_by_topic(topic)})

    def depth_nodes(self, seconds: float) -> list[DepthNodeView]:
        """All depth nodes, with what comes to them within some seconds.

        Args:
            seconds: How long to listen at most.

        Returns:
            One view for each, by name.
        """
        self._spin(lambda: False, _DISCOVERY)
        views = [view for name in self.names() if (view := self._depth_node(name)) is not None]
        self._listen(views, seconds)
        return views

    def _depth_node(self, name: str) -> DepthNodeView | None:
        services = dict(self._node.get_service_names_and_types())
        if f"{name}/get_state" not in services:
            return None
        listed = self._call(ListParameters, f"{name}/list_parameters", ListParameters.Request())
        if listed is None or _DEPTH_NODE_PARAMETERS - set(listed.result.names):
            return None
        names = list(listed.result.names)
        got = self._call(
            GetParameters, f"{name}/get_parameters", GetParameters.Request(names=names)
        )
        state = self._call(GetState, f"{name}/get_state", GetState.Request())
        if got is None or state is None:
            return None
        values = map(parameter_value_to_python, got.values)
        view = DepthNodeView(name, state.current_state.label, dict(zip(names, values, strict=True)))
        view.inputs = self._inputs(name)
        view.outputs = self._outputs(name)
        return view

    def _inputs(self, name: str) -> list[Link]:
        namespace, _, base = name.rpartition("/")
        subscribed = self._node.get_subscriber_names_and_types_by_node(base, namespace or "/")
        return [
            Link(topic, kind, own, self._node.get_publishers_info_by_topic(topic))
            for topic, kinds in subscribed
            for kind in kinds
            if kind in _CLASSES
            for own in self._node.get_subscriptions_info_by_topic(topic)
            if full_name(own.node_namespace, own.node_name) == name
        ]

    def _outputs(self, name: str) -> list[Link]:
        namespace, _, base = name.rpartition("/")
        published = self._node.get_publisher_names_and_types_by_node(base, namespace or "/")
        return [
            Link(topic, kind, own, self._node.get_subscriptions_info_by_topic(topic))
            for topic, kinds in published
            if topic.startswith(f"{name}/") and not topic.endswith("/transition_event")
            for kind in kinds
            for own in self._node.get_publishers_info_by_topic(topic)
            if full_name(own.node_namespace, own.node_name) == name
        ]

    def _listen(self, views: list[DepthNodeView], seconds: float) -> None:
        """Wait for one message on every input that is published, and for the diagnostics."""
        matcher = QosMatcher(self._node)
        ears = []
        for view in views:
            for link in view.inputs:
                if link.others:
                    store = self._storer(link, view.simulated_time)
                    ears.append(
                        MatchedSubscription(matcher, _CLASSES[link.kind], link.topic, store, 5)
                    )

        def complete() -> bool:
            for view in views:
                view.statuses = self._statuses_of(view.name)
            return all(
                view.statuses and all(link.heard for link in view.inputs if link.others)
                for view in views
            )

        self._spin(complete, seconds)
        for ear in ears:
            ear.close()
        self._spin(lambda: False, _TF_DELAY)

    def _statuses_of(self, name: str) -> dict[str, DiagnosticStatus]:
        # diagnostic_updater puts the name without its namespace in front.
        for front in (name, name.rpartition("/")[2]):
            found = {n: s for n, s in self._statuses.items() if n.startswith(f"{front}: ")}
            if found:
                return found
        return {}

    def _storer(self, link: Link, simulated: bool) -> Callable[[Any], None]:
        def store(message: Any) -> None:
            now = self._clock if simulated else time.time_ns()
            if now is not None:
                link.heard = Heard(message, now)

        return store

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service; None when it does not answer."""
        client = self._node.create_client(kind, name)
        try:
            if not client.wait_for_service(_ANSWER):
                return None
            future = client.call_async(request)
            self._spin(future.done, _ANSWER)
            return future.result() if future.done() else None
        finally:
            self._node.destroy_client(client)

    def _spin(self, done: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            self._executor.spin_once(timeout_sec=0.05)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._statuses[status.name] = status

    def _on_clock(self, message: Clock) -> None:
        self._clock = message.clock.sec * 1_000_000_000 + message.clock.nanosec


def full_name(namespace: str, name: str) -> str:
    """A node's name with its namespace."""
    return f"{namespace.rstrip('/')}/{name}"
