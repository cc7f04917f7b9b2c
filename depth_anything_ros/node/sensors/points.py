"""Range sensors around the camera: their messages become measured points in the image."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, Range

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.point_cloud2 import hits, read_xyz
from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.geometry.camera import Camera, project, ray_table
from depth_anything_ros.node.messages import camera_from_info, depth_of, nanoseconds
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription, QosMatcher

Points = npt.NDArray[np.float64]
_MESSAGES_KEPT = 20


def cloud_points(message: PointCloud2) -> Points:
    """The points that a PointCloud2 measured, Nx3 metres in its own frame.

    Raises:
        InputError: The cloud's layout cannot be read.
    """
    fields = [(field.name, field.offset, field.datatype) for field in message.fields]
    try:
        points = read_xyz(
            message.data,
            fields,
            message.width,
            message.height,
            message.point_step,
            message.row_step,
            bool(message.is_bigendian),
        )
    except (ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the cloud's layout cannot be read: {error}") from error
    return hits(points)


def scan_points(message: LaserScan) -> Points:
    """The hits of a LaserScan, Nx3 metres in its own frame (x forward, the scan in x and y).

    Drivers older than REP-117 send range_max where nothing was hit.
    """
    ranges = np.asarray(message.ranges, np.float64)
    angles = message.angle_min + message.angle_increment * np.arange(len(ranges))
    hit = (ranges >= message.range_min) & (ranges < message.range_max) & (ranges > 0)
    ranges, angles = ranges[hit], angles[hit]
    return np.stack(
        [ranges * np.cos(angles), ranges * np.sin(angles), np.zeros_like(ranges)], axis=1
    )


def range_points(message: Range) -> Points:
    """What a single range finder sees, 1x3 metres on its axis (x forward), or nothing.

    A cone only shows that something is at this distance somewhere in it, so a wide one (more than
    0.2 rad) is no point: REP-117 ranges at or beyond the limits are no hit.
    """
    hit = message.min_range < message.range < message.max_range
    if not hit or message.field_of_view > 0.2:
        return np.zeros((0, 3))
    return np.array([[message.range, 0.0, 0.0]])


def points_within(points: Points, low: float, high: float) -> Points:
    """The points that lie within a range of distances from their sensor.

    Args:
        points: Nx3 metres in the sensor's frame.
        low: Metres; nearer points are left out.
        high: Metres; farther points are left out.
    """
    if low <= 0 and math.isinf(high):
        return points
    distance = np.linalg.norm(points, axis=1)
    return points[(distance >= low) & (distance <= high)]


class PointSensor:
    """One sensor's newest messages, and the points of the one nearest to an image.

    Attributes:
        topic: Full name of its topic.
        name: The name it was given in the parameters.
    """

    def __init__(
        self,
        matcher: QosMatcher,
        name: str,
        kind: type,
        to_points: Callable[[Any], Points],
        on_message: Callable[[], None],
    ) -> None:
        """Subscribe.

        Args:
            matcher: The node's subscriptions.
            name: Topic, as in the parameters.
            kind: Message class.
            to_points: Reads the points of a message, in its own frame.
            on_message: Called after each message.
        """
        self.name = name
        self._to_points = to_points
        self._on_message = on_message
        self._lock = threading.Lock()
        self._messages: deque[Any] = deque(maxlen=_MESSAGES_KEPT)
        self._subscription = MatchedSubscription(matcher, kind, name, self._receive, 5)
        self.topic = self._subscription.topic

    def close(self) -> None:
        """Unsubscribe."""
        self._subscription.close()

    @property
    def expected(self) -> bool:
        """Whether anybody publishes."""
        return self._subscription.has_publisher

    def has_seen(self, stamp: int) -> bool:
        """Whether a message as new as this stamp has come."""
        with self._lock:
            return any(nanoseconds(message.header.stamp) >= stamp for message in self._messages)

    def nearest(self, stamp: int) -> Any | None:
        """The message nearest in time to a stamp.

        Args:
            stamp: Time in nanoseconds.

        Returns:
            The message, or None when none has come.
        """
        with self._lock:
            messages = list(self._messages)
        if not messages:
            return None
        return min(messages, key=lambda each: abs(nanoseconds(each.header.stamp) - stamp))

    def apart(self, message: Any, stamp: int) -> float:
        """Seconds by which a message is later than a stamp in nanoseconds."""
        return (nanoseconds(message.header.stamp) - stamp) * 1e-9

    def points(self, message: Any) -> Points:
        """The points of a message, Nx3 metres in its own frame.

        Raises:
            InputError: The message cannot be read.
        """
        return self._to_points(message)

    def _receive(self, message: Any) -> None:
        with self._lock:
            newest = self._messages[-1] if self._messages else None
            if newest is not None:
                back = nanoseconds(newest.header.stamp) - nanoseconds(message.header.stamp)
                if back > 1_000_000_000:  # a recording started again
                    self._messages.clear()
            self._messages.append(message)
        self._on_message()


class DepthImageSensor(PointSensor):
    """A depth camera or ToF: a depth image with a camera_info beside it."""

    def __init__(self, matcher: QosMatcher, name: str, on_message: Callable[[], None]) -> None:
        """Subscribe to the image and to `camera_info` in the same namespace.

        Args:
            matcher: The node's subscriptions.
            name: Topic of the depth image.
            on_message: Called after each depth image.
        """
        self._info: CameraInfo | None = None
        beside = f"{name.rsplit('/', 1)[0]}/camera_info" if "/" in name else f"{name}_camera_info"
        self._infos = MatchedSubscription(matcher, CameraInfo, beside, self._receive_info, 5)
        super().__init__(matcher, name, Image, self._back_projected, on_message)

    def close(self) -> None:
        """Unsubscribe."""
        super().close()
        self._infos.close()

    def _receive_info(self, message: CameraInfo) -> None:
        self._info = message

    def _back_projected(self, message: Image) -> Points:
        if self._info is None:
            raise InputError(f"no camera_info on {self._infos.topic} yet for {self.topic}")
        camera = camera_from_info(self._info)
        depth = depth_of(message)
        if (camera.width, camera.height) != (message.width, message.height):
            raise InputError(
                f"{self.topic} is {message.width}x{message.height} but its camera_info is for "
                f"{camera.width}x{camera.height}"
            )
        x, y = np.broadcast_arrays(*ray_table(camera))
        known = np.isfinite(depth) & (depth > 0) & np.isfinite(x)
        z = depth[known].astype(np.float64)
        return np.stack([x[known] * z, y[known] * z, z], axis=1)


KINDS: Mapping[str, tuple[type, Callable[[Any], Points]]] = {
    "cloud": (PointCloud2, cloud_points),
    "scan": (LaserScan, scan_points),
    "range": (Range, range_points),
}


def points_in_image(
    parts: list[tuple[str, Points, npt.NDArray[np.float64]]], camera: Camera
) -> SparsePoints | None:
    """Bring the points of several sensors into one image.

    Args:
        parts: For each sensor its name, its points (Nx3 metres) and the 4x4 transform from its
            frame to the camera's optical frame.
        camera: The camera of the image.

    Returns:
        All points that lie in front of the camera and inside the image; None without sensors.
    """
    if not parts:
        return None
    projected = [
        project(camera, points @ transform[:3, :3].T + transform[:3, 3])
        for _, points, transform in parts
    ]
    u, v, z = (np.concatenate(columns) for columns in zip(*projected, strict=True))
    measured = sum(len(points) for _, points, _ in parts)
    return SparsePoints(u, v, z, " + ".join(name for name, _, _ in parts), measured - len(z))
