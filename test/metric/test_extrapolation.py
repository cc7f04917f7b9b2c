"""How far beyond measured points the global fit is the better guess."""

import numpy as np

from depth_anything_ros.metric.extrapolation import draw_no_trend_on, extrapolation
from depth_anything_ros.metric.samples import Samples

DISTANCE = np.array([[0.0, 1.5, 3.0, 6.0, 12.0]], np.float32)
ROWS = np.array([0.1], np.float32)
REACH = 0.05


def samples(off: np.ndarray, count: int = 400) -> Samples:
    """Points all over an image, of which a fit is off by exp(off)."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 1, (count, 3))
    inverse = rng.uniform(0.2, 1.0, count)
    return Samples(places, inverse, inverse * np.exp(np.broadcast_to(off, count)))


def test_a_fit_that_is_right_has_all_and_one_that_is_off_everywhere_alike_nothing() -> None:
    assert extrapolation(samples(np.zeros(1)), DISTANCE, ROWS, REACH).share_of_fit.min() > 0.49
    assert extrapolation(samples(np.full(1, 0.2)), DISTANCE, ROWS, REACH).share_of_fit.max() < 1e-6


def test_a_fit_whose_errors_have_nothing_to_do_with_each_other_has_the_larger_share() -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, 400)
    share = extrapolation(samples(noise), DISTANCE, ROWS, REACH).share_of_fit
    # Two such errors differ by the square root of two times one of them.
    np.testing.assert_allclose(share, 2 / 3, atol=0.07)


def test_what_points_say_fades_with_distance() -> None:
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 1, (400, 3))
    inverse = rng.uniform(0.2, 1.0, 400)
    off = 0.3 * np.sin(9 * places[:, 0])
    share = extrapolation(
        Samples(places, inverse, inverse * np.exp(off)), DISTANCE, ROWS, REACH
    ).share_of_fit
    assert share[0, 1] < 0.2
    assert (np.diff(share[0]) >= 0).all()
    assert share[0, 4] > 0.5


def test_too_few_pairs_leave_all_to_the_fit() -> None:
    assert (
        extrapolation(samples(np.full(1, 0.2), 3), DISTANCE, ROWS, REACH).share_of_fit == 1
    ).all()


def test_below_all_points_the_fit_has_all() -> None:
    below = np.array([1.0], np.float32)
    there = extrapolation(samples(np.full(1, 0.2)), DISTANCE, below, REACH)
    assert (there.share_of_fit == 1).all()


def test_the_error_of_what_points_say_is_that_of_points_so_far_apart() -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, 400)
    there = extrapolation(samples(noise), DISTANCE, ROWS, REACH)
    # Mean absolute difference of two normal numbers: 2 / sqrt(pi) deviations.
    np.testing.assert_allclose(there.error, 0.2 / np.pi**0.5, rtol=0.2)


def test_a_trend_is_not_drawn_on_beyond_what_points_show() -> None:
    off = np.linspace(0, 0.2, 400)
    inverse_m = np.full((1, 3), 0.5, np.float32)
    level = np.full((1, 3), 2.0, np.float32)
    draw_no_trend_on(level, inverse_m, samples(-off), np.array([[0.0, 0.5, 1.0]], np.float32))
    most = 0.5 * np.exp(0.98 * 0.2)
    np.testing.assert_allclose(level[0], [2, (2 + most) / 2, most], rtol=1e-3)
