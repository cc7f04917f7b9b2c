"""Every encoding against a picture whose red and blue cannot be mistaken."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.encodings import IMAGE_ENCODINGS, decode_depth, decode_image

Rgb = npt.NDArray[np.uint8]


def ramp(height: int = 24, width: int = 32) -> Rgb:
    """Red grows to the right, green downwards, blue is low: a smooth, lopsided picture."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([100 + 4 * columns, 60 + 3 * rows, 20 + columns // 2], axis=-1).astype(np.uint8)


def padded(pixels: npt.NDArray[np.generic], padding: int) -> tuple[bytes, int]:
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    filled = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE)
    return filled.tobytes(), filled.shape[1]


def mosaic(rgb: Rgb, pattern: str) -> Rgb:
    """What a sensor behind a colour filter of this pattern (two rows of two) sees."""
    channel = {"r": 0, "g": 1, "b": 2}
    raw = np.empty(rgb.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        raw[row::2, column::2] = rgb[row::2, column::2, channel[colour]]
    return raw


def to_yuv(rgb: Rgb) -> tuple[npt.NDArray[np.float64], ...]:
    """ITU-R BT.601, limited range."""
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    y = 16 + 0.256788 * r + 0.504129 * g + 0.097906 * b
    u = 128 - 0.148223 * r - 0.290993 * g + 0.439216 * b
    v = 128 + 0.439216 * r - 0.367788 * g - 0.071427 * b
    return y, u, v


def difference(decoded: Rgb, expected: Rgb) -> int:
    return int(np.abs(decoded.astype(int) - expected.astype(int)).max())


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize(
    ("encoding", "order"),
    [
        ("rgb8", [0, 1, 2]),
        ("bgr8", [2, 1, 0]),
        ("8UC3", [2, 1, 0]),
        ("rgba8", [0, 1, 2, 3]),
        ("bgra8", [2, 1, 0, 3]),
    ],
)
def test_colour_orders_are_exact(encoding: str, order: list[int], padding: int) -> None:
    rgb = ramp()
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 9, np.uint8)])
    data, step = padded(rgba[..., order], padding)
    np.testing.assert_array_equal(decode_image(data, 24, 32, step, encoding), rgb)


def test_rgb8_without_padding_is_a_view() -> None:
    message_data = array("B", ramp().tobytes())
    decoded = decode_image(message_data, 24, 32, 96, "rgb8")
    message_data[5] = 251
    assert decoded[0, 1, 2] == 251


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_grey_becomes_three_equal_channels(encoding: str) -> None:
    grey = ramp()[..., 0]
    data, step = padded(grey, 3)
    decoded = decode_image(data, 24, 32, step, encoding)
    np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_sixteen_bits_keep_the_high_byte(encoding: str, is_bigendian: bool) -> None:
    values = np.arange(24 * 32).reshape(24, 32) * 85
    data, step = padded(values.astype(">u2" if is_bigendian else "<u2"), 4)
    decoded = decode_image(data, 24, 32, step, encoding, is_bigendian)
    np.testing.assert_array_equal(decoded[..., 1], values >> 8)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("is_bigendian", [False, True])
def test_bayer_finds_red_and_blue_again(pattern: str, bits: int, is_bigendian: bool) -> None:
    rgb = ramp()
    raw: npt.NDArray[np.generic] = mosaic(rgb, pattern)
    if bits == 16:
        raw = (raw.astype(np.uint16) << 8 | 0x7F).astype(">u2" if is_bigendian else "<u2")
    data, step = padded(raw, 2)
    decoded = decode_image(data, 24, 32, step, f"bayer_{pattern}{bits}", is_bigendian)
    # Interpolating a linear ramp is exact but for rounding, away from the border.
    assert difference(decoded[2:-2, 2:-2], rgb[2:-2, 2:-2]) <= 2


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_packed_yuv(encoding: str, order: str) -> None:
    rgb = ramp()
    y, u, v = to_yuv(rgb)
    half_u, half_v = ((part[:, ::2] + part[:, 1::2]) / 2 for part in (u, v))
    luma = iter((y[:, ::2], y[:, 1::2]))
    parts = {"u": half_u, "v": half_v}
    packed = np.stack([next(luma) if c == "y" else parts[c] for c in order], axis=-1)
    data, step = padded(np.rint(packed).astype(np.uint8).reshape(24, 64), 6)
    assert difference(decode_image(data, 24, 32, step, encoding), rgb) <= 5


