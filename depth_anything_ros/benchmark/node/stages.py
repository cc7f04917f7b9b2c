"""The stages of one image in the node, without the network."""

from __future__ import annotations

import array
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from depth_anything_ros.benchmark.node.camera import HFOV_DEG, picture
from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.frames import FloatImage, Frame, Prediction, PredictionKind
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.geometry.cloud_filters import flying_pixels
from depth_anything_ros.inference.preprocess import Normaliser, network_size
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.node.camera.output import OUTPUTS
from depth_anything_ros.node.messages import (
    camera_from_info,
    cloud_to_message,
    decode,
    depth_to_image,
    info_from_camera,
    memory_of,
    nanoseconds,
    rgb_to_image,
)
from depth_anything_ros.node.runtime.fastdds import prefer_shared_memory
from depth_anything_ros.pipeline import DepthLimits, limit_depth

SCALE, SHIFT = 0.4, 0.02
"""1/Z = SCALE * disparity + SHIFT."""

DEPTH_STAGES = (
    "rgb view",
    "preprocessing",
    "scaling",
    "depth message",
    "camera_info",
    "depth published",
)
"""What a consumer of depth alone makes the node do."""

EDGES = "flying pixels"
"""A stage of the node that the straightforward version does without."""

STAGES = (*DEPTH_STAGES, EDGES, "cloud", "cloud message", "cloud published")
"""All of it, in order."""

_DEPTH, _CAMERA_INFO, _POINTS = PUBLISHED = ("depth/image", "depth/camera_info", "points")
"""What is published."""

_NODE = "depth_anything"
_TIMEOUT = 30.0

Publish = Callable[[str, Any], None]
Stages = dict[str, Callable[[], None]]
"""By name, in order: each takes what the ones before it have left."""


@dataclass(frozen=True)
class Scene:
    """Input, and a prediction for it.

    Attributes:
        image: The picture.
        info: Its camera_info.
        prediction: Relative disparity of the picture.
    """

    image: Image
    info: CameraInfo
    prediction: Prediction

    @classmethod
    def random(cls, height: int, width: int) -> Scene:
        """A noisy picture and hills, of a size.

        Args:
            height: Rows of the image.
            width: Columns of the image.
        """
        header = Header(stamp=Time(sec=1), frame_id="benchmark_camera_optical_frame")
        coarse = np.random.default_rng(0).uniform(0.05, 1.0, (12, 16)).astype(np.float32)
        hills = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        values = np.asarray(hills, np.float32)
        return cls(
            rgb_to_image(picture(width, height), header),
            info_from_camera(Camera.from_hfov(width, height, HFOV_DEG), header),
            Prediction(values, PredictionKind.RELATIVE_DISPARITY, network_size(height, width)),
        )


class NodeStages:
    """What the node does, with the node's own functions.

    Args:
        scene: What comes in.
        publish: Sends the message of an output.

    Attributes:
        depth: The depth message.
        info: Its camera_info.
        points: The cloud message.
    """

    def __init__(self, scene: Scene, publish: Publish) -> None:
        self._scene = scene
        self._publish = publish
        self._header = scene.image.header
        size = scene.prediction.input_size
        self._normaliser = Normaliser(size)
        self._pixels = np.empty((*size, 3), np.float32)
        self._scaler = FixedScaler(SCALE, SHIFT)
        self.depth = Image()
        self.points = PointCloud2()
        self.info = CameraInfo()

    def stages(self) -> Stages:
        """Every stage of `STAGES`."""
        jobs = (
            *(self._view, self._preprocess, self._scale, self._depth_message, self._camera_info),
            *(self._publish_depth, self._edges, self._cloud, self._cloud_message),
            self._publish_cloud,
        )
        return dict(zip(STAGES, jobs, strict=True))

    def _view(self) -> None:
        self._rgb = decode(self._scene.image)
        self._camera = camera_from_info(self._scene.info)
        stamp = nanoseconds(self._header.stamp)
        self._frame = Frame(self._rgb, stamp, self._header.frame_id, self._camera)

    def _preprocess(self) -> None:
        self._normaliser.into(self._rgb, self._pixels)

    def _scale(self) -> None:
        depth_m = self._scaler.scale(self._scene.prediction, self._frame).depth_m
        assert depth_m is not None
        self._depth_m: FloatImage = depth_m

    def _depth_message(self) -> None:
        limited = limit_depth(self._depth_m, DepthLimits())
        self.depth = depth_to_image(limited, "32FC1", self._header, self.depth)

    def _camera_info(self) -> None:
        self.info = info_from_camera(self._camera, self._header)

    def _publish_depth(self) -> None:
        self._publish(_CAMERA_INFO, self.info)
        self._publish(_DEPTH, self.depth)

    def _edges(self) -> None:
        self._flying = flying_pixels(self._depth_m, self._camera)

    def _cloud(self) -> None:
        memory = partial(memory_of, self.points)
        self._points = build_cloud(
            self._depth_m, self._camera, self._rgb, hidden=self._flying, memory=memory
        )

    def _cloud_message(self) -> None:
        self.points = cloud_to_message(self._points, self._header, self.points)

    def _publish_cloud(self) -> None:
        self._publish(_POINTS, self.points)


