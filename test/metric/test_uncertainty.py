"""One standard deviation of the depth, from what measured it."""

from __future__ import annotations

import numpy as np
from metric_scenes import frame, relative, sample, wavy_depth

from depth_anything_ros.frames import Frame, SparsePoints
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.uncertainty import MEASURED, UNMEASURED, local_mean

DEPTH = wavy_depth()
PREDICTION = relative(DEPTH, 0.05, 0.08)


def test_of_points_it_is_as_large_as_what_left_out_points_show() -> None:
    rng = np.random.default_rng(0)
    exact = sample(DEPTH, 1000)
    noisy = SparsePoints(exact.u, exact.v, exact.z * np.exp(0.05 * rng.standard_normal(1000)))
    shares = []
    for points in (exact, noisy):
        scaled = LiveScaler([SparseSource()]).scale(PREDICTION, frame(DEPTH, points=points))
        assert scaled.depth_m is not None and scaled.sigma_m is not None
        assert scaled.sigma_m.shape == DEPTH.shape and scaled.sigma_m.dtype == np.float32
        shares.append(float(np.median(scaled.sigma_m / scaled.depth_m)))
    print(f"sigma / depth: exact points {shares[0]:.3%}, points with 5 % noise {shares[1]:.3%}")
    assert shares[0] < 0.005 < 0.02 < shares[1] < 0.1


def test_of_a_scale_without_any_measurement_it_is_a_constant_share() -> None:
    scaled = FixedScaler(20.0).scale(PREDICTION, frame(DEPTH))
    assert scaled.depth_m is not None and scaled.sigma_m is not None
    np.testing.assert_allclose(scaled.sigma_m, UNMEASURED * scaled.depth_m, rtol=1e-6)


def test_of_a_fit_it_is_the_spread_of_the_points_around_it() -> None:
    rng = np.random.default_rng(1)
    points = sample(DEPTH, 500)
    off = SparsePoints(points.u, points.v, points.z * np.exp(0.1 * rng.standard_normal(500)))
    scaler = LiveScaler([SparseSource()], refinement="none")
    scaled = scaler.scale(PREDICTION, frame(DEPTH, points=off))
    assert scaled.depth_m is not None and scaled.sigma_m is not None
    share = float(np.median(scaled.sigma_m / scaled.depth_m))
    print(f"sigma / depth with 10 % noise: {share:.3f}")
    assert 0.08 < share < 0.14


def test_between_points_it_grows_with_the_distance_and_the_step_to_the_nearest_one() -> None:
    rng = np.random.default_rng(2)
    height, width = DEPTH.shape
    near_wall = np.where(np.arange(width) < width // 2, 2.0, 4.0) * np.ones((height, 1))
    depth = (near_wall * np.exp(0.1 * (DEPTH / DEPTH.mean() - 1))).astype(np.float32)
    points = sample(depth, 60)
    off = SparsePoints(points.u, points.v, points.z * np.exp(0.02 * rng.standard_normal(60)))
    flat = relative(np.full_like(depth, 3.0) + 0.01 * DEPTH, 0.05, 0.08)  # does not see the step
    scaled = LiveScaler([SparseSource()]).scale(flat, frame(depth, points=off))
    assert scaled.depth_m is not None and scaled.sigma_m is not None
    share = scaled.sigma_m / scaled.depth_m
    assert np.nanmin(share) >= 0.99 * MEASURED
    v, u = np.indices(depth.shape)
    apart = np.hypot(u[..., None] - points.u, v[..., None] - points.v)
    nearest = apart.argmin(axis=-1)
    apart = apart.min(axis=-1)
    one_side = np.abs(u - width / 2) > 0.15 * width
    beside, between = (
        float(np.median(share[one_side & where])) for where in (apart < 3, apart > 15)
    )
    stepped = np.abs(np.log(scaled.depth_m / points.z[nearest])) > 0.25
    far = (apart > 8) & (apart < 20)
    across, along = (float(np.median(share[far & where])) for where in (stepped, ~stepped))
    print(f"beside points {beside:.3f}, between {between:.3f}")
    print(f"beyond a step {across:.3f}, else {along:.3f}")
    assert between > 1.3 * beside
    assert across > 1.3 * along


def test_it_is_larger_at_edges_beside_another_colour_and_far_away() -> None:
    """At equal distances to the points, all of which are off by as much."""
    rng = np.random.default_rng(5)
    height, width = DEPTH.shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    depth = np.where(u < width // 2, 2.0, 6.0).astype(np.float32)
    rgb = np.full((*DEPTH.shape, 3), 90, np.uint8)
    red = (u > width // 8) & (u < width // 4) & (v > height // 4) & (v < 3 * height // 4)
    rgb[red] = 200, 30, 30
    points = sample(depth, 400)
    at = values_at(red, points) > 0
    points = SparsePoints(points.u[~at], points.v[~at], points.z[~at])
    noise = np.exp(0.02 * rng.standard_normal(len(points)))
    off = SparsePoints(points.u, points.v, points.z * noise)
    shares = []
    for image in (np.full_like(rgb, 90), rgb):
        seen = Frame(image, points=off)
        scaled = LiveScaler([SparseSource()]).scale(relative(depth, 0.05, 0.08), seen)
        assert scaled.depth_m is not None and scaled.sigma_m is not None
        shares.append(scaled.sigma_m / scaled.depth_m)
    grey, coloured = shares
    apart = np.hypot(u[..., None] - points.u, v[..., None] - points.v).min(axis=-1)
    between = (apart > 2) & (apart < 6) & ~red
    edge = np.abs(u - width / 2) < 2
    inside = np.abs(u - width / 2) > width / 8
    at_edge, near, far = (
        float(np.median(grey[between & where]))
        for where in (edge, inside & (depth < 4), inside & (depth > 4))
    )
    patch = float(np.median(coloured[red] / grey[red]))
    around = float(np.median(coloured[between & inside] / grey[between & inside]))
    print(
        f"edge {at_edge:.3f}, 2 m {near:.3f}, 6 m {far:.3f}; red {patch:.2f}, around {around:.2f}"
    )
    assert at_edge > 1.3 * far > 1.5 * near
    assert patch > 1.2 * around


def test_local_mean_of_one_value_is_that_value_and_another_is_drawn_towards_all() -> None:
    rng = np.random.default_rng(4)
    cell = rng.permutation(40 * 50)[:80]
    for count in (2, 3, 80):
        local, around = local_mean(np.full(count, 0.2), cell[:count], (40, 50))
        np.testing.assert_allclose(local, 0.2, rtol=1e-3)
        np.testing.assert_allclose(around, 0.2, rtol=1e-3)
    left = cell % 50 < 25
    local, around = local_mean(np.where(left, 0.1, 0.3), cell, (40, 50))
    mean = float(np.where(left, 0.1, 0.3).mean())
    np.testing.assert_allclose(local[:, 0], 0.7 * 0.1 + 0.3 * mean, atol=0.02)
    np.testing.assert_allclose(local[:, -1], 0.7 * 0.3 + 0.3 * mean, atol=0.02)
    alone = np.zeros(80)
    alone[0] = 0.8  # what is around it does not contain it
    assert local_mean(alone, cell, (40, 50))[1][0] < 1e-3