@pytest.mark.parametrize(("encoding", "order"), [("nv12", (0, 1)), ("nv21", (1, 0))])
def test_semi_planar_yuv(encoding: str, order: tuple[int, int]) -> None:
    rgb = ramp()
    y, u, v = to_yuv(rgb)
    quarter = [part.reshape(12, 2, 16, 2).mean(axis=(1, 3)) for part in (u, v)]
    chroma = np.stack([quarter[index] for index in order], axis=-1).reshape(12, 32)
    data, step = padded(np.rint(np.vstack([y, chroma])).astype(np.uint8), 5)
    assert difference(decode_image(data, 24, 32, step, encoding), rgb) <= 6
    with pytest.raises(InputError, match=f"36 rows of {step} bytes"):
        decode_image(data[: 24 * step], 24, 32, step, encoding)


def test_unknown_encoding_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'rgb9' is not known.*rgb8.*bayer_grbg16"):
        decode_image(b"", 2, 2, 6, "rgb9")


@pytest.mark.parametrize("encoding", IMAGE_ENCODINGS)
def test_too_little_data_is_refused(encoding: str) -> None:
    with pytest.raises(InputError, match="image data has 799 bytes"):
        decode_image(bytes(799), 20, 4, 40, encoding)


@pytest.mark.parametrize(
    ("height", "width", "step", "encoding", "text"),
    [
        (0, 4, 12, "rgb8", "4x0"),
        (4, 0, 12, "rgb8", "0x4"),
        (4, 4, 11, "rgb8", "step is 11 bytes.*has 12"),
        (4, 5, 20, "yuv422", "multiple of 2"),
        (5, 4, 20, "nv12", "multiple of 2"),
        (2, 2, 2, "bayer_rggb8", "at least 3x3"),
    ],
)
def test_impossible_sizes_are_refused(
    height: int, width: int, step: int, encoding: str, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        decode_image(bytes(1000), height, width, step, encoding)


@pytest.mark.parametrize("is_bigendian", [False, True])
def test_depth_in_metres_and_millimetres(is_bigendian: bool) -> None:
    order = ">" if is_bigendian else "<"
    metres = np.array([[1.5, 0.0, np.nan], [-1.0, np.inf, 65.535]], order + "f4")
    expected = np.array([[1.5, np.nan, np.nan], [np.nan, np.nan, 65.535]], np.float32)
    data, step = padded(metres, 4)
    decoded = decode_depth(data, 2, 3, step, "32FC1", is_bigendian)
    np.testing.assert_array_equal(decoded, expected)
    assert decoded.dtype == np.float32
    assert decoded.dtype.isnative

    millimetres = np.array([[1500, 0, 0], [0, 0, 65534]], order + "u2")
    expected[1, 2] = 65.534
    data, step = padded(millimetres, 3)
    decoded = decode_depth(data, 2, 3, step, "16UC1", is_bigendian)
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)


def test_bad_depth_is_refused() -> None:
    with pytest.raises(InputError, match="'8UC1' is not known; use one of 32FC1"):
        decode_depth(bytes(100), 2, 2, 8, "8UC1")
    with pytest.raises(InputError, match="0x2"):
        decode_depth(bytes(100), 2, 0, 8, "32FC1")
    with pytest.raises(InputError, match="has 15 bytes"):
        decode_depth(bytes(15), 2, 2, 8, "32FC1")


hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies


@hypothesis.given(
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    encoding=st.sampled_from(["mono16", "16UC1", "rgb16", "bgr16", "16UC3", "rgba16", "bgra16"]),
    big=st.booleans(),
    padding=st.integers(0, 3),
)
def test_samples_of_any_depth_fill_eight_bits(
    bits: int, encoding: str, big: bool, padding: int
) -> None:
    rgb = ramp()
    rgb[0, 0] = 255  # the brightest sample uses all bits
    wide = rgb.astype(np.uint16) << (bits - 8)
    alpha = np.full((*rgb.shape[:2], 1), wide.max(), np.uint16)
    orders = {"rgb16": [0, 1, 2], "bgr16": [2, 1, 0], "16UC3": [2, 1, 0]}
    orders |= {"rgba16": [0, 1, 2, 3], "bgra16": [2, 1, 0, 3], "mono16": [0], "16UC1": [0]}
    pixels = np.concatenate([wide, alpha], 2)[..., orders[encoding]]
    expected = rgb if len(orders[encoding]) > 1 else np.repeat(rgb[..., :1], 3, axis=2)
    raw = pixels.astype(">u2" if big else "<u2").reshape(len(rgb), -1).view(np.uint8)
    data, step = padded(raw[..., None], padding)
    height, width = rgb.shape[:2]
    decoded = decode_image(data, height, width, step, encoding, big)
    np.testing.assert_array_equal(decoded, expected)


def test_full_sixteen_bits_of_depth_are_unknown() -> None:
    millimetres = np.array([[0, 1500, 65535, 65534]], np.uint16)
    depth = decode_depth(millimetres.tobytes(), 1, 4, 8, "16UC1")
    np.testing.assert_array_equal(depth, np.array([[np.nan, 1.5, np.nan, 65.534]], np.float32))
