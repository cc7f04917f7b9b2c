"""Subscriptions that ask for as much reliability as their publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

_FIXED = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}


class MatchedSubscription:
    """A subscription whose reliability follows its publishers.

    Best effort matches every publisher, but Fast DDS loses most big best-effort messages, and
    small ones that travel beside big ones. So `auto` asks for reliable as long as all publishers
    of the topic offer it; `match` looks again, and is to be called now and then.

    Attributes:
        reliability: "auto", "reliable" or "best_effort"; a change takes effect at `match`.
        incompatible: Which quality of service a publisher offers that does not fit, or None.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int,
        reliability: str = "auto",
    ) -> None:
        """Subscribe.

        Args:
            node: The node to subscribe with.
            kind: Message class.
            topic: Name of the topic; remappings apply.
            callback: Called with every message, in the executor's thread.
            depth: Messages kept while the callback is busy.
            reliability: "auto", "reliable" or "best_effort".
        """
        self.reliability = reliability
        self._node = node
        self._kind = kind
        self._topic = topic
        self._callback = callback
        self._depth = depth
        self._subscription: Subscription | None = None
        self._subscribed_as: ReliabilityPolicy | None = None
        self.incompatible: str | None = None
        self.match()

    @property
    def topic(self) -> str:
        """Full name of the topic, remapped."""
        return str(self._node.resolve_topic_name(self._topic))

    @property
    def has_publisher(self) -> bool:
        """Whether anybody publishes to it."""
        return self._node.count_publishers(self.topic) > 0

    def match(self) -> None:
        """Subscribe anew where the publishers' offer asks for another reliability."""
        wanted = _FIXED.get(self.reliability) or self._offered()
        if wanted is None or wanted == self._subscribed_as:
            return
        self.close()
        self._subscription = self._node.create_subscription(
            self._kind,
            self._topic,
            self._callback,
            QoSProfile(depth=self._depth, reliability=wanted),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible),
        )
        self.incompatible = None
        self._subscribed_as = wanted

    def close(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribed_as = None

    def _on_incompatible(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        self.incompatible = (
            f"a publisher of {self.topic} offers another {policy} than is asked for; "
            "set image_reliability to best_effort, or the publisher to reliable"
        )

    def _offered(self) -> ReliabilityPolicy | None:
        """The best that all publishers offer; None without publishers: stay as it is."""
        offers = [
            publisher.qos_profile.reliability
            for publisher in self._node.get_publishers_info_by_topic(self.topic)
        ]
        if not offers:
            return self._subscribed_as or ReliabilityPolicy.BEST_EFFORT
        if all(offer == ReliabilityPolicy.RELIABLE for offer in offers):
            return ReliabilityPolicy.RELIABLE
        return ReliabilityPolicy.BEST_EFFORT
