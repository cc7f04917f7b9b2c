"""`~/objects/points` and `~/objects/markers`: what a segmenter has found, for grasping."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from depth_anything_ros.formats.encodings import decode_labels
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.geometry.objects import DetectedObject, find_objects
from depth_anything_ros.node.camera.output import OUTPUTS, Companion, Output, OutputRequest
from depth_anything_ros.node.messages import cloud_to_message

_ARROW = 0.15
_PALETTE = ((0.90, 0.10, 0.29), (0.24, 0.71, 0.29), (0.26, 0.39, 0.85), (0.96, 0.51, 0.19))
_LEAST_PIXELS = 50
_MOST_OBJECTS = 256
"""A mask of noise has tens of thousands of labels, each of which costs a box."""

MASK = Companion("mask", Image, "labels of objects (mono8, 16UC1) with the image's stamp")


def _objects(request: OutputRequest) -> list[DetectedObject] | None:
    """The objects of the mask that belongs to an answer; None without metres or camera."""
    answer = request.answer
    camera, depth_m, mask = answer.frame.camera, answer.depth_m, request.companions[MASK.topic]
    if camera is None or depth_m is None:
        return None
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
    return find_objects(_largest(labels, request), depth_m, camera, up)


def _largest(labels: npt.NDArray[Any], request: OutputRequest) -> npt.NDArray[Any]:
    """The same labels, or 0 where a label is too small or one too many."""
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    order = np.argsort(-counts, kind="stable")
    large = int(np.count_nonzero(counts >= _LEAST_PIXELS))
    if large > _MOST_OBJECTS:
        request.log.warn(
            f"the mask has {large} labels; the {_MOST_OBJECTS} largest objects are measured"
        )
    if large == np.count_nonzero(counts) and large <= _MOST_OBJECTS:
        return labels
    kept = np.zeros(len(counts), labels.dtype)
    chosen = order[: min(large, _MOST_OBJECTS)]
    kept[chosen] = chosen
    return kept[labels]


def _make_points(request: OutputRequest, last: PointCloud2) -> PointCloud2 | None:
    objects = request.shared("objects", lambda: _objects(request))
    return None if objects is None else objects_cloud(objects, request.header)


def _make_markers(request: OutputRequest, last: MarkerArray) -> MarkerArray | None:
    objects = request.shared("objects", lambda: _objects(request))
    return None if objects is None else object_markers(objects, request.header)


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


OUTPUTS.register(
    Output(
        name="objects/points",
        rank=110,
        message=PointCloud2,
        meaning="x y z label of the objects in `mask`",
        make=_make_points,
        companion=MASK,
    )
)
OUTPUTS.register(
    Output(
        name="objects/markers",
        rank=120,
        message=MarkerArray,
        meaning="their boxes and grasp points",
        make=_make_markers,
        companion=MASK,
    )
)
