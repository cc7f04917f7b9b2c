from __future__ import annotations

import warnings

import numpy as np
import pytest
from metric_scenes import frame, relative, sample, spoiled, wavy_depth

from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.metric.contradiction import contradicting
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.sparse import SparseSource

DEPTH = wavy_depth()
GREY = np.full((*DEPTH.shape, 3), 120, np.uint8)


def in_one_place(points: SparsePoints, share: float) -> np.ndarray:
    """The points nearest to one of them."""
    off = np.maximum(np.abs(points.u - points.u[0]), np.abs(points.v - points.v[0]))
    return np.asarray(np.argsort(off)[: round(share * len(points))])


def moved(points: SparsePoints, index: np.ndarray, factor: float) -> SparsePoints:
    z = points.z.copy()
    z[index] *= factor
    return SparsePoints(points.u, points.v, z, points.source)


def found(points: SparsePoints, rgb: np.ndarray = GREY) -> np.ndarray:
    return np.flatnonzero(contradicting(points, 1 / values_at(DEPTH, points), rgb))


@pytest.mark.parametrize("count", [100, 1000, 5000])
@pytest.mark.parametrize("factor", [2.5, 0.35])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_wrong_place_is_found(count: int, factor: float, share: float) -> None:
    points = sample(DEPTH, count)
    wrong = in_one_place(points, share)
    seen = found(moved(points, wrong, factor))
    assert np.isin(wrong, seen).mean() > 0.95
    assert np.isin(seen, wrong).mean() > 0.95


def test_nothing_is_found_where_the_network_errs_smoothly_or_says_nothing() -> None:
    points = sample(DEPTH, 500)
    rng = np.random.default_rng(0)
    bent = np.exp(0.6 * np.sin(points.u / 60) * np.cos(points.v / 50))
    for z in (points.z, points.z * bent, points.z * np.exp(0.5 * rng.standard_normal(500))):
        assert not len(found(SparsePoints(points.u, points.v, z)))


def test_an_object_that_the_network_misses_but_the_image_shows_stays() -> None:
    points = sample(DEPTH, 500)
    thing = (np.abs(points.u - 160) < 40) & (np.abs(points.v - 120) < 40)
    nearer = moved(points, np.flatnonzero(thing), 0.35)
    shown = GREY.copy()
    shown[80:160, 120:200] = 220
    assert not len(found(nearer, shown))
    assert np.array_equal(found(nearer), np.flatnonzero(thing))


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_single_gross_errors_do_not_hide_the_edge_of_what_stays(seed: int) -> None:
    """Those inside the floor beyond a table are no border of it."""
    points = sample(DEPTH, 1000)
    beyond = (points.u > 200) & (points.v < 130)
    shown = GREY.copy()
    shown[:130, 200:] = 170
    shown[::4] -= 40  # a pattern has edges, too
    farther = moved(points, np.flatnonzero(beyond), 3.0)
    assert not len(found(farther, shown))
    assert not len(found(spoiled(farther, 0.1, seed=seed), shown))


def test_an_edge_of_the_image_along_the_border_is_enough_to_stay() -> None:
    """The colours on both sides are the same on average: only their edge tells."""
    points = sample(DEPTH, 1000)
    thing = (np.abs(points.u - 160) < 50) & (np.abs(points.v - 120) < 50)
    nearer = moved(points, np.flatnonzero(thing), 0.4)
    outlined = GREY.copy()
    outlined[70:170, 110:210] = 20
    outlined[74:166, 114:206] = 120
    assert np.array_equal(found(nearer), np.flatnonzero(thing))
    assert not len(found(nearer, outlined))


def test_where_the_network_steps_and_the_measured_depth_does_not_the_network_is_wrong() -> None:
    points = sample(DEPTH, 1000)
    fitted = 1 / values_at(DEPTH, points)
    thing = (np.abs(points.u - 160) < 50) & (np.abs(points.v - 120) < 50)
    fitted[thing] *= 2.5
    assert not contradicting(points, fitted, GREY).any()


def test_a_few_points_are_no_place() -> None:
    points = sample(DEPTH, 300)
    assert not len(found(moved(points, in_one_place(points, 0.03), 3.0)))
    few = sample(DEPTH, 40)
    assert not len(found(moved(few, in_one_place(few, 0.3), 3.0)))


def test_the_scaler_leaves_a_wrong_place_out_and_says_so() -> None:
    points = sample(DEPTH, 1000)
    wrong = in_one_place(points, 0.3)
    prediction = relative(DEPTH, 0.01, 0.02)
    scaled = LiveScaler([SparseSource()]).scale(
        prediction, frame(DEPTH, rgb=GREY, points=moved(points, wrong, 2.5))
    )
    assert scaled.depth_m is not None
    assert np.mean(np.abs(scaled.depth_m / DEPTH - 1)) < 0.01
    assert "in one place contradict the image and the others" in scaled.state.reason


def test_a_group_with_nothing_beside_it_is_kept_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    left = rng.uniform((0, 0), (20, 240), (70, 2))
    right = rng.uniform((300, 0), (320, 240), (30, 2))  # its neighbours are all its own
    places = np.concatenate([left, right])
    z = np.where(np.arange(100) < 70, 4.0, 12.0)
    z[0] = 8.0
    rgb = np.full((240, 320, 3), 90, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong = contradicting(SparsePoints(places[:, 0], places[:, 1], z), np.full(100, 0.25), rgb)
    assert not wrong.any()
