"""Clouds and markers of the objects a segmenter has found, for grasping."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.encodings import decode_labels
from depth_anything_ros.frames import DepthFrame
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.geometry.objects import DetectedObject, find_objects
from depth_anything_ros.node.messages import cloud_to_message, nanoseconds
from depth_anything_ros.node.runtime.subscriptions import MatchedSubscription
from depth_anything_ros.node.runtime.throttled_log import ThrottledLog

_ANSWERS_KEPT = 20
_ARROW = 0.15
_PALETTE = ((0.90, 0.10, 0.29), (0.24, 0.71, 0.29), (0.26, 0.39, 0.85), (0.96, 0.51, 0.19))


class ObjectOutput:
    """Pairs label images with answers of the same stamp; publishes `~/objects/...`.

    A segmenter answers later than the depth network or earlier, so recent ones of both are kept.
    """

    def __init__(self, node: LifecycleNode, camera: str, log: ThrottledLog) -> None:
        """Make the publishers; nothing is received before `listen`.

        Args:
            node: The node to publish and subscribe with.
            camera: Name of the camera, empty for the only one.
            log: Says what is wrong with a mask.
        """
        self._node = node
        self._log = log
        self._wake: Callable[[], None] = _nobody
        self._lock = threading.Lock()
        self._answers: OrderedDict[int, tuple[DepthFrame, Header]] = OrderedDict()
        self._masks: OrderedDict[int, Image] = OrderedDict()
        below = f"~/{camera}" if camera else "~"
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._points = node.create_lifecycle_publisher(
            PointCloud2, f"{below}/objects/points", reliable
        )
        self._markers = node.create_lifecycle_publisher(
            MarkerArray, f"{below}/objects/markers", reliable
        )
        self._topic = f"{camera}/mask" if camera else "mask"
        self._subscription: MatchedSubscription | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody wants objects."""
        publishers = (self._points, self._markers)
        return any(publisher.get_subscription_count() > 0 for publisher in publishers)

    def listen(self, wake: Callable[[], None]) -> None:
        """Subscribe to `mask`.

        Args:
            wake: Called when a mask has come.
        """
        self._wake = wake
        self._subscription = MatchedSubscription(self._node, Image, self._topic, self._receive, 2)

    def match(self) -> None:
        """Look again at what the publishers offer."""
        if self._subscription is not None:
            self._subscription.match()

    def stop(self) -> None:
        """Unsubscribe and forget what waits for its partner."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        with self._lock:
            self._answers.clear()
            self._masks.clear()

    def close(self) -> None:
        """Unsubscribe and destroy the publishers."""
        self.stop()
        for publisher in (self._points, self._markers):
            self._node.destroy_lifecycle_publisher(publisher)

    def keep(self, answer: DepthFrame, header: Header) -> bool:
        """Keep an answer until its mask comes.

        Args:
            answer: Depth of one image.
            header: Header of that image.

        Returns:
            Whether it is kept: somebody wants objects and it has metres.
        """
        if answer.depth_m is None or answer.frame.camera is None or not self.wanted:
            return False
        with self._lock:
            self._answers[answer.frame.stamp] = (answer, header)
            while len(self._answers) > _ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return True

    def publish(self) -> None:
        """Publish the objects of every answer whose mask has come. Runs in the worker's thread."""
        with self._lock:
            stamps = [stamp for stamp in self._masks if stamp in self._answers]
            pairs = [(self._masks.pop(stamp), *self._answers.pop(stamp)) for stamp in stamps]
        for mask, answer, header in pairs:
            try:
                objects = _objects_of(mask, answer)
            except InputError as error:
                self._log.warn(f"mask is not used: {error}")
                continue
            self._points.publish(objects_cloud(objects, header))
            self._markers.publish(object_markers(objects, header))

    def _receive(self, mask: Image) -> None:
        with self._lock:
            self._masks[nanoseconds(mask.header.stamp)] = mask
            while len(self._masks) > _ANSWERS_KEPT:
                self._masks.popitem(last=False)
        self._wake()


def _nobody() -> None:
    """Nobody waits for masks yet."""


def _objects_of(mask: Image, answer: DepthFrame) -> list[DetectedObject]:
    camera, depth_m = answer.frame.camera, answer.depth_m
    assert camera is not None and depth_m is not None
    labels = decode_labels(
        np.frombuffer(mask.data, np.uint8),
        mask.height,
        mask.width,
        mask.step,
        mask.encoding,
        bool(mask.is_bigendian),
    )
    ground = answer.frame.ground
    up = None if ground is None else np.array(ground.normal)
    return find_objects(labels, depth_m, camera, up)


def objects_cloud(objects: list[DetectedObject], header: Header) -> PointCloud2:
    """The points of all objects as one cloud with a field `label`.

    Args:
        objects: The objects, in the optical frame.
        header: Stamp and frame_id to use.

    Returns:
        sensor_msgs/PointCloud2 with float32 fields x, y, z, label.
    """
    parts = [
        np.column_stack([each.points, np.full(len(each.points), each.label, np.float32)])
        for each in objects
    ]
    data = np.concatenate([np.zeros((0, 4), np.float32), *parts]).astype(np.float32)
    return cloud_to_message(Cloud(data[None], ("x", "y", "z", "label")), header)


def object_markers(objects: list[DetectedObject], header: Header) -> MarkerArray:
    """A box, its label, and an arrow to the grasp point for each object.

    Args:
        objects: The objects, in the optical frame.
        header: Stamp and frame_id to use.

    Returns:
        visualization_msgs/MarkerArray that replaces the one before: namespaces `box`, `label` and
        `grasp`, ids are the labels. The arrow ends at the nearest graspable point and runs along
        the approach, against the surface's normal.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for each in objects:
        red, green, blue = _PALETTE[each.label % len(_PALETTE)]
        turn = Rotation.from_matrix(each.box.axes).as_quat()
        x, y, z, w = (float(number) for number in turn)
        centre = _point(each.box.center)
        pose = Pose(position=centre, orientation=Quaternion(x=x, y=y, z=z, w=w))
        size = [max(float(length), 1e-3) for length in each.box.size]
        markers.append(
            Marker(
                header=header,
                ns="box",
                id=each.label,
                type=Marker.CUBE,
                pose=pose,
                scale=Vector3(x=size[0], y=size[1], z=size[2]),
                color=ColorRGBA(r=red, g=green, b=blue, a=0.35),
            )
        )
        markers.append(
            Marker(
                header=header,
                ns="label",
                id=each.label,
                type=Marker.TEXT_VIEW_FACING,
                pose=Pose(position=centre, orientation=Quaternion(w=1.0)),
                scale=Vector3(z=0.05),
                color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
                text=str(each.label),
            )
        )
        start = each.grasp_point + _ARROW * each.approach_normal
        markers.append(
            Marker(
                header=header,
                ns="grasp",
                id=each.label,
                type=Marker.ARROW,
                points=[_point(start), _point(each.grasp_point)],
                scale=Vector3(x=0.01, y=0.02, z=0.03),
                color=ColorRGBA(r=red, g=green, b=blue, a=1.0),
            )
        )
    return MarkerArray(markers=markers)


def _point(place: npt.NDArray[np.float64]) -> Point:
    return Point(x=float(place[0]), y=float(place[1]), z=float(place[2]))
