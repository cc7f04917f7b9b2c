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


def test_far_from_all_points_the_network_keeps_its_shape_at_their_scale() -> None:
    points = sample(DEPTH, 4000)
    corner = (points.u < 40) & (points.v < 40)
    shifted = SparsePoints(points.u[corner], points.v[corner], points.z[corner] * 1.1)
    result = refine(DEPTH.astype(np.float32), shifted)
    here = result[5:35, 5:35] / DEPTH[5:35, 5:35]
    far = result[200:, 280:] / DEPTH[200:, 280:]
    print(f"at the points {here.mean():.3f}, far away {far.mean():.3f} +- {far.std():.4f}")
    assert here.mean() == pytest.approx(1.1, abs=0.01)
    assert far.mean() == pytest.approx(1.1, abs=0.03)
    assert far.std() < 0.01


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


def test_unknown_stays_unknown_and_few_points_change_nothing() -> None:
    off = (DEPTH * bumpy()).astype(np.float32)
    off[100:140, 50:90] = np.nan
    result = refine(off.copy(), sample(DEPTH, 500))
    assert np.array_equal(np.isnan(result), np.isnan(off))
    assert np.array_equal(refine(off.copy(), sample(DEPTH, 5)), off, equal_nan=True)
    empty = np.full((240, 320), np.nan, np.float32)
    assert np.isnan(refine(empty, sample(DEPTH, 500))).all()
