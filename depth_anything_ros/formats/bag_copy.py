"""A recording rewritten as rosbag2 with more messages, message by message.

ROS 1 recordings become ROS 2 ones on the way, as `rosbags-convert` does it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from depth_anything_ros.errors import InputError, SettingError, require
from depth_anything_ros.formats.bags import (
    TRANSFORM_TYPE,
    Bag,
    Transform,
    bag_files,
    logger,
    transforms_of,
)

STORAGES = ("auto", "sqlite3", "mcap")
"""Formats of rosbag2; auto takes that of the input, and mcap for ROS 1."""

COMPRESSIONS = ("none", "zstd")
"""Compression of the messages that are written."""


@dataclass(frozen=True)
class RawMessage:
    """One message of a recording, serialised as ROS 2 does.

    Attributes:
        topic: Its topic.
        type: Its type, as "sensor_msgs/msg/Image".
        stamp: Time it was recorded, in nanoseconds.
        cdr: Its bytes.
        connection: Where `BagCopy.copy` writes it to, None where it is not copied.
    """

    topic: str
    type: str
    stamp: int
    cdr: bytes
    connection: Any


class BagCopy:
    """A recording that is read and a new one that is written; use it in a `with` statement.

    Args:
        bag: The recording to read.
        target: Folder of the new recording; it is made and must not exist.
        storage: One of `STORAGES`.
        compression: One of `COMPRESSIONS`.
        copied: Topics that are copied; None copies all.
        start: Seconds after the beginning of the recording from which on messages are read.
        end: Seconds after the beginning up to which they are read; None reads to the end.
        report: Called with what is wrong with the recording.

    Attributes:
        topics: ROS 2 type of every topic of the input, by name.
        message_count: Number of messages of the input, whether read or not.
        span: Seconds between its first and last message.

    Raises:
        InputError: The recording cannot be copied, or has none of the topics.
        SettingError: The times are the wrong way round.
    """

    def __init__(
        self,
        bag: Bag,
        target: Path,
        storage: str = "auto",
        compression: str = "none",
        copied: Collection[str] | None = None,
        start: float = 0.0,
        end: float | None = None,
        report: Callable[[str], None] = logger.warning,
    ) -> None:
        if end is not None and end <= start:
            raise SettingError(f"--end is {end:g} s but --start is {start:g} s; end must be later")
        self._bag = bag
        self._report = report
        self._stack = ExitStack()
        self._readers = bag.readers
        begin = min(reader.start_time for reader in self._readers)
        self._from = begin + round(start * 1e9)
        self._to = None if end is None else begin + round(end * 1e9)
        self.span = (max(reader.end_time for reader in self._readers) - begin) * 1e-9
        if start and start >= self.span:
            raise SettingError(f"--start is {start:g} s but {bag.path} has {self.span:g} s only")
        self.message_count = sum(reader.message_count for reader in self._readers)
        renames = require("rosbags.convert.converter", "demo").STATIC_MSGTYPE_RENAMES
        self.topics = {name: renames.get(kind, kind) for name, kind in bag.topics.items()}
        unknown = sorted(set(copied or ()) - set(self.topics))
        if unknown:
            raise InputError(
                f"{bag.path} has no topic {', '.join(unknown)}; it has "
                f"{', '.join(sorted(self.topics)) or 'none'}"
            )
        try:
            self._writer = self._opened(target, storage, compression)
            self._connect(copied)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> BagCopy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def messages(self) -> Iterator[RawMessage]:
        """Read the messages, in the order of recording.

        Static transforms from before the start come first, with the start's time.

        Yields:
            Every message of every topic, copied or not.
        """
        for reader in self._readers:
            latched = [each for each in reader.connections if _is_static(each.topic)]
            if latched and self._from > reader.start_time:
                for connection, _, raw in self._bag.raw(reader, latched, None, self._from):
                    yield self._message(reader, connection, self._from, raw)
        for reader in self._readers:
            connections = list(reader.connections)
            for connection, stamp, raw in self._bag.raw(reader, connections, self._from, self._to):
                yield self._message(reader, connection, stamp, raw)

    def copy(self, message: RawMessage) -> bool:
        """Write a message that was read; whether its topic is among the copied ones."""
        if message.connection is None:
            return False
        self._writer.write(message.connection, message.stamp, message.cdr)
        return True

    def write(self, topic: str, kind: str, stamp: int, cdr: bytes) -> None:
        """Write a new message.

        Args:
            topic: Its topic, which the input must not have.
            kind: Its type, as "sensor_msgs/msg/Image".
            stamp: Time of recording, in nanoseconds.
            cdr: Its bytes.

        Raises:
            InputError: The input has the topic.
        """
        connection = self._added.get(topic)
        if connection is None:
            if topic in self.topics:
                raise InputError(
                    f"{self._bag.path} has a topic {topic} already; name the new ones otherwise "
                    "(--namespace), or leave it out (--topics)"
                )
            connection = self._writer.add_connection(topic, kind, typestore=self._new_types)
            self._added[topic] = connection
        self._writer.write(connection, stamp, cdr)

    def transforms(self, message: RawMessage) -> tuple[list[Transform], bool] | None:
        """The content of a message of transforms, and whether they are static.

        Args:
            message: Any message.

        Returns:
            None where it holds something else, or cannot be read, which is reported.
        """
        if message.type != TRANSFORM_TYPE:
            return None
        try:
            content = self._new_types.deserialize_cdr(message.cdr, message.type)
            return transforms_of(content), _is_static(message.topic)
        except Exception as error:  # rosbags lets errors of its parsers through
            self._report(f"{self._bag.path}: a message of {message.topic} is passed over: {error}")
            return None

    def _opened(self, target: Path, storage: str, compression: str) -> Any:
        rosbag2 = require("rosbags.rosbag2", "demo")
        typesys = require("rosbags.typesys", "demo")
        self._new_types = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        self._added: dict[str, Any] = {}
        if storage == "auto":
            names = [file.name for file in bag_files(self._bag.path)]
            storage = "sqlite3" if any(".db3" in name for name in names) else "mcap"
        writer = rosbag2.Writer(
            target, version=9, storage_plugin=rosbag2.StoragePlugin[storage.upper()]
        )
        if compression != "none":
            # MCAP compresses its chunks itself; for SQLite rosbag2 compresses each message.
            mode = "STORAGE" if storage == "mcap" else "MESSAGE"
            writer.set_compression(
                rosbag2.CompressionMode[mode], rosbag2.CompressionFormat[compression.upper()]
            )
        return self._stack.enter_context(writer)

    def _connect(self, copied: Collection[str] | None) -> None:
        """Prepare the topics of the output, and how a message of each type becomes ROS 2."""
        converter = require("rosbags.convert.converter", "demo")
        self._connections: dict[tuple[int, object], Any] = {}
        self._converters: dict[tuple[int, str], Callable[[bytes], memoryview]] = {}
        for reader in self._readers:
            wanted = [each for each in reader.connections if copied is None or each.topic in copied]
            kinds = {each.msgtype for each in reader.connections}
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # it prints what it migrates
                    connections, converters = converter.create_connections_converters(
                        wanted, None if reader.is2 else self._new_types, reader, self._writer
                    )
                    for kind in kinds - set(converters):
                        converters[kind] = self._converter(converter, reader, kind)
            except Exception as error:  # rosbags lets errors of its parsers through
                raise InputError(f"{self._bag.path} cannot be copied: {error}") from error
            self._connections |= connections
            self._converters |= {(id(reader), kind): each for kind, each in converters.items()}

    def _converter(self, converter: Any, reader: Any, kind: str) -> Callable[[bytes], memoryview]:
        """What makes a ROS 2 message of one that is read but not copied; others stay as they are.

        Nobody listens to a type that ROS 2 does not have.
        """
        new = converter.STATIC_MSGTYPE_RENAMES.get(kind, kind)
        if reader.is2 or new not in self._new_types.fielddefs:
            return memoryview
        made: Callable[[bytes], memoryview] = converter.generate_message_converter(
            reader.typestore, self._new_types, kind, new, {}, src_is2=False, dst_is2=True
        )
        return made

    def _message(self, reader: Any, connection: Any, stamp: int, raw: bytes) -> RawMessage:
        cdr = bytes(self._converters[id(reader), connection.msgtype](raw))
        target = self._connections.get((connection.id, connection.owner))
        return RawMessage(connection.topic, self.topics[connection.topic], stamp, cdr, target)


def _is_static(topic: str) -> bool:
    return topic.rsplit("/", 1)[-1] == "tf_static"
