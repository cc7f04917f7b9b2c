"""How far measured points speak: between, beside and away from them."""

from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import Array

from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.metric import fusion

SHAPE = (320, 120)
SPACING = 10
REACH = SPACING * 5**0.5  # ninth neighbour of the points, upper quartile: (2, 1) at their edge
LAST = 75  # row of the last points


def grid() -> tuple[Array, Array]:
    """Columns and rows of points in the upper quarter of the image."""
    v, u = np.mgrid[5 : LAST + 1 : SPACING, 5 : SHAPE[1] : SPACING].astype(float)
    return u.ravel(), v.ravel()


def away_from_points(rows: int = SHAPE[0]) -> Array:
    """Reaches from the last points, for the rows below them; 0 up to 1, 1 from 3.5 on."""
    distance = (np.arange(LAST, rows) - LAST) / REACH
    return np.clip((distance - 1) / 2.5, 0, 1)


def test_below_all_points_the_correction_fades_to_the_global_fit() -> None:
    """It is the ground that goes on there, of which the network knows more."""
    u, v = grid()
    fit = np.full(SHAPE, 0.2, np.float32)
    refined = fusion.refine(fit, SparsePoints(u, v, np.full(len(u), 1 / 0.24)))
    assert refined is not None
    expected = 1.2 - 0.2 * away_from_points()
    for column in (20, 60, 100):
        np.testing.assert_allclose(refined.inverse_m[:LAST, column] / 0.2, 1.2, rtol=1e-3)
        np.testing.assert_allclose(refined.inverse_m[LAST:, column] / 0.2, expected, atol=0.01)


@pytest.mark.parametrize("at", ["bottom", "left"])
def test_above_and_beside_points_what_all_of_them_say_goes_on(at: str) -> None:
    u, v = grid()
    u, v = (u, SHAPE[0] - 1 - v) if at == "bottom" else (v, u + 200)
    shape = SHAPE if at == "bottom" else (320, 320)
    points = SparsePoints(u, v, np.full(len(u), 1 / 0.24))
    refined = fusion.refine(np.full(shape, 0.2, np.float32), points)
    assert refined is not None
    lowest = int(v.max()) - SPACING
    np.testing.assert_allclose(refined.inverse_m[:lowest] / 0.2, 1.2, rtol=0.01)


@pytest.mark.parametrize(
    ("far_columns", "of_fit"),
    [
        (0, 0.02 / 0.22),  # where the fit is, relative to the measured depth
        (2, 0.10 / 0.30 / 2),  # the worst twentieth lies within two standard deviations
        (6, 0.10 / 0.30),  # more than a third is that far off
    ],
)
def test_below_all_points_the_error_is_that_of_the_global_fit(
    far_columns: int, of_fit: float
) -> None:
    u, v = grid()
    inverse = np.where(u < SPACING * far_columns, 0.3, 0.22)
    shape = (165, SHAPE[1])  # points show half of it
    refined = fusion.refine(np.full(shape, 0.2, np.float32), SparsePoints(u, v, 1 / inverse))
    assert refined is not None
    error = below_points(refined, shape)
    away = away_from_points(shape[0])
    np.testing.assert_allclose(error[away == 1][5:], of_fit, rtol=1e-3)
    np.testing.assert_allclose(error, of_fit * np.sqrt(away), atol=0.15 * of_fit)


