from __future__ import annotations

import warnings
from unittest import mock

import numpy as np
import pytest
from metric_scenes import frame, relative, sample, spoiled, wavy_depth

from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.metric import wrong_points as wrong_points_module
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, fit_points, values_at
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources import sparse
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.wrong_points import wrong_points
from depth_anything_ros.metric.wrong_points_network import FEWEST, logits

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
    inverse = (1 / DEPTH).astype(np.float32)
    return np.flatnonzero(wrong_points(points, values_at(inverse, points), inverse, rgb).all)


@pytest.mark.parametrize("count", [100, 1000, 5000])
@pytest.mark.parametrize("factor", [2.5, 0.35])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_wrong_place_is_found(count: int, factor: float, share: float) -> None:
    points = sample(DEPTH, count)
    wrong = in_one_place(points, share)
    seen = found(moved(points, wrong, factor))
    print(f"found {np.isin(wrong, seen).mean():.1%}, right ones {np.isin(seen, wrong).mean():.1%}")
    assert np.isin(wrong, seen).mean() > 0.9
    assert np.isin(seen, wrong).mean() > 0.95


@pytest.mark.parametrize("count", [20, 100, 1000])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_single_wrong_points_are_found(count: int, share: float) -> None:
    points = sample(DEPTH, count)
    spoilt = spoiled(points, share)
    wrong = np.flatnonzero(spoilt.z != points.z)
    seen = found(spoilt)
    print(f"found {np.isin(wrong, seen).mean():.1%}, right ones {np.isin(seen, wrong).mean():.1%}")
    assert np.isin(wrong, seen).mean() > 0.9
    assert np.isin(seen, wrong).mean() > 0.95


def test_where_some_are_wrong_the_others_judge_all_again() -> None:
    points = sample(DEPTH, 100)
    wrong = np.arange(0, 100, 4)
    missed, right, odd = 1, 2, 3
    spoilt = moved(moved(points, wrong[::2], 3.0), wrong[1::2], 0.3)
    spoilt = moved(moved(spoilt, np.array([missed]), 2.5), np.array([odd]), 1.3)
    logit = np.full(100, -5.0, np.float32)
    logit[wrong], logit[[missed, right, odd]] = 3.0, [-1.0, 1.0, -1.0]
    with mock.patch.object(wrong_points_module, "logits", return_value=logit):
        np.testing.assert_array_equal(found(spoilt), np.sort([*wrong, missed]))
        # Among few wrong ones they do not: each right one that looks wrong may be an object.
        logit[wrong[3:]] = -5.0
        np.testing.assert_array_equal(found(spoilt), np.sort([*wrong[:3], right]))


def test_nothing_is_found_where_the_network_errs_smoothly_or_says_nothing() -> None:
    points = sample(DEPTH, 500)
    rng = np.random.default_rng(0)
    bent = np.exp(0.6 * np.sin(points.u / 60) * np.cos(points.v / 50))
    for z in (points.z, points.z * bent, points.z * np.exp(0.1 * rng.standard_normal(500))):
        assert len(found(SparsePoints(points.u, points.v, z))) < 5


def test_an_object_that_the_network_misses_but_the_image_shows_stays() -> None:
    points = sample(DEPTH, 500)
    thing = (np.abs(points.u - 160) < 40) & (np.abs(points.v - 120) < 40)
    nearer = moved(points, np.flatnonzero(thing), 0.35)
    shown = GREY.copy()
    shown[80:160, 120:200] = 220
    hidden, seen = (np.isin(np.flatnonzero(thing), found(nearer, each)) for each in (GREY, shown))
    print(
        f"{thing.sum()} points: {hidden.mean():.0%} left out where unseen, {seen.mean():.0%} seen"
    )
    assert hidden.mean() > 0.9
    assert seen.mean() < 0.2


def test_what_lies_behind_is_left_out_only_where_that_is_surer() -> None:
    """A gap that the network does not see looks like a mirror; a good network sees gaps."""
    points = sample(DEPTH, 500)
    wavy = moved(points, np.flatnonzero(np.sin(points.u / 25) > 0), 1.3)
    place = in_one_place(points, 0.1)
    logit = np.full(len(points), -5, np.float32)
    logit[place] = 2.5
    with mock.patch.object(wrong_points_module, "logits", return_value=logit):
        for each in (points, wavy):
            assert set(found(moved(each, place, 0.35))) == set(place)
        assert len(found(moved(wavy, place, 2.5))) < 0.1 * len(place)
        assert set(found(moved(points, place, 2.5))) == set(place)
        logit[place] = 4.0
        assert set(found(moved(wavy, place, 2.5))) == set(place)


