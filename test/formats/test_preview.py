from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.formats.preview import colorize_depth, colorize_disparity, side_by_side

NEAR = (0x9E, 0x01, 0x42)  # the red end of ColorBrewer's Spectral
FAR = (0x5E, 0x4F, 0xA2)  # its violet end


def test_near_is_red_in_metres_and_in_disparity() -> None:
    depth = np.linspace(1, 50, 400, dtype=np.float32).reshape(20, 20)
    for picture in (colorize_depth(depth), colorize_disparity(np.float32(1) / depth)):
        assert tuple(picture[0, 0]) == NEAR
        assert tuple(picture[-1, -1]) == FAR
        assert picture.dtype == np.uint8
        assert picture.shape == (20, 20, 3)


def test_grey_is_bright_when_near() -> None:
    depth = np.linspace(1, 50, 400, dtype=np.float32).reshape(20, 20)
    picture = colorize_depth(depth, grayscale=True)
    assert tuple(picture[0, 0]) == (255, 255, 255)
    assert tuple(picture[-1, -1]) == (0, 0, 0)
    assert (np.diff(picture[..., 0].ravel().astype(int)) <= 0).all()


def test_the_middle_class_lies_in_the_middle() -> None:
    disparity = np.linspace(0, 1, 10_001, dtype=np.float32)[None]
    middle = colorize_disparity(disparity)[0, 5000].astype(int)
    assert np.abs(middle - [0xFF, 0xFF, 0xBF]).max() <= 4


def test_unknown_is_black_and_outliers_do_not_wash_out() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(2, 10, (100, 100)).astype(np.float32)
    clean = colorize_depth(depth)
    depth[0, :4] = [np.nan, np.inf, 0.0, 1e-6]
    picture = colorize_depth(depth)
    assert (picture[0, [0, 2]] == 0).all()
    assert tuple(picture[0, 1]) == FAR
    assert tuple(picture[0, 3]) == NEAR
    assert np.abs(picture[1:].astype(int) - clean[1:]).mean() < 2


@pytest.mark.parametrize("value", [3.0, np.nan])
def test_flat_and_unknown_images(value: float) -> None:
    picture = colorize_disparity(np.full((4, 6), value, np.float32))
    assert (picture == picture[0, 0]).all()
    assert picture.any() == np.isfinite(value)


def test_side_by_side_keeps_both() -> None:
    left = np.full((4, 6, 3), 10, np.uint8)
    right = np.full((4, 6, 3), 20, np.uint8)
    both = side_by_side(left, right)
    assert both.shape == (4, 62, 3)
    assert (both[:, :6] == 10).all()
    assert (both[:, 6:56] == 255).all()
    assert (both[:, 56:] == 20).all()
