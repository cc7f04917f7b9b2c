"""Maps of depth enlarged along the edges of their image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.evaluation.boundaries import boundary_f1
from depth_anything_ros.inference.guided_enlargement import enlarge_along_edges

NEAR, FAR = 1.0, 0.25  # disparity


def disc(height: int, width: int, radius: float) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    inside: npt.NDArray[np.bool_] = np.hypot(rows - height / 2, columns - width / 2) < radius
    return inside


def picture_of(inside: npt.NDArray[np.bool_], near: int, far: int) -> npt.NDArray[np.uint8]:
    grey = np.where(inside, near, far) + np.random.default_rng(0).normal(0, 4, inside.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def smeared(truth: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """What a small network gives: few pixels, and each edge blurred over some of them."""
    height, width = truth.shape
    small = cv2.resize(truth, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1.2), np.float32)


def inverse(disparity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(1 / disparity, np.float32)


def test_an_edge_is_sharp_and_where_the_image_has_it() -> None:
    inside = disc(240, 320, 70)
    truth = np.where(inside, NEAR, FAR).astype(np.float32)
    rgb = picture_of(inside, 190, 70)
    small = smeared(truth, 4)
    ours = enlarge_along_edges(small, rgb)
    plain = np.asarray(cv2.resize(small, (320, 240)), np.float32)
    assert ours.dtype == np.float32
    assert ours.shape == truth.shape
    assert boundary_f1(inverse(plain), inverse(truth)) < 0.05
    assert boundary_f1(inverse(ours), inverse(truth)) > 0.8
    wrong = [np.mean(np.abs(each - truth) > 0.1) for each in (ours, plain)]
    assert wrong[0] < 0.005 < 0.04 < wrong[1]
    assert small.min() - 1e-6 <= ours.min() <= ours.max() <= small.max() + 1e-6


def test_without_a_difference_of_colour_the_edge_is_sharp_halfway() -> None:
    inside = disc(240, 320, 70)
    truth = np.where(inside, NEAR, FAR).astype(np.float32)
    ours = enlarge_along_edges(smeared(truth, 4), np.full((240, 320, 3), 120, np.uint8))
    between = (ours > FAR + 0.1) & (ours < NEAR - 0.1)
    assert np.mean(between) < 0.02
    assert np.mean(np.abs(ours - truth) > 0.1) < 0.02


def test_texture_makes_no_edges_of_depth() -> None:
    """A slope and a wall behind stripes are enlarged as they are."""
    stripes = (np.arange(320) // 8 % 2 * 200 + 20).astype(np.uint8)
    rgb = np.ascontiguousarray(np.broadcast_to(stripes[None, :, None], (240, 320, 3)))
    slope = np.repeat(np.linspace(0.1, 1.0, 60, dtype=np.float32)[:, None], 80, axis=1)
    for small in (slope, np.ascontiguousarray(slope.T[:60, :80]), np.full((60, 80), 0.5, "f4")):
        plain = np.asarray(cv2.resize(small, (320, 240)), np.float32)
        ours = enlarge_along_edges(small, rgb)
        inner = np.s_[40:-40, 40:-40]
        np.testing.assert_allclose(ours[inner], plain[inner], rtol=0, atol=0.004)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_depth_and_disparity_of_any_scale(scale: float) -> None:
    inside = disc(120, 160, 35)
    for near, far in ((NEAR, FAR), (1 / NEAR, 1 / FAR)):
        truth = (scale * np.where(inside, near, far)).astype(np.float32)
        ours = enlarge_along_edges(smeared(truth, 4), picture_of(inside, 190, 70))
        assert np.mean(np.abs(ours - truth) > 0.1 * scale) < 0.01


def test_maps_of_no_depth_at_all() -> None:
    rgb = np.zeros((40, 60, 3), np.uint8)
    for small in (np.zeros((10, 15), np.float32), np.ones((1, 1), np.float32)):
        ours = enlarge_along_edges(small, rgb)
        assert ours.shape == (40, 60)
        assert np.array_equal(np.unique(ours), np.unique(small))
