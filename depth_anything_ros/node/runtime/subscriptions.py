"""Subscriptions that match what their publishers offer: reliability and durability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

_FIXED = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}
_Offer = tuple[ReliabilityPolicy, DurabilityPolicy]


class QosMatcher:
    """Keeps a node's subscriptions matched to what publishers offer; call `match` now and then.

    Attributes:
        node: The node that subscribes.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._subscriptions: list[MatchedSubscription] = []

    def add(self, subscription: MatchedSubscription) -> None:
        """Match a subscription from now on."""
        self._subscriptions.append(subscription)

    def remove(self, subscription: MatchedSubscription) -> None:
        """Match it no longer."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def match(self) -> None:
        """Look again at what the publishers of all subscriptions offer."""
        for subscription in list(self._subscriptions):
            subscription.match()


class MatchedSubscription:
    """A subscription whose quality of service follows its publishers.

    Best effort matches every publisher, but Fast DDS loses most big best-effort messages, and
    small ones that travel beside big ones. So `auto` asks for reliable as long as all publishers
    of the topic offer it. Where all of them keep their last message for late comers (transient
    local, as drivers do with a camera_info they send once), it asks for that, too.

    Attributes:
        reliability: "auto", "reliable" or "best_effort"; a change takes effect at `match`.
        incompatible: Which quality of service a publisher offers that does not fit, or None.
    """

    def __init__(
        self,
        matcher: QosMatcher,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int,
        reliability: str = "auto",
    ) -> None:
        """Subscribe.

        Args:
            matcher: Checks the publishers again; has the node to subscribe with.
            kind: Message class.
            topic: Name of the topic; remappings apply.
            callback: Called with every message, in the executor's thread.
            depth: Messages kept while the callback is busy.
            reliability: "auto", "reliable" or "best_effort".

        Raises:
            rclpy.exceptions.InvalidTopicNameException: The topic has no possible name.
        """
        self.reliability = reliability
        self.incompatible: str | None = None
        self._matcher = matcher
        self._node = matcher.node
        self._kind = kind
        self._topic = topic
        self._callback = callback
        self._depth = depth
        self._subscription: Subscription | None = None
        self._subscribed_as: _Offer | None = None
        self.match()
        matcher.add(self)

    @property
    def topic(self) -> str:
        """Full name of the topic, remapped."""
        return str(self._node.resolve_topic_name(self._topic))

    @property
    def has_publisher(self) -> bool:
        """Whether anybody publishes to it."""
        return self._node.count_publishers(self.topic) > 0

    @property
    def is_best_effort(self) -> bool:
        """Whether it is subscribed without reliability."""
        return self._subscribed_as is not None and (
            self._subscribed_as[0] == ReliabilityPolicy.BEST_EFFORT
        )

    def match(self) -> None:
        """Subscribe again where the publishers' offer has changed."""
        wanted = self._wanted()
        if wanted == self._subscribed_as:
            return
        self._unsubscribe()
        reliability, durability = wanted
        self._subscription = self._node.create_subscription(
            self._kind,
            self._topic,
            self._callback,
            QoSProfile(depth=self._depth, reliability=reliability, durability=durability),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible),
        )
        self.incompatible = None
        self._subscribed_as = wanted

    def close(self) -> None:
        """Unsubscribe."""
        self._matcher.remove(self)
        self._unsubscribe()

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribed_as = None

    def _on_incompatible(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        self.incompatible = (
            f"a publisher of {self.topic} offers another {policy} than is asked for; "
            "set image_reliability to best_effort, or the publisher to reliable"
        )

    def _wanted(self) -> _Offer:
        """The best that all publishers offer; without publishers it stays as it is."""
        offers = [
            publisher.qos_profile
            for publisher in self._node.get_publishers_info_by_topic(self.topic)
        ]
        before = self._subscribed_as or (
            ReliabilityPolicy.BEST_EFFORT,
            DurabilityPolicy.VOLATILE,
        )
        fixed = _FIXED.get(self.reliability)
        if not offers:
            return (fixed or before[0], before[1])
        reliable = all(each.reliability == ReliabilityPolicy.RELIABLE for each in offers)
        kept = all(each.durability == DurabilityPolicy.TRANSIENT_LOCAL for each in offers)
        return (
            fixed or (ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT),
            DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        )
