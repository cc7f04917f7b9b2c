"""Where the ground ends: stairs down, pits, edges of platforms (negative obstacles)."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.arrays import FloatImage
from depth_anything_ros.geometry.camera import Camera, ray_table, require_size

Normal = tuple[float, float, float]

_SURE = 2.0
"""Standard deviations by which a surface must lie below the ground."""

_UNKNOWN = 0.15
"""Standard deviation relative to depth where none is known (own choice, as for a depth whose scale
nothing measured)."""

_OPENED = 22
"""What is smaller than this part of the image's height is an error at the foot of a wall (own
choice; at 2.5 m before a camera 0.85 m high that is a hole 0.35 m long)."""


def dropoff_depth(
    depth_m: FloatImage,
    sigma_m: FloatImage | None,
    camera: Camera,
    ground: tuple[Normal, float],
    min_drop: float,
    max_range: float,
) -> FloatImage:
    """Depth of the ground where it should be but is not: lines of sight pass through its plane.

    Args:
        depth_m: HxW float32 metres along the optical Z axis; NaN unknown, +inf further than
            `max_range`.
        sigma_m: HxW float32 metres, one standard deviation of it, NaN where unknown; or None.
        camera: Camera of this image.
        ground: Normal (up) and offset (the camera's height) of the ground plane in the optical
            frame, `normal . x + offset = 0`.
        min_drop: Metres below the plane from which on a surface counts.
        max_range: Metres along Z up to which the plane is looked at; finite.

    Returns:
        HxW float32: metres along Z to the plane on the lines of sight that end at least `min_drop`
        and two standard deviations below it; NaN elsewhere.

    Raises:
        InputError: Depth and camera differ in size.
        SettingError: `min_drop` is not positive or `max_range` not positive and finite.
    """
    require_size(depth_m.shape, camera)
    if not min_drop > 0:
        raise SettingError(f"min_drop is {min_drop:g}; it must be above 0 metres")
    if not 0 < max_range < np.inf:
        raise SettingError(f"max_range is {max_range:g}; it must be above 0 and finite")
    (nx, ny, nz), offset = ground
    x, y = ray_table(camera)
    # Along a ray the height over the plane falls by this much for every metre of Z.
    fall = -(nx * x + ny * y + nz).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        plane = np.where(fall > 0, np.float32(offset) / fall, np.float32(np.nan))
        seen = np.minimum(depth_m, np.float32(max_range))
        drop = (seen - plane) * fall
        sigma = np.float32(_UNKNOWN) * seen
        if sigma_m is not None:
            sigma = np.where(np.isfinite(sigma_m), sigma_m, sigma)
        missing = (drop >= np.maximum(min_drop, _SURE * sigma * fall)) & (plane <= max_range)
    side = max(3, depth_m.shape[0] // _OPENED | 1)
    opened = cv2.morphologyEx(
        missing.astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8)
    )
    return np.where(opened > 0, plane, np.float32(np.nan)).astype(np.float32)
