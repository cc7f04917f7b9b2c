"""The pixel encodings of sensor_msgs/Image: raw bytes to RGB or to metres.

Names and layouts are those of sensor_msgs/image_encodings.hpp; colour conversion is OpenCV's.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError

Data = bytes | bytearray | memoryview | array | npt.NDArray[np.uint8]
"""What the data field of a message may be; anything with one-byte items and a buffer."""


@dataclass(frozen=True)
class _Layout:
    """How the pixels of an encoding lie in memory.

    Attributes:
        channels: Samples per pixel, by the length of a row.
        conversion: OpenCV's colour conversion to RGB, None when it is RGB already.
        sample_bytes: Bytes per sample.
        block: (rows, columns) of which the image must hold a whole number.
        extra_rows: Rows of chroma below the image, per row of the image.
        smallest: Fewest rows and columns OpenCV converts rightly.
    """

    channels: int
    conversion: int | None
    sample_bytes: int = 1
    block: tuple[int, int] = (1, 1)
    extra_rows: float = 0.0
    smallest: int = 1


def _bayer_layouts() -> dict[str, _Layout]:
    # OpenCV's first names (BayerBG...) tell the second row's second and third column; the later
    # aliases used here name the first two rows, as ROS does.
    conversions = {
        "rggb": cv2.COLOR_BayerRGGB2RGB,
        "bggr": cv2.COLOR_BayerBGGR2RGB,
        "gbrg": cv2.COLOR_BayerGBRG2RGB,
        "grbg": cv2.COLOR_BayerGRBG2RGB,
    }
    return {
        f"bayer_{pattern}{8 * sample_bytes}": _Layout(1, conversion, sample_bytes, smallest=3)
        for pattern, conversion in conversions.items()
        for sample_bytes in (1, 2)
    }


_GREY_8 = _Layout(1, cv2.COLOR_GRAY2RGB)
_GREY_16 = _Layout(1, cv2.COLOR_GRAY2RGB, sample_bytes=2)
_BGR = _Layout(3, cv2.COLOR_BGR2RGB)
_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(1, 2))
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUYV, block=(1, 2))

_LAYOUTS = {
    "rgb8": _Layout(3, None),
    "bgr8": _BGR,
    "rgba8": _Layout(4, cv2.COLOR_RGBA2RGB),
    "bgra8": _Layout(4, cv2.COLOR_BGRA2RGB),
    "rgb16": _Layout(3, None, sample_bytes=2),
    "bgr16": _Layout(3, cv2.COLOR_BGR2RGB, sample_bytes=2),
    "rgba16": _Layout(4, cv2.COLOR_RGBA2RGB, sample_bytes=2),
    "bgra16": _Layout(4, cv2.COLOR_BGRA2RGB, sample_bytes=2),
    "mono8": _GREY_8,
    "mono16": _GREY_16,
    "8UC1": _GREY_8,
    "8UC3": _BGR,  # cv_bridge, where such images come from, speaks OpenCV's BGR
    "8UC4": _Layout(4, cv2.COLOR_BGRA2RGB),
    "16UC3": _Layout(3, cv2.COLOR_BGR2RGB, sample_bytes=2),
    "16UC4": _Layout(4, cv2.COLOR_BGRA2RGB, sample_bytes=2),
    "16UC1": _GREY_16,
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Layout(1, cv2.COLOR_YUV2RGB_NV12, block=(2, 2), extra_rows=0.5),
    "nv21": _Layout(1, cv2.COLOR_YUV2RGB_NV21, block=(2, 2), extra_rows=0.5),
    **_bayer_layouts(),
}

_FULL_16_BITS = 65535
"""Value of unknown depth of some depth cameras."""

IMAGE_ENCODINGS = tuple(_LAYOUTS)
"""Every encoding `decode_image` reads."""

DEPTH_ENCODINGS = ("32FC1", "16UC1", "mono16")
"""Every encoding `decode_depth` reads; mono16 is what OpenNI drivers call millimetres."""

LABEL_ENCODINGS = ("mono8", "8UC1", "mono16", "16UC1")
"""Encodings `decode_labels` reads."""


def decode_image(
    data: Data,
    height: int,
    width: int,
    step: int,
    encoding: str,
    is_bigendian: bool = False,
) -> npt.NDArray[np.uint8]:
    """Read an image message's bytes as RGB.

    Of 16-bit samples the upper 8 of the bits in use are kept (see `to_8_bit`). YUV is ITU-R BT.601
    with limited range, as
    in OpenCV. Bayer patterns are demosaiced bilinearly.

    Args:
        data: The bytes, row by row.
        height: Rows of the image.
        width: Columns of the image.
        step: Bytes per row, padding included.
        encoding: One of `IMAGE_ENCODINGS`.
        is_bigendian: Whether 16-bit samples have their high byte first.

    Returns:
        HxWx3 uint8 RGB. For rgb8 without padding a view of `data`, read-only if `data` is.

    Raises:
        InputError: The encoding is unknown, the size is zero or does not fit the encoding, or the
            data is too short; the message says which.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise InputError(
            f"image encoding '{encoding}' is not known; use one of {', '.join(IMAGE_ENCODINGS)}"
        )
    _check_size(height, width, encoding, layout)
    rows = height + int(height * layout.extra_rows)
    samples = _rows(data, rows, width * layout.channels * layout.sample_bytes, step, encoding)
    if layout.sample_bytes == 2:
        wide = np.ascontiguousarray(samples).view(">u2" if is_bigendian else "<u2")
        samples = to_8_bit(wide)
    pixels = np.ascontiguousarray(samples)
    if layout.channels > 1:
        pixels = pixels.reshape(rows, width, layout.channels)
    if layout.conversion is None:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, layout.conversion), np.uint8)


