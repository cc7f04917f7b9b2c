"""Depth image -> planar scan, and the free space that costmaps clear."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.arrays import FloatArray, FloatImage
from depth_anything_ros.geometry.camera import Camera, ray_table, require_size
from depth_anything_ros.geometry.cloud import Cloud, build_cloud

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScanLayout:
    """Which part of space a scan shows, in a levelled frame: x forward, y left, z up (REP-103).

    Angles are counter-clockwise from x; ray i of the scan is at `angle_min + i * angle_increment`
    as sensor_msgs/LaserScan defines it, and takes what lies within half an increment of it.

    Attributes:
        angle_min: Angle of the first ray in radians.
        angle_max: Largest angle a ray may have in radians.
        angle_increment: Radians between rays.
        range_min: Nearer points (horizontally, metres) are ignored.
        range_max: Further points (horizontally, metres) are no hits.
        min_height: Lowest z of a hit in metres.
        max_height: Highest z of a hit in metres.
    """

    angle_min: float
    angle_max: float
    angle_increment: float
    range_min: float
    range_max: float
    min_height: float
    max_height: float

    def __post_init__(self) -> None:
        """Refuse invalid limits.

        Raises:
            SettingError: A pair of limits is the wrong way round or not finite where it must be.
        """
        if not 0 < self.angle_increment <= math.pi:
            raise SettingError(
                f"angle_increment is {self.angle_increment}; it must be above 0 and at most pi"
            )
        if not -2 * math.pi <= self.angle_min < self.angle_max <= self.angle_min + 2 * math.pi:
            raise SettingError(
                f"angle_min is {self.angle_min} and angle_max {self.angle_max}; they must span "
                "more than 0 and at most 2 pi"
            )
        if not 0 <= self.range_min < self.range_max < math.inf:
            raise SettingError(
                f"range_min is {self.range_min} and range_max {self.range_max}; the first must be "
                "at least 0, the second above it and finite"
            )
        if not self.min_height < self.max_height:
            raise SettingError(
                f"min_height is {self.min_height}; it must be below max_height {self.max_height}"
            )

    @property
    def rays(self) -> int:
        """Number of rays."""
        # The share of an increment forgives angles given to a few decimals.
        return math.floor((self.angle_max - self.angle_min) / self.angle_increment + 1e-3) + 1

    @property
    def last_angle(self) -> float:
        """Angle of the last ray in radians: `angle_max` of the message."""
        return self.angle_min + (self.rays - 1) * self.angle_increment


def depth_to_scan(
    depth_m: FloatImage, camera: Camera, to_scan: FloatArray, layout: ScanLayout
) -> FloatImage:
    """The nearest hit in a height band, ray by ray, with the meanings of REP-117.

    As in pointcloud_to_laserscan, the nearest point of the band wins and points nearer than
    `range_min` are ignored (usually the robot itself). Unlike there, a ray without a hit is +inf
    only where it was seen to be free: some pixel's line of sight passes `range_max` inside the
    band and what it shows lies beyond. An unobserved ray is NaN, so a costmap that clears
    along infinite rays clears nothing behind the robot's back or beyond the ground it saw.

    Args:
        depth_m: HxW float32 metres along the optical Z axis; NaN unknown, +inf too far to measure.
        camera: Camera of this image.
        to_scan: 4x4 float64, optical frame -> the scan's levelled frame.
        layout: Angles, ranges and heights of the scan, in that frame.

    Returns:
        `layout.rays` float32: metres from the scan frame's origin in its x-y plane, +inf where
        seen free, NaN where unknown.

    Raises:
        InputError: Depth and camera differ in size.
    """
    require_size(depth_m.shape, camera)
    rotation = np.asarray(to_scan, np.float32)[:3, :3]
    origin = np.asarray(to_scan, np.float32)[:3, 3]
    x, y = ray_table(camera)
    direction_z = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2]
    with np.errstate(invalid="ignore"):
        height = depth_m * direction_z + origin[2]
        in_band = (height >= layout.min_height) & (height <= layout.max_height)
        in_band &= (depth_m > 0) & (depth_m < np.inf)
        maybe_far = depth_m > _nearest_far_depth(x, y, origin, layout)
    ranges = np.full(layout.rays, np.nan, np.float32)
    far = _chosen(maybe_far, depth_m, camera)
    ranges[_free_rays(*far, rotation, origin, layout)] = np.inf
    x_ray, y_ray, z = _chosen(in_band, depth_m, camera)
    hit_x, hit_y = (
        z * (rotation[i, 0] * x_ray + rotation[i, 1] * y_ray + rotation[i, 2]) + origin[i]
        for i in (0, 1)
    )
    distance = np.sqrt(hit_x * hit_x + hit_y * hit_y)
    reached = (distance >= layout.range_min) & (distance <= layout.range_max)
    bins, inside = _bins(hit_x[reached], hit_y[reached], layout)
    np.fmin.at(ranges, bins, distance[reached][inside])
    return ranges


def clearing_points(
    depth_m: FloatImage, camera: Camera, max_range: float, stride: int = 1
) -> Cloud:
    """End points of the lines of sight that are free up to a range.

    Nav2's obstacle and voxel layers free the cells between a sensor and its points. Where a
    surface lies beyond `max_range` the cloud has no point and nothing would be freed; these
    points, given as an observation source with `clearing: true, marking: false`, do it.

    Args:
        depth_m: HxW float32 metres along the optical Z axis; NaN unknown, +inf too far to measure.
        camera: Camera of this image.
        max_range: Z of the points in metres: the range up to which the cloud shows surfaces.
        stride: Take every n-th row and column.

    Returns:
        Points x, y, z in the optical frame, 1xN, at z = `max_range` on the rays of all pixels
        whose depth is larger. Pixels of unknown depth have none: what is not known is not free.

    Raises:
        InputError: Depth and camera differ in size.
        SettingError: `stride` is below 1, or `max_range` is not positive and finite.
    """
    if not 0 < max_range < math.inf:
        raise SettingError(f"max_range is {max_range}; it must be above 0 and finite")
    free = np.where(depth_m > max_range, np.float32(max_range), np.float32(np.nan))
    return build_cloud(free, camera, organized=False, stride=stride)


def _chosen(
    mask: npt.NDArray[np.bool_], depth_m: FloatImage, camera: Camera
) -> tuple[Floats, Floats, Floats]:
    """x/z, y/z and depth of the pixels in a mask, N each."""
    at = np.nonzero(mask)
    x, y = ray_table(camera)
    if not camera.is_distorted:
        return x[0, at[1]], y[at[0], 0], depth_m[at]
    return x[at], y[at], depth_m[at]


def _nearest_far_depth(x: Floats, y: Floats, origin: Floats, layout: ScanLayout) -> float:
    """A depth along Z below which no pixel can be further than `range_max` horizontally."""
    longest = math.sqrt(1 + float(np.nanmax(np.abs(x))) ** 2 + float(np.nanmax(np.abs(y))) ** 2)
    return (layout.range_max - float(np.hypot(origin[0], origin[1]))) / longest


def _free_rays(
    x_ray: Floats,
    y_ray: Floats,
    z: Floats,
    rotation: Floats,
    origin: Floats,
    layout: ScanLayout,
) -> npt.NDArray[np.int64]:
    """Rays of the scan along which a line of sight leaves `range_max` inside the height band."""
    towards = [rotation[i, 0] * x_ray + rotation[i, 1] * y_ray + rotation[i, 2] for i in range(3)]
    # |origin + z * towards| = range_max in the x-y plane: the larger root is where it leaves.
    a = towards[0] ** 2 + towards[1] ** 2
    b = origin[0] * towards[0] + origin[1] * towards[1]
    c = float(origin[0] ** 2 + origin[1] ** 2) - layout.range_max**2
    with np.errstate(invalid="ignore", divide="ignore"):
        leaves = (np.sqrt(b * b - a * c) - b) / a
        height = leaves * towards[2] + origin[2]
        passes = (leaves > 0) & (z > leaves)
    passes &= (height >= layout.min_height) & (height <= layout.max_height)
    at = leaves[passes]
    x, y = (at * towards[i][passes] + origin[i] for i in (0, 1))
    return _bins(x, y, layout)[0]


def _bins(
    x: Floats, y: Floats, layout: ScanLayout
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The scan's ray that each point belongs to, and which of the points belong to any."""
    first = layout.angle_min - layout.angle_increment / 2
    angle = np.arctan2(y, x) - np.float32(first)
    angle += np.float32(2 * math.pi) * (angle < 0)
    bins = (angle / np.float32(layout.angle_increment)).astype(np.int64)
    inside = bins < layout.rays
    return bins[inside], inside
