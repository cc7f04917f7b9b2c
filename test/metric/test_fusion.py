from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import Array, sample, spoiled, wavy_depth

from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.metric import fusion

DEPTH = wavy_depth()


def bumpy() -> Array:
    """A smooth factor between 0.75 and 1.3."""
    v, u = np.mgrid[0:240, 0:320] / 240.0
    return np.exp(0.25 * np.sin(4 * u) * np.cos(3 * v))


def refine(depth: Array, points: SparsePoints) -> Array:
    """Metres, refined in inverse depth."""
    refined = fusion.refine((1 / depth).astype(np.float32), points)
    return depth if refined is None else 1 / refined.inverse_m


def absrel(depth: Array, truth: Array) -> float:
    return float(np.mean(np.abs(depth / truth - 1)))


@pytest.mark.parametrize(("count", "bar"), [(100, 0.25), (1000, 0.12), (20_000, 0.1)])
def test_a_smooth_error_is_taken_away_the_more_the_more_points(count: int, bar: float) -> None:
    off = (DEPTH * bumpy()).astype(np.float32)
    before = absrel(off, DEPTH)
    after = absrel(refine(off.copy(), sample(DEPTH, count)), DEPTH)
    print(f"N={count}: AbsRel {before:.4f} -> {after:.4f}")
    assert after <= bar * before


def test_the_correction_stops_at_an_edge() -> None:
    """A near object is 20 % off, the background is right; points on both."""
    truth = np.full((240, 320), 8.0)
    truth[60:180, 100:220] = 2.5
    off = truth.copy()
    off[60:180, 100:220] *= 1.2
    result = refine(off.astype(np.float32), sample(truth, 400))
    inside, outside = result[64:176, 104:216], result.copy()
    outside[56:184, 96:224] = 8.0
    print(
        f"object off by {absrel(inside, np.full_like(inside, 2.5)):.2%} (was 20 %), background by "
        f"{absrel(outside, np.full_like(outside, 8.0)):.2%}"
    )
    assert absrel(inside, np.full_like(inside, 2.5)) < 0.02
    assert np.abs(outside / 8.0 - 1).max() < 0.03
    band = result[50:190, 90:230] / truth[50:190, 90:230] - 1
    assert np.mean(np.abs(band) > 0.1) < 0.04


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_is_not_followed(seed: int) -> None:
    """Points without any trend: the global fit is the truth and stays it."""
    rng = np.random.default_rng(seed)
    points = sample(DEPTH, 300, seed)
    noisy = SparsePoints(points.u, points.v, points.z * np.exp(0.1 * rng.standard_normal(300)))
    off = absrel(refine(DEPTH.astype(np.float32), noisy), DEPTH)
    print(f"10 % noise on 300 points: depth off by {off:.2%}")
    assert off < 0.03


def test_gross_errors_do_not_spread() -> None:
    off = (DEPTH * bumpy()).astype(np.float32)
    clean = absrel(refine(off.copy(), sample(DEPTH, 1000)), DEPTH)
    wrong = absrel(refine(off.copy(), spoiled(sample(DEPTH, 1000), 0.3)), DEPTH)
    print(
        f"AbsRel {clean:.4f} -> {wrong:.4f} with 30 % gross errors, {absrel(off, DEPTH):.4f} before"
    )
    assert wrong < 0.25 * absrel(off, DEPTH)


@pytest.mark.parametrize("scale", [0.125, 8.0])
def test_a_depth_of_one_metre_is_nothing_special(scale: float) -> None:
    """The same scene, larger or smaller, with gross errors: the same points are dropped."""
    off = DEPTH * bumpy()
    points = spoiled(sample(DEPTH, 100), 0.3)
    scaled = SparsePoints(points.u, points.v, points.z * scale)
    expected = refine(off.astype(np.float32), points)
    result = refine((off * scale).astype(np.float32), scaled) / scale
    np.testing.assert_allclose(result, expected, rtol=1e-2)


