"""The compressedDepth transport of ROS: depth images as 16-bit PNG behind a small header.

Layout and formulas are those of compressed_depth_image_transport (ros-perception,
image_transport_plugins): 12 bytes ConfigHeader (int32 format, 0 = inverse depth; float32 A and B),
then the PNG. Metres (32FC1) are stored as q = A / Z + B with A = z0 * (z0 + 1) and
B = 1 - A / depth_max, so that depth_max is 1 and 0 is free for "unknown"; millimetres (16UC1)
are stored as they are.
"""

from __future__ import annotations

import math
import struct

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.encodings import Data

FORMATS = {
    "32FC1": "32FC1; compressedDepth png",
    "16UC1": "16UC1; compressedDepth png",
}
"""The format field of sensor_msgs/CompressedImage by the encoding of the depth image within."""

_HEADER = struct.Struct("<iff")
_INVERSE_DEPTH = 0
_LARGEST = 65535


def encode_compressed_depth(
    depth_m: npt.NDArray[np.float32],
    encoding: str = "32FC1",
    depth_max: float = 10.0,
    quantization: float = 100.0,
    png_level: int = 1,
) -> bytes:
    """Pack a depth image as the data of a CompressedImage whose format is `FORMATS[encoding]`.

    In 32FC1 the inverse depth comes back to within 0.5 / A, so Z to within about Z^2 / (2 A):
    5 mm at 10 m with the package's default quantization of 100. Its nearest depth is
    A / (65535 - B), 0.15 m with the defaults; what is nearer is stored as that.

    Args:
        depth_m: HxW float32 metres along the optical Z axis; NaN, infinite, zero and negative
            are stored as unknown.
        encoding: "32FC1" (inverse depth) or "16UC1" (millimetres).
        depth_max: Metres; depths from here on are stored as unknown. The package's default is 10.
        quantization: z0 above; larger is finer, and cannot store what is very near. Not used
            by 16UC1. The package's default is 100.
        png_level: zlib's level, 0 (fast) to 9 (small).

    Returns:
        Header and PNG.

    Raises:
        InputError: The image has a side of zero.
        SettingError: The encoding is not known or a number is out of its range.
    """
    if encoding not in FORMATS:
        raise SettingError(f"encoding is '{encoding}'; use one of {', '.join(FORMATS)}")
    if not (0 < depth_max < math.inf and 0 < quantization < math.inf):
        raise SettingError(
            f"depth_max is {depth_max} and quantization {quantization}; both must be above 0"
        )
    if not 0 <= png_level <= 9:
        raise SettingError(f"png_level is {png_level}; it must be 0 to 9")
    if not depth_m.size:
        raise InputError(f"a depth image of {depth_m.shape[1]}x{depth_m.shape[0]} cannot be sent")
    known = (depth_m > 0) & (depth_m < depth_max)
    if encoding == "32FC1":
        a, b = _coefficients(depth_max, quantization)
        codes = np.float32(a) / np.where(known, depth_m, np.float32(depth_max)) + np.float32(b)
    else:
        a, b = 0.0, 0.0
        codes = np.where(known, depth_m, np.float32(0.0)) * np.float32(1000.0)
    stored = np.where(known, np.minimum(np.rint(codes), _LARGEST), 0).astype(np.uint16)
    if encoding == "16UC1":
        stored[codes > _LARGEST] = 0  # beyond the range of uint16, not nearer
    png = cv2.imencode(".png", stored, (cv2.IMWRITE_PNG_COMPRESSION, png_level))[1]
    return _HEADER.pack(_INVERSE_DEPTH, a, b) + png.tobytes()


def decode_compressed_depth(data: Data, format_name: str) -> npt.NDArray[np.float32]:
    """Read the data of a compressedDepth CompressedImage as metres (REP-118).

    Args:
        data: Header and PNG.
        format_name: The message's format, "<encoding>; compressedDepth png"; older publishers
            leave out " png" or everything after the encoding.

    Returns:
        HxW float32 metres in memory of its own, NaN where unknown.

    Raises:
        InputError: The format is another one, or the data is too short or damaged.
    """
    encoding, _, transport = (part.strip() for part in format_name.partition(";"))
    if encoding not in FORMATS or transport not in ("", "compressedDepth", "compressedDepth png"):
        raise InputError(
            f"compressed depth format '{format_name}' is not known; use one of "
            f"{', '.join(FORMATS.values())} (set the publisher's format to png)"
        )
    raw = np.frombuffer(data, np.uint8)
    if raw.size <= _HEADER.size:
        raise InputError(
            f"compressed depth has {raw.size} bytes; its header alone has {_HEADER.size}"
        )
    _, a, b = _HEADER.unpack(raw[: _HEADER.size].tobytes())
    stored = cv2.imdecode(raw[_HEADER.size :], cv2.IMREAD_UNCHANGED)
    if stored is None or stored.ndim != 2 or stored.dtype != np.uint16:
        raise InputError(f"compressed depth ({format_name}) holds no 16-bit grey PNG")
    known = stored > 0
    codes = np.where(known, stored, np.uint16(1)).astype(np.float32)
    with np.errstate(divide="ignore"):
        depth = np.float32(a) / (codes - np.float32(b)) if encoding == "32FC1" else codes / 1000
    known &= (depth > 0) & (depth < np.inf)
    return np.where(known, depth, np.float32(np.nan)).astype(np.float32, copy=False)


def _coefficients(depth_max: float, quantization: float) -> tuple[float, float]:
    """A and B of q = A / Z + B."""
    a = quantization * (quantization + 1.0)
    return a, 1.0 - a / depth_max
