from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import frame, relative, sample, wavy_depth

from depth_anything_ros.frames import Prediction, PredictionKind, SparsePoints
from depth_anything_ros.metric.few_points import Extent, fit_few
from depth_anything_ros.metric.fit import (
    FitSettings,
    OpposedError,
    UnmeasurableError,
    fit_line,
    fit_points,
)
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.sparse import SparseSource

DEPTH = wavy_depth()
ANY = FitSettings(min_points=1)


def test_one_point_gives_a_scale_with_the_usual_shift() -> None:
    """The farthest quarter as near as the nearest, in inverse depth; the point itself is met."""
    fit = fit_few(np.array([3.0]), np.array([0.4]), Extent(1.0, 5.0))
    far, near = fit.scale * 1.0 + fit.shift, fit.scale * 5.0 + fit.shift
    print(f"1/Z from {far:.3f} to {near:.3f}, error {fit.error:.2f}")
    assert fit.scale * 3.0 + fit.shift == pytest.approx(0.4)
    assert 0.15 < far / near < 0.4
    assert 0.1 < fit.error < 0.4


@pytest.mark.parametrize(
    ("metres", "least", "most"),
    [(0.7, 0.5, 0.8), (1.5, 0.35, 0.55), (3.0, 0.2, 0.4), (20.0, 0.05, 0.2)],
)
def test_the_usual_shift_is_that_of_a_table_a_room_or_the_open(
    metres: float, least: float, most: float
) -> None:
    """A table is all at about one depth, and outdoors an image reaches to infinity."""
    fit = fit_few(np.array([3.0]), np.array([1 / metres]), Extent(1.0, 5.0))
    far, near = fit.scale * 1.0 + fit.shift, fit.scale * 5.0 + fit.shift
    print(f"{metres} m: theta {far / near:.2f}")
    assert least < far / near < most
    # Of depth in place of its inverse: nearest over farthest.
    fit = fit_few(np.array([3.0]), np.array([metres]), Extent(1.0, 5.0, inverse=False))
    low, high = fit.scale * 1.0 + fit.shift, fit.scale * 5.0 + fit.shift
    assert least < low / high < most


@pytest.mark.parametrize("count", [3, 6, 12])
def test_exact_points_leave_nothing_to_what_is_usual(count: int) -> None:
    """Whatever the shift is, here 0.6 of the nearest inverse depth."""
    x = np.linspace(1.0, 5.0, count)
    y = 0.6 + 0.1 * (x - 1)
    fit = fit_few(x, y, Extent(1.0, 5.0), (0.1, 0.5))
    error = np.abs((fit.scale * x + fit.shift) / y - 1).max()
    print(f"{count} points: off by {error:.2%}, expected {fit.error:.2%}")
    assert error < {3: 0.04, 6: 0.01, 12: 1e-3}[count]


def test_the_more_points_the_surer() -> None:
    x = np.linspace(1.0, 5.0, 12)
    noisy = (0.1 + 0.2 * x) * np.exp(0.1 * np.random.default_rng(0).standard_normal(12))
    expected = [
        fit_few(x[chosen], noisy[chosen], Extent(1.0, 5.0)).error for chosen in ([5], [2, 8])
    ]
    expected.append(fit_few(x, noisy, Extent(1.0, 5.0)).error)
    print([round(each, 3) for each in expected])
    assert min(expected[:2]) > 1.5 * expected[2] > 0.08


@pytest.mark.parametrize("seed", range(4))
def test_with_seven_points_and_a_network_that_errs_no_pixel_is_lost(seed: int) -> None:
    """The points alone put a part of the image behind the horizon or in front of the camera."""
    rng = np.random.default_rng(seed)
    points = sample(DEPTH, 7, seed)
    z = points.z * np.exp(0.25 * rng.standard_normal(7))
    prediction = relative(DEPTH, 0.05, 0.0)
    fit = fit_points(prediction, SparsePoints(points.u, points.v, z), ANY)
    off = np.abs(1 / (fit.scale * prediction.values + fit.shift) / DEPTH - 1)
    print(f"AbsRel {off.mean():.3f}, worst pixel {off.max():.2f}")
    assert off.mean() < 0.35
    assert off.max() < 1.5


def test_a_single_range_gives_depth_with_a_relative_network_and_says_how_unsure_it_is() -> None:
    points = sample(DEPTH, 1, 3)
    scaled = LiveScaler([SparseSource(ANY)]).scale(
        relative(DEPTH, 0.05, 0.3), frame(DEPTH, points=points)
    )
    assert scaled.depth_m is not None and scaled.sigma_m is not None
    error = np.abs(scaled.depth_m / DEPTH - 1)
    sigma = np.median(scaled.sigma_m / scaled.depth_m)
    print(f"AbsRel {error.mean():.3f}, sigma {sigma:.3f} of the depth")
    assert error.mean() < 0.4
    assert 0.2 < sigma < 0.8


