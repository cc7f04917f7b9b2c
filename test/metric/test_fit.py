from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import METRIC, metric, relative, sample, spoiled, wavy_depth

from depth_anything_ros.frames import Prediction, PredictionKind, SparsePoints
from depth_anything_ros.metric.apply import to_metres, with_sky
from depth_anything_ros.metric.fit import (
    FitSettings,
    OpposedError,
    UnmeasurableError,
    fit_points,
    values_at,
)

SETTINGS = FitSettings()


@pytest.mark.parametrize("count", [8, 100, 20_000])
def test_exact_points_give_the_exact_scale_and_shift(count: int) -> None:
    depth = wavy_depth()
    fit = fit_points(relative(depth, 0.037, 0.021), sample(depth, count), SETTINGS)
    print(f"N={count}: scale {fit.scale:.9f} of 0.037, shift {fit.shift:.9f} of 0.021")
    assert fit.scale == pytest.approx(0.037, rel=1e-6)
    assert fit.shift == pytest.approx(0.021, rel=1e-6)
    assert fit.inlier_share == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_gross_errors_and_noise_move_scale_and_shift_by_less_than_one_percent(seed: int) -> None:
    depth = wavy_depth()
    points = spoiled(sample(depth, 2000, seed), 0.4, 0.02, seed)
    fit = fit_points(relative(depth, 0.05, 0.08), points, SETTINGS)
    errors = fit.scale / 0.05 - 1, fit.shift / 0.08 - 1
    print(f"40 % gross, 2 % noise: scale {errors[0]:+.3%} shift {errors[1]:+.3%}")
    assert fit.scale == pytest.approx(0.05, rel=0.01)
    assert fit.shift == pytest.approx(0.08, rel=0.01)
    assert fit.inlier_share == pytest.approx(0.6, abs=0.03)
    assert fit.residual == pytest.approx(0.6745 * 0.02, rel=0.15)


def test_a_metric_network_gets_a_scale_and_on_request_a_shift() -> None:
    depth = wavy_depth()
    points = spoiled(sample(depth, 1000), 0.4, 0.02)
    fit = fit_points(metric(depth, 1.7), points, SETTINGS)
    assert (fit.scale, fit.shift) == (pytest.approx(1.7, rel=0.01), 0.0)

    shifted = Prediction(((depth - 0.4) / 1.7).astype(np.float32), METRIC, depth.shape)
    fit = fit_points(shifted, sample(depth, 1000), FitSettings(shift=True))
    assert (fit.scale, fit.shift) == (pytest.approx(1.7, rel=1e-5), pytest.approx(0.4, rel=1e-4))


def test_the_relative_error_counts_not_the_metres() -> None:
    """Near and far points off by the same factor pull equally."""
    depth = np.full((40, 40), 2.0)
    depth[:, 20:] = 40.0
    points = sample(depth, 1000)
    z = points.z * np.where(np.arange(1000) % 2, 1.02, 1 / 1.02)
    fit = fit_points(metric(depth), SparsePoints(points.u, points.v, z), SETTINGS)
    assert fit.scale == pytest.approx(1.0, abs=5e-3)


def test_the_same_seed_gives_the_same_fit() -> None:
    depth = wavy_depth()
    points = spoiled(sample(depth, 500), 0.4, 0.05)
    fits = [fit_points(relative(depth, 0.05, 0.08), points, SETTINGS) for _ in range(2)]
    assert (fits[0].scale, fits[0].shift) == (fits[1].scale, fits[1].shift)


def test_degenerate_points_are_named_not_fitted() -> None:
    depth = wavy_depth()
    prediction = relative(depth, 0.05, 0.08)
    points = sample(depth, 100)
    with pytest.raises(UnmeasurableError, match="too few points: 3 usable, at least 6"):
        fit_points(prediction, sample(depth, 3), SETTINGS)
    with pytest.raises(UnmeasurableError, match="behind the camera"):
        fit_points(prediction, SparsePoints(points.u, points.v, -points.z), SETTINGS)
    with pytest.raises(UnmeasurableError, match="one network value"):
        fit_points(relative(np.full_like(depth, 4.0), 0.05, 0.08), points, SETTINGS)
    with pytest.raises(OpposedError, match="no positive scale fits"):
        fit_points(relative(depth, -0.05, 0.9), points, SETTINGS)
    rng = np.random.default_rng(0)
    noise = SparsePoints(points.u, points.v, np.exp(rng.uniform(-3, 5, 100)))
    with pytest.raises(UnmeasurableError):
        fit_points(prediction, noise, FitSettings(min_inlier_share=0.9))


