"""Messages that no healthy sensor sends, drawn at random from a seed."""

from __future__ import annotations

import array
import contextlib
import math
import random
import zlib
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry, Path
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    Imu,
    LaserScan,
    PointCloud2,
    PointField,
    Range,
)

HEIGHT, WIDTH = 48, 64
"""Size of the pictures that hostile messages begin with."""

_NUMBERS = (0.0, 1.0, -1.0, 1e-300, 1e30, 1e308, -1e308, math.nan, math.inf, -math.inf)
_SIZES = (0, 1, 3, 47, 64, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_TEXTS = (
    "",
    "cam",
    "rgb8",
    "bgra8",
    "mono16",
    "16UC1",
    "32FC1",
    "bayer_rggb8",
    "yuv422",
    "nv12",
    "jpeg",
    "png",
    "rgb8; compressedDepth png",
    "equidistant",
    "plumb_bob",
    "rational_polynomial",
    "map",
    "base_link",
    "\n[FATAL] [node]: forged",
    "x" * 5000,
    "../../etc/passwd",
    "%s%n%x",
    "\u202e\u0007",
)
_LENGTHS = (0, 1, 5, 12, 36, 3 * HEIGHT * WIDTH)
_AGES = (0, 0, 0, 0, 1, -1, 3600, -(10**9))
"""Seconds that stamps are off; most are right, so that messages meet the camera's images."""


class HostileMessages:
    """Draws hostile messages of any type; a seed decides them all.

    A message begins as one that a sensor could have sent, or as a default one, and has some of its
    fields replaced. So most of them get past the first check that they meet.
    """

    def __init__(self, seed: int) -> None:
        """Prepare.

        Args:
            seed: Decides everything but the stamps.
        """
        self._random = random.Random(seed)
        self._picture = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

    def draw(self, kind: type, now: int) -> Any:
        """Draw a message.

        Args:
            kind: Its type.
            now: Nanoseconds for its stamp, which is kept in most messages.

        Returns:
            The message, as it comes out of the middleware.
        """
        while True:
            # What a field's type cannot hold cannot be sent, and rclpy checks it only then.
            with contextlib.suppress(Exception):
                return deserialize_message(serialize_message(self._any(kind, now)), kind)

    def _any(self, kind: type, now: int) -> Any:
        """A message whose fields may hold more than their types."""
        begin = getattr(self, f"_{kind.__name__}", kind)
        message = begin() if self._random.random() < 0.8 else kind()
        if hasattr(message, "header"):
            message.header.frame_id = "cam"
            _stamp(message.header.stamp, now + self._random.choice(_AGES) * 10**9)
        share = self._random.choice((0.05, 0.2, 0.7))
        self._change(message, share)
        return message

    def _change(self, message: Any, share: float) -> None:
        """Replace a share of the fields, those of messages inside included."""
        for name in message.get_fields_and_field_types():
            value = getattr(message, name)
            if hasattr(value, "get_fields_and_field_types"):
                self._change(value, 0.3 * share if name == "header" else share)
            elif self._random.random() < share:
                with contextlib.suppress(AssertionError, OverflowError, TypeError, ValueError):
                    setattr(message, name, self._other(value))

    def _other(self, value: Any) -> Any:
        draw = self._random
        if isinstance(value, bool):
            return draw.random() < 0.5
        if isinstance(value, int):
            return draw.choice(_SIZES) if draw.random() < 0.8 else -draw.choice(_SIZES)
        if isinstance(value, float):
            return draw.choice(_NUMBERS)
        if isinstance(value, str):
            return draw.choice(_TEXTS)
        if isinstance(value, array.array):
            return self._other_array(value)
        if isinstance(value, np.ndarray):
            return np.array([draw.choice(_NUMBERS) for _ in value], value.dtype)
        if isinstance(value, list) and value:
            kept = value[: draw.randrange(len(value) + 1)]
            for each in kept:
                if hasattr(each, "get_fields_and_field_types"):
                    self._change(each, 0.5)
            return kept
        return value

    def _other_array(self, value: array.array[Any]) -> array.array[Any]:
        draw = self._random
        if len(value) and draw.random() < 0.6:
            changed = value[: draw.randrange(len(value) + 1)]
            for _ in range(min(len(changed), 8)):
                changed[draw.randrange(len(changed))] = self._element(value.typecode)
            return changed
        return array.array(value.typecode, [self._element(value.typecode)]) * draw.choice(_LENGTHS)

    def _element(self, typecode: str) -> Any:
        return self._random.choice(_NUMBERS) if typecode in "fd" else self._random.randrange(128)

    # Messages as sensors send them -------------------------------------------------------------

    def _Image(self) -> Image:  # noqa: N802 - named as the type
        encoding, channels = self._random.choice(
            (("rgb8", 3), ("bgr8", 3), ("mono8", 1), ("16UC1", 2), ("32FC1", 4), ("bayer_gbrg8", 1))
        )
        data = self._picture.tobytes()[: HEIGHT * WIDTH * channels].ljust(HEIGHT * WIDTH * channels)
        return Image(
            height=HEIGHT,
            width=WIDTH,
            encoding=encoding,
            step=WIDTH * channels,
            data=array.array("B", data),
        )

    def _CompressedImage(self) -> CompressedImage:  # noqa: N802
        if self._random.random() < 0.2:
            return CompressedImage(format="png", data=array.array("B", _huge_png()))
        form = self._random.choice(("jpeg", "png"))
        content = cv2.imencode(f".{form}", self._picture)[1]
        return CompressedImage(format=f"rgb8; {form}", data=array.array("B", content.tobytes()))

    def _CameraInfo(self) -> CameraInfo:  # noqa: N802
        return CameraInfo(
            height=HEIGHT,
            width=WIDTH,
            distortion_model="plumb_bob",
            d=[0.1, 0.0, 0.0, 0.0, 0.0],
            k=[50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0],
            r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p=[50.0, 0.0, 31.5, 0.0, 0.0, 50.0, 23.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        )

    def _PointCloud2(self) -> PointCloud2:  # noqa: N802
        count = self._random.choice((1, 100, 1000))
        fields = [
            PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate("xyz")
        ]
        points = np.linspace(-5, 5, 3 * count, dtype=np.float32)
        return PointCloud2(
            height=1,
            width=count,
            fields=fields,
            point_step=12,
            row_step=12 * count,
            data=array.array("B", points.tobytes()),
        )

    def _LaserScan(self) -> LaserScan:  # noqa: N802
        return LaserScan(
            angle_min=-1.0,
            angle_max=1.0,
            angle_increment=0.02,
            range_min=0.1,
            range_max=30.0,
            ranges=array.array("f", [2.0] * 101),
        )

    def _Range(self) -> Range:  # noqa: N802
        return Range(field_of_view=0.1, min_range=0.1, max_range=10.0, range=2.0)

    def _Imu(self) -> Imu:  # noqa: N802
        message = Imu()
        message.linear_acceleration.z = 9.81
        return message

    def _Odometry(self) -> Odometry:  # noqa: N802
        message = Odometry(child_frame_id="base_link")
        message.pose.pose.position.x = self._random.uniform(-10, 10)
        return message

    def _Path(self) -> Path:  # noqa: N802
        return Path(poses=[PoseStamped(), PoseStamped()])


def _stamp(stamp: Time, nanoseconds: int) -> None:
    stamp.sec, stamp.nanosec = divmod(max(nanoseconds, 0), 10**9)


def _huge_png(side: int = 30_000) -> bytes:
    """A PNG of some bytes that says it has 900 million pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        body = name + content
        return len(content).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*each) for each in ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    )
