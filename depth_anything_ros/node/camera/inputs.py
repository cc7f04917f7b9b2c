"""Input of one camera: its newest image, paired with its camera_info."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher

_INFOS_KEPT = 30
_FRAMES_KEPT = 10


@dataclass(frozen=True)
class CameraSample:
    """An image and the camera_info that belongs to it, or None when none came."""

    image: Image | CompressedImage
    info: CameraInfo | None


class CameraInput:
    """Subscribes to one camera and keeps its newest image until it is taken.

    Callbacks only store; decoding is left to whoever takes the sample.
    """

    def __init__(
        self,
        matcher: QosMatcher,
        name: str,
        parameters: NodeParameters,
        on_image: Callable[[bool], None],
        wake: Callable[[], None],
    ) -> None:
        """Subscribe to `image` (or `image/compressed`) and `camera_info` below the camera's name.

        Args:
            matcher: The node's subscriptions.
            name: Name of the camera, empty for the only one.
            parameters: Reliability and transport.
            on_image: Called with every image; True when it replaced one that was not taken.
            wake: Called when something new may make a sample ready.
        """
        self._on_image = on_image
        self._wake = wake
        self._lock = threading.Lock()
        self._image: Image | CompressedImage | None = None
        self._waiting_since = 0.0
        self._infos: OrderedDict[int, CameraInfo] = OrderedDict()
        self._newest_info: OrderedDict[str, CameraInfo] = OrderedDict()
        below = f"{name}/" if name else ""
        compressed = parameters.image_transport == "compressed"
        reliability = parameters.image_reliability
        self._images = MatchedSubscription(
            matcher,
            CompressedImage if compressed else Image,
            f"{below}image/compressed" if compressed else f"{below}image",
            self._receive_image,
            1,
            reliability,
        )
        self._camera_infos = MatchedSubscription(
            matcher, CameraInfo, f"{below}camera_info", self._receive_info, 5, reliability
        )

    @property
    def image_topic(self) -> str:
        """Full name of the image topic."""
        return self._images.topic

    @property
    def info_topic(self) -> str:
        """Full name of the camera_info topic."""
        return self._camera_infos.topic

    @property
    def has_image(self) -> bool:
        """Whether an image waits."""
        return self._image is not None

    @property
    def has_publisher(self) -> bool:
        """Whether anybody publishes images."""
        return self._images.has_publisher

    @property
    def is_best_effort(self) -> bool:
        """Whether it listens without reliability, since that is all its publishers offer."""
        return self._images.is_best_effort

    @property
    def incompatible(self) -> str | None:
        """Which quality of service of a publisher does not fit, or None."""
        return self._images.incompatible or self._camera_infos.incompatible

    def change(self, parameters: NodeParameters) -> None:
        """Change the reliability where the parameters require it."""
        for subscription in (self._images, self._camera_infos):
            subscription.reliability = parameters.image_reliability
            subscription.match()

    def take(
        self, parameters: NodeParameters, points_complete: Callable[[int], bool]
    ) -> tuple[CameraSample | None, float | None]:
        """Take the newest image if it is ready.

        Args:
            parameters: How long an image waits for its camera_info and points.
            points_complete: Whether the points of a stamp have arrived.

        Returns:
            The sample, or None; and when an image waits for its camera_info or points, the
            seconds after which it will be given without them.
        """
        with self._lock:
            image, waited = self._image, time.monotonic() - self._waiting_since
        if image is None:
            return None, None
        info = self._info_of(image)
        needs_info = info is None and not parameters.camera_info_url
        timeout = parameters.camera_info_timeout
        if needs_info and waited < timeout and self._camera_infos.has_publisher:
            return None, timeout - waited
        patient = waited < parameters.points_timeout
        if patient and not points_complete(nanoseconds(image.header.stamp)):
            return None, parameters.points_timeout - waited
        with self._lock:
            if self._image is image:
                self._image = None
                return CameraSample(image, info), None
        return None, 0.0

    def close(self) -> None:
        """Unsubscribe and drop what was received."""
        self._images.close()
        self._camera_infos.close()
        with self._lock:
            self._image = None
            self._infos.clear()
            self._newest_info.clear()

    def _info_of(self, image: Image | CompressedImage) -> CameraInfo | None:
        """The camera_info of the same stamp, else the newest of the same frame."""
        with self._lock:
            info = self._infos.get(nanoseconds(image.header.stamp))
            return info or self._newest_info.get(image.header.frame_id)

    def _receive_image(self, message: Image | CompressedImage) -> None:
        with self._lock:
            replaced = self._image is not None
            self._image = message
            if not replaced:  # else a fast camera would start the wait anew for ever
                self._waiting_since = time.monotonic()
        self._on_image(replaced)
        self._wake()

    def _receive_info(self, message: CameraInfo) -> None:
        with self._lock:
            self._infos[nanoseconds(message.header.stamp)] = message
            self._newest_info[message.header.frame_id] = message
            self._newest_info.move_to_end(message.header.frame_id)
            for kept, most in ((self._infos, _INFOS_KEPT), (self._newest_info, _FRAMES_KEPT)):
                while len(kept) > most:
                    kept.popitem(last=False)
            waiting = self._image is not None
        if waiting:
            self._wake()