def test_unknown_stays_unknown_and_few_points_change_nothing() -> None:
    off = (DEPTH * bumpy()).astype(np.float32)
    off[100:140, 50:90] = np.nan
    result = refine(off.copy(), sample(DEPTH, 500))
    assert np.array_equal(np.isnan(result), np.isnan(off))
    assert np.array_equal(refine(off.copy(), sample(DEPTH, 3)), off, equal_nan=True)
    empty = np.full((240, 320), np.nan, np.float32)
    assert np.isnan(refine(empty, sample(DEPTH, 500))).all()


def test_far_below_the_lowest_beam_the_global_fit_stays() -> None:
    rows, columns = np.mgrid[0:240, 0:320].astype(np.float32)
    inverse = (0.1 + rows / 400 + 0.02 * np.sin(columns / 40)).astype(np.float32)
    v, u = (axis.ravel().astype(np.float64) for axis in np.mgrid[60:100:4, 2:320:4])
    factor = 1.2 + 0.003 * (v - 60)  # a trend that leads astray where it is drawn on
    z = 1 / (inverse[v.astype(int), u.astype(int)] * factor)
    refined = 1 / refine(1 / inverse, SparsePoints(u, v, z))
    np.testing.assert_allclose(refined[200:], inverse[200:], rtol=1e-5)
    beams = refined[60:98, 10:310] / inverse[60:98, 10:310]
    np.testing.assert_allclose(beams, 1.2 + 0.003 * (rows[60:98, 10:310] - 60), rtol=0.02)


def test_edges_of_the_image_tell_surfaces_apart_that_the_network_does_not() -> None:
    truth = np.full((240, 320), 8.0)
    truth[60:180, 100:220] = 4.0
    rgb = np.full((240, 320, 3), 90, np.uint8)
    rgb[60:180, 100:220] = 170
    flat = np.full((240, 320), 0.15, np.float32)
    points = sample(truth, 300)
    error = {}
    for name, image in (("without", None), ("with", rgb)):
        refined = fusion.refine(flat, points, rgb=image)
        assert refined is not None and np.isfinite(refined.inverse_m).all()
        error[name] = absrel(1 / refined.inverse_m, truth)
    print(error)
    assert error["with"] < 0.6 * error["without"]


def test_points_given_twice_are_no_line() -> None:
    """Thinned out like beams, three hundred points of pairs were one."""
    scene = np.random.default_rng(3)
    u, v = np.repeat(scene.uniform(0, 159, 150), 2), np.repeat(scene.uniform(0, 119, 150), 2)
    depth = 2 + v / 40
    rows = np.arange(120, dtype=np.float32)[:, None]
    truth = np.broadcast_to(2 + rows / 40, (120, 160))
    fit = np.ascontiguousarray(0.8 / truth, np.float32)
    refined = fusion.refine(fit, SparsePoints(u, v, depth, "twice"))
    assert refined is not None
    error = np.abs(1 / refined.inverse_m / truth - 1)
    assert np.isfinite(error).all()
    assert float(np.median(error)) < 0.02


def beams(inverse: Array) -> SparsePoints:
    """A point in every pixel of every sixteenth row."""
    v, u = (axis.ravel() for axis in np.mgrid[8:120:16, 0:160])
    return SparsePoints(u.astype(float), v.astype(float), 1 / inverse[v, u])


def test_between_beams_a_plane_is_a_plane() -> None:
    """All near neighbours of a place lie in one beam, which says nothing of the slope across."""
    rows, columns = np.mgrid[0:120, 0:160]
    inverse = 0.2 + 0.05 * np.sin(rows / 25) + 0.0002 * columns
    refined = fusion.refine(np.full((120, 160), 0.2, np.float32), beams(inverse))
    assert refined is not None
    off = np.abs(refined.inverse_m / inverse - 1)[24:105]  # rows of beams and what lies between
    print(f"between beams off by {off.mean():.2%}")
    assert off.mean() < 0.004


def test_along_beams_the_points_are_followed_closer_than_the_beams_are_apart() -> None:
    """Waves as long as the beams are apart, by the points of a beam and in the rows beside it."""
    rows, columns = np.mgrid[0:120, 0:160]
    fit = 0.2 + 0.0003 * rows
    inverse = fit * (1 + 0.08 * np.sin(2 * np.pi * (columns + 0.5) / 16))
    refined = fusion.refine(fit.astype(np.float32), beams(inverse))
    assert refined is not None
    off = np.abs(refined.inverse_m / inverse - 1)
    on, beside = (float(off[24 + apart : 97 + apart : 16].mean()) for apart in (0, 2))
    print(f"waves of 8 %: off by {on:.2%} in beams, by {beside:.2%} two rows beside")
    assert on < 0.014
    assert beside < 0.022


