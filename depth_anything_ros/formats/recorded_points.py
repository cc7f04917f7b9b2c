"""The LiDAR of a recording as its camera sees it: transforms, and clouds paired with images."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import (
    TRANSFORM_TYPE,
    Bag,
    BagMessage,
    Transform,
    stamp_of,
    transforms_of,
)

SLOP = 0.1
"""Seconds between an image and a cloud that go together, at most; the node's `points_slop`."""

_IMAGES_KEPT = 20


def static_transforms(bag: Bag) -> list[Transform]:
    """The transforms of a recording that never change.

    Args:
        bag: The recording.

    Returns:
        Everything on its /tf_static topics; empty without one.

    Raises:
        InputError: A message cannot be read.
    """
    topics = [
        topic for topic in bag.topics_of(TRANSFORM_TYPE) if topic.rsplit("/", 1)[-1] == "tf_static"
    ]
    messages = bag.messages(topics)
    return [transform for message in messages for transform in transforms_of(message.content)]


def chained(transforms: Sequence[Transform], target: str, source: str) -> npt.NDArray[np.float64]:
    """The transform between two frames of a tree.

    Args:
        transforms: The tree's edges, in any order.
        target: Frame the points are wanted in.
        source: Frame the points are in.

    Returns:
        4x4 float64, source -> target.

    Raises:
        InputError: The frames are not connected.
    """
    target, source = target.lstrip("/"), source.lstrip("/")
    reached = {source: np.eye(4)}
    waiting = deque([source])
    while waiting and target not in reached:
        frame = waiting.popleft()
        for edge in transforms:
            for start, end, step in (
                (edge.child, edge.parent, edge.matrix),
                (edge.parent, edge.child, np.linalg.inv(edge.matrix)),
            ):
                if start == frame and end not in reached:
                    reached[end] = step @ reached[frame]
                    waiting.append(end)
    if target not in reached:
        raise InputError(
            f"/tf_static of the recording does not connect '{source}' with '{target}'; give "
            "the extrinsics"
        )
    return reached[target]


def pair_by_stamp(
    messages: Iterable[BagMessage], image_topic: str, slop: float = SLOP
) -> Iterator[tuple[Any, Any]]:
    """Find for every cloud the image nearest in time, by the stamps of their headers.

    Args:
        messages: Images and clouds in the order of recording.
        image_topic: Topic of the images; all others are clouds.
        slop: Seconds the two may be apart.

    Yields:
        Image message and cloud message.
    """
    images: deque[Any] = deque(maxlen=_IMAGES_KEPT)
    clouds: deque[Any] = deque(maxlen=_IMAGES_KEPT)
    for message in messages:
        (images if message.topic == image_topic else clouds).append(message.content)
        # A cloud can be answered once no nearer image can come.
        while clouds and images and stamp_of(images[-1]) >= stamp_of(clouds[0]):
            yield from _nearest(images, clouds.popleft(), slop)
    for cloud in clouds:
        yield from _nearest(images, cloud, slop)


def _nearest(images: Iterable[Any], cloud: Any, slop: float) -> list[tuple[Any, Any]]:
    stamp = stamp_of(cloud)
    image = min(images, key=lambda each: abs(stamp_of(each) - stamp), default=None)
    if image is None or abs(stamp_of(image) - stamp) > slop * 1e9:
        return []
    return [(image, cloud)]