@pytest.mark.parametrize("factor", [1.3, 0.77])
def test_the_better_the_network_the_less_a_wrong_place_is_off(factor: float) -> None:
    points = sample(DEPTH, 500)
    place = in_one_place(points, 0.1)
    wavy = moved(points, np.flatnonzero(np.sin(points.u / 25) > 0), 1.2)
    logit = np.full(len(points), -5, np.float32)
    logit[place] = 5.0
    with mock.patch.object(wrong_points_module, "logits", return_value=logit):
        for each, left_out in ((points, 1), (wavy, 0)):
            seen = found(moved(each, place, factor))
            assert abs(np.isin(place, seen).mean() - left_out) < 0.1


@pytest.mark.parametrize("factor", [2.5, 0.35])
def test_of_many_points_a_wrong_place_is_confirmed_by_others(factor: float) -> None:
    points = sample(DEPTH, 5000)
    place = in_one_place(points, 0.1)
    spoilt = moved(points, place, factor)
    real = logits
    denied = mock.Mock(side_effect=[real, lambda seen: np.full(len(seen.points), -5.0)])
    for next_answer, left_out in ((lambda: real, True), (denied, False)):
        with mock.patch.object(
            wrong_points_module, "logits", lambda seen, answer=next_answer: answer()(seen)
        ):
            assert (np.isin(place, found(spoilt)).mean() > 0.9) == left_out
    assert denied.call_count == 2


@pytest.mark.parametrize("count", [2000, 5000])
@pytest.mark.parametrize("factor", [2.5, 0.35, None])
def test_of_many_points_a_wrong_place_is_found_to_its_rim(count: int, factor: float | None) -> None:
    """Moved, or flat dirt before all else; what stays of it is all the farther off."""
    points = sample(DEPTH, count, seed=1)
    place = in_one_place(points, 0.1)
    z = points.z.copy()
    z[place] = 0.4 * z.min() if factor is None else factor * z[place]
    np.testing.assert_array_equal(found(SparsePoints(points.u, points.v, z)), np.sort(place))


def test_too_few_points_and_too_many_wrong_ones_are_kept() -> None:
    points = sample(DEPTH, FEWEST - 1)
    assert not len(found(spoiled(points, 0.3)))
    assert not len(found(spoiled(sample(DEPTH, 300), 0.7)))


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
    assert scaled.wrong_points is not None
    assert len(scaled.wrong_points) == len(points)
    assert np.isin(wrong, np.flatnonzero(scaled.wrong_points)).mean() > 0.9
    assert scaled.wrong_points.sum() < 1.05 * len(wrong)


def test_the_scaler_leaves_single_wrong_points_out_and_says_so() -> None:
    points = spoiled(sample(DEPTH, 200), 0.1)
    prediction = relative(DEPTH, 0.01, 0.02)
    scaled = LiveScaler([SparseSource()]).scale(prediction, frame(DEPTH, rgb=GREY, points=points))
    assert scaled.depth_m is not None
    assert np.mean(np.abs(scaled.depth_m / DEPTH - 1)) < 0.01
    assert "left out, alone in contradicting the image and the others" in scaled.state.reason


def test_points_with_nothing_beside_them_are_judged_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    left = rng.uniform((0, 0), (20, 240), (70, 2))
    right = rng.uniform((300, 0), (320, 240), (30, 2))  # its neighbours are all its own
    places = np.concatenate([left, right])
    z = np.where(np.arange(100) < 70, 4.0, 12.0)
    points = SparsePoints(places[:, 0], places[:, 1], z)
    rgb = np.full((240, 320, 3), 90, np.uint8)
    flat = np.full((240, 320), 0.25, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong_points(points, np.full(100, 0.25), flat, rgb)
        same = SparsePoints(np.full(50, 3.0), np.full(50, 3.0), np.full(50, 4.0))
        wrong_points(same, np.full(50, 0.25), flat, rgb)


def test_what_no_scale_fits_once_wrong_points_are_out_is_interpolated() -> None:
    """As where a network is of no use and wrong points agreed with it by chance."""
    points = spoiled(sample(DEPTH, 300), 0.3, seed=2)
    right = points.z == sample(DEPTH, 300).z
    prediction = relative(DEPTH, 0.01, 0.02)
    fits = [fit_points(prediction, points, FitSettings()), UnmeasurableError("no scale")]
    with mock.patch.object(sparse, "fit_points", side_effect=fits):
        scaled = LiveScaler([SparseSource()]).scale(
            prediction, frame(DEPTH, rgb=GREY, points=points)
        )
    assert "interpolated between the points alone" in scaled.state.reason
    assert scaled.depth_m is not None
    v, u = points.v[right].astype(int), points.u[right].astype(int)
    assert np.nanmedian(np.abs(scaled.depth_m[v, u] / points.z[right] - 1)) < 0.05
