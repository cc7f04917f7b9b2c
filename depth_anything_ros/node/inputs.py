"""What comes in for one camera: its newest image, paired with its camera_info."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.node.messages import nanoseconds

_INFOS_KEPT = 30


@dataclass(frozen=True)
class CameraSample:
    """An image and the camera_info that belongs to it, or None when none came."""

    image: Image
    info: CameraInfo | None


class CameraInput:
    """Subscribes to one camera and keeps its newest image until somebody takes it.

    Callbacks only store; decoding is left to whoever takes the sample.
    """

    def __init__(
        self,
        node: Node,
        reliability: str,
        info_timeout: float,
        on_image: Callable[[bool], None],
        wake: Callable[[], None],
    ) -> None:
        """Subscribe to `image` and `camera_info`.

        Args:
            node: The node to subscribe with.
            reliability: "auto", "reliable" or "best_effort", for the image.
            info_timeout: Seconds an image waits for its camera_info.
            on_image: Called with every image; True when it replaced one nobody had taken.
            wake: Called when something new may make a sample ready.
        """
        self._node = node
        self.reliability = reliability
        self.info_timeout = info_timeout
        self._on_image = on_image
        self._wake = wake
        self._lock = threading.Lock()
        self._image: Image | None = None
        self._arrival = 0.0
        self._infos: OrderedDict[int, CameraInfo] = OrderedDict()
        self._newest_info: dict[str, CameraInfo] = {}
        self._image_subscription: Subscription | None = None
        self._subscribed_as: ReliabilityPolicy | None = None
        self._info_subscription = node.create_subscription(
            CameraInfo, "camera_info", self._receive_info, qos_profile_sensor_data
        )
        self.match_reliability()

    def match_reliability(self) -> None:
        """Subscribe to the image the way its publishers offer it.

        Best effort matches every publisher, but Fast DDS loses most big best-effort messages, so
        `auto` asks for reliable as long as all publishers offer it.
        """
        wanted = {
            "reliable": ReliabilityPolicy.RELIABLE,
            "best_effort": ReliabilityPolicy.BEST_EFFORT,
        }.get(self.reliability)
        if wanted is None:
            name = self._node.resolve_topic_name("image")
            offers = [
                info.qos_profile.reliability
                for info in self._node.get_publishers_info_by_topic(name)
            ]
            if not offers and self._subscribed_as is not None:
                return
            all_reliable = bool(offers) and all(o == ReliabilityPolicy.RELIABLE for o in offers)
            wanted = ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT
        if wanted == self._subscribed_as:
            return
        if self._image_subscription is not None:
            self._node.destroy_subscription(self._image_subscription)
        self._image_subscription = self._node.create_subscription(
            Image, "image", self._receive_image, QoSProfile(depth=1, reliability=wanted)
        )
        self._subscribed_as = wanted

    def take(self) -> tuple[CameraSample | None, float | None]:
        """Take the newest image if it is ready.

        Returns:
            The sample, or None; and when an image waits for its camera_info, the seconds after
            which it will be given without one.
        """
        # Asked before the lock is taken: the graph query must not hold up the callbacks.
        info_expected = self._node.count_publishers(self._info_subscription.topic_name) > 0
        with self._lock:
            image = self._image
            if image is None:
                return None, None
            info = self._infos.get(nanoseconds(image.header.stamp))
            if info is None:
                info = self._newest_info.get(image.header.frame_id)
            waited = time.monotonic() - self._arrival
            if info is None and info_expected and waited < self.info_timeout:
                return None, self.info_timeout - waited
            self._image = None
            return CameraSample(image, info), None

    def close(self) -> None:
        """Unsubscribe and forget what was received."""
        for subscription in (self._image_subscription, self._info_subscription):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._image_subscription = None
        with self._lock:
            self._image = None
            self._infos.clear()
            self._newest_info.clear()

    def _receive_image(self, message: Image) -> None:
        with self._lock:
            replaced = self._image is not None
            self._image = message
            self._arrival = time.monotonic()
        self._on_image(replaced)
        self._wake()

    def _receive_info(self, message: CameraInfo) -> None:
        with self._lock:
            self._infos[nanoseconds(message.header.stamp)] = message
            self._newest_info[message.header.frame_id] = message
            while len(self._infos) > _INFOS_KEPT:
                self._infos.popitem(last=False)
            waiting = self._image is not None
        if waiting:
            self._wake()