def test_a_point_whose_neighbours_are_all_wrong_is_judged_by_the_global_fit() -> None:
    v, u = (axis.ravel().astype(float) for axis in np.mgrid[4:240:12, 4:320:12])
    network = 0.2 * (1 + 0.06 * np.sin(np.mgrid[0:240, 0:320][1] / 12))
    inverse = np.full(len(u), 0.2)
    wrong = (np.abs(u - 160) < 31) & (np.abs(v - 124) < 31)
    right = np.flatnonzero((u == 160) & (v == 124))[0]
    wrong[right] = False
    inverse[wrong] *= np.resize([3, 1 / 3, 5, 1 / 5, 4, 1 / 4], wrong.sum())
    inverse[right] *= 1.25
    refined = fusion.refine(network.astype(np.float32), SparsePoints(u, v, 1 / inverse))
    assert refined is not None
    factor = refined.inverse_m / 0.2
    assert factor[124, 160] == pytest.approx(1.25, abs=0.05)
    assert factor.min() > 0.9 and factor.max() < 1.3


def test_small_objects_that_the_network_misses_are_no_gross_errors() -> None:
    """A seventh of the points lies on them, four together, which say the same."""
    rows, columns = np.mgrid[0:240, 0:320]
    objects = ((rows + 24) % 60 >= 48) | ((rows + 24) % 60 < 12)
    objects &= ((columns + 18) % 60 >= 48) | ((columns + 18) % 60 < 12)
    inverse = np.where(objects, 0.45, 0.2)
    v, u = (axis.ravel() for axis in np.mgrid[4:240:12, 4:320:12])
    points = SparsePoints(u.astype(float), v.astype(float), 1 / inverse[v, u])
    refined = fusion.refine(np.full((240, 320), 0.2, np.float32), points)
    assert refined is not None
    assert 60 < objects[v, u].sum() < 100
    np.testing.assert_allclose(refined.inverse_m[v, u], inverse[v, u], rtol=0.05)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_of_a_few_hundred_points_those_grossly_wrong_are_not_followed(share: float) -> None:
    """By a factor of two and more, where the global fit itself is off by up to 20 %."""
    wave = 1 + 0.2 * np.sin(np.arange(320) / 40)
    refined = refine(DEPTH / wave, spoiled(sample(DEPTH, 300), share))
    off = absrel(refined, DEPTH)
    print(f"{share:.0%} of the points wrong: off by {off:.2%}")
    assert off < 0.01


def test_beside_dropped_points_the_error_stays_finite_and_grows() -> None:
    """The network is right; a tenth of the points is wrong and not followed."""
    points = spoiled(sample(DEPTH, 600), 0.1)
    error = {}
    for name, given in (("all", points), ("right", sample(DEPTH, 600))):
        refined = fusion.refine((1 / DEPTH).astype(np.float32), given)
        assert refined is not None
        np.testing.assert_allclose(refined.inverse_m * DEPTH, 1, rtol=1e-3)
        assert np.isfinite(refined.error).all()
        error[name] = refined.error
    print({name: (float(np.median(each)), float(each.max())) for name, each in error.items()})
    assert error["right"].max() < 0.004
    assert 0.01 < error["all"].max() < 0.1


