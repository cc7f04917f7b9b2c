"""A lens that darkens its image towards the corners, seen by how two pictures differ."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.lens_falloff import LensFalloff

SHAPE = (120, 160)
CAMERA = Camera(640, 480, 400.0, 400.0, 319.5, 239.5)
AHEAD = 12  # rows by which the picture moved


def darkened(picture: FloatImage, corner: float) -> FloatImage:
    """The picture with its corners at a share of their brightness."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    square = np.square(columns + 0.5 - SHAPE[1] / 2) + np.square(rows + 0.5 - SHAPE[0] / 2)
    factor = 1 - (1 - corner) * square / square.max()
    return np.asarray(np.rint(picture * factor), np.float32)


def pictures(corner: float, gain: float = 1.0, seed: int = 0) -> tuple[FloatImage, FloatImage]:
    """Two pictures of a road, AHEAD rows apart, the earlier one exposed by a gain."""
    rng = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(rng.uniform(0, 255, (SHAPE[0] + AHEAD, SHAPE[1])), (0, 0), 2)
    scene = np.clip(120 + 3 * (scene - scene.mean()), 30, 210).astype(np.float32)
    before, now = scene[AHEAD:], scene[:-AHEAD]
    return np.rint(np.float32(gain) * darkened(before, corner)), darkened(now, corner)


def matches(off: float = 0.0) -> FloatImage:
    """Every second pixel of the present picture, AHEAD rows higher in the other."""
    row, column = (each.ravel() for each in np.mgrid[AHEAD : SHAPE[0] : 2, : SHAPE[1] : 2])
    return np.stack([column, row, column + off, row - AHEAD]).astype(np.float32)


def learned(corner: float, gain: float = 1.0, off: float = 0.0) -> LensFalloff:
    falloff = LensFalloff(CAMERA)
    for seed in range(6):
        falloff.learn(*pictures(corner, gain, seed), matches(off))
    return falloff


@pytest.mark.parametrize("corner", [0.9, 0.8, 0.6])
@pytest.mark.parametrize("gain", [1.0, 0.9, 1.1])
def test_the_darkening_is_found_and_taken_away(corner: float, gain: float) -> None:
    falloff = learned(corner, gain)
    print(f"corners at {falloff.at_corner:.3f}, in truth at {corner}")
    assert falloff.at_corner == pytest.approx(corner, abs=0.03)
    grey = np.full(SHAPE, 100, np.float32)
    flat = falloff.flattened(darkened(grey, corner))
    np.testing.assert_allclose(flat, 100, atol=3.5)


def test_pictures_that_match_badly_say_nearly_the_same() -> None:
    assert learned(0.7, off=1.5).at_corner == pytest.approx(0.7, abs=0.07)


def test_a_lens_that_darkens_nothing_is_left_as_it_is() -> None:
    picture, _ = pictures(1.0)
    assert learned(1.0).flattened(picture) is picture
    assert LensFalloff(CAMERA).flattened(picture) is picture


def test_few_matches_and_saturated_pixels_say_nothing() -> None:
    falloff = LensFalloff(CAMERA)
    falloff.learn(*pictures(0.6), matches()[:, :300])
    bright = np.full(SHAPE, 255, np.float32)
    falloff.learn(bright, darkened(bright, 0.99), matches())
    assert falloff.at_corner == 1
