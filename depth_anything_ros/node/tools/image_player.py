"""Plays images, videos and recordings as a camera: `image`, `camera_info`, a bag's `points`."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.bags import (
    CAMERA_INFO_TYPE,
    POINT_CLOUD_TYPE,
    Transform,
    is_recording,
)
from depth_anything_ros.formats.camera_yaml import read_camera
from depth_anything_ros.formats.inputs import WEBCAM, Input, find_inputs, read_input
from depth_anything_ros.formats.recording import (
    Recording,
    Topics,
    camera_of_topic,
    chained,
    moving_transforms,
    point_topics,
)
from depth_anything_ros.frames import Frame
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.camera.files import file_of_url
from depth_anything_ros.node.messages import (
    cloud_to_message,
    info_from_camera,
    rgb_to_image,
    transform_to_message,
)
from depth_anything_ros.node.parameter import (
    LARGEST,
    ParameterSet,
    parameter,
    unknown_parameters,
)
from depth_anything_ros.node.runtime.program import run_program

_PURPOSE = "Plays images, videos, recordings and webcams as a camera: image, camera_info, points."
_SETTLING = 1.0
_LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


IntoCamera = Callable[[npt.NDArray[np.float64], str], tuple[npt.NDArray[np.float64], str]]
"""From points and their frame to points and their frame."""


@dataclass(frozen=True)
class PlayedItem:
    """One item to publish, and when.

    Attributes:
        moment: Seconds since the start of the recording.
        stamp: Its own stamp in nanoseconds, or None when the input has none.
        frame_id: Its own frame, or empty.
        content: A picture (HxWx3 uint8 RGB), a camera, points (Nx3 metres) or transforms.
    """

    moment: float
    stamp: int | None
    frame_id: str
    content: npt.NDArray[np.uint8] | Camera | npt.NDArray[np.float64] | list[Transform]


@dataclass(frozen=True)
class PlayerParameters(ParameterSet):
    """What is played, and how."""

    path: str = parameter(
        "", "Image, folder, video, rosbag2 recording or webcam:0.", read_only=True
    )
    rate: float = parameter(
        2.0,
        "Images per second of a folder; a video or bag has its own times.",
        minimum=0.01,
        maximum=LARGEST,
        read_only=True,
    )
    speed: float = parameter(
        1.0, "Factor on the speed of playing.", minimum=0.01, maximum=LARGEST, read_only=True
    )
    wait_for_subscriber: float = parameter(
        60.0,
        "Seconds to wait for somebody to subscribe to image.",
        minimum=0.0,
        maximum=LARGEST,
        read_only=True,
    )
    loop: bool = parameter(False, "Start again at the end.", read_only=True)
    restamp: bool = parameter(
        True, "Bag: move the recorded stamps to now; they keep their distances.", read_only=True
    )
    frame_id: str = parameter(
        "camera_optical_frame", "frame_id where the input has none.", read_only=True
    )
    camera_info_url: str = parameter(
        "",
        "Calibration (camera_info YAML; a path, file:// or package://); a bag brings its own.",
        read_only=True,
    )
    hfov: float = parameter(
        0.0,
        "Horizontal field of view in degrees without a calibration; 0: unknown.",
        minimum=0.0,
        maximum=180.0,
        read_only=True,
    )
    image_topic: str = parameter("", "Bag: topic to play; empty: the only camera.", read_only=True)


class ImagePlayer(Node):
    """Publishes what a folder, file, video or bag holds, in time or at a given rate."""

    def __init__(self) -> None:
        """Declare the parameters and open the input.

        Raises:
            DepthAnythingError: The input, the calibration or a parameter cannot be used.
        """
        super().__init__("image_player")
        known = PlayerParameters.declare(self)
        for sentence in unknown_parameters(self, [field.name for field in fields(known)]):
            self._warn(sentence)
        self._path = Path(known.path)
        self._rate = known.rate
        self._speed = known.speed
        self._wait = known.wait_for_subscriber
        self._loop = known.loop
        self._restamp = known.restamp
        self._frame_id = known.frame_id
        self._hfov = known.hfov
        self._image_topic = known.image_topic
        url = known.camera_info_url
        self._calibration = read_camera(file_of_url(url, "camera_info_url")) if url else None
        if not known.path or not (WEBCAM.fullmatch(known.path) or self._path.exists()):
            raise SettingError(
                f"path is '{known.path}'; give an image, folder, video or recording that exists, "
                "or webcam:0"
            )
        self._images = self.create_publisher(Image, "image", _RELIABLE)
        self._infos = self.create_publisher(CameraInfo, "camera_info", _RELIABLE)
        self._points = self.create_publisher(PointCloud2, "points", _RELIABLE)
        self._played = 0
        self._start_stamp = 0
        self._first_stamp: int | None = None
        self._has_own_times = True
        self._has_own_camera = False
        self._static: Publisher | None = None
        self._moving: Publisher | None = None
        self._said: set[str] = set()

    def play(self) -> None:
        """Publish everything, once or for ever.

        Raises:
            DepthAnythingError: The input turns out to be unreadable.
        """
        self._await_subscriber()
        while rclpy.ok():
            before = self._played
            started = time.monotonic()
            self._start_stamp = self.get_clock().now().nanoseconds
            self._first_stamp = None
            for item in self._items():
                self._sleep_until(started + item.moment / self._speed)
                if not rclpy.ok():
                    return
                self._publish(item)
            if self._played == before:
                raise InputError(f"{self._path} holds no image that can be read")
            if not self._loop:
                break
            if not self._has_own_times:
                self._sleep_until(started + (self._played - before) / self._rate / self._speed)
        self.get_logger().info(f"played {self._played} images")
        self._await_delivery()

    def _items(self) -> Iterator[PlayedItem]:
        if is_recording(self._path):
            yield from self._bag_items()
            return
        inputs = find_inputs([str(self._path)], report=self._warn)
        self._has_own_times = len(inputs) == 1 and inputs[0].is_sequence
        for index, frame in enumerate(self._frames(inputs)):
            moment = frame.stamp * 1e-9 if self._has_own_times else index / self._rate
            yield PlayedItem(moment, None, "", frame.rgb)

    def _frames(self, inputs: list[Input]) -> Iterator[Frame]:
        """The pictures of some inputs without those that cannot be read."""
        for source in inputs:
            try:
                for item in read_input(source, self._warn):
                    yield item.frame
            except InputError as error:  # noqa: PERF203 - one broken file is not the end
                self._warn(str(error))

    def _bag_items(self) -> Iterator[PlayedItem]:
        with Recording(self._path, Topics(self._image_topic), report=self._warn) as recording:
            bag, images = recording.bag, recording.image_topic
            infos = recording.camera_info_topic
            has_camera = self._calibration is None and recording.camera is not None
            self._has_own_camera = has_camera
            clouds = point_topics(bag)
            self._say(
                f"{self._path}: plays {images} with {infos if has_camera else 'no camera_info'} "
                f"and {', '.join(clouds) or 'no points'}"
            )
            moving = moving_transforms(bag) if _tf2_messages() is not None else []
            into_camera = self._send_static(recording) if clouds or moving else None
            topics = {images, *clouds, *([infos] if has_camera and infos else []), *moving}
            first: int | None = None
            for value in bag.values(topics):
                first = value.recorded if first is None else first
                content, frame_id = value.value, value.frame_id
                if value.type == CAMERA_INFO_TYPE:
                    content = camera_of_topic(content, images)
                elif value.type == POINT_CLOUD_TYPE and into_camera is not None:
                    content, frame_id = into_camera(content, frame_id)
                moment = (value.recorded - first) * 1e-9
                yield PlayedItem(moment, value.stamp, frame_id, content)
            self._has_own_camera = False

    def _send_static(self, recording: Recording) -> IntoCamera | None:
        """Publish the static transforms, once; else log how points come into the camera's frame.

        Args:
            recording: The recording.

        Returns:
            None where the transforms are published; without tf2_msgs what brings points and their
            frame into the optical frame, where the recording has the transform.
        """
        if not recording.transforms:
            return None
        messages = _tf2_messages()
        if messages is None:
            self._say("tf2_msgs is not installed: points are sent in the frame of the images")
            return lambda points, frame: _into_frame(points, frame, recording)
        if self._static is None:
            self._static = self.create_publisher(messages.TFMessage, "/tf_static", _LATCHED)
            fixed = [
                transform_to_message(Time(), item.parent, item.child, item.matrix)
                for item in recording.transforms
            ]
            self._static.publish(messages.TFMessage(transforms=fixed))
        return None

    def _publish(self, item: PlayedItem) -> None:
        if isinstance(item.content, list):
            self._send_moving(item.content)
            return
        header = Header(
            stamp=_time(self._stamp(item.stamp)), frame_id=item.frame_id or self._frame_id
        )
        if isinstance(item.content, Camera):
            self._infos.publish(info_from_camera(item.content, header))
        elif item.content.dtype == np.uint8:
            rgb = item.content.astype(np.uint8, copy=False)
            own = self._has_own_camera
            camera = None if own else self._camera(rgb.shape[1], rgb.shape[0])
            if camera is not None:
                self._infos.publish(info_from_camera(camera, header))
            self._images.publish(rgb_to_image(rgb, header))
            self._played += 1
        else:
            points = item.content.astype(np.float32)[None]
            self._points.publish(cloud_to_message(Cloud(points), header))

    def _send_moving(self, transforms: list[Transform]) -> None:
        """Publish transforms on /tf, at their own times as the pictures are at theirs."""
        messages = _tf2_messages()
        if messages is None:
            return
        if self._moving is None:
            self._moving = self.create_publisher(messages.TFMessage, "/tf", _RELIABLE)
        sent = [
            transform_to_message(
                _time(self._stamp(each.stamp)), each.parent, each.child, each.matrix
            )
            for each in transforms
        ]
        self._moving.publish(messages.TFMessage(transforms=sent))

    def _stamp(self, own: int | None) -> int:
        """Nanoseconds to publish for a stamp of the recording, or for none."""
        if own is None:
            return int(self.get_clock().now().nanoseconds)
        if not self._restamp:
            return own
        if self._first_stamp is None:
            self._first_stamp = own
        return self._start_stamp + round((own - self._first_stamp) / self._speed)

    def _camera(self, width: int, height: int) -> Camera | None:
        """The camera of a picture that brings none: the calibration, fitted, or a field of view."""
        if self._calibration is not None:
            try:
                return self._calibration.fitted(width, height)
            except InputError as error:
                self._warn(f"no camera_info: {error}")
                return None
        return Camera.from_hfov(width, height, self._hfov) if self._hfov else None

    def _await_subscriber(self) -> None:
        until = time.monotonic() + self._wait
        while rclpy.ok() and time.monotonic() < until and not self._images.get_subscription_count():
            rclpy.spin_once(self, timeout_sec=0.05)
        # A subscriber learns of its publisher later than the publisher of it, and a depth node
        # subscribes anew when it sees that reliable is on offer: what is sent before is lost.
        self._idle(_SETTLING)

    def _await_delivery(self) -> None:
        """Leave the subscribers time to fetch the last reliable messages."""
        self._idle(_SETTLING)

    def _idle(self, seconds: float) -> None:
        self._sleep_until(time.monotonic() + seconds)

    def _sleep_until(self, moment: float) -> None:
        while rclpy.ok():
            remaining = moment - time.monotonic()
            rclpy.spin_once(self, timeout_sec=max(min(remaining, 0.1), 0.0))
            if remaining <= 0.1:
                time.sleep(max(moment - time.monotonic(), 0.0))
                return

    def _say(self, text: str) -> None:
        """Log something once, however often the recording is played."""
        if text not in self._said:
            self._said.add(text)
            self.get_logger().info(text)

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text)


def _tf2_messages() -> ModuleType | None:
    """The module tf2_msgs.msg, None where it is not installed."""
    try:
        return importlib.import_module("tf2_msgs.msg")
    except ImportError:
        return None


def _time(stamp: int) -> Time:
    return Time(sec=stamp // 1_000_000_000, nanosec=stamp % 1_000_000_000)


def _into_frame(
    points: npt.NDArray[np.float64], frame: str, recording: Recording
) -> tuple[npt.NDArray[np.float64], str]:
    """Points in the optical frame where the recording connects it, else as they are."""
    target = recording.optical_frame
    try:
        matrix = chained(recording.transforms, target, frame)
    except InputError:
        return points, frame
    return points @ matrix[:3, :3].T + matrix[:3, 3], target


def main(arguments: list[str] | None = None) -> int:
    """Play until the end, or until stopped.

    Args:
        arguments: Command line with ROS arguments; None takes the process's own.

    Returns:
        0 after a normal end and for --help, 1 when the input or a parameter is unusable.
    """
    return run_program(
        "image_player", _PURPOSE, PlayerParameters, ImagePlayer, ImagePlayer.play, arguments
    )


if __name__ == "__main__":
    sys.exit(main())
