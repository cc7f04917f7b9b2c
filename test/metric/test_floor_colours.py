"""Colours of the floor: of cells, at edges, and against those of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.metric.floor_colours import coarse_lab, unlike_floor, vertical_contrast

GREY, GREEN, WHITE = (120, 120, 120), (40, 160, 60), (250, 250, 250)


def picture(*rows: tuple[int, int, int]) -> np.ndarray:
    """Bands of 20 rows of each colour, 60 columns wide."""
    return np.repeat(np.array(rows, np.uint8), 20, axis=0)[:, None].repeat(60, axis=1)


@pytest.mark.parametrize("size", [(40, 60), (41, 61), (39, 59)])
def test_cells_have_the_colour_of_their_pixels(size: tuple[int, int]) -> None:
    rgb = picture(GREEN, GREY)[: size[0], : size[1]]
    rgb = np.pad(rgb, ((0, size[0] - rgb.shape[0]), (0, size[1] - rgb.shape[1]), (0, 0)), "edge")
    shape = rgb[1::2, 1::2].shape
    lab = coarse_lab(rgb, shape[:2], 2)
    assert lab.shape == shape
    assert lab[-1, 0, 1] == 128 and lab[-1, 0, 2] == 128  # grey has no hue
    assert lab[0, 0, 1] < 100  # green


def test_contrast_is_where_colour_changes() -> None:
    contrast = vertical_contrast(coarse_lab(picture(GREEN, GREY), (40, 60), 1))
    assert contrast[19].min() > 0.99
    assert np.delete(contrast, 19, axis=0).max() < 0.01


def test_contrast_of_grain_is_none() -> None:
    rgb = picture(GREY, GREY)
    rgb += np.random.default_rng(0).integers(0, 60, rgb.shape).astype(np.uint8)
    assert np.median(vertical_contrast(coarse_lab(rgb, (40, 60), 1))) < 0.1


def test_colours_of_the_floor_and_of_the_rest() -> None:
    lab = coarse_lab(picture(GREEN, WHITE, GREY), (60, 60), 1)
    floor = np.zeros((60, 60), bool)
    floor[45:] = True
    unlike = unlike_floor(lab, floor)
    assert unlike[:18].min() == 1
    assert unlike[22:38].min() == 1
    assert unlike[43:].max() < -0.5  # also where the floor was not known yet


def test_one_colour_says_nothing() -> None:
    lab = coarse_lab(picture(GREY, GREY), (40, 60), 1)
    floor = np.zeros((40, 60), bool)
    floor[20:] = True
    assert np.abs(unlike_floor(lab, floor)).max() < 0.01
