"""Depth image -> point cloud in the optical frame, in the memory layout of PointCloud2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.arrays import FloatImage, RgbImage
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.geometry.camera import Camera, ray_table

XYZ = ("x", "y", "z")


@dataclass(frozen=True)
class Cloud:
    """Points in the optical frame (x right, y down, z forward).

    Attributes:
        data: HxWxC float32, C-contiguous, one channel per field: x, y, z in metres, then `rgb`, the
            colour in PCL's packed form (the bits 0x00RRGGBB of a uint32 seen as float32), then
            `confidence`, 0 (doubt) to 1. An organised cloud has one point per (strided) pixel
            with NaN coordinates where unknown; any other is 1xN without NaN.
        fields: Names of the channels, in order.
    """

    data: FloatImage
    fields: tuple[str, ...] = XYZ

    @property
    def has_color(self) -> bool:
        """Whether the points carry a colour."""
        return "rgb" in self.fields

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


def build_cloud(
    depth_m: FloatImage,
    camera: Camera,
    rgb: RgbImage | None = None,
    organized: bool = True,
    stride: int = 1,
    min_range: float = 0.0,
    max_range: float = math.inf,
    confidence: FloatImage | None = None,
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

    Returns:
        The cloud; its memory is new and owned by the caller.

    Raises:
        InputError: Depth, camera, colours and confidence differ in size.
        SettingError: `stride` is below 1.
    """
    height, width = depth_m.shape
    if (camera.width, camera.height) != (width, height):
        raise InputError(
            f"depth is {width}x{height} but its camera is {camera.width}x{camera.height}"
        )
    if rgb is not None and rgb.shape[:2] != (height, width):
        raise InputError(f"depth is {width}x{height} but its colours are {rgb.shape[1::-1]}")
    if confidence is not None and confidence.shape != (height, width):
        raise InputError(
            f"depth is {width}x{height} but its confidence is {confidence.shape[::-1]}"
        )
    if stride < 1:
        raise SettingError(f"stride is {stride}; it must be 1 or more")
    x_ray, y_ray = ray_table(camera)
    z = depth_m
    if stride > 1:
        z = np.ascontiguousarray(z[::stride, ::stride])
        x_ray = x_ray[::stride, ::stride] if x_ray.shape[0] > 1 else x_ray[:, ::stride]
        y_ray = y_ray[::stride, ::stride] if y_ray.shape[1] > 1 else y_ray[::stride]
        rgb = None if rgb is None else rgb[::stride, ::stride]
        confidence = None if confidence is None else confidence[::stride, ::stride]
    furthest = np.float32(min(max_range, float(np.finfo(np.float32).max)))  # +inf is no point
    known = (z >= np.float32(max(min_range, 1e-6))) & (z <= furthest)
    if camera.is_distorted:
        known &= np.isfinite(x_ray)
    if not organized:
        rows, columns = np.nonzero(known)
        z = z[rows, columns][None]
        x_ray = np.broadcast_to(x_ray, known.shape)[rows, columns][None]
        y_ray = np.broadcast_to(y_ray, known.shape)[rows, columns][None]
        rgb = None if rgb is None else rgb[rows, columns][None]
        confidence = None if confidence is None else confidence[rows, columns][None]
    elif not known.all():
        z = np.where(known, z, np.float32(np.nan))
    fields = XYZ + ("rgb",) * (rgb is not None) + ("confidence",) * (confidence is not None)
    data = np.empty((*z.shape, len(fields)), np.float32)
    np.multiply(z, x_ray, out=data[..., 0])
    np.multiply(z, y_ray, out=data[..., 1])
    data[..., 2] = z
    if rgb is not None and z.size:
        data[..., 3] = pack_colors(rgb)
    if confidence is not None:
        data[..., -1] = confidence
    return Cloud(data, fields)