class Calculations(NamedTuple):
    """Array functions of the straightforward version.

    Attributes:
        network_input: BGR picture and size -> what the network takes.
        metres: Disparity, scale and shift -> metres.
        cloud: Metres, camera and RGB picture -> HxW records of x, y, z, rgb.
    """

    network_input: Callable[[npt.NDArray[np.uint8], tuple[int, int]], FloatImage]
    metres: Callable[[FloatImage, float, float], FloatImage]
    cloud: Callable[[FloatImage, Camera, npt.NDArray[np.uint8]], npt.NDArray[np.void]]


class StraightforwardStages:
    """The same stages, implemented straightforwardly.

    Args:
        scene: What comes in.
        publish: Sends the message of an output.
        calculate: How its arrays are made.

    Attributes:
        depth: The depth message.
        points: The cloud message.
    """

    def __init__(self, scene: Scene, publish: Publish, calculate: Calculations) -> None:
        self._scene = scene
        self._publish = publish
        self._calculate = calculate
        self._header = scene.image.header
        self._camera = camera_from_info(scene.info)
        self.depth = Image()
        self.points = PointCloud2()

    def stages(self) -> Stages:
        """Every stage of `STAGES` but `EDGES`."""
        jobs = (
            *(self._view, self._preprocess, self._scale, self._depth_message, self._camera_info),
            *(self._publish_depth, self._cloud, self._cloud_message, self._publish_cloud),
        )
        names = (stage for stage in STAGES if stage != EDGES)
        return dict(zip(names, jobs, strict=True))

    def _view(self) -> None:
        image = self._scene.image
        pixels = np.frombuffer(image.data, np.uint8)
        self._rgb = pixels.reshape(image.height, image.width, 3)
        self._bgr = self._rgb[..., ::-1].copy()

    def _preprocess(self) -> None:
        size = self._scene.prediction.input_size
        self._pixels = self._calculate.network_input(self._bgr, size)

    def _scale(self) -> None:
        self._depth_m = self._calculate.metres(self._scene.prediction.values, SCALE, SHIFT)

    def _depth_message(self) -> None:
        height, width = self._depth_m.shape
        self.depth = Image(
            header=self._header,
            height=height,
            width=width,
            encoding="32FC1",
            step=4 * width,
            data=array.array("B", self._depth_m.tobytes()),
        )

    def _camera_info(self) -> None:
        self._info = self._scene.info
        self._info.header = self._header

    def _publish_depth(self) -> None:
        self._publish(_CAMERA_INFO, self._info)
        self._publish(_DEPTH, self.depth)

    def _cloud(self) -> None:
        self._records = self._calculate.cloud(self._depth_m, self._camera, self._rgb)

    def _cloud_message(self) -> None:
        height, width = self._records.shape
        self.points = PointCloud2(
            header=self._header,
            height=height,
            width=width,
            fields=[
                PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
                for index, name in enumerate(("x", "y", "z", "rgb"))
            ],
            point_step=16,
            row_step=16 * width,
            data=array.array("B", self._records.tobytes()),
        )

    def _publish_cloud(self) -> None:
        self._publish(_POINTS, self.points)


@contextlib.contextmanager
def publishing(domain: int) -> Iterator[Publish]:
    """Publishers named and made as the depth node's, once all of them have subscribers.

    Args:
        domain: ROS domain.

    Yields:
        Sends the message of an output.

    Raises:
        DepthAnythingError: There is no subscriber.
    """
    prefer_shared_memory()
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = Node(_NODE, context=context)
    try:
        publishers = {
            name: node.create_publisher(
                OUTPUTS.get(name).message,
                f"~/{name}",
                QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
            )
            for name in PUBLISHED
        }
        until = time.monotonic() + _TIMEOUT
        while not all(each.get_subscription_count() for each in publishers.values()):
            if time.monotonic() > until:
                raise DepthAnythingError(f"no subscriber came within {_TIMEOUT:g} s")
            time.sleep(0.05)
        yield lambda name, message: publishers[name].publish(message)
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
