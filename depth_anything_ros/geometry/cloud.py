"""Depth image -> point cloud in the optical frame, in the memory layout of PointCloud2."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.geometry.arrays import FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera, ray_table, require_size

XYZ = ("x", "y", "z")

Mask = npt.NDArray[np.bool_]

_BLOCK_PIXELS = 16_384
"""Pixels per block of work, so that a block stays in the processor's cache."""


@dataclass(frozen=True)
class Cloud:
    """Points in the optical frame (x right, y down, z forward).

    Attributes:
        data: HxWxC float32, C-contiguous, one channel per field: x, y, z in metres, then `rgb`, the
            colour in PCL's packed form (the bits 0x00RRGGBB of a uint32 seen as float32), then
            `confidence`, 0 (none) to 1, then `sigma`, one standard deviation of z in metres. An
            organised cloud has one point per (strided) pixel with NaN coordinates where unknown;
            any other is 1xN without NaN.
        fields: Names of the channels, in order.
    """

    data: FloatImage
    fields: tuple[str, ...] = XYZ

    @property
    def is_organized(self) -> bool:
        """Whether the points keep the grid of an image."""
        return self.data.shape[0] > 1

    @property
    def points(self) -> FloatImage:
        """All points with all their fields, NxC float32, a view."""
        return self.data.reshape(-1, self.data.shape[2])

    @property
    def xyz(self) -> FloatImage:
        """All points, Nx3 float32 metres, a view."""
        return self.points[:, :3]

    @property
    def rgb(self) -> RgbImage | None:
        """All colours, Nx3 uint8, or None."""
        packed = self._channel("rgb")
        if packed is None:
            return None
        bits = np.ascontiguousarray(packed).view(np.uint32)
        channels = [(bits >> shift & 0xFF).astype(np.uint8) for shift in (16, 8, 0)]
        return np.stack(channels, axis=1)

    @property
    def confidence(self) -> FloatImage | None:
        """All confidences, N float32, a view, or None."""
        return self._channel("confidence")

    @property
    def sigma(self) -> FloatImage | None:
        """All standard deviations in metres, N float32, a view, or None."""
        return self._channel("sigma")

    def _channel(self, name: str) -> FloatImage | None:
        return self.points[:, self.fields.index(name)] if name in self.fields else None


def pack_colors(rgb: RgbImage) -> FloatImage:
    """Colours in PCL's packed form.

    Args:
        rgb: HxWx3 uint8, at least one pixel.

    Returns:
        HxW float32 with the bits 0x00RRGGBB. The top byte stays 0, as in PCL: 255 would make the
        float a NaN.
    """
    bgra = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]
    packed: FloatImage = np.bitwise_and(bgra, np.uint32(0x00FFFFFF)).view(np.float32)
    return packed


def row_blocks(height: int, width: int) -> list[slice]:
    """Cut an image into blocks of rows that fit the processor's cache.

    Args:
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        Slices of rows, in order.
    """
    count = max(1, _BLOCK_PIXELS // width)
    return [slice(top, min(top + count, height)) for top in range(0, height, count)]


def _new_floats(shape: tuple[int, ...]) -> FloatImage:
    return np.empty(shape, np.float32)


def build_cloud(
    depth_m: FloatImage,
    camera: Camera,
    rgb: RgbImage | None = None,
    organized: bool = True,
    stride: int = 1,
    min_range: float = 0.0,
    max_range: float = math.inf,
    confidence: FloatImage | None = None,
    sigma_m: FloatImage | None = None,
    hidden: Mask | None = None,
    memory: Callable[[tuple[int, ...]], FloatImage] = _new_floats,
) -> Cloud:
    """Turn a depth image into points: x = z * x_ray, y = z * y_ray (through the distortion model).

    Args:
        depth_m: HxW float32 metres along the optical Z axis, NaN where unknown.
        camera: Camera of this image.
        rgb: HxWx3 uint8 colours for the points, or None for x, y, z only.
        organized: Keep the image's grid (unknown points are NaN) instead of known points only.
        stride: Take every n-th row and column.
        min_range: Nearer points (along Z, metres) are left out.
        max_range: Further points (along Z, metres) are left out.
        confidence: HxW float32 from 0 to 1 for the points, or None.
        sigma_m: HxW float32 metres for the points' field sigma, or None.
        hidden: HxW bool, the pixels to leave out, or None.
        memory: Gives the float32 array of a shape that an organised cloud is written to; by
            default a new one.

    Returns:
        The cloud; its memory is what `memory` gave, else new, and the caller's.

    Raises:
        InputError: Depth, camera, colours, confidence and sigma differ in size.
        SettingError: `stride` is below 1.
    """
    height, width = depth_m.shape
    require_size(depth_m.shape, camera)
    if rgb is not None and rgb.shape[:2] != (height, width):
        raise InputError(f"depth is {width}x{height} but its colours are {rgb.shape[1::-1]}")
    channels = {"confidence": confidence, "sigma": sigma_m}
    values = {name: each for name, each in channels.items() if each is not None}
    for name, each in values.items():
        if each.shape != (height, width):
            raise InputError(f"depth is {width}x{height} but its {name} is {each.shape[::-1]}")
    if stride < 1:
        raise SettingError(f"stride is {stride}; it must be 1 or more")
    step = slice(None, None, stride)
    z = np.ascontiguousarray(depth_m[step, step], np.float32)
    height, width = z.shape
    x_ray, y_ray = (np.broadcast_to(ray, depth_m.shape)[step, step] for ray in ray_table(camera))
    furthest = np.float32(min(max_range, float(np.finfo(np.float32).max)))  # +inf is no point
    nearest = np.float32(max(min_range, 1e-6))
    fields = XYZ + ("rgb",) * (rgb is not None) + tuple(values)
    data = memory((height, width, len(fields))) if organized else None
    dense = []
    masks = [mask[step, step] for mask in (hidden, _blind_pixels(camera)) if mask is not None]
    for rows in row_blocks(height, width):
        near_z = _limited(z[rows], nearest, furthest, [mask[rows] for mask in masks])
        planes = [near_z * x_ray[rows], near_z * y_ray[rows], near_z]
        if rgb is not None:
            planes.append(pack_colors(rgb[step, step][rows]))
        planes += [
            np.ascontiguousarray(each[step, step][rows], np.float32) for each in values.values()
        ]
        if data is not None:
            cv2.merge(planes, dst=data[rows])
        else:
            dense.append(_known(np.asarray(cv2.merge(planes), np.float32), near_z))
    return Cloud(np.concatenate(dense)[None] if data is None else data, fields)


def _limited(
    z: FloatImage, nearest: np.float32, furthest: np.float32, masks: list[Mask]
) -> FloatImage:
    """The same array, or a new one with NaN where it is out of range or masked."""
    outside = (z < nearest) | (z > furthest)
    for mask in masks:
        outside |= mask
    return np.where(outside, np.float32(np.nan), z) if outside.any() else z


def _known(points: FloatImage, z: FloatImage) -> FloatImage:
    """The points whose depth is known, NxC."""
    channels = points.shape[2]
    # Whole points are much faster to pick than rows of floats.
    whole = points.reshape(-1, channels).view(f"V{4 * channels}")[:, 0]
    kept: FloatImage = whole[~np.isnan(z.ravel())].view(np.float32).reshape(-1, channels)
    return kept


@functools.lru_cache(maxsize=16)
def _blind_pixels(camera: Camera) -> Mask | None:
    """HxW bool: the pixels for which the distortion model has no ray; None when there are none."""
    blind = np.isnan(ray_table(camera)[0])
    return blind if blind.any() else None
