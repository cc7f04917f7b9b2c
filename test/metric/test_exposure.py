"""By how much one picture is brighter than another."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from metric_scenes import texture

from depth_anything_ros.metric.exposure import (
    exposed,
    exposure_at,
    exposure_between,
    exposure_by_flow,
)

HEIGHT, WIDTH = 120, 160


@pytest.mark.parametrize(("gain", "more"), [(1.3, 0.0), (0.7, 5.0), (1.0, -30.0), (0.9, 20.0)])
def test_a_third_that_shows_something_else_does_not_matter(gain: float, more: float) -> None:
    chance = np.random.default_rng(0)
    before = chance.uniform(40, 150, 3000)
    now = gain * before + more + chance.normal(0, 1.5, len(before))
    now[:1000] = chance.uniform(0, 255, 1000)
    found = exposure_between(before, now)
    print(found)
    assert found[0] * 95 + found[1] == pytest.approx(gain * 95 + more, abs=0.8)
    assert found[0] == pytest.approx(gain, abs=0.03)


def test_exposure_is_found_along_the_flow_and_left_alone_where_it_has_not_changed() -> None:
    last = (40 + texture(3)[:HEIGHT, : WIDTH + 6] // 2).astype(np.uint8)
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = 6
    now = last[:, 6:]
    assert exposure_by_flow(now, last[:, :WIDTH], flow) == (1.0, 0.0)
    brighter = exposed(now, 1.2, -10.0)
    gain, more = exposure_by_flow(brighter, last[:, :WIDTH], flow)
    print(gain, more)
    assert gain * float(now.mean()) + more == pytest.approx(float(brighter.mean()), abs=0.5)
    np.testing.assert_allclose(exposed(now, gain, more), brighter, atol=3)
    night = np.zeros_like(now)
    assert exposure_by_flow(night, last[:, :WIDTH], flow) == (1.0, 0.0)


def test_places_that_do_not_belong_together_tell_nothing() -> None:
    chance = np.random.default_rng(1)
    first, second = texture(3)[:HEIGHT, :WIDTH], texture(5)[:HEIGHT, :WIDTH]
    corners = chance.uniform(10, 110, (60, 2)).astype(np.float32)
    assert exposure_at(first, exposed(first, 0.7, 20.0), corners, corners) != (1.0, 0.0)
    assert exposure_at(first, second, corners, corners) == (1.0, 0.0)
    assert exposure_at(first, first, corners, corners[::-1].copy()) == (1.0, 0.0)


def test_a_picture_of_other_exposure_saturates_and_keeps_its_colours() -> None:
    rgb = np.array([[[10, 100, 240]]], np.uint8)
    np.testing.assert_array_equal(exposed(rgb, 1.5, -30.0), [[[0, 120, 255]]])
    assert exposed(rgb, 1.0, 0.0) is rgb
    assert cv2.cvtColor(exposed(rgb, 0.5, 0.0), cv2.COLOR_RGB2GRAY).shape == (1, 1)
