"""Recordings (rosbag2) read without a ROS installation, through the `rosbags` library."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from depth_anything_ros.errors import InputError, require
from depth_anything_ros.formats.encodings import decode_depth, decode_image
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.media import decode_compressed
from depth_anything_ros.formats.point_cloud2 import read_xyz
from depth_anything_ros.geometry.camera import Camera

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"
TRANSFORM_TYPE = "tf2_msgs/msg/TFMessage"


@dataclass(frozen=True)
class BagMessage:
    """One message of a recording.

    Attributes:
        topic: Its topic.
        type: Its type, as "sensor_msgs/msg/Image".
        stamp: Time it was recorded, in nanoseconds.
        content: The message, with the fields of its ROS type.
    """

    topic: str
    type: str
    stamp: int
    content: Any


@dataclass(frozen=True)
class Transform:
    """A pose of a TF tree.

    Attributes:
        parent: Frame the coordinates are brought into.
        child: Frame they come from.
        matrix: 4x4 float64, child -> parent.
        stamp: Time in nanoseconds; of no meaning for static transforms.
    """

    parent: str
    child: str
    matrix: npt.NDArray[np.float64]
    stamp: int


class Bag:
    """A recording that is open for reading; use it in a `with` statement.

    Args:
        path: Folder of a rosbag2 recording (sqlite3 or MCAP), or its one .db3 or .mcap file.

    Raises:
        InputError: The recording cannot be read.
        MissingExtraError: `rosbags` is not installed.
    """

    def __init__(self, path: Path) -> None:
        highlevel = require("rosbags.highlevel", "demo")
        self._path = path
        folder = path.parent if (path.parent / "metadata.yaml").is_file() else path
        try:
            self._reader = highlevel.AnyReader([folder], default_typestore=_typestore(folder))
            self._reader.open()
        except Exception as error:  # rosbags lets errors of its parsers through
            raise InputError(f"{path} cannot be read as a rosbag2 recording: {error}") from error

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.close()

    @property
    def topics(self) -> dict[str, str]:
        """Type of every topic, by name."""
        return {connection.topic: connection.msgtype for connection in self._reader.connections}

    def topics_of(self, *types: str) -> list[str]:
        """Topics of some types, in alphabetical order.

        Args:
            types: Types, as "sensor_msgs/msg/Image".

        Returns:
            The names of the topics that have one of them.
        """
        return sorted(topic for topic, kind in self.topics.items() if kind in types)

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Read the messages of some topics.

        Args:
            topics: Names of topics.

        Yields:
            Their messages in the order of recording.

        Raises:
            InputError: The recording has no such topic, or a message cannot be read.
        """
        unknown = sorted(set(topics) - set(self.topics))
        if unknown:
            raise InputError(
                f"{self._path} has no topic {', '.join(unknown)}; it has "
                f"{', '.join(sorted(self.topics)) or 'none'}"
            )
        wanted = [item for item in self._reader.connections if item.topic in topics]
        if not wanted:
            return
        for connection, stamp, raw in self._reader.messages(connections=wanted):
            try:
                content = self._reader.deserialize(raw, connection.msgtype)
            except Exception as error:  # rosbags lets errors of its parsers through
                raise InputError(
                    f"{self._path}: a message of {connection.topic} ({connection.msgtype}) "
                    f"cannot be read: {error}"
                ) from error
            yield BagMessage(connection.topic, connection.msgtype, stamp, content)


def stamp_of(message: Any) -> int:
    """The header's stamp.

    Args:
        message: Any message with a header.

    Returns:
        Nanoseconds.
    """
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def image_of(message: Any) -> npt.NDArray[np.uint8]:
    """The picture of a sensor_msgs Image or CompressedImage.

    Args:
        message: The message.

    Returns:
        HxWx3 uint8 RGB.

    Raises:
        InputError: The image cannot be decoded.
    """
    if hasattr(message, "format"):
        return decode_compressed(np.asarray(message.data, np.uint8), "compressed image")
    return decode_image(*_image_fields(message))


def depth_of(message: Any) -> npt.NDArray[np.float32]:
    """The depth of a sensor_msgs Image.

    Args:
        message: The message, 32FC1 or 16UC1.

    Returns:
        HxW float32 metres, NaN where unknown.

    Raises:
        InputError: The image cannot be decoded.
    """
    return decode_depth(*_image_fields(message))


def camera_of(message: Any) -> Camera:
    """The camera of a sensor_msgs CameraInfo.

    Args:
        message: The message.

    Returns:
        The camera of the image it belongs to, region of interest and binning taken in.

    Raises:
        InputError: The message is no calibration.
    """
    roi = message.roi
    return Camera.from_fields(
        width=message.width,
        height=message.height,
        k=message.k,
        d=message.d,
        r=message.r,
        p=message.p,
        distortion_model=message.distortion_model,
        binning=(message.binning_x, message.binning_y),
        roi=(roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def points_of(message: Any) -> npt.NDArray[np.float64]:
    """The coordinates of a sensor_msgs PointCloud2.

    Args:
        message: The message.

    Returns:
        Nx3 float64 metres in the cloud's own frame.

    Raises:
        InputError: The cloud cannot be read.
    """
    return read_xyz(
        message.data,
        [(field.name, field.offset, field.datatype) for field in message.fields],
        message.width,
        message.height,
        message.point_step,
        message.row_step,
        message.is_bigendian,
    )


def transforms_of(message: Any) -> list[Transform]:
    """The poses of a tf2_msgs TFMessage.

    Args:
        message: The message.

    Returns:
        One transform each.
    """
    return [
        Transform(
            item.header.frame_id.lstrip("/"),
            item.child_frame_id.lstrip("/"),
            _matrix(item.transform),
            stamp_of(item),
        )
        for item in message.transforms
    ]


def _image_fields(message: Any) -> tuple[Any, int, int, int, str, bool]:
    return (
        message.data,
        message.height,
        message.width,
        message.step,
        message.encoding,
        bool(message.is_bigendian),
    )


def _matrix(transform: Any) -> npt.NDArray[np.float64]:
    """A geometry_msgs Transform as 4x4 float64."""
    place, turn = transform.translation, transform.rotation
    numbers = (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)
    return extrinsics_of(numbers, "a recorded transform")


def _typestore(folder: Path) -> Any:
    """The message definitions of the ROS version that made a recording which embeds none."""
    typesys = require("rosbags.typesys", "demo")
    distro = ""
    metadata = folder / "metadata.yaml"
    if metadata.is_file():
        content = yaml.safe_load(metadata.read_text(encoding="utf-8"))
        distro = str(content.get("rosbag2_bagfile_information", {}).get("ros_distro", ""))
    stores = {store.value: store for store in typesys.Stores}
    return typesys.get_typestore(stores.get(f"ros2_{distro}", typesys.Stores.LATEST))
