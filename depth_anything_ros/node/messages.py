"""ROS messages <-> arrays: zero-copy views in, one copy out.

rclpy checks each byte of what is assigned to a uint8[] field (hundreds of times slower), unless
it is an `array('B')`, which Jazzy copies. So what leaves is written into the array that a message
has. And rclpy has copied a message when `publish` returns, so the next one may be the same object:
writing to its memory again is cheaper than new pages for every message.
"""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    LaserScan,
    PointCloud2,
    PointField,
)
from std_msgs.msg import Header

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.compressed_depth import FORMATS, encode_compressed_depth
from depth_anything_ros.formats.encodings import decode_depth, decode_image
from depth_anything_ros.formats.extrinsics import position_and_quaternion
from depth_anything_ros.formats.image_header import encoded_size
from depth_anything_ros.formats.media import decode_compressed_message
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import XYZ, Cloud
from depth_anything_ros.geometry.scan import ScanLayout

_COMPRESSED_DEPTH_MAX = 100.0
_BIG_ENDIAN = sys.byteorder == "big"


def nanoseconds(stamp: Time) -> int:
    """A stamp as one integer, nanoseconds since the epoch."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def image_to_rgb(message: Image) -> RgbImage:
    """The picture of an Image message.

    Args:
        message: sensor_msgs/Image in any of the known encodings.

    Returns:
        HxWx3 uint8 RGB; a view of the message's memory where its layout allows.

    Raises:
        InputError: Unknown encoding, size zero, or less data than announced.
    """
    return decode_image(
        np.frombuffer(message.data, np.uint8),
        message.height,
        message.width,
        message.step,
        message.encoding,
        bool(message.is_bigendian),
    )


def decode(message: Image | CompressedImage, max_pixels: int = 2**30) -> RgbImage:
    """The picture of an Image or CompressedImage message; see `image_to_rgb`.

    Args:
        message: The message.
        max_pixels: Most pixels it may have: kilobytes may claim to be gigabytes of picture.

    Raises:
        InputError: The picture cannot be read, or is too large.
    """
    if isinstance(message, CompressedImage):
        content = np.frombuffer(message.data, np.uint8)
        size = encoded_size(content.tobytes())
        if size is None:
            raise InputError(
                f"compressed image ({message.format}) is no JPEG, PNG, TIFF, BMP or WebP picture, "
                "or its header is damaged"
            )
        _check_pixels(size, max_pixels)
        return decode_compressed_message(content, message.format)
    _check_pixels((message.width, message.height), max_pixels)
    return image_to_rgb(message)


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise InputError(
            f"an image of {size[0]}x{size[1]} is larger than max_image_pixels ({max_pixels}); "
            "raise the parameter if the camera really is that large"
        )


def depth_of(message: Image) -> FloatImage:
    """The metres of a depth image message (REP-118).

    Args:
        message: sensor_msgs/Image, 32FC1 or 16UC1.

    Returns:
        HxW float32 metres, NaN where unknown or out of range.

    Raises:
        InputError: Unknown encoding, size zero, or less data than announced.
    """
    return decode_depth(
        np.frombuffer(message.data, np.uint8),
        message.height,
        message.width,
        message.step,
        message.encoding,
        bool(message.is_bigendian),
    )


def camera_from_info(message: CameraInfo) -> Camera:
    """The camera of a CameraInfo message, region of interest and binning taken in.

    Args:
        message: sensor_msgs/CameraInfo.

    Returns:
        The camera of the image that is sent with it.

    Raises:
        InputError: The message does not hold a calibration; the message says what is wrong.
    """
    roi = message.roi
    return Camera.from_fields(
        message.width,
        message.height,
        message.k,
        message.d,
        message.r,
        message.p,
        message.distortion_model,
        (message.binning_x, message.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def info_from_camera(camera: Camera, header: Header) -> CameraInfo:
    """The CameraInfo of exactly this camera's image: no binning, no region of interest.

    Args:
        camera: The camera.
        header: Stamp and frame_id to use.

    Returns:
        sensor_msgs/CameraInfo with R and P filled in (P = [K | 0] where none was given).
    """
    return CameraInfo(
        header=header,
        width=camera.width,
        height=camera.height,
        distortion_model=camera.distortion_model or "plumb_bob",
        d=list(camera.distortion) or [0.0] * 5,
        k=camera.k.ravel(),
        r=camera.r.ravel(),
        p=camera.p.ravel(),
    )


def transform_to_message(
    stamp: Time, parent: str, child: str, matrix: npt.NDArray[np.floating[Any]]
) -> TransformStamped:
    """A transform between two frames as tf2 sends it.

    Args:
        stamp: Its time.
        parent: The frame that points are brought into.
        child: The frame that points are in.
        matrix: 4x4, child -> parent.

    Returns:
        geometry_msgs/TransformStamped.
    """
    x, y, z, *quaternion = position_and_quaternion(matrix)
    message = TransformStamped(header=Header(stamp=stamp, frame_id=parent), child_frame_id=child)
    message.transform.translation = Vector3(x=x, y=y, z=z)
    message.transform.rotation = quaternion_message(quaternion)
    return message


def quaternion_message(numbers: Sequence[float]) -> Quaternion:
    """Four numbers x y z w as geometry_msgs/Quaternion."""
    x, y, z, w = numbers
    return Quaternion(x=x, y=y, z=z, w=w)


def rgb_to_image(rgb: RgbImage, header: Header, message: Image | None = None) -> Image:
    """A picture as an rgb8 Image.

    Args:
        rgb: HxWx3 uint8.
        header: Stamp and frame_id to use.
        message: One to fill and return; None for a new one.

    Returns:
        sensor_msgs/Image.
    """
    return _image(rgb, "rgb8", 3, header, message)


def depth_to_image(
    depth_m: FloatImage, encoding: str, header: Header, message: Image | None = None
) -> Image:
    """A depth image as REP-118 has it.

    Args:
        depth_m: HxW float32 metres, NaN where unknown.
        encoding: "32FC1" (metres, NaN unknown) or "16UC1" (millimetres, 0 unknown; what does not
            fit, from 65.535 m on, is unknown too).
        header: Stamp and frame_id to use.
        message: One to fill and return; None for a new one.

    Returns:
        sensor_msgs/Image.
    """
    if encoding == "32FC1":
        return _image(depth_m, "32FC1", 4, header, message)
    millimetres = depth_m * np.float32(1000.0)
    fits = (millimetres >= 0.5) & (millimetres < 65535.5)
    rounded = np.rint(np.where(fits, millimetres, np.float32(0.0))).astype(np.uint16)
    return _image(rounded, "16UC1", 2, header, message)


def compressed_depth_message(depth_m: FloatImage, encoding: str, header: Header) -> CompressedImage:
    """A depth image as image_transport's compressedDepth has it.

    Args:
        depth_m: HxW float32 metres, NaN where unknown.
        encoding: "32FC1" (quantised inverse depth, up to 100 m) or "16UC1" (millimetres).
        header: Stamp and frame_id to use.

    Returns:
        sensor_msgs/CompressedImage.
    """
    packed = encode_compressed_depth(depth_m, encoding, depth_max=_COMPRESSED_DEPTH_MAX)
    message = CompressedImage(header=header, format=FORMATS[encoding])
    message.data.frombytes(packed)
    return message


def scan_message(ranges: FloatImage, layout: ScanLayout, header: Header) -> LaserScan:
    """A laser scan with the meanings of REP-117.

    Args:
        ranges: N float32 metres, +inf seen free, NaN unknown.
        layout: What the scan shows.
        header: Stamp, and the frame whose x-y plane the scan lies in.

    Returns:
        sensor_msgs/LaserScan.
    """
    filled = array.array("f")
    filled.frombytes(np.ascontiguousarray(ranges, np.float32).view(np.uint8).data)
    return LaserScan(
        header=header,
        angle_min=layout.angle_min,
        angle_max=layout.last_angle,
        angle_increment=layout.angle_increment,
        range_min=layout.range_min,
        range_max=layout.range_max,
        ranges=filled,
    )


def floats_to_image(values: FloatImage, header: Header, message: Image | None = None) -> Image:
    """Any float image (disparity, confidence) as 32FC1.

    Args:
        values: HxW float32.
        header: Stamp and frame_id to use.
        message: One to fill and return; None for a new one.

    Returns:
        sensor_msgs/Image.
    """
    return _image(values, "32FC1", 4, header, message)


def cloud_to_message(
    cloud: Cloud, header: Header, message: PointCloud2 | None = None
) -> PointCloud2:
    """A cloud as PointCloud2 with the cloud's fields (rgb is PCL's packed float).

    Args:
        cloud: The points, in the optical frame.
        header: Stamp and frame_id to use.
        message: One to fill and return; None for a new one.

    Returns:
        sensor_msgs/PointCloud2.
    """
    height, width, channels = cloud.data.shape
    message = PointCloud2() if message is None else message
    message.header = header
    message.height = height
    message.width = width
    message.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(cloud.fields)
    ]
    message.is_bigendian = _BIG_ENDIAN
    message.point_step = 4 * channels
    message.row_step = 4 * channels * width
    message.is_dense = height == 1
    _fill(message, cloud.data)
    return message


def cloud_from_message(message: PointCloud2) -> Cloud:
    """The known points of one of this package's own clouds (float32 fields, no padding).

    Args:
        message: sensor_msgs/PointCloud2 as `cloud_to_message` makes it.

    Returns:
        1xN points without NaN, a copy.

    Raises:
        InputError: The layout is another one.
    """
    fields = tuple(field.name for field in message.fields)
    if message.point_step != 4 * len(fields) or fields[:3] != XYZ:
        raise InputError(f"the cloud has a point_step of {message.point_step}, not x y z [rgb]")
    points = np.frombuffer(message.data, np.float32).reshape(-1, len(fields))
    return Cloud(points[np.isfinite(points[:, 2])][None], fields)


def memory_of(message: Image | PointCloud2, shape: tuple[int, ...]) -> FloatImage:
    """The memory of a message's data, to write the next values to directly.

    Args:
        message: It gets memory of the right size where it has another.
        shape: Of the values.

    Returns:
        float32 of that shape, valid as long as nothing else is put into the message.
    """
    size = 4 * math.prod(shape)
    if len(message.data) != size:
        message.data = array.array("B", bytes(size))
    return np.frombuffer(message.data, np.float32).reshape(shape)


def _image(
    pixels: npt.NDArray[Any],
    encoding: str,
    pixel_bytes: int,
    header: Header,
    message: Image | None,
) -> Image:
    height, width = pixels.shape[:2]
    if not height or not width:
        raise InputError(f"an image of {width}x{height} cannot be sent")
    message = Image() if message is None else message
    message.header = header
    message.height = height
    message.width = width
    message.encoding = encoding
    message.is_bigendian = _BIG_ENDIAN
    message.step = width * pixel_bytes
    _fill(message, pixels)
    return message


def _fill(message: Image | PointCloud2, values: npt.NDArray[Any]) -> None:
    """Put values into a message's memory, where they are not there already."""
    content = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    if not len(content) or len(message.data) != len(content):
        message.data = array.array("B")
        message.data.frombytes(content.data)
        return
    memory = np.frombuffer(message.data, np.uint8)
    if not np.may_share_memory(memory, content):
        np.copyto(memory, content)
