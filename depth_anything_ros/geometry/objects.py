"""Labelled pixels + depth -> objects for grasping: box, nearest point, approach."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.arrays import FloatArray, FloatImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.geometry.cloud_filters import flying_pixels

Mask = npt.NDArray[np.bool_]

_GAP = 0.25
"""Surfaces further apart along Z than this share of the label's width are not one object: the
masks of segmenters spill over onto what is behind."""

_TRIM = 0.002
"""Share of points that may lie outside a box at each end: outliers that the other filters left. A
larger share would cut into faces at a slant to the camera, which have few points."""

_ALIKE = 0.03
"""Neighbouring pixels whose depths differ by less than this share support each other."""

_SUPPORT = 2
"""A pixel with fewer supporting neighbours, of eight, is an outlier."""

_REACH = 4.0
"""Points further from the middle than so many times the median distance do not turn a box; in an
evenly filled box, however long, none are."""

_MOST_POINTS = 4000
"""A box is fitted to no more points than this, evenly drawn; its size changes by less than 1 %."""

_GRASP_WINDOW = 7
"""Side in pixels of the patch of surface around a grasp point; a fingertip needs more than one."""

_FACING = 0.7
"""Cosine of the steepest slant to the line of sight, 45 degrees, at which a grasp is offered."""

_FIRST_PATCHES = 500
"""So many of the nearest patches are tried for a grasp before all are, which takes much longer."""


@dataclass(frozen=True)
class OrientedBox:
    """A box around the visible surface of an object; its hidden side is not estimated.

    Attributes:
        center: Its middle, 3 float64 metres in the optical frame.
        axes: 3x3 float64 rotation, box frame -> optical frame (columns are the box's unit axes).
            Without `up` the last axis is the direction in which the points spread least, with
            `up` it is that.
        size: Full edge lengths along the three axes, 3 float64 metres.
    """

    center: FloatArray
    axes: FloatArray
    size: FloatArray


@dataclass(frozen=True)
class DetectedObject:
    """One label of a mask, in the optical frame (x right, y down, z forward).

    Attributes:
        label: Its value in the mask.
        points: Nx3 float32 metres: its surface as seen, outliers removed.
        centroid: Mean of the points, 3 float64 metres.
        box: Box around the points.
        grasp_point: The nearest point to the camera whose surface faces it, 3 float64 metres.
        approach_normal: Unit outward normal of the surface there, 3 float64; a gripper approaches
            along its opposite.
    """

    label: int
    points: FloatImage
    centroid: FloatArray
    box: OrientedBox
    grasp_point: FloatArray
    approach_normal: FloatArray


def find_objects(
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    depth_m: FloatImage,
    camera: Camera,
    up: FloatArray | None = None,
    min_points: int = 50,
) -> list[DetectedObject]:
    """Measure every labelled object of an image.

    Args:
        labels: HxW uint8 or uint16, 0 for background, else the object's label.
        depth_m: HxW float32 metres along the optical Z axis, NaN where unknown.
        camera: Camera of this image.
        up: Direction that points up in the optical frame (3 numbers, any length), when known:
            boxes then stand upright. None: a box follows its points alone.
        min_points: Labels with fewer known points are left out.

    Returns:
        The objects in the order of their labels.

    Raises:
        InputError: Labels, depth and camera differ in size, or the labels are not uint8 or uint16.
    """
    if labels.shape != depth_m.shape or labels.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"the mask is {labels.shape[1::-1]} {labels.dtype} but depth is "
            f"{depth_m.shape[::-1]}; send a mono8 or 16UC1 mask of the depth's size"
        )
    xyz = build_cloud(depth_m, camera).data
    solid = np.isfinite(xyz[..., 2]) & ~flying_pixels(depth_m, camera)
    objects = []
    for label in np.flatnonzero(np.bincount(labels.ravel())):
        if label:
            member = (labels == label).view(np.uint8)
            x, y, width, height = cv2.boundingRect(member)
            window = np.s_[y : y + height, x : x + width]
            found = _measure(
                int(label), xyz[window], (member[window] > 0) & solid[window], up, min_points
            )
            if found is not None:
                objects.append(found)
    return objects


def oriented_box(points: npt.NDArray[np.floating], up: FloatArray | None = None) -> OrientedBox:
    """The box of least area, seen along its last axis, around all but the outliers of some points.

    The last axis is `up`, else the principal axis of least variance; the other two are turned
    about it until the rectangle around the points is smallest. Lengths are measured between
    quantiles that leave 0.2 % of the points outside at each end.

    Args:
        points: Nx3 metres, at least three.
        up: The box's last axis (any length), or None.

    Returns:
        The box, in the frame of the points.
    """
    points = np.asarray(points, np.float64)
    points = points[:: -(-len(points) // _MOST_POINTS)]
    middle = np.median(points, axis=0)
    centered = points - middle
    if up is None:
        distance = np.linalg.norm(centered, axis=1)
        near = centered[distance <= _REACH * np.median(distance)]
        third = np.linalg.eigh(near.T @ near)[1][:, 0]
    else:
        third = np.asarray(up, np.float64) / np.linalg.norm(up)
    first = np.cross(third, np.eye(3)[np.abs(third).argmin()])
    first /= np.linalg.norm(first)
    second = np.cross(third, first)
    flat = centered @ np.stack([first, second], axis=1)
    turn = 0.0
    for step in (3.0, 0.3, 0.03):  # degrees; every round looks closer around the best so far
        reach = 45.0 if step == 3.0 else 10 * step
        turns = turn + np.radians(np.arange(-reach, reach + step / 2, step))
        turn = float(turns[_areas(flat, turns).argmin()])
    cos, sin = np.cos(turn), np.sin(turn)
    axes = np.stack([cos * first + sin * second, cos * second - sin * first, third], axis=1)
    low, high = _ends(centered @ axes)
    return OrientedBox(middle + axes @ ((low + high) / 2), axes, high - low)


def _measure(
    label: int, xyz: FloatImage, member: Mask, up: FloatArray | None, min_points: int
) -> DetectedObject | None:
    """One object from the part of the image around it; None when too little of it is known."""
    if member.sum() < max(min_points, 3):
        return None
    member = member & _supported(np.where(member, xyz[..., 2], np.float32(np.nan)))
    if not member.any():
        return None
    member &= _largest_layer(xyz, member)
    points = xyz[member]
    if len(points) < max(min_points, 3):
        return None
    grasp, normal = _grasp(xyz, member)
    return DetectedObject(
        label,
        points,
        points.mean(axis=0, dtype=np.float64),
        oriented_box(points, up),
        grasp,
        normal,
    )


def _supported(z: FloatImage) -> Mask:
    """Where enough of a pixel's neighbours have about its depth, HxW."""
    height, width = z.shape
    around = np.pad(z, 1, constant_values=np.nan)
    support = np.zeros(z.shape, np.int8)
    for dy, dx in np.ndindex(3, 3):
        if (dy, dx) != (1, 1):
            neighbour = around[dy : dy + height, dx : dx + width]
            support += np.abs(neighbour - z) < _ALIKE * z
    enough: Mask = support >= _SUPPORT
    return enough


def _largest_layer(xyz: FloatImage, member: Mask) -> Mask:
    """The pixels of the largest group without a gap along Z, HxW."""
    points = xyz[member]
    spread = np.ptp(np.quantile(points[:, :2], (0.05, 0.95), axis=0), axis=0)
    depth = np.sort(points[:, 2])
    gap = _GAP * float(spread.max())
    cuts = np.flatnonzero(np.diff(depth) > gap)
    starts = np.concatenate([[0], cuts + 1])
    ends = np.concatenate([cuts, [len(depth) - 1]])
    largest = int((ends - starts).argmax())
    z = xyz[..., 2]
    with np.errstate(invalid="ignore"):
        layer: Mask = (z >= depth[starts[largest]]) & (z <= depth[ends[largest]])
    return layer


def _grasp(xyz: FloatImage, member: Mask) -> tuple[FloatArray, FloatArray]:
    """The nearest patch of surface that faces the camera: its middle and outward normal.

    Every pixel gets the plane through the members of the window around it (from the window's sums
    of x, y, z and their products). Patches cut by the object's outline are no place for a finger
    and count only when there are no others.
    """
    size = (_GRASP_WINDOW, _GRASP_WINDOW)

    def window_sum(values: npt.NDArray[np.float64]) -> FloatArray:
        # The object's own middle as origin keeps the products precise.
        return cv2.boxFilter(
            values, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT
        ).astype(np.float64, copy=False)

    origin = np.median(xyz[member], axis=0).astype(np.float64)
    local = np.where(member[..., None], xyz - origin, 0.0)
    count = window_sum(member.astype(np.float64))
    whole = member & (count > _GRASP_WINDOW**2 - 0.5)
    at = whole if whole.any() else member & (count > 3.5)
    if not at.any():
        at = member
    share = 1 / count[at]
    mean = np.stack([window_sum(local[..., i])[at] * share for i in range(3)], axis=1)
    covariance = np.empty((len(mean), 3, 3))
    for i in range(3):
        for j in range(i + 1):
            product = window_sum(local[..., i] * local[..., j])[at] * share
            covariance[:, i, j] = covariance[:, j, i] = product - mean[:, i] * mean[:, j]
    middles = mean + origin
    distance = np.linalg.norm(middles, axis=1)
    nearest_first = distance.argsort(kind="stable")
    for chosen in (nearest_first[:_FIRST_PATCHES], nearest_first):
        normals = np.linalg.eigh(covariance[chosen])[1][:, :, 0]
        facing = -np.einsum("ij,ij->i", normals, middles[chosen]) / distance[chosen]
        if (np.abs(facing) >= _FACING).any():
            break
    best = int((np.abs(facing) >= min(_FACING, np.abs(facing).max())).argmax())
    return middles[chosen[best]], normals[best] * np.sign(facing[best])


def _areas(flat: FloatArray, turns: FloatArray) -> FloatArray:
    """Areas of the rectangles around points of a plane, for some turns of the axes."""
    axes = np.stack([np.cos(turns), np.sin(turns)])
    across = np.stack([-axes[1], axes[0]])
    edges = [high - low for low, high in (_ends(flat @ axes), _ends(flat @ across))]
    area: FloatArray = edges[0] * edges[1]
    return area


def _ends(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where each column begins and ends without its outliers."""
    outliers = int(_TRIM * len(values))
    ordered = np.partition(values, (outliers, len(values) - 1 - outliers), axis=0)
    return ordered[outliers], ordered[len(values) - 1 - outliers]
