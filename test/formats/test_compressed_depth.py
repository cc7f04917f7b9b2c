"""compressedDepth against its definition, its quantisation bound and damaged data."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.compressed_depth import (
    FORMATS,
    decode_compressed_depth,
    encode_compressed_depth,
)


def depths(low: float, high: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.exp(rng.uniform(np.log(low), np.log(high), (120, 160))).astype(np.float32)


@pytest.mark.parametrize(("depth_max", "quantization"), [(10.0, 100.0), (80.0, 100.0), (5.0, 30.0)])
def test_metres_come_back_within_the_quantisation(depth_max: float, quantization: float) -> None:
    a = quantization * (quantization + 1)
    nearest = a / (65535 - 1 + a / depth_max)
    depth = depths(nearest * 1.001, depth_max * 0.9999)
    depth[5, 7], depth[6, 7], depth[7, 7], depth[8, 7] = np.nan, np.inf, 0.0, -np.inf
    data = encode_compressed_depth(depth, "32FC1", depth_max, quantization)
    back = decode_compressed_depth(data, FORMATS["32FC1"])
    assert back.dtype == np.float32
    assert np.isnan(back[5:9, 7]).all()
    known = depth > 0
    known &= np.isfinite(depth)
    assert np.isfinite(back[known]).all()
    error = np.abs(1 / back[known].astype(float) - 1 / depth[known].astype(float))
    worst = np.abs(back[known] - depth[known]).max()
    print(
        f"depth_max {depth_max} m: worst {worst * 1000:.2f} mm, 1/Z off by {error.max() * a:.3f}/A"
    )
    # Half a step, and float32's own grain of about a hundredth of a step.
    assert error.max() <= 0.52 / a
    assert error.max() >= 0.4 / a


def test_the_bytes_are_those_of_the_ros_package() -> None:
    depth = np.array([[1.0, 2.0, 9.99, 10.0, np.nan, 0.001]], np.float32)
    data = encode_compressed_depth(depth)
    form, a, b = struct.unpack_from("<iff", data)
    assert (form, a, b) == (0, 10100.0, pytest.approx(1 - 1010.0))
    stored = cv2.imdecode(np.frombuffer(data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.dtype == np.uint16
    # A / Z + B by hand; 10 m is no longer below depth_max, 1 mm is nearer than can be stored.
    np.testing.assert_array_equal(stored, [[9091, 4041, 2, 0, 0, 65535]])


def test_data_of_the_ros_package_is_read() -> None:
    # The package truncates to an integer where we round; it decodes as A / (q - B).
    a, b = 10100.0, -1009.0
    depth = depths(0.2, 9.9)
    stored = (np.float32(a) / depth + np.float32(b)).astype(np.uint16)
    stored[0, :5] = 0
    png = cv2.imencode(".png", stored, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1]
    data = struct.pack("<iff", 0, a, b) + png.tobytes()
    for name in ("32FC1; compressedDepth png", "32FC1; compressedDepth", "32FC1"):
        back = decode_compressed_depth(data, name)
        assert np.isnan(back[0, :5]).all()
        np.testing.assert_allclose(back[1:], a / (stored[1:].astype(float) - b), rtol=1e-6)


def test_millimetres_are_stored_as_they_are() -> None:
    depth = depths(0.2, 60.0)
    depth[0, 0], depth[0, 1], depth[0, 2], depth[0, 3] = np.nan, -1.0, np.inf, 66.0
    data = encode_compressed_depth(depth, "16UC1", depth_max=100.0)
    assert data[:12] == bytes(12)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8)[12:], cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert (stored[0, :4] == 0).all()
    np.testing.assert_array_equal(stored[1:], np.rint(depth[1:] * np.float32(1000)))
    back = decode_compressed_depth(data, FORMATS["16UC1"])
    assert np.isnan(back[0, :4]).all()
    assert np.abs(back[1:] - depth[1:]).max() <= 0.000501 + 1e-5
    limited = decode_compressed_depth(encode_compressed_depth(depth, "16UC1", 10.0), "16UC1")
    np.testing.assert_array_equal(np.isnan(limited[1:]), depth[1:] >= 10.0)


def test_damaged_data_is_refused_in_words() -> None:
    data = encode_compressed_depth(depths(1, 5))
    with pytest.raises(InputError, match="12 bytes; its header"):
        decode_compressed_depth(data[:12], FORMATS["32FC1"])
    with pytest.raises(InputError, match="no 16-bit grey PNG"):
        decode_compressed_depth(data[:60], FORMATS["32FC1"])
    colours = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    with pytest.raises(InputError, match="no 16-bit grey PNG"):
        decode_compressed_depth(bytes(12) + colours, FORMATS["16UC1"])
    for name in ("32FC1; compressedDepth rvl", "rgb8; jpeg compressed bgr8", ""):
        with pytest.raises(InputError, match="set the publisher's format to png"):
            decode_compressed_depth(data, name)


def test_impossible_settings_are_refused_in_words() -> None:
    depth = depths(1, 5)
    with pytest.raises(SettingError, match="encoding is '8UC1'"):
        encode_compressed_depth(depth, "8UC1")
    with pytest.raises(SettingError, match="depth_max is 0"):
        encode_compressed_depth(depth, depth_max=0.0)
    with pytest.raises(SettingError, match="png_level is 10"):
        encode_compressed_depth(depth, png_level=10)
    with pytest.raises(InputError, match="0x3"):
        encode_compressed_depth(np.zeros((3, 0), np.float32))