def test_thin_and_small_things_the_network_misses_are_followed() -> None:
    """Poles and boxes before a wall: as far off as gross errors, yet they spoil no neighbours."""
    rows, columns = np.mgrid[0:240, 0:320]
    things = ((columns + 5) % 80 < 12) | ((rows % 90 > 68) & (columns % 110 > 80))
    inverse = np.where(things, 0.3, 0.1)
    rng = np.random.default_rng(1)
    u, v = rng.uniform(0, 319, 1000), rng.uniform(0, 239, 1000)
    at = np.rint(v).astype(int), np.rint(u).astype(int)
    points = SparsePoints(u, v, 1 / inverse[at])
    refined = fusion.refine(np.full((240, 320), 0.1, np.float32), points)
    assert refined is not None
    off = np.abs(refined.inverse_m[at] / inverse[at] - 1)
    print(f"{things[at].mean():.0%} of the points on things: {np.mean(off < 0.1):.1%} met")
    assert np.mean(off < 0.1) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_points_alone_are_interpolated_though_a_third_is_wrong_and_chance_is_not(
    seed: int,
) -> None:
    points = sample(DEPTH, 400, seed)
    wrong = spoiled(points, 0.3, seed=seed)
    refined = fusion.interpolate(DEPTH.shape, wrong)
    assert refined is not None
    known = np.isfinite(refined.inverse_m)
    off = np.abs(1 / refined.inverse_m[known] / DEPTH[known] - 1)
    print(f"known {known.mean():.0%}, AbsRel {off.mean():.3f}")
    assert known.mean() > 0.9 and off.mean() < 0.05
    shuffled = np.random.default_rng(seed).permutation(points.z)
    chance = SparsePoints(points.u, points.v, shuffled)
    assert fusion.interpolate(DEPTH.shape, chance) is None


def test_few_points_behind_the_others_are_doubted_sooner_than_those_in_front() -> None:
    """Seven of a hundred, off by a factor of 1.8: hidden from the camera, or a thing before all."""
    v, u = np.mgrid[0:240, 0:320] / 240.0
    fit = DEPTH * np.exp(0.35 * np.sin(9 * u) * np.cos(8 * v))
    points = sample(DEPTH, 100, 2)
    some = np.random.default_rng(2).permutation(100)[:7]
    at = np.rint(points.v[some]).astype(int), np.rint(points.u[some]).astype(int)
    off = {}
    for name, factor in (("behind", 1.8), ("in front", 1 / 1.8)):
        z = points.z.copy()
        z[some] *= factor
        result = refine(fit.astype(np.float32), SparsePoints(points.u, points.v, z))
        off[name] = float(np.median(np.abs(z[some] / result[at] - 1)))
    print(off)
    assert off["behind"] > 0.5
    assert off["in front"] < 0.1


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_the_edges_of_a_network_that_is_right_do_not_spread(count: int) -> None:
    """Leaves it misses before a wall and a floor it sees: a point on one says nothing of the rest.

    Each leaf is seen by one point or none, and none is where the error is judged.
    """
    rng = np.random.default_rng(count)
    rows, _ = np.mgrid[0:240, 0:320]
    network = np.maximum(0.2, rows / 400)
    u, v = rng.integers(0, 320, count), rng.integers(0, 240, count)
    inverse = network[v, u] * np.exp(0.01 * rng.standard_normal(count))
    inverse[::7] *= np.resize([1.5, 1.3, 2.0], len(inverse[::7]))
    points = SparsePoints(u.astype(float), v.astype(float), 1 / inverse)
    refined = fusion.refine(network.astype(np.float32), points)
    assert refined is not None
    off = absrel(1 / refined.inverse_m, 1 / network)
    print(f"{count} points: off by {off:.2%}")
    assert off < 0.01


def test_an_object_that_a_right_network_misses_is_followed() -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    inverse = np.where((abs(columns - 160) < 30) & (abs(rows - 120) < 30), 0.4, 0.2)
    v, u = (axis.ravel().astype(float) for axis in np.mgrid[4:240:20, 4:320:20])
    at = v.astype(int), u.astype(int)
    refined = fusion.refine(
        np.full((240, 320), 0.2, np.float32), SparsePoints(u, v, 1 / inverse[at])
    )
    assert refined is not None
    assert refined.inverse_m[120, 160] == pytest.approx(0.4, rel=0.05)


def test_a_few_single_errors_among_many_points_do_not_spread() -> None:
    off = (DEPTH * bumpy()).astype(np.float32)
    clean = absrel(refine(off.copy(), sample(DEPTH, 3000)), DEPTH)
    wrong = absrel(refine(off.copy(), spoiled(sample(DEPTH, 3000), 0.02)), DEPTH)
    print(f"AbsRel {clean:.4f} -> {wrong:.4f} with 2 % gross errors")
    assert wrong < 0.008  # 0.03 if they counted
