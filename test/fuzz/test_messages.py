"""Messages with any fields are read, or refused in one sentence."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import (
    CameraInfo,
    CompressedImage,
    Image,
    Imu,
    LaserScan,
    PointCloud2,
    PointField,
    Range,
)

from depth_anything_ros.benchmark.node.hostile import HostileMessages
from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.encodings import decode_image
from depth_anything_ros.formats.point_cloud2 import read_xyz
from depth_anything_ros.node.messages import camera_from_info, decode, depth_of

SIZE = st.one_of(st.integers(0, 40), st.sampled_from([2**16, 2**31, 2**32 - 1]))
NUMBER = st.floats(width=64)


@settings(max_examples=6 * settings().max_examples)
@given(
    st.binary(max_size=300), SIZE, SIZE, SIZE,
    st.sampled_from(["rgb8", "bgra8", "mono16", "8UC3", "16UC1", "bayer_rggb16", "yuv422", "nv12",
                     "nv21", "32FC1", "", "8UC77", "64FC9", "rgb"]),
    st.booleans(),
)  # fmt: skip
def test_images(data: bytes, height: int, width: int, step: int, encoding: str, big: bool) -> None:
    message = Image(
        height=height, width=width, step=step, encoding=encoding, is_bigendian=int(big),
        data=array.array("B", data),
    )  # fmt: skip
    try:
        rgb = decode(message, 2**20)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert rgb.shape == (height, width, 3)
        assert rgb.dtype == np.uint8
        np.testing.assert_array_equal(
            rgb, decode_image(np.frombuffer(data, np.uint8), height, width, step, encoding, big)
        )
    try:
        depth = depth_of(message)
    except InputError:
        return
    assert depth.shape == (height, width)
    assert depth.dtype == np.float32
    assert not (depth <= 0).any()


@settings(max_examples=6 * settings().max_examples)
@given(SIZE, SIZE, st.lists(NUMBER, max_size=9), st.lists(NUMBER, min_size=9, max_size=9),
       st.lists(NUMBER, min_size=12, max_size=12), st.text(max_size=12), SIZE, SIZE)  # fmt: skip
def test_camera_infos(
    height: int,
    width: int,
    d: list[float],
    k: list[float],
    p: list[float],
    model: str,
    binning: int,
    offset: int,
) -> None:
    message = CameraInfo(height=height, width=width, d=d, k=k, p=p, distortion_model=model)
    message.binning_x, message.roi.x_offset, message.roi.width = binning, offset, binning
    try:
        camera = camera_from_info(message)
    except InputError as error:
        assert "\n" not in str(error)
        return
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    assert np.isfinite(numbers).all()
    assert min(camera.fx, camera.fy) > 0
    assert min(camera.width, camera.height) > 0


FIELDS = st.lists(
    st.tuples(st.sampled_from(["x", "y", "z", "rgb", ""]), SIZE, st.integers(0, 255)), max_size=5
)


@settings(max_examples=6 * settings().max_examples)
@given(st.binary(max_size=200), FIELDS, SIZE, SIZE, SIZE, SIZE, st.booleans())
def test_clouds(
    data: bytes,
    fields: list[tuple[str, int, int]],
    width: int,
    height: int,
    point_step: int,
    row_step: int,
    big: bool,
) -> None:
    try:
        xyz = read_xyz(
            np.frombuffer(data, np.uint8), fields, width, height, point_step, row_step, big
        )
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert xyz.ndim == 2
    assert xyz.shape[1] == 3
    assert len(xyz) <= len(data)


@pytest.mark.parametrize(
    "kind", [Image, CompressedImage, CameraInfo, PointCloud2, LaserScan, Range, Imu, PointField]
)
def test_a_seed_decides_the_hostile_messages(kind: type) -> None:
    def drawn(seed: int) -> list[Any]:
        messages = HostileMessages(seed)
        return [messages.draw(kind, 10**18) for _ in range(20)]

    assert list(map(repr, drawn(1))) == list(map(repr, drawn(1)))
    assert list(map(repr, drawn(1))) != list(map(repr, drawn(2)))
