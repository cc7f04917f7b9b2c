"""The publishers of one camera: every registered output, computed only with subscribers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import DepthFrame
from depth_anything_ros.node.camera.output import OUTPUTS, Companion, Output, OutputRequest
from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.log import ThrottledLog
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher
from depth_anything_ros.node.sensors.placement import Placement

_KEPT = 20
"""Answers and companion messages that wait for each other, of each kind."""


class CameraOutputs:
    """Publishes each answer on the outputs with subscribers.

    `publish` and `publish_pairs` run in the worker's thread; a companion (a segmenter's mask) may
    come earlier or later than the depth, so recent ones of both are kept.
    """

    def __init__(
        self, node: LifecycleNode, camera: str, matcher: QosMatcher, log: ThrottledLog
    ) -> None:
        """Make the publishers; companions are not subscribed to before `listen`.

        Args:
            node: The node to publish with.
            camera: Name of the camera, empty for the only one.
            matcher: Matches the subscriptions to companions.
            log: For what is missing.
        """
        self._node = node
        self._camera = camera
        self._matcher = matcher
        self._log = log
        self._status_name = f"{node.get_fully_qualified_name()}: {camera or 'camera'} scale"
        self._lock = threading.Lock()
        self._memory: dict[str, Any] = {}
        below = f"~/{camera}" if camera else "~"
        self._publishers: dict[Output, LifecyclePublisher] = {
            output: node.create_lifecycle_publisher(
                output.message,
                f"{below}/{output.name}",
                QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for output in OUTPUTS
        }
        self._last: dict[Output, Any] = {output: output.message() for output in self._publishers}
        self._subscriptions: list[MatchedSubscription] = []
        self._waiting: OrderedDict[int, OutputRequest] = OrderedDict()
        self._companions: dict[Companion, OrderedDict[int, Any]] = {
            output.companion: OrderedDict() for output in self._publishers if output.companion
        }

    def listen(self, wake: Callable[[], None]) -> None:
        """Subscribe to the companions.

        Args:
            wake: Called when one has come.
        """
        below = f"{self._camera}/" if self._camera else ""
        for companion in self._companions:
            self._subscriptions.append(
                MatchedSubscription(
                    self._matcher,
                    companion.message,
                    f"{below}{companion.topic}",
                    partial(self._receive, companion, wake),
                    2,
                )
            )

    def stop(self) -> None:
        """Unsubscribe and drop what waits for its companion."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = []
        with self._lock:
            self._waiting.clear()
            for messages in self._companions.values():
                messages.clear()

    def close(self) -> None:
        """Unsubscribe and destroy the publishers."""
        self.stop()
        with self._lock:
            for publisher in self._publishers.values():
                self._node.destroy_lifecycle_publisher(publisher)
            self._publishers.clear()

    def wanted(self) -> frozenset[Output]:
        """The outputs with subscribers."""
        with self._lock:
            return frozenset(
                output
                for output, publisher in self._publishers.items()
                if publisher.get_subscription_count() > 0
            )

    def publish(
        self,
        answer: DepthFrame,
        header: Header,
        parameters: NodeParameters,
        placement: Placement,
        wanted: Collection[Output],
    ) -> int:
        """Publish one answer.

        Args:
            answer: Depth of one image.
            header: Header of that image; every output carries its stamp.
            parameters: How the outputs should look.
            placement: Where frames stand to the camera.
            wanted: Outputs with subscribers when the image was taken.

        Returns:
            How many outputs went out, or wait for their companion.
        """
        request = OutputRequest(
            answer,
            header,
            parameters,
            self._camera,
            self._status_name,
            placement,
            self._log,
            memory=self._memory,
        )
        ordered = sorted(wanted, key=lambda output: output.rank)
        sent = sum(self._send(output, request) for output in ordered if output.companion is None)
        if answer.depth_m is None or not any(output.companion for output in wanted):
            return sent
        with self._lock:
            self._waiting[answer.frame.stamp] = request
            while len(self._waiting) > _KEPT:
                self._waiting.popitem(last=False)
        return sent + 1

    def publish_pairs(self) -> None:
        """Publish the outputs of answers whose companions have come."""
        for output, request in self._pairs():
            self._send(output, request)

    def _pairs(self) -> list[tuple[Output, OutputRequest]]:
        pairs = []
        with self._lock:
            for companion, messages in self._companions.items():
                outputs = [each for each in self._publishers if each.companion == companion]
                for stamp in [stamp for stamp in messages if stamp in self._waiting]:
                    request = self._waiting[stamp]
                    request.companions[companion.topic] = messages.pop(stamp)
                    pairs += [(output, request) for output in outputs]
            needed = {companion.topic for companion in self._companions}
            for _, request in pairs:
                if needed <= request.companions.keys():
                    self._waiting.pop(request.answer.frame.stamp, None)
        return pairs

    def _send(self, output: Output, request: OutputRequest) -> bool:
        """Make and publish one message; whether there was one."""
        try:
            message = output.make(request, self._last[output])
        except InputError as error:
            self._log.warn(f"~/{output.name} is not published: {error}")
            return False
        if message is None:
            return False
        with self._lock:  # else the node may take the publisher away meanwhile
            publisher = self._publishers.get(output)
            if publisher is None or not publisher.is_activated:
                return False
            publisher.publish(message)
        return True

    def _receive(self, companion: Companion, wake: Callable[[], None], message: Any) -> None:
        with self._lock:
            messages = self._companions[companion]
            messages[nanoseconds(message.header.stamp)] = message
            while len(messages) > _KEPT:
                messages.popitem(last=False)
        wake()
