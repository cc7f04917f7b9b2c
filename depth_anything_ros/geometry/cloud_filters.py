"""Filters of point clouds: flying pixels, a height band, voxels."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.arrays import FloatArray, FloatImage
from depth_anything_ros.geometry.camera import Camera, ray_table, require_size
from depth_anything_ros.geometry.cloud import Cloud, Mask, pack_colors, row_blocks

_MOST_TABLED_CUBES = 2**25
"""A grid of up to so many cubes is numbered through a table (256 MB of addresses, of which only
what is used gets memory), which is several times faster than sorting."""


def flying_pixels(depth_m: FloatImage, camera: Camera, min_angle_deg: float = 2.0) -> Mask:
    """Find the points in mid-air that smooth depth edges leave between two surfaces.

    Two neighbouring pixels at ranges a and b (metres along the ray), whose rays are the angle phi
    apart, span a piece of surface that meets the viewing ray at the angle g with
    `tan g = (a + b) / |a - b| * tan(phi / 2)` (law of tangents; the ray meant is the one halfway
    between the two). It is steep where g is below `min_angle_deg`. A pixel flies when, along its
    row or its column, it is steep towards both neighbours and its range lies between theirs. The
    last pixel of a true surface is steep on one side only, a thin pole is nearer than both
    neighbours: both stay. Multiplying all depths by a factor changes nothing.

    Args:
        depth_m: HxW float32 metres along the optical Z axis, NaN where unknown.
        camera: Camera of this image.
        min_angle_deg: Smallest angle between ray and surface in degrees that is kept. At 29 times
            the camera's height away, level ground is seen at 2 degrees.

    Returns:
        HxW bool. A pixel beside an unknown one, or at the image's border, is judged along the
        other direction alone.

    Raises:
        InputError: Depth and camera differ in size.
        SettingError: The angle is not between 0 and 90 degrees.
    """
    height, width = depth_m.shape
    require_size(depth_m.shape, camera)
    if not 0 < min_angle_deg < 90:
        raise SettingError(f"min_angle_deg is {min_angle_deg}; it must lie between 0 and 90")
    lengths, across, down = _ray_angles(camera)
    steepness = np.float32(math.tan(math.radians(min_angle_deg)))
    flying = np.zeros(depth_m.shape, np.bool_)
    for rows in row_blocks(height, width):
        above, below = max(rows.start - 1, 0), min(rows.stop + 1, height)
        ranges = depth_m[above:below] * lengths[above:below]
        with np.errstate(invalid="ignore"):
            rising, falling = _steep(ranges[:-1], ranges[1:], down[above : below - 1], steepness)
            flying[above + 1 : below - 1] = (rising[:-1] & rising[1:]) | (
                falling[:-1] & falling[1:]
            )
            ranges = ranges[rows.start - above : rows.stop - above]
            rising, falling = _steep(ranges[:, :-1], ranges[:, 1:], across[rows], steepness)
        both = (rising[:, :-1] & rising[:, 1:]) | (falling[:, :-1] & falling[:, 1:])
        flying[rows, 1:-1] |= both
    return flying


def _steep(
    near: FloatImage, far: FloatImage, half_tangent: FloatImage, steepness: np.float32
) -> tuple[Mask, Mask]:
    """Where ranges rise and where they fall steeply between neighbours."""
    step = far - near
    step *= steepness
    least = near + far
    least *= half_tangent
    rising = step > least
    np.negative(step, out=step)
    return rising, step > least


@functools.lru_cache(maxsize=4)
def _ray_angles(camera: Camera) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Ray lengths at z = 1 (HxW) and tan(phi / 2) between neighbours in rows and columns."""
    x, y = np.broadcast_arrays(*(part.astype(np.float64) for part in ray_table(camera)))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    lengths = np.linalg.norm(rays, axis=-1)
    rays /= lengths[..., None]

    def half_tangent(one: FloatArray, other: FloatArray) -> FloatImage:
        apart = np.linalg.norm(one - other, axis=-1)
        return np.asarray(apart / np.linalg.norm(one + other, axis=-1), np.float32)

    tables = (
        lengths.astype(np.float32),
        half_tangent(rays[:, :-1], rays[:, 1:]),
        half_tangent(rays[:-1], rays[1:]),
    )
    for table in tables:
        table.setflags(write=False)
    return tables