def to_8_bit(samples: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """16-bit samples of a picture as 8 bits.

    Cameras of 10, 12 and 14 bits often leave their samples in the low bits: the brightest one tells
    how many bits are in use, and of those the upper 8 are kept.

    Args:
        samples: Any shape.

    Returns:
        The same shape.
    """
    used = int(samples.max(initial=0)).bit_length()
    shift = next(bits for bits in (8, 10, 12, 14, 16) if used <= bits) - 8
    return (samples >> shift).astype(np.uint8)


def decode_depth(
    data: Data,
    height: int,
    width: int,
    step: int,
    encoding: str,
    is_bigendian: bool = False,
) -> npt.NDArray[np.float32]:
    """Read a depth image message's bytes as metres (REP-118).

    Args:
        data: The bytes, row by row.
        height: Rows of the image.
        width: Columns of the image.
        step: Bytes per row, padding included.
        encoding: "32FC1" (metres), "16UC1" or "mono16" (millimetres).
        is_bigendian: Whether samples have their high byte first.

    Returns:
        HxW float32 metres in memory of its own; NaN where unknown (zero,
        negative, infinite or NaN, and 65535 of 16 bits).

    Raises:
        InputError: The encoding is not a depth, the size is zero or the data is too short.
    """
    if encoding not in DEPTH_ENCODINGS:
        raise InputError(
            f"depth encoding '{encoding}' is not known; use one of {', '.join(DEPTH_ENCODINGS)}"
        )
    if height < 1 or width < 1:
        raise InputError(f"depth image is {width}x{height}; it must be at least 1x1")
    dtype = np.dtype("f4" if encoding == "32FC1" else "u2").newbyteorder(
        ">" if is_bigendian else "<"
    )
    samples = _rows(data, height, width * dtype.itemsize, step, encoding)
    depth = np.ascontiguousarray(samples).view(dtype).astype(np.float32)
    if encoding != "32FC1":
        depth[depth == _FULL_16_BITS] = np.nan
        depth /= 1000
    depth[~((depth > 0) & (depth < np.inf))] = np.nan
    return depth


def decode_labels(
    data: Data,
    height: int,
    width: int,
    step: int,
    encoding: str,
    is_bigendian: bool = False,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Read a label image message's bytes, as segmenters publish them.

    Args:
        data: The bytes, row by row.
        height: Rows of the image.
        width: Columns of the image.
        step: Bytes per row, padding included.
        encoding: "mono8", "8UC1", "mono16" or "16UC1".
        is_bigendian: Whether samples have their high byte first.

    Returns:
        HxW uint8 or uint16; 0 is background.

    Raises:
        InputError: The encoding is not that of labels, the size is zero or the data is too short.
    """
    if encoding not in LABEL_ENCODINGS:
        raise InputError(
            f"label encoding '{encoding}' is not known; use one of {', '.join(LABEL_ENCODINGS)}"
        )
    if height < 1 or width < 1:
        raise InputError(f"label image is {width}x{height}; it must be at least 1x1")
    wide = encoding in ("mono16", "16UC1")
    dtype = np.dtype("u2" if wide else "u1").newbyteorder(">" if is_bigendian else "<")
    samples = _rows(data, height, width * dtype.itemsize, step, encoding)
    return np.ascontiguousarray(samples).view(dtype).astype(np.uint16 if wide else np.uint8)


def _check_size(height: int, width: int, encoding: str, layout: _Layout) -> None:
    smallest = layout.smallest
    if height < smallest or width < smallest:
        raise InputError(
            f"image is {width}x{height}; {encoding} must be at least {smallest}x{smallest}"
        )
    if height % layout.block[0] or width % layout.block[1]:
        raise InputError(
            f"image is {width}x{height}; {encoding} needs a width that is a multiple of "
            f"{layout.block[1]} and a height that is a multiple of {layout.block[0]}"
        )


def _rows(data: Data, rows: int, row_bytes: int, step: int, encoding: str) -> npt.NDArray[np.uint8]:
    """The rows of an image without their padding, as a rows x row_bytes view of `data`."""
    if step < row_bytes:
        raise InputError(
            f"image step is {step} bytes, but a row of {encoding} at this width has {row_bytes}"
        )
    flat = np.frombuffer(data, np.uint8)
    if flat.size < rows * step:
        raise InputError(
            f"image data has {flat.size} bytes, but {rows} rows of {step} bytes ({encoding}) "
            f"need {rows * step}"
        )
    return flat[: rows * step].reshape(rows, step)[:, :row_bytes]
