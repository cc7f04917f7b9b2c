"""Kriging against the equations written out in float64, one sample left out at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.metric.kriging import (
    VARIOGRAMS,
    Kriging,
    Variogram,
    relative_error,
    shares,
)

Array = npt.NDArray[Any]
KINDS = (
    Variogram(0.0, 1.0, 1e-1),
    Variogram(0.5, 0.5, 1e-2),
    Variogram(0.5, 1.5, 1e-1),
    Variogram(0.25, 1.0, 1e-1, trend=True),
    Variogram(0.25, 1.0, 1e-1, logarithm=True),
    Variogram(0.25, 1.0, 1e-1, colour=0.4),
)


def scene(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Places (u, v, s, colour) and positive samples that rise with u and s and step with colour."""
    rng = np.random.default_rng(seed)
    u, v, s = rng.uniform(0, 1, (3, count))
    g = (rng.random(count) < 0.5).astype(float)
    return np.stack([u, v, s, g], axis=1), 0.3 + 0.2 * u * v + 0.4 * s + 0.2 * g


def distances(first: Array, second: Array, kind: Variogram) -> Array:
    off = (first[:, None] - second[None]) * np.array([1, 1, kind.surface, kind.colour])
    return np.asarray(np.square(off).sum(axis=2) ** (kind.power / 2))


def predicted(places: Array, values: Array, at: Array, kind: Variogram, nugget: float) -> Array:
    """Universal kriging: the equations of Chiles and Delfiner 2012, section 3.4."""
    count = len(values)
    drift = np.ones((count, 2 if kind.trend else 1))
    drift_there = np.ones((len(at), drift.shape[1]))
    if kind.trend:
        drift[:, 1], drift_there[:, 1] = places[:, 2], at[:, 2]
    size = count + drift.shape[1]
    left = np.zeros((size, size))
    left[:count, :count] = nugget * np.eye(count) - distances(places, places, kind)
    left[:count, count:], left[count:, :count] = drift, drift.T
    right = np.concatenate([-distances(places, at, kind), drift_there.T])
    samples = np.log(values) if kind.logarithm else values
    result = np.linalg.solve(left, right)[:count].T @ samples
    return np.asarray(np.exp(result) if kind.logarithm else result)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_left_out_samples_and_predictions_solve_the_equations(kind: Variogram) -> None:
    places, values = np.empty((2, 20, 4)), np.empty((2, 20))
    for tile in range(2):
        places[tile], values[tile] = scene(20, tile)
    kriging = Kriging(places, values)
    kriged = kriging.solve([KINDS[0], kind])[1]
    at, _ = scene(30, 5)
    for tile in range(2):
        nugget = kind.noise * float(distances(places[tile], places[tile], kind).mean())
        for sample in range(20):
            others = np.arange(20) != sample
            expected = predicted(
                places[tile, others], values[tile, others], places[tile, [sample]], kind, nugget
            )
            assert kriged.left_out[tile, sample] == pytest.approx(expected[0], rel=5e-3)
        chosen = [(kind, 0.25), (KINDS[0], 0.75)]
        result = kriging.at(chosen, at.T.astype(np.float32), np.full(30, tile))
        plain = float(distances(places[tile], places[tile], KINDS[0]).mean()) * KINDS[0].noise
        expected = 0.25 * predicted(places[tile], values[tile], at, kind, nugget)
        expected += 0.75 * predicted(places[tile], values[tile], at, KINDS[0], plain)
        np.testing.assert_allclose(result, expected, rtol=5e-3)


def test_the_last_members_are_left_out_as_all_of_them_are() -> None:
    places, values = np.empty((3, 20, 4)), np.empty((3, 20))
    for tile in range(3):
        places[tile], values[tile] = scene(20, tile)
    kriging = Kriging(places, values)
    some = kriging.left_out(KINDS, 7)
    assert some.shape == (len(KINDS), 3, 7)
    for kriged, last in zip(kriging.solve(KINDS), some, strict=True):
        np.testing.assert_allclose(last, kriged.left_out[:, -7:], rtol=2e-3)


def test_a_trend_is_drawn_on_and_samples_of_one_surface_have_none() -> None:
    places, _ = scene(30)
    at = np.array([[0.5, 0.5, 1.5, 0.0]], np.float32)  # beyond all surfaces that were measured
    kriging = Kriging(places[None], (0.2 + 0.5 * places[:, 2])[None])
    trend = kriging.at([(Variogram(0.25, 1, 1e-2, True), 1)], at.T, np.r_[0])
    assert trend[0] == pytest.approx(0.95, rel=1e-3)
    places[:, 2] = 0.5
    kriging = Kriging(places[None], np.full((1, 30), 0.4))
    for kriged in kriging.solve(VARIOGRAMS):
        np.testing.assert_allclose(kriged.left_out, 0.4, rtol=1e-3)


def test_relative_error_is_of_depth_and_at_most_one() -> None:
    left_out = np.array([0.1, 0.2, 0.05, 0.01, 0.0, -0.1])
    error = relative_error(left_out, np.full(6, 0.1))
    np.testing.assert_allclose(error, [0, 0.5, 1, 1, 1, 1], atol=1e-12)


def test_shares_go_by_the_error_and_by_how_many_samples_show_it() -> None:
    np.testing.assert_allclose(shares([0.1, 0.1], 100), [0.5, 0.5])
    np.testing.assert_allclose(shares([0.1, 0.2], 6), [2 / 3, 1 / 3])
    np.testing.assert_allclose(shares([0.1, 0.2], 12), [0.8, 0.2])
    np.testing.assert_allclose(shares([0.1, 0.11], 1_000), shares([0.1, 0.11], 10_000))
    np.testing.assert_allclose(shares([0.0, 0.1], 60), [1, 0], atol=1e-12)
