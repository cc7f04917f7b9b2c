"""Lamps that flicker: how bright the rows of two pictures are, by what both show."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.frames import FloatArray
from depth_anything_ros.metric.flicker import brightness_of_rows

ROWS = 240
PLACES = 3_000


def bands(amplitude: float, waves: float, phase: float) -> FloatArray:
    """Log brightness of each row."""
    return np.asarray(amplitude * np.sin(2 * np.pi * waves * np.arange(ROWS) / ROWS + phase))


def places(seed: int) -> tuple[np.random.Generator, FloatArray, FloatArray]:
    """Rows of the same places before and now: most are on the ground, some stand on it."""
    rng = np.random.default_rng(seed)
    now = rng.uniform(100, ROWS - 1, PLACES)
    before = 80 + 0.7 * (now - 80) + np.where(rng.random(PLACES) < 0.4, rng.uniform(-12, 0), 0)
    return rng, before, now


def between(
    of_before: FloatArray, of_now: FloatArray, before: FloatArray, now: FloatArray
) -> FloatArray:
    """Log of how much brighter the picture of now shows each place, by the brightness of rows."""
    rows = np.arange(ROWS)
    return np.asarray(np.interp(now, rows, of_now) - np.interp(before, rows, of_before))


@pytest.mark.parametrize("waves", [1.5, 3.0])
@pytest.mark.parametrize("amplitude", [0.02, 0.05, 0.15])
def test_bands_are_found_though_a_fifth_is_something_else(amplitude: float, waves: float) -> None:
    rng, before, now = places(1)
    of_before, of_now = bands(amplitude, waves, 0.5), bands(amplitude, waves, 2.5)
    true = between(of_before, of_now, before, now)
    ratio = 0.03 + true + rng.normal(0, 0.02, PLACES)
    other = rng.random(PLACES) < 0.2
    ratio[other] += rng.uniform(0.1, 0.5, np.count_nonzero(other))
    found_before, found_now = brightness_of_rows(ratio, before, now, ROWS)
    assert found_before.shape == found_now.shape == (ROWS,)
    off = between(found_before, found_now, before, now) - true - 0.03
    print(f"off by {np.sqrt(np.mean(off**2)):.4f} of {np.std(true):.4f}")
    assert np.sqrt(np.mean(off**2)) < 0.006 + 0.03 * amplitude


def test_without_flicker_rows_stay_as_they_are() -> None:
    rng, before, now = places(2)
    found = brightness_of_rows(rng.normal(0, 0.02, PLACES), before, now, ROWS)
    assert np.abs(np.concatenate(found)).max() < 0.02
    assert np.sqrt(np.mean(np.square(between(*found, before, now)))) < 0.004


def test_rows_that_show_nothing_stay_as_they_are() -> None:
    _, before, now = places(3)
    of_before, _ = brightness_of_rows(np.full(PLACES, 0.1), before, now, ROWS)
    np.testing.assert_allclose(of_before[:40], 0, atol=1e-9)
