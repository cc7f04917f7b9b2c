"""A recording in place of a ROS graph: what the node's parts need of a node, without DDS."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message

from depth_anything_ros.node.runtime.boundary import sentence_of


@dataclass(frozen=True)
class Published:
    """A message that was published.

    Attributes:
        topic: Full name of its topic.
        type: Its type, as "sensor_msgs/msg/Image".
        cdr: Its bytes.
    """

    topic: str
    type: str
    cdr: bytes


@dataclass(frozen=True)
class _Time:
    nanoseconds: int


class _Clock:
    """The time at which the newest message was recorded."""

    def __init__(self) -> None:
        self.nanoseconds = 0

    def now(self) -> _Time:
        return _Time(self.nanoseconds)


@dataclass(frozen=True, eq=False)
class _Subscription:
    kind: type
    topic: str
    callback: Callable[[Any], None]


class _Publisher:
    """Keeps what is published, for the topics that are wanted."""

    is_activated = True

    def __init__(self, topic: str, kind: type, wanted: bool, kept: list[Published]) -> None:
        self._topic = topic
        self._type = type_name(kind)
        self._wanted = wanted
        self._kept = kept

    def get_subscription_count(self) -> int:
        return int(self._wanted)

    def publish(self, message: Any) -> None:
        self._kept.append(Published(self._topic, self._type, serialize_message(message)))


class RecordedGraph:
    """Stands where the node's parts expect an rclpy node.

    Subscriptions get the messages that `deliver` is called with; publishers keep what they are
    given until `take` fetches it. The clock shows the time of recording.

    Args:
        name: Full name of the node, with a slash before it.
        topics: Type of every recorded topic, by name.
        remappings: Names of topics in place of those the node asks for.
        outputs: Outputs that are wanted, as they are named below the node or the camera.
        report: Called with what is wrong with a message.
    """

    def __init__(
        self,
        name: str,
        topics: Mapping[str, str],
        remappings: Mapping[str, str],
        outputs: Collection[str],
        report: Callable[[str], None],
    ) -> None:
        self._name = name
        self._topics = dict(topics)
        self._remappings = {self._full(old): self._full(new) for old, new in remappings.items()}
        self._outputs = frozenset(outputs)
        self._report = report
        self._clock = _Clock()
        self._subscriptions: list[_Subscription] = []
        self._published: list[Published] = []

    # What the node's parts call ---------------------------------------------------------------

    def get_clock(self) -> _Clock:
        """The time of recording."""
        return self._clock

    def get_fully_qualified_name(self) -> str:
        """Name of the node."""
        return self._name

    def resolve_topic_name(self, topic: str) -> str:
        """Full name of a topic, remapped."""
        full = self._full(topic)
        return self._remappings.get(full, full)

    def count_publishers(self, topic: str) -> int:
        """1 for recorded topics, else 0."""
        return int(topic in self._topics)

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        """Nothing: a recording has no quality of service to match."""
        return []

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], *rest: Any, **more: Any
    ) -> _Subscription:
        """Subscribe; a topic that was recorded with another type gives nothing and a report."""
        subscription = _Subscription(kind, self.resolve_topic_name(topic), callback)
        recorded = self._topics.get(subscription.topic)
        if recorded is not None and recorded != type_name(kind):
            self._report(
                f"{subscription.topic} is not used: it holds {recorded}, not {type_name(kind)}"
            )
        self._subscriptions.append(subscription)
        return subscription

    def destroy_subscription(self, subscription: _Subscription) -> None:
        """Unsubscribe."""
        self._subscriptions.remove(subscription)

    def create_lifecycle_publisher(
        self, kind: type, topic: str, *rest: Any, **more: Any
    ) -> _Publisher:
        """Make a publisher."""
        wanted = any(topic.endswith(f"/{output}") for output in self._outputs)
        return _Publisher(self.resolve_topic_name(topic), kind, wanted, self._published)

    def destroy_lifecycle_publisher(self, publisher: _Publisher) -> None:
        """Forget a publisher."""

    # What the reader of the recording calls ---------------------------------------------------

    @property
    def subscribed(self) -> frozenset[str]:
        """Recorded topics that somebody listens to."""
        return frozenset(each.topic for each in self._subscriptions) & self._topics.keys()

    def set_time(self, stamp: int) -> None:
        """Move the clock to a time of recording in nanoseconds."""
        self._clock.nanoseconds = stamp

    def deliver(self, topic: str, kind: str, cdr: bytes) -> None:
        """Hand a message to those who subscribe to it.

        Args:
            topic: Its topic.
            kind: Its type, as "sensor_msgs/msg/Image".
            cdr: Its bytes.
        """
        for subscription in list(self._subscriptions):
            if subscription.topic != topic or type_name(subscription.kind) != kind:
                continue
            try:
                subscription.callback(deserialize_message(cdr, subscription.kind))
            except Exception as error:  # as the node: one message is not the end
                self._report(f"a message on {topic} is not used: {sentence_of(error)}")

    def take(self) -> list[Published]:
        """What was published since the last call."""
        published = list(self._published)
        self._published.clear()
        return published

    def _full(self, topic: str) -> str:
        if topic.startswith("~"):
            return f"{self._name}{topic[1:]}"
        return topic if topic.startswith("/") else f"/{topic}"


def type_name(kind: type) -> str:
    """The type of a message class, as "sensor_msgs/msg/Image"."""
    return f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
