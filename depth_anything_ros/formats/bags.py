"""Recordings (rosbag2, ROS 1) read without a ROS installation, through the `rosbags` library."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, require
from depth_anything_ros.formats.encodings import decode_image
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.media import decode_compressed_message
from depth_anything_ros.formats.point_cloud2 import read_xyz
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.geometry.camera import Camera

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
POINT_CLOUD_TYPE = "sensor_msgs/msg/PointCloud2"
TRANSFORM_TYPE = "tf2_msgs/msg/TFMessage"

BAG_SUFFIXES = (".db3", ".mcap", ".bag", ".db3.zstd", ".mcap.zstd")
"""Endings of the files that hold recordings."""

logger = logging.getLogger("depth_anything_ros")

_REPORTED = 3
"""Messages of a topic that are reported one by one."""


@dataclass(frozen=True)
class BagMessage:
    """One message of a recording.

    Attributes:
        topic: Its topic.
        type: Its type, as "sensor_msgs/msg/Image".
        stamp: Time it was recorded, in nanoseconds.
        content: The message, with the fields of its ROS type.
        index: The how many-th of its topic it is, from 0.
    """

    topic: str
    type: str
    stamp: int
    content: Any
    index: int = 0


@dataclass(frozen=True)
class BagValue:
    """What one message of a recording holds.

    Attributes:
        topic: Its topic.
        type: Its type, as "sensor_msgs/msg/Image".
        recorded: Time it was recorded, in nanoseconds.
        stamp: Stamp of its header in nanoseconds; the time of recording where it has none.
        frame_id: Frame of its header.
        value: HxWx3 uint8 RGB, a `Camera`, Nx3 float64 points, or a list of `Transform`.
    """

    topic: str
    type: str
    recorded: int
    stamp: int
    frame_id: str
    value: Any


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

    A message that cannot be read is reported, counted and passed over.

    Args:
        path: Folder of a rosbag2 recording, or one of its files (.db3, .mcap, either one also as
            .zstd), or a ROS 1 .bag.
        report: Called with what is skipped and why, and what is odd about the recording; by
            default logged as a warning.

    Attributes:
        path: What was opened.
        readers: The parts of the recording in order, each an `AnyReader` of `rosbags`.
        skipped: Messages passed over, by topic.

    Raises:
        InputError: The recording cannot be read.
        MissingExtraError: `rosbags` is not installed.
    """

    def __init__(self, path: Path, report: Callable[[str], None] = logger.warning) -> None:
        require("rosbags.highlevel", "demo")
        self.path = path
        self._report = report
        self._stack = ExitStack()
        self.skipped: Counter[str] = Counter()
        try:
            self.readers = self._open(path)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files, and report how many messages were passed over beyond the first ones."""
        self._stack.close()
        if any(count > _REPORTED for count in self.skipped.values()):
            self._report(f"{self.path}: {self.summary()}")
            self.skipped.clear()

    @property
    def topics(self) -> dict[str, str]:
        """Type of every topic, by name."""
        return {
            connection.topic: connection.msgtype
            for reader in self.readers
            for connection in reader.connections
        }

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
            Their messages in the order of recording, without those that cannot be read.

        Raises:
            InputError: The recording has no such topic.
        """
        unknown = sorted(set(topics) - set(self.topics))
        if unknown:
            raise InputError(
                f"{self.path} has no topic {', '.join(unknown)}; it has "
                f"{', '.join(sorted(self.topics)) or 'none'}"
            )
        seen: Counter[str] = Counter()
        for reader in self.readers:
            wanted = [item for item in reader.connections if item.topic in topics]
            unlike = {item.msgtype: _unlike(reader.typestore, item.msgtype) for item in wanted}
            for connection, stamp, raw in self.raw(reader, wanted):
                topic, index = connection.topic, seen[connection.topic]
                seen[topic] += 1
                if unlike[connection.msgtype]:
                    self.skip(topic, index, unlike[connection.msgtype])
                    continue
                try:
                    content = reader.deserialize(raw, connection.msgtype)
                except Exception as error:  # rosbags lets errors of its parsers through
                    self.skip(topic, index, str(error))
                    continue
                yield BagMessage(topic, connection.msgtype, stamp, content, index)

    def raw(
        self, reader: Any, connections: list[Any], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Read messages of a part of the recording as they are, up to where the file is damaged.

        Args:
            reader: One of `readers`.
            connections: Its connections to read; none reads nothing.
            start: Time of recording in nanoseconds from which on messages are read, or None.
            stop: Time before which they are read, or None.

        Yields:
            Connection, time of recording in nanoseconds, bytes.
        """
        if not connections:
            return
        messages = reader.messages(connections=connections, start=start, stop=stop)
        while True:
            try:
                item = next(messages)
            except StopIteration:
                return
            except Exception as error:  # of rosbags, SQLite and decompression
                self._report(f"{self.path} is damaged and ends early: {error}")
                return
            yield item

    def values(self, topics: Collection[str]) -> Iterator[BagValue]:
        """Read and decode the messages of some topics: pictures, cameras, points, transforms.

        Args:
            topics: Names of topics whose types are `IMAGE_TYPES`, `CAMERA_INFO_TYPE`,
                `POINT_CLOUD_TYPE` or `TRANSFORM_TYPE`.

        Yields:
            What they hold, in the order of recording, without what cannot be read.

        Raises:
            InputError: The recording has no such topic.
        """
        for message in self.messages(topics):
            value = self.decoded(message)
            if value is not None:
                yield value

    def decoded(self, message: BagMessage) -> BagValue | None:
        """Decode one message.

        Args:
            message: A message of this recording.

        Returns:
            What it holds, None where it cannot be decoded, which is then reported.
        """
        try:
            value = _DECODERS[message.type](message.content)
        except InputError as error:
            self.skip(message.topic, message.index, str(error))
            return None
        has_header = message.type != TRANSFORM_TYPE
        return BagValue(
            message.topic,
            message.type,
            message.stamp,
            (stamp_of(message.content) if has_header else 0) or message.stamp,
            message.content.header.frame_id.lstrip("/") if has_header else "",
            value,
        )

    def skip(self, topic: str, index: int, reason: str) -> None:
        """Count a message that cannot be used, and report the first ones of its topic.

        Args:
            topic: Its topic.
            index: The how many-th of its topic it is, from 0.
            reason: Why.
        """
        self.skipped[topic] += 1
        if self.skipped[topic] <= _REPORTED:
            more = "; more of this topic are only counted" * (self.skipped[topic] == _REPORTED)
            reason = " ".join(reason.split())
            self._report(f"{self.path}: message {index} of {topic} is passed over: {reason}{more}")

    def summary(self) -> str:
        """What was skipped, as text; empty where nothing was."""
        return ", ".join(
            f"{count} messages of {topic} passed over" for topic, count in self.skipped.items()
        )

    def _open(self, path: Path) -> list[Any]:
        """Readers of the recording's parts, in order.

        A file beside the metadata.yaml of another recording, or one part of several, is read alone.
        """
        if not path.is_dir():
            folder, files = path.parent, [path]
            if _named_files(folder) != [path.name]:
                return [self._reader(path)]
        else:
            folder, files = path, bag_files(path)
            if files and not (path / "metadata.yaml").is_file():
                if len(files) > 1:
                    names = ", ".join(file.name for file in files)
                    raise InputError(f"{path} holds several recordings: {names}; name one of them")
                return [self._reader(files[0])]
        try:
            return [self._reader(folder)]
        except InputError as error:
            if not files:
                raise
            # The files contain metadata.yaml's information a second time.
            readers = [self._reader(file) for file in files]
            self._report(f"{folder / 'metadata.yaml'} is passed over: {error}")
            return readers

    def _reader(self, path: Path) -> Any:
        highlevel = require("rosbags.highlevel", "demo")
        try:
            if path.suffix == ".zstd":
                path = self._decompressed(path)
            typestore = _typestore(path if path.is_dir() else path.parent, path.suffix == ".bag")
            reader = highlevel.AnyReader([path], default_typestore=typestore)
            reader.open()
        except Exception as error:  # rosbags lets errors of its parsers through
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.path} cannot be read as a rosbag2 recording: {reason}"
            ) from error
        self._stack.callback(reader.close)
        return reader

    def _decompressed(self, path: Path) -> Path:
        zstd = require("rosbags.rosbag2.reader", "demo").zstd
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        unpacked = Path(folder) / path.stem
        with (
            path.open("rb") as packed,
            zstd.open(packed, "rb") as source,
            unpacked.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        return unpacked


def is_recording(path: Path) -> bool:
    """Whether a path names a recording: by its suffix, or by what is in the folder.

    Args:
        path: A file or folder.

    Returns:
        True for bag files, and for folders with metadata.yaml or with bag files and no pictures
        beside them.
    """
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(bag_files(path))
    return path.name.lower().endswith(BAG_SUFFIXES)


def recordings_in(path: Path) -> list[Path]:
    """The recordings that a path names.

    Args:
        path: A recording, or a folder with recordings at any depth.

    Returns:
        Files and folders as `Bag` takes them, in alphabetical order.

    Raises:
        InputError: There is none.
    """
    found: list[Path] = []

    def search(place: Path) -> None:
        if place.is_file() or (place / "metadata.yaml").is_file():
            found.extend([place] if is_recording(place) else [])
            return
        for child in sorted(place.iterdir()):
            if child.is_dir() or is_recording(child):
                search(child)

    if not path.exists():
        raise InputError(f"{path} does not exist; give a recording, or a folder with recordings")
    search(path)
    if not found:
        raise InputError(f"{path} holds no recording ({', '.join(BAG_SUFFIXES)})")
    return found


def bag_files(path: Path) -> list[Path]:
    """The files of a recording.

    Args:
        path: As `Bag` takes it.

    Returns:
        The file itself; of a folder those that metadata.yaml names where they are there, else all.
    """
    return [path] if path.is_file() else _bag_files(path)


def _bag_files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.name.lower().endswith(BAG_SUFFIXES))
    named = [folder / name for name in _named_files(folder)]
    return [file for file in named if file in files] or files


def _named_files(folder: Path) -> list[str]:
    """Names of the files that a metadata.yaml lists."""
    names = _metadata(folder).get("relative_file_paths") or []
    return [PurePath(str(name)).name for name in names]


def _metadata(folder: Path) -> dict[str, Any]:
    """Content of metadata.yaml; empty where there is none or it cannot be read."""
    try:
        content = load_yaml((folder / "metadata.yaml").read_text(encoding="utf-8"))
        return dict(content["rosbag2_bagfile_information"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


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
        return decode_compressed_message(np.asarray(message.data, np.uint8), message.format)
    return decode_image(*_image_fields(message))


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


def _typestore(folder: Path, ros1: bool) -> Any:
    """The message definitions of the ROS version that made a recording which embeds none."""
    typesys = require("rosbags.typesys", "demo")
    if ros1:
        return typesys.get_typestore(typesys.Stores.ROS1_NOETIC)
    distro = str(_metadata(folder).get("ros_distro", ""))
    stores = {store.value: store for store in typesys.Stores}
    return typesys.get_typestore(stores.get(f"ros2_{distro}", typesys.Stores.LATEST))


def _unlike(typestore: Any, name: str) -> str:
    """What a type's definition in a recording lacks of the type's fields; empty: nothing.

    Definitions are embedded in recordings, where damage changes them like anything else. Fields are
    compared without case, for ROS 1 has K where ROS 2 has k, and may be more: its Header has seq.
    """
    typesys = require("rosbags.typesys", "demo")
    known = typesys.get_typestore(typesys.Stores.LATEST).fielddefs
    waiting, compared = [name], set[str]()
    while waiting:
        each = waiting.pop()
        if each in compared or each not in known:
            continue
        compared.add(each)
        if each not in typestore.fielddefs:
            return f"the recording has no definition of {each}"
        found = {field.lower(): kind for field, kind in typestore.fielddefs[each][1]}
        for field, kind in known[each][1]:
            if found.get(field.lower()) != kind:
                return f"field {field} of {each} is not defined as ROS defines it"
            waiting += _types_in(kind)
    return ""


def _types_in(kind: Any) -> list[str]:
    """Names of the message types in the definition of a field, as `rosbags` keeps it."""
    node, content = kind
    if node.name == "NAME":
        return [content]
    return [] if node.name == "BASE" else _types_in(content[0])


_DECODERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(IMAGE_TYPES, image_of),
    CAMERA_INFO_TYPE: camera_of,
    POINT_CLOUD_TYPE: points_of,
    TRANSFORM_TYPE: transforms_of,
}
