"""Depth at each pixel by the measured points on its own surface."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.near_points import follow_points
from depth_anything_ros.metric.samples import Samples

Pixels = npt.NDArray[np.intp]

SHAPE = (120, 160)
_ROWS, _COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]


def samples_of(inverse: FloatImage, u: Pixels, v: Pixels) -> Samples:
    """Points of a picture of inverse depth, in pixels."""
    places = np.stack([(u + 0.5) / SHAPE[1], (v + 0.5) / SHAPE[1], np.zeros(len(u))], axis=1)
    measured = inverse[v, u].astype(np.float64)
    return Samples(places, measured, measured.copy())


def scattered(count: int, seed: int = 0) -> tuple[Pixels, Pixels]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, SHAPE[1], count), rng.integers(0, SHAPE[0], count)


def step(width: float) -> FloatImage:
    """A box at 1 m in front of a wall at 4 m, whose edge is drawn out over so many columns."""
    share = 0.5 - 0.5 * np.tanh((_COLUMNS - 80.0) / max(2 * width, 1e-3))
    return (0.25 + 0.75 * share).astype(np.float32)


def test_nothing_is_left_between_two_surfaces() -> None:
    truth, kriged = step(0.0), step(4.0)
    followed = follow_points(samples_of(truth, *scattered(1000)), kriged, 1.0, 0.1)

    def between(inverse: FloatImage) -> float:
        return float(np.mean((inverse > 0.3) & (inverse < 0.9)))

    print(f"between the surfaces {between(kriged):.1%} of the pixels, then {between(followed):.1%}")
    assert between(kriged) > 0.08 and between(followed) < 0.4 * between(kriged)
    assert np.abs(followed / truth - 1).mean() < 0.4 * np.abs(kriged / truth - 1).mean()
    np.testing.assert_allclose(followed[:, 20:60], 1, rtol=0.01)
    np.testing.assert_allclose(followed[:, 100:140], 0.25, rtol=0.01)


def test_what_is_right_stays() -> None:
    plane = (0.2 + 0.003 * _COLUMNS + 0.002 * _ROWS).astype(np.float32)
    followed = follow_points(samples_of(plane, *scattered(300)), plane, 0.0, 0.02)
    np.testing.assert_allclose(followed, plane, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_the_points_is_not_followed(seed: int) -> None:
    wall = np.full(SHAPE, 0.5, np.float32)
    points = samples_of(wall, *scattered(300, seed))
    noise = np.exp(0.1 * np.random.default_rng(seed).standard_normal(300))
    noisy = Samples(points.places, points.inverse * noise, points.fitted)
    off = np.abs(follow_points(noisy, wall, 0.0, 0.1) / wall - 1).mean()
    print(f"10 % noise: off by {off:.2%}")
    assert off < 0.02


def test_a_difference_that_points_share_is_taken_over() -> None:
    wall = np.full(SHAPE, 0.5, np.float32)
    truth = (wall * np.where(_COLUMNS < 80, 1.08, 0.95)).astype(np.float32)
    followed = follow_points(samples_of(truth, *scattered(300)), wall, 0.0, 0.1)
    off = np.abs(followed / truth - 1).mean()
    print(f"off by {np.abs(wall / truth - 1).mean():.2%}, then {off:.2%}")
    assert off < 0.02


def test_between_beams_a_slope_stays_one() -> None:
    """A floor by beams 20 rows apart: means of measured values would make steps of it."""
    floor = (0.05 + 0.004 * _ROWS).astype(np.float32)
    u, v = (each.ravel() for each in np.meshgrid(np.arange(0, 160, 2), np.arange(5, 120, 20)))
    followed = follow_points(samples_of(floor, u, v), floor, 1.0, 0.05)
    middle = slice(15, 105)
    off = np.abs(followed[middle] / floor[middle] - 1).mean()
    print(f"off by {off:.2%}")
    assert off < 0.02


def test_on_a_beam_a_pixel_has_the_depth_of_the_points_beside_it() -> None:
    """Kriging makes a wave of an edge that few points show: here three times too far before it."""
    truth = step(0.0)
    kriged = truth.copy()
    kriged[:, 71:80] /= 3
    u, v = (each.ravel() for each in np.meshgrid(np.arange(0, 160, 4), np.arange(5, 120, 20)))
    followed = follow_points(samples_of(truth, u, v), kriged, 1.0, 0.3)
    off = np.abs(truth / followed - 1)
    print(f"on the beams off by {off[5::20, 71:80].mean():.0%}, off them {off[15::20].mean():.0%}")
    assert off[5::20, 71:79].mean() < 0.35
    untouched = np.s_[:, :60]
    np.testing.assert_allclose(followed[untouched], truth[untouched], rtol=1e-3)


def test_a_far_pixel_is_never_drawn_behind_the_horizon() -> None:
    wall = np.full(SHAPE, 0.5, np.float32)
    far = wall.copy()
    far[:, 80:] = 1e-3
    followed = follow_points(samples_of(wall * np.float32(0.7), *scattered(50)), far, 1.0, 0.3)
    assert (followed > 0).all()


@pytest.mark.parametrize(("share", "grown"), [(0.0, 1.0), (0.02, 1.25), (0.1, 1.5), (0.3, 4.0)])
def test_single_wrong_points_among_many_count_nowhere(share: float, grown: float) -> None:
    truth, kriged = step(0.0), step(4.0)
    points = samples_of(truth, *scattered(3000))
    rng = np.random.default_rng(1)
    wrong = rng.random(3000) < share
    factor = np.where(rng.random(3000) < 0.5, 3.0, 1 / 3) * rng.uniform(0.8, 1.2, 3000)
    spoiled = Samples(points.places, points.inverse * np.where(wrong, factor, 1), points.fitted)

    def off(samples: Samples) -> float:
        return float(np.abs(follow_points(samples, kriged, 1.0, 0.1) / truth - 1).mean())

    clean, dirty = off(points), off(spoiled)
    print(f"{share:.0%} wrong points: off by {dirty:.2%}, {clean:.2%} without")
    assert dirty <= grown * clean


def test_what_is_unknown_stays_so_and_does_not_spread() -> None:
    kriged = np.kron(step(4.0), np.ones((4, 4), np.float32))  # so large that cells are not pixels
    kriged[160:281, 285:402] = np.nan
    known = np.isfinite(kriged)
    points = samples_of(step(0.0), *scattered(600))
    row, column = (points.places[:, :2] * kriged.shape[1]).astype(np.intp).T[::-1]
    followed = follow_points(points.chosen(known[row, column]), kriged, 1.0, 0.1)
    np.testing.assert_array_equal(np.isfinite(followed), known)
    assert np.nanmin(followed) > 0.2 and np.nanmax(followed) < 1.05