def test_a_metric_network_that_meets_its_only_point_is_not_exact() -> None:
    """One point always agrees with itself; more of them show the network's own error."""
    off = (DEPTH * wavy_depth()[::-1] ** 0.1).astype(np.float32)
    prediction = Prediction(off, PredictionKind.METRIC_DEPTH, DEPTH.shape)
    of_count = []
    for count in (1, 3, 12):
        points = sample(DEPTH, count, 3)
        measured = fit_points(prediction, points, ANY)
        of_count.append(measured.residual)
        if count > 3:
            continue
        scaled = LiveScaler([SparseSource(ANY)]).scale(prediction, frame(DEPTH, points=points))
        assert scaled.depth_m is not None and scaled.sigma_m is not None
        assert np.median(scaled.sigma_m / scaled.depth_m) > 0.1
    assert of_count[0] == pytest.approx(0.1)
    assert 0.09 > of_count[1] > of_count[2]


def test_few_points_that_oppose_the_network_are_refused_and_a_network_that_says_nothing() -> None:
    points = sample(DEPTH, 12)
    with pytest.raises(OpposedError):
        fit_points(relative(DEPTH, -0.05, 0.9), points, ANY)
    flat = Prediction(
        np.ones(DEPTH.shape, np.float32), PredictionKind.RELATIVE_DISPARITY, DEPTH.shape
    )
    with pytest.raises(UnmeasurableError, match="one network value"):
        fit_points(flat, points, ANY)


def test_points_that_rise_with_the_network_are_never_called_opposed() -> None:
    """Most lie on two surfaces that the network sees the wrong way round, the others do not."""
    near, far, between = np.full(60, 1.0), np.full(45, 0.9), np.linspace(0.1, 0.8, 30)
    inverse = np.concatenate([near, far, between])
    disparity = np.concatenate([np.full(60, 0.85), np.full(45, 0.95), between])
    values = np.zeros((40, 135), np.float32)
    values[:] = disparity
    points = SparsePoints(np.arange(135.0), np.full(135, 20.0) + np.arange(135) % 7, 1 / inverse)
    fit = fit_points(
        Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape), points, FitSettings()
    )
    assert fit.scale == pytest.approx(1.0, abs=0.3)
    assert fit.inlier_share > 0.8


def test_a_laser_line_that_shows_little_leaves_the_shift_near_a_usual_one() -> None:
    """Along a wall a network's waves of a few percent would bend the rest out of shape."""
    rows = np.mgrid[0:240, 0:320][0]
    values = (0.2 + rows / 300).astype(np.float32)
    rng = np.random.default_rng(0)
    values[120] = 0.5 + 0.02 * rng.standard_normal(320)
    u = np.arange(0, 320, 2)
    inverse = 0.6 + 3 * (values[120, u] - 0.5) + 0.03 * rng.standard_normal(len(u))
    prediction = Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape)
    points = SparsePoints(u.astype(float), np.full(len(u), 120.0), 1 / inverse)
    fit = fit_points(prediction, points, FitSettings())
    alone = fit_line(values[120, u].astype(float), inverse, True, FitSettings())
    far, far_alone = (each.scale * 0.25 + each.shift for each in (fit, alone))
    print(f"1/Z of the far end {far:.2f}, of the points alone {far_alone:.2f}")
    assert far_alone < 0  # behind the horizon
    assert far > 0.05
    assert fit.scale * 0.5 + fit.shift == pytest.approx(0.6, rel=0.05)


def test_points_of_a_line_that_hardly_oppose_the_network_are_no_reason_to_give_up() -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    values = (0.2 + rows / 300 + 0.02 * np.sin(columns / 25)).astype(np.float32)
    u = np.arange(0, 320, 2.0)
    z = 1 / (0.6 - 0.02 * np.sin(u / 25))
    prediction = Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape)
    fit = fit_points(prediction, SparsePoints(u, np.full(len(u), 120.0), z), FitSettings())
    assert fit.scale > 0
    assert fit.scale * 0.6 + fit.shift == pytest.approx(0.6, rel=0.1)


def test_two_points_near_both_ends_of_the_image_are_met() -> None:
    """Marked by hand, say, or two range sensors: metres where they are given are those given."""
    inverse = (1 / DEPTH).ravel()
    order = np.argsort(inverse)
    v, u = np.unravel_index(order[[300, -300]], DEPTH.shape)
    given = np.array([6.0, 2.0])  # a shift of its own, as usual as the network's
    points = SparsePoints(u.astype(float), v.astype(float), given)
    fit = fit_points(relative(DEPTH, 0.3, 0.01), points, ANY)
    values = relative(DEPTH, 0.3, 0.01).values[v, u]
    assert 1 / (fit.scale * values + fit.shift) == pytest.approx(given, rel=1e-3)
    assert fit.residual > 0.01  # between them nothing is known