def below_points(refined: fusion.Refined, shape: tuple[int, int]) -> Array:
    """Relative error in a column, from the last points on down."""
    rows = refined.error.shape[0] * np.arange(LAST, shape[0]) // shape[0]
    return refined.error[rows, refined.error.shape[1] * 100 // shape[1]]


def test_points_in_a_small_part_of_the_image_do_not_show_how_good_the_fit_is_elsewhere() -> None:
    """The zones of a time-of-flight sensor that see two metres of floor, say."""
    u, v = grid()
    shape = (480, SHAPE[1])
    fit = np.full(shape, 0.2, np.float32)
    refined = fusion.refine(fit, SparsePoints(u, v, np.full(len(u), 1 / 0.2)))
    assert refined is not None
    error = below_points(refined, shape)
    assert error[: round(0.1 * SHAPE[1])].max() < 0.01
    np.testing.assert_allclose(error[round(0.25 * SHAPE[1]) :], 0.15, atol=0.001)
    everywhere = np.arange(5, shape[0], SPACING)
    u, v = (axis.ravel().astype(float) for axis in np.meshgrid(np.arange(5, 120, 10), everywhere))
    refined = fusion.refine(fit, SparsePoints(u, v, np.full(len(u), 1 / 0.2)))
    assert refined is not None
    assert refined.error.max() < 0.01


def test_without_a_network_depth_ends_where_the_points_do() -> None:
    u, v = grid()
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inverse = 0.2 + 0.001 * rows + 0.0005 * columns
    points = SparsePoints(u, v, 1 / inverse[v.astype(int), u.astype(int)])
    refined = fusion.interpolate(SHAPE, points)
    assert refined is not None
    between = np.s_[5 : LAST + 1, 5:116]
    np.testing.assert_allclose(refined.inverse_m[between], inverse[between], rtol=5e-3)
    known = np.flatnonzero(np.isfinite(refined.inverse_m[:, 60]))
    assert np.array_equal(known, np.arange(len(known)))
    assert known[-1] == pytest.approx(LAST + 3.5 * REACH, abs=4)
    # Where they fade out there is nothing but their median.
    assert refined.inverse_m[known[-1], 60] == pytest.approx(np.median(1 / points.z), rel=0.05)
    few = SparsePoints(u[:7], v[:7], points.z[:7])
    assert fusion.interpolate(SHAPE, few) is None
    chance = np.exp(np.random.default_rng(0).normal(0, 0.5, len(u)))
    assert fusion.interpolate(SHAPE, SparsePoints(u, v, chance)) is None


def test_without_a_network_points_at_nearly_one_depth_stand_for_all_between_them() -> None:
    """Their very median is right to a few percent, though no point foretells another."""
    u, v = grid()
    rng = np.random.default_rng(0)
    for spread, known in ((0.04, 1.0), (0.12, 0.5)):
        z = 0.8 * np.exp(rng.permutation(np.linspace(-2 * spread, 2 * spread, len(u))))
        refined = fusion.interpolate(SHAPE, SparsePoints(u, v, z))
        assert refined is not None
        finite = np.isfinite(refined.inverse_m)
        assert finite.all() if known == 1 else finite.mean() < known
        off = np.abs(0.8 * refined.inverse_m[finite] - 1)
        print(f"{spread:.0%} apart: known {finite.mean():.0%}, off by {off.mean():.1%}")
        assert off.mean() < 1.5 * spread
        assert refined.error[0].mean() > 0.7 * spread


def test_beside_few_points_a_network_that_is_nearly_right_counts_sooner() -> None:
    u, v = grid()
    fit = np.full(SHAPE, 0.2, np.float32)
    refined = fusion.refine(fit, SparsePoints(u, v, np.full(len(u), 1 / 0.206)))
    assert refined is not None
    factor = refined.inverse_m[:, 60] / 0.2
    np.testing.assert_allclose(factor[:LAST], 1.03, atol=2e-3)
    np.testing.assert_allclose(factor[LAST + round(1.4 * REACH) :], 1, atol=2e-3)


def test_far_behind_a_gap_between_points_is_as_far_as_the_global_fit_says() -> None:
    """An opening without a point, five times and more as far as the points around it."""
    rows, columns = np.mgrid[0:240, 0:320]
    fit = (0.1 + 0.0005 * rows).astype(np.float32)
    opening = (np.abs(columns - 160) < 30) & (np.abs(rows - 120) < 30)
    fit[opening] = 0.02
    v, u = (axis.ravel() for axis in np.mgrid[4:240:12, 4:320:12])
    u, v = u[~opening[v, u]], v[~opening[v, u]]
    points = SparsePoints(u.astype(float), v.astype(float), 1 / fit[v, u].astype(float))
    refined = fusion.refine(fit, points)
    assert refined is not None
    np.testing.assert_allclose(refined.inverse_m[100:141, 140:181], 0.02, rtol=0.02)


def test_farther_than_all_points_around_is_drawn_half_way_back_unless_the_fit_is_right() -> None:
    """An opening that kriging alone takes for 28 m, and that is 200 m away."""
    rows, columns = np.mgrid[0:240, 0:320]
    seen = 0.1 + 0.0005 * rows
    opening = (np.abs(columns - 160) < 30) & (np.abs(rows - 120) < 30)
    seen[opening] = 0.07
    inverse = 1.5 * seen - 0.1
    v, u = (axis.ravel() for axis in np.mgrid[4:240:12, 4:320:12])
    u, v = u[~opening[v, u]], v[~opening[v, u]]
    points = SparsePoints(u.astype(float), v.astype(float), 1 / inverse[v, u])
    depths = []
    for fit in (seen, inverse):
        refined = fusion.refine(fit.astype(np.float32), points)
        assert refined is not None
        depths.append(1 / float(np.median(refined.inverse_m[100:141, 140:181])))
    doubted, believed = depths
    around = 1 / inverse[(np.abs(columns - 160) < 60) & (np.abs(rows - 120) < 60) & ~opening].min()
    print(
        f"points around up to {around:.0f} m: {doubted:.0f} m, with the right fit {believed:.0f} m"
    )
    assert believed == pytest.approx(1 / 0.005, rel=0.02)
    assert doubted == pytest.approx((28 * 1.2 * around) ** 0.5, rel=0.1)
