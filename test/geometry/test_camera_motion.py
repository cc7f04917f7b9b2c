"""Pictures of a moving camera are compared where the camera's motion puts them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.geometry.camera_motion import picture_changed, small_picture

SHAPE = 60, 80
NONE = np.zeros(SHAPE, np.float32)


def picture(seed: int = 0) -> npt.NDArray[np.uint8]:
    """Of blocks of colours."""
    blocks = np.random.default_rng(seed).integers(40, 200, (15, 20, 3)).astype(np.uint8)
    return np.repeat(np.repeat(blocks, 4, axis=0), 4, axis=1)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_change_of_any_colour_is_seen_and_a_shift_of_one_pixel_is_none(channel: int) -> None:
    last = picture()
    now = np.roll(last, 5, axis=1)
    assert not picture_changed(now, last, NONE - 5, NONE, 6)[:, 6:].any()
    assert not picture_changed(now, last, NONE - 6, NONE, 6)[:, 7:].any()
    assert picture_changed(now, last, NONE, NONE, 6)[:, 6:].mean() > 0.5
    now[20:30, 40:50, channel] = 250
    changed = picture_changed(now, last, NONE - 5, NONE, 6)
    assert changed[20:30, 40:50].all()
    changed[20:30, 40:50] = False
    assert not changed[:, 6:].any()


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_a_small_picture_keeps_places_and_colours(factor: int) -> None:
    colours = picture()
    large = np.repeat(np.repeat(colours, factor, axis=0), factor, axis=1)
    small = small_picture(large, (SHAPE[1], SHAPE[0]))
    assert small.shape == colours.shape and small.dtype == np.uint8
    assert np.mean(np.abs(small.astype(float) - colours) > 1) < 0.01
