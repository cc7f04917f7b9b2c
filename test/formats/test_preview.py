from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.formats.preview import (
    ColorRange,
    DepthColors,
    colorize_depth,
    colorize_disparity,
    side_by_side,
)
from depth_anything_ros.frames import (
    DepthFrame,
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    ScaleState,
)

NEAR = (252, 255, 164)  # the bright end of inferno
FAR = (0, 0, 4)  # its dark end


def test_near_is_bright_in_metres_and_in_disparity() -> None:
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


def test_what_is_nearer_is_brighter_everywhere() -> None:
    disparity = np.linspace(0, 1, 10_001, dtype=np.float32)[None]
    red, green, blue = np.moveaxis(colorize_disparity(disparity)[0].astype(float), -1, 0)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue  # ITU-R BT.709
    assert (np.diff(luminance) >= -1.5).all()
    assert np.ptp(luminance) > 230


def test_colours_are_steady_over_a_video() -> None:
    colors = DepthColors()
    depth = np.linspace(1, 9, 400, dtype=np.float32).reshape(20, 20)
    first = colors.depth(depth)
    passing = depth.copy()
    passing[10:] = 0.3  # somebody walks past the camera
    steady = np.abs(colors.depth(passing)[:10].astype(int) - first[:10]).mean()
    alone = np.abs(colorize_depth(passing)[:10].astype(int) - first[:10]).mean()
    assert steady < 0.5 * alone
    for _ in range(60):
        settled = colors.depth(passing)
    assert np.abs(settled.astype(int) - colorize_depth(passing)).max() < 8


def answer(
    values: float, depth_m: float | None, kind: PredictionKind = PredictionKind.RELATIVE_DEPTH
) -> DepthFrame:
    """A picture whose depth goes from a value to twice that."""
    ramp = np.linspace(1, 2, 400, dtype=np.float32).reshape(20, 20)
    return DepthFrame(
        frame=Frame(np.zeros((20, 20, 3), np.uint8)),
        prediction=Prediction(np.float32(values) * ramp, kind, (20, 20)),
        depth_m=None if depth_m is None else np.float32(depth_m) * ramp,
        confidence=None,
        scale_state=ScaleState("network", Quality.GOOD, ""),
    )


def test_one_range_fits_all_pictures_of_a_clip() -> None:
    near, far, unknown = answer(5, 1.0), answer(5, 10.0), answer(5, None)
    both = ColorRange.of_pictures([near, far, unknown])
    assert both.metres == pytest.approx((1 / 20, 1.0), rel=0.05)
    assert both.relative == pytest.approx((1 / 10, 1 / 5), rel=0.05)  # in the network's own units
    colors = DepthColors(fixed=both)
    before = colors.answer(near)
    assert colors.answer(far).max() < before.max()
    legend = colors.legend()
    assert legend is not None
    assert (legend.near, legend.far) == pytest.approx((1.0, 20.0), rel=0.05)
    colors.answer(unknown)
    assert colors.legend() is None  # relative depth has no metres
    np.testing.assert_array_equal(colors.answer(near), before)
    assert ColorRange.of_pictures([]) == ColorRange(None, None)


def test_the_legend_names_near_and_far() -> None:
    colors = DepthColors()
    assert colors.legend() is None
    colors.disparity(np.linspace(0.1, 1, 400, dtype=np.float32).reshape(20, 20))
    assert colors.legend() is None  # no metres, no legend
    colors.depth(np.linspace(1, 10, 400, dtype=np.float32).reshape(20, 20))
    legend = colors.legend()
    assert legend is not None
    assert 0.99 < legend.near < 1.2
    assert 8 < legend.far < 10.1
    bar = legend.bar(200)
    assert bar.shape == (200, 50, 3)
    strip = bar[16:184, 5].astype(int).sum(axis=1)
    assert strip[0] > 600 > strip[-1]
    assert (np.diff(strip) <= 6).all()
    assert (legend.bar(40) == 255).all()


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
