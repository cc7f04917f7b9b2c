"""Depth as files: NumPy arrays and 16-bit PNG images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, reading
from depth_anything_ros.formats.media import encoded

_LARGEST = 65535
"""Of 16 bits."""


def write_npy(path: Path, values: npt.NDArray[np.float32]) -> None:
    """Write depth or disparity without loss.

    Args:
        path: The `.npy` file to write.
        values: HxW float32 metres or disparity; NaN where unknown.
    """
    np.save(path, np.asarray(values, np.float32))


def farthest_of_png(png_scale: float) -> float:
    """The largest depth in metres that a 16-bit PNG holds.

    Args:
        png_scale: Units per metre.
    """
    return _LARGEST / png_scale


def write_metric_png(
    path: Path, depth_m: npt.NDArray[np.float32], png_scale: float = 1000.0
) -> int:
    """Write metres as a 16-bit PNG; in millimetres it is the encoding of REP-118's 16UC1.

    Args:
        path: The `.png` file to write.
        depth_m: HxW float32 metres; NaN where unknown.
        png_scale: Units per metre: 1000 for millimetres, 256 as KITTI's files, 5000 as TUM's.

    Returns:
        How many known pixels lie beyond `farthest_of_png`. They are written as 0 = unknown, as a
        saturated value would pass for a measured one.
    """
    known = np.isfinite(depth_m) & (depth_m > 0)
    near = known & (depth_m <= farthest_of_png(png_scale))
    levels = np.rint(np.where(near, depth_m, 0) * png_scale).astype(np.uint16)
    _write_png(path, levels)
    return int(np.count_nonzero(known & ~near))


def write_relative_png(path: Path, disparity: npt.NDArray[np.float32]) -> None:
    """Write disparity as a 16-bit PNG, stretched to 0 (farthest) ... 65535 (nearest).

    Args:
        path: The `.png` file to write.
        disparity: HxW float32 disparity; NaN is written as 0.
    """
    known = np.isfinite(disparity)
    levels = np.zeros(disparity.shape, np.uint16)
    if known.any():
        low, high = float(disparity[known].min()), float(disparity[known].max())
        span = high - low or 1.0
        levels[known] = np.rint((disparity[known].astype(np.float64) - low) / span * 65535)
    _write_png(path, levels)


def read_depth(path: Path, png_scale: float = 1000.0) -> npt.NDArray[np.float32]:
    """Read metres from a `.npy` file or a 16-bit PNG.

    Args:
        path: The file.
        png_scale: PNG units per metre: 1000 for millimetres, 256 for KITTI's files.

    Returns:
        HxW float32 metres; NaN where unknown (not finite, or zero or less).

    Raises:
        InputError: The file cannot be read or is not a depth image.
    """
    with reading(path, "depth"):
        if path.suffix.lower() == ".npy":
            depth = np.asarray(np.load(path, allow_pickle=False), np.float32)
        else:
            raw = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
            if raw is None or raw.dtype != np.uint16:
                raise InputError(f"{path} is not a 16-bit PNG")
            depth = raw.astype(np.float32) / np.float32(png_scale)
    if depth.ndim != 2:
        raise InputError(f"{path} has shape {depth.shape}; depth must be HxW")
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))


def _write_png(path: Path, levels: npt.NDArray[np.uint16]) -> None:
    path.write_bytes(encoded(levels, ".png"))