def within_height(
    cloud: Cloud, to_target: FloatArray, min_height: float, max_height: float
) -> Cloud:
    """Keep the points whose height in another frame lies in a band.

    Args:
        cloud: The points, in the optical frame.
        to_target: 4x4 float64, optical frame -> a frame whose z axis points up (REP-103).
        min_height: Lowest z of that frame to keep, metres; may be -inf.
        max_height: Highest z of that frame to keep, metres; may be +inf.

    Returns:
        A new cloud, still in the optical frame. An organised one keeps its grid (what is left out
        is NaN).
    """
    a, b, c, offset = np.asarray(to_target, np.float32)[2]
    x, y, z = cloud.data[..., 0], cloud.data[..., 1], cloud.data[..., 2]
    height = a * x
    height += b * y
    height += c * z
    height += offset
    inside = (height >= min_height) & (height <= max_height)
    if not cloud.is_organized:
        return Cloud(np.ascontiguousarray(cloud.data[:, inside[0]]), cloud.fields)
    data = cloud.data.copy()
    hide = np.where(inside, np.float32(0.0), np.float32(np.nan))
    for axis in range(3):
        data[..., axis] += hide
    return Cloud(data, cloud.fields)


def downsample(cloud: Cloud, voxel_size: float, nearest: bool = False) -> Cloud:
    """Keep one point per occupied cube of a grid.

    Args:
        cloud: The points.
        voxel_size: Edge of the cubes in metres; the grid starts at the origin.
        nearest: Keep the point nearest to the centroid of a cube's points, with its own colour and
            confidence, instead of the centroid with the means of colour, confidence and sigma.

    Returns:
        A new cloud, 1xN, without NaN, ordered by cube.

    Raises:
        SettingError: `voxel_size` is not positive, or so small that the grid cannot be numbered.
    """
    if not voxel_size > 0:
        raise SettingError(f"voxel_size is {voxel_size}; it must be above 0 metres")
    points = cloud.points
    known = np.isfinite(points[:, 2])
    if not known.all():
        points = points[known]
    if not len(points):
        return Cloud(np.empty((1, 0, len(cloud.fields)), np.float32), cloud.fields)
    voxel, count = _voxels(points[:, :3], voxel_size)
    counts = np.bincount(voxel, minlength=count).astype(np.float64)

    def mean(values: npt.NDArray[np.generic]) -> FloatArray:
        sums = np.bincount(voxel, weights=values, minlength=count)
        return np.asarray(sums / counts, np.float64)

    centroids = [mean(points[:, axis]) for axis in range(3)]
    if nearest:
        square = np.zeros(len(points))
        for axis in range(3):
            square += (points[:, axis] - centroids[axis][voxel]) ** 2
        smallest = np.full(count, np.inf)
        np.minimum.at(smallest, voxel, square)
        closest = np.flatnonzero(square == smallest[voxel])
        chosen = np.empty(count, np.int64)
        chosen[voxel[closest]] = closest
        return Cloud(points[chosen][None], cloud.fields)
    data = np.empty((1, count, len(cloud.fields)), np.float32)
    for axis in range(3):
        data[0, :, axis] = centroids[axis]
    kept = Cloud(points[None], cloud.fields)
    if (colors := kept.rgb) is not None:
        means = np.stack([mean(colors[:, channel]) for channel in range(3)], axis=1)
        data[0, :, 3] = pack_colors(np.rint(means).astype(np.uint8)[None])
    for name in ("confidence", "sigma"):
        if name in cloud.fields:
            channel = cloud.fields.index(name)
            data[0, :, channel] = mean(points[:, channel])
    return Cloud(data, cloud.fields)


def _voxels(xyz: FloatImage, size: float) -> tuple[npt.NDArray[np.int64], int]:
    """Index of every point's cube among the occupied cubes, and their number."""
    cells = np.array(xyz.T, order="C")  # a copy, even of a single point
    cells *= np.float32(1 / size)
    np.floor(cells, out=cells)
    lowest = cells.min(axis=1)
    spans = [int(span) for span in cells.max(axis=1) - lowest + 1]
    cubes = math.prod(spans)
    if cubes >= 2**63:
        raise SettingError(f"voxel_size is {size} m, far too small for a cloud of this extent")
    cells -= lowest[:, None]
    cube = cells[2].astype(np.int64)
    for axis in (1, 0):
        cube *= spans[axis]
        cube += cells[axis].astype(np.int64)
    if cubes > _MOST_TABLED_CUBES:
        occupied, voxel = np.unique(cube, return_inverse=True)
        return voxel.reshape(-1), len(occupied)
    held = np.zeros(cubes, np.bool_)
    held[cube] = True
    occupied = np.flatnonzero(held)
    numbers = np.empty(cubes, np.int64)
    numbers[occupied] = np.arange(len(occupied))
    return numbers[cube], len(occupied)