@pytest.mark.parametrize(
    ("opposed", "cause"),
    [
        (False, "likelier the network misreads"),
        (True, "likelier the extrinsics or the calibration"),
    ],
)
def test_points_that_oppose_the_network_name_the_likelier_cause(opposed: bool, cause: str) -> None:
    """A network that sees nothing of the scene, and one that sees it upside down."""
    depth = wavy_depth()
    points = sample(depth, 400)
    rng = np.random.default_rng(3)
    upside_down = (depth - depth.mean()) / depth.std()
    values = upside_down if opposed else 0.2 * upside_down + rng.normal(size=depth.shape)
    prediction = Prediction(
        values.astype(np.float32), PredictionKind.RELATIVE_DISPARITY, depth.shape
    )
    with pytest.raises(OpposedError) as refused:
        fit_points(prediction, points, SETTINGS)
    assert cause in str(refused.value)


@pytest.mark.parametrize(
    ("count", "depth_range", "is_strong"), [(20, 4.0, False), (400, 4.0, True), (400, 1.5, False)]
)
def test_few_or_level_points_do_not_say_that_the_extrinsics_are_wrong(
    count: int, depth_range: float, is_strong: bool
) -> None:
    """Unrelated ranks of twenty points correlate at -0.4 in one draw of twenty; a network may well
    misread depths that hardly differ, as of a table seen from above."""
    assert OpposedError(-0.4, count, depth_range).is_strong is is_strong


def test_the_larger_part_of_a_line_does_not_outvote_the_rest() -> None:
    """A laser scan: the network is 15 % off over two fifths of it, where it is near."""
    u = np.linspace(0, 319, 300)
    inverse = np.where(u < 190, 0.30 + 0.04 * np.sin(u / 20), 0.50)
    disparity = np.where(u < 190, inverse, 0.85 * inverse)
    row = np.interp(np.arange(320), u, disparity)
    values = np.broadcast_to(row, (240, 320)).astype(np.float32)
    prediction = Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape)
    line = fit_points(prediction, SparsePoints(u, np.full(300, 120.0), 1 / inverse), SETTINGS)
    v = np.random.default_rng(0).uniform(0, 239, 300)
    spread = fit_points(prediction, SparsePoints(u, v, 1 / inverse), SETTINGS)
    assert spread.inlier_share < 0.7
    assert line.inlier_share == 1.0
    assert line.scale > 1.1 * spread.scale


def test_relative_depth_gets_a_scale_and_a_shift_in_depth() -> None:
    depth = wavy_depth()
    values = ((depth + 0.6) / 2.3).astype(np.float32)
    prediction = Prediction(values, PredictionKind.RELATIVE_DEPTH, depth.shape)
    points = spoiled(sample(depth, 2000), 0.3, 0.0)
    fit = fit_points(prediction, points, SETTINGS)
    assert fit.scale == pytest.approx(2.3, rel=1e-4)
    assert fit.shift == pytest.approx(-0.6, rel=1e-3)
    metres = to_metres(prediction, fit.scale, fit.shift)
    np.testing.assert_allclose(metres, depth, rtol=1e-3)


def test_the_sky_is_infinitely_far() -> None:
    depth = np.full((4, 6), 5.0, np.float32)
    sky = np.zeros((4, 6), bool)
    sky[:2] = True
    out = with_sky(depth, sky)
    assert np.isposinf(out[:2]).all()
    np.testing.assert_array_equal(out[2:], 5.0)
    np.testing.assert_array_equal(depth, 5.0)
    assert with_sky(depth, None) is depth


def test_points_where_the_network_says_nothing_do_not_count() -> None:
    depth = wavy_depth()
    prediction = relative(depth, 0.037, 0.021)
    values = prediction.values.copy()
    values[:, ::3] = np.nan
    torn = Prediction(values, prediction.kind, prediction.input_size)
    points = sample(depth, 500)
    fit = fit_points(torn, points, SETTINGS)
    assert (fit.scale, fit.shift) == pytest.approx((0.037, 0.021), rel=1e-5)
    np.testing.assert_array_equal(fit.inliers, np.isfinite(values_at(values, points)))
