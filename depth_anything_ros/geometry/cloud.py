"""Depth image -> point cloud in the optical frame, in the memory layout of PointCloud2."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera, ray_table


@dataclass(frozen=True)
class Cloud:
    """Points in the optical frame (x right, y down, z forward).

    Attributes:
        data: HxWxC float32, C-contiguous: x, y, z in metres and, when C is 4, the colour in PCL's
            packed form (the bits 0x00RRGGBB of a uint32 seen as float32). An organised cloud has
            one point per (strided) pixel with NaN where unknown; any other is 1xN without NaN.
    """

    data: FloatImage

    @property
    def has_color(self) -> bool:
        """Whether the points carry a colour."""
        return self.data.shape[2] == 4

    @property
    def xyz(self) -> FloatImage:
        """All points, Nx3 float32 metres."""
        return self.data.reshape(-1, self.data.shape[2])[:, :3]

    @property
    def rgb(self) -> RgbImage | None:
        """All colours, Nx3 uint8, or None."""
        if not self.has_color:
            return None
        packed = np.ascontiguousarray(self.data.reshape(-1, 4)[:, 3]).view(np.uint32)
        channels = [(packed >> shift & 0xFF).astype(np.uint8) for shift in (16, 8, 0)]
        return np.stack(channels, axis=1)


def build_cloud(
    depth_m: FloatImage,
    camera: Camera,
    rgb: RgbImage | None = None,
    organized: bool = True,
    stride: int = 1,
    min_range: float = 0.0,
    max_range: float = math.inf,
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

    Returns:
        The cloud; its memory is new and owned by the caller.

    Raises:
        InputError: Depth, camera and colours differ in size.
        SettingError: `stride` is below 1.
    """
    height, width = depth_m.shape
    if (camera.width, camera.height) != (width, height):
        raise InputError(
            f"depth is {width}x{height} but its camera is {camera.width}x{camera.height}"
        )
    if rgb is not None and rgb.shape[:2] != (height, width):
        raise InputError(f"depth is {width}x{height} but its colours are {rgb.shape[1::-1]}")
    if stride < 1:
        raise SettingError(f"stride is {stride}; it must be 1 or more")
    x_ray, y_ray = ray_table(camera)
    z = depth_m
    if stride > 1:
        z = np.ascontiguousarray(z[::stride, ::stride])
        x_ray = x_ray[::stride, ::stride] if x_ray.shape[0] > 1 else x_ray[:, ::stride]
        y_ray = y_ray[::stride, ::stride] if y_ray.shape[1] > 1 else y_ray[::stride]
        rgb = None if rgb is None else rgb[::stride, ::stride]
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
    elif not known.all():
        z = np.where(known, z, np.float32(np.nan))
    data = np.empty((*z.shape, 3 if rgb is None else 4), np.float32)
    np.multiply(z, x_ray, out=data[..., 0])
    np.multiply(z, y_ray, out=data[..., 1])
    data[..., 2] = z
    if rgb is not None and z.size:
        # The alpha byte stays 0, as in PCL: 255 would make the float a NaN.
        bgra = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGRA).view(np.uint32)
        colours: npt.NDArray[np.uint32] = data.view(np.uint32)[..., 3]
        np.bitwise_and(bgra[..., 0], np.uint32(0x00FFFFFF), out=colours)
    return Cloud(data)
