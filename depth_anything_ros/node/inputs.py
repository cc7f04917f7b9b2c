"""What comes in for one camera: its newest image, paired with its camera_info."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.subscriptions import MatchedSubscription

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
        points_timeout: float = 0.0,
        points_complete: Callable[[int], bool] = lambda stamp: True,
    ) -> None:
        """Subscribe to `image` and `camera_info`.

        Args:
            node: The node to subscribe with.
            reliability: "auto", "reliable" or "best_effort", for both.
            info_timeout: Seconds an image waits for its camera_info.
            on_image: Called with every image; True when it replaced one nobody had taken.
            wake: Called when something new may make a sample ready.
            points_timeout: Seconds an image waits for the points of its moment.
            points_complete: Tells whether the points of a stamp have come.
        """
        self.info_timeout = info_timeout
        self._on_image = on_image
        self._wake = wake
        self.points_timeout = points_timeout
        self.points_complete = points_complete
        self._lock = threading.Lock()
        self._image: Image | None = None
        self._arrival = 0.0
        self._infos: OrderedDict[int, CameraInfo] = OrderedDict()
        self._newest_info: dict[str, CameraInfo] = {}
        self._images = MatchedSubscription(
            node, Image, "image", self._receive_image, 1, reliability
        )
        self._camera_infos = MatchedSubscription(
            node, CameraInfo, "camera_info", self._receive_info, 5, reliability
        )

    def match_reliability(self) -> None:
        """Look again at what the publishers offer."""
        self._images.match()
        self._camera_infos.match()

    def set_reliability(self, reliability: str) -> None:
        """Change the reliability of both subscriptions ("auto", "reliable", "best_effort")."""
        self._images.reliability = self._camera_infos.reliability = reliability
        self.match_reliability()

    def take(self) -> tuple[CameraSample | None, float | None]:
        """Take the newest image if it is ready.

        Returns:
            The sample, or None; and when an image waits for its camera_info or points, the
            seconds after which it will be given without them.
        """
        with self._lock:
            image, waited = self._image, time.monotonic() - self._arrival
        if image is None:
            return None, None
        info = self._info_of(image)
        missing_info = info is None and self._camera_infos.has_publisher
        if missing_info and waited < self.info_timeout:
            return None, self.info_timeout - waited
        if waited < self.points_timeout and not self.points_complete(
            nanoseconds(image.header.stamp)
        ):
            return None, self.points_timeout - waited
        with self._lock:
            if self._image is image:
                self._image = None
                return CameraSample(image, info), None
        return None, 0.0

    def _info_of(self, image: Image) -> CameraInfo | None:
        """The camera_info of the same stamp, else the newest of the same frame."""
        with self._lock:
            info = self._infos.get(nanoseconds(image.header.stamp))
            return info or self._newest_info.get(image.header.frame_id)

    def close(self) -> None:
        """Unsubscribe and forget what was received."""
        self._images.close()
        self._camera_infos.close()
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
