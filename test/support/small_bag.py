"""Recordings of a few small messages, written for the tests that read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
START = 1_600_000_000_000_000_000
SECOND = 1_000_000_000
WIDTH, HEIGHT, FOCAL = 64, 48, 50.0


class Recorded(NamedTuple):
    topic: str
    moment: int
    """Nanoseconds since START, of the stamp and of the recording."""
    message: Any


def make(kind: str, **fields: Any) -> Any:
    return STORE.types[kind](**fields)


def header(moment: int, frame: str) -> Any:
    seconds, rest = divmod(START + moment, SECOND)
    stamp = make("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def image(
    topic: str, moment: int, grey: int = 90, frame: str = "cam", encoding: str = "rgb8"
) -> Recorded:
    size = {"rgb8": 3, "mono8": 1, "16UC1": 2, "32FC1": 4}[encoding]
    message = make(
        "sensor_msgs/msg/Image", header=header(moment, frame), height=HEIGHT, width=WIDTH,
        encoding=encoding, is_bigendian=0, step=size * WIDTH,
        data=np.full(HEIGHT * WIDTH * size, grey, np.uint8),
    )  # fmt: skip
    return Recorded(topic, moment, message)


def jpeg(topic: str, moment: int, cut: int | None = None, frame: str = "cam") -> Recorded:
    content = cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].ravel()[:cut]
    message = make(
        "sensor_msgs/msg/CompressedImage", header=header(moment, frame), format="jpeg", data=content
    )
    return Recorded(topic, moment, message)


def info(topic: str, moment: int, focal: float = FOCAL, frame: str = "cam") -> Recorded:
    k = np.array([focal, 0, 31.5, 0, focal, 23.5, 0, 0, 1.0 if focal else 0.0])
    p = np.insert(k, [3, 6, 9], 0.0)
    roi = make(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False,
    )  # fmt: skip
    message = make(
        "sensor_msgs/msg/CameraInfo", header=header(moment, frame), height=HEIGHT, width=WIDTH,
        distortion_model="plumb_bob", d=np.zeros(5), k=k, r=np.eye(3).ravel(), p=p, binning_x=0,
        binning_y=0, roi=roi,
    )  # fmt: skip
    return Recorded(topic, moment, message)


def cloud(
    topic: str,
    moment: int,
    points: npt.NDArray[np.floating],
    frame: str = "lidar",
    names: Sequence[str] = ("x", "y", "z"),
) -> Recorded:
    data = np.ascontiguousarray(points, np.float32)
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=4 * number, datatype=7, count=1)
        for number, name in enumerate(names)
    ]
    message = make(
        "sensor_msgs/msg/PointCloud2", header=header(moment, frame), height=1, width=len(data),
        fields=fields, is_bigendian=False, point_step=12, row_step=12 * len(data),
        data=data.view(np.uint8).ravel(), is_dense=True,
    )  # fmt: skip
    return Recorded(topic, moment, message)


def static(moment: int, parent: str, child: str, x: float, y: float, z: float) -> Recorded:
    place = make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    transform = make(
        "geometry_msgs/msg/TransformStamped", header=header(moment, parent), child_frame_id=child,
        transform=make("geometry_msgs/msg/Transform", translation=place, rotation=turn),
    )  # fmt: skip
    return Recorded("/tf_static", moment, make("tf2_msgs/msg/TFMessage", transforms=[transform]))


def write_bag(folder: Path, recorded: Iterable[Recorded], storage: str = "MCAP") -> Path:
    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage]) as writer:
        connections: dict[str, Any] = {}
        for topic, moment, message in sorted(recorded, key=lambda each: each.moment):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], START + moment, STORE.serialize_cdr(message, kind))
    return folder
