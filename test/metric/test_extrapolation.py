"""What is believed beyond measured points: the global fit, or what the nearest ones say."""

import numpy as np
import pytest

from depth_anything_ros.metric.extrapolation import extrapolation, keep_to_the_highest_points
from depth_anything_ros.metric.lattice import Lattice
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


def beams() -> tuple[Samples, np.ndarray, Lattice]:
    """Points in the lower third of an image, where a fit says 0.4 everywhere: fit and lattice."""
    v, u = (axis.ravel() / 40 for axis in np.mgrid[20:30, 0:40])
    places = np.stack([u, v, np.zeros_like(u)], axis=1)
    points = Samples(places, np.where(u < 0.5, 0.5, 0.25), np.full_like(u, 0.4))
    inverse_m = np.full((30, 40), 0.4, np.float32)
    no_colour = np.empty((0, 1, 1), np.float32)
    return points, inverse_m, Lattice.over(inverse_m, no_colour, len(u), 0.4, 0.1)


@pytest.mark.parametrize(
    ("level", "left", "right"),  # on the left the nearest points say 0.5, on the right 0.25
    [
        (5.0, (0.5, 0.5), (0.4, 0.25)),
        (0.01, (0.4, 0.5), (0.25, 0.25)),
        (0.45, (0.45, 0.5), (0.4, 0.25)),
    ],
)
def test_above_all_points_depth_keeps_to_what_the_nearest_one_says(
    level: float, left: tuple[float, float], right: tuple[float, float]
) -> None:
    points, inverse_m, lattice = beams()
    whole = np.full((30, 40), level, np.float32)
    keep_to_the_highest_points(whole, inverse_m, points, lattice, 0.05)
    np.testing.assert_array_equal(whole[20:], np.float32(level))
    for column, (own, nearest) in ((5, left), (35, right)):
        np.testing.assert_allclose(whole[:19, column], own**0.65 * nearest**0.35, rtol=1e-3)


def test_above_a_laser_scan_less_is_drawn_to_the_nearest_point() -> None:
    points, inverse_m, lattice = beams()
    whole = np.full((30, 40), 5.0, np.float32)
    keep_to_the_highest_points(whole, inverse_m, points, lattice, 0.05, in_line=True)
    np.testing.assert_allclose(whole[:19, 35], 0.4**0.85 * 0.25**0.15, rtol=1e-3)


def test_above_all_points_a_network_that_is_nearly_right_is_drawn_less_to_the_nearest() -> None:
    points, inverse_m, lattice = beams()
    for nearly_right, drawn in ((0.4, 0.21), (1.0, 0.0)):
        whole = np.full((30, 40), 5.0, np.float32)
        keep_to_the_highest_points(whole, inverse_m, points, lattice, 0.05, nearly_right)
        expected = 0.4 ** (1 - drawn) * 0.25**drawn
        np.testing.assert_allclose(whole[:19, 35], expected, rtol=1e-3)


def test_unknown_above_all_points_stays_unknown() -> None:
    points, inverse_m, lattice = beams()
    level = np.full((30, 40), np.nan, np.float32)
    keep_to_the_highest_points(level, inverse_m, points, lattice, 0.05)
    assert np.isnan(level).all()


def test_points_up_to_the_upper_edge_leave_all_as_it_is() -> None:
    _, inverse_m, lattice = beams()
    level = np.full((30, 40), 5.0, np.float32)
    keep_to_the_highest_points(level, inverse_m, samples(np.zeros(1)), lattice, 0.05)
    assert (level == 5).all()
