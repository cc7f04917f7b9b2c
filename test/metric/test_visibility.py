from __future__ import annotations

import numpy as np
from metric_scenes import relative, sample, wavy_depth

from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.metric.visibility import visible


def box_scene() -> tuple[np.ndarray, SparsePoints, np.ndarray]:
    """A box before a wall, points on both, and wall points that shine through the box."""
    depth = np.full((240, 320), 8.0)
    depth[80:160, 100:220] = 3.0
    points = sample(depth, 4000, seed=3)
    rng = np.random.default_rng(0)
    u, v = rng.uniform(110, 210, 200), rng.uniform(90, 150, 200)
    all_points = SparsePoints(
        np.append(points.u, u), np.append(points.v, v), np.append(points.z, np.full(200, 8.0))
    )
    return depth, all_points, np.arange(len(all_points)) >= len(points)


def test_points_behind_a_nearer_surface_are_hidden_and_no_others() -> None:
    depth, points, through = box_scene()
    seen = visible(relative(depth, 0.3, 0.01), points)
    hidden = float(np.mean(~seen[through]))
    print(
        f"hidden: {hidden:.1%} of the points behind, {np.mean(~seen[~through]):.2%} of the others"
    )
    assert hidden >= 0.95
    assert seen[~through].all()


def test_a_step_that_the_network_sees_too_hides_nothing() -> None:
    depth = wavy_depth()
    depth[:, 160:] *= 3
    assert visible(relative(depth, 0.3, 0.01), sample(depth, 20_000)).all()


def test_the_wall_beside_an_edge_that_the_network_misses_is_seen() -> None:
    depth = np.full((240, 320), 8.0)
    depth[80:160, 100:220] = 3.0
    points = sample(depth, 5000, seed=1)
    seen = visible(relative(np.full((240, 320), 8.0), 0.3, 0.01), points)
    beside = np.maximum(np.abs(points.u - 159.5) - 60, np.abs(points.v - 119.5) - 40)
    wall = (beside > 0) & (beside < 8)
    print(f"hidden: {np.mean(~seen[wall]):.1%} of {wall.sum()} points beside the edge")
    assert wall.sum() > 150
    assert np.mean(~seen[wall]) < 0.2  # three quarters of them are behind a neighbour
    assert seen[~wall].all()


def test_many_bad_echoes_hide_nothing_but_few_may_be_a_pole() -> None:
    depth = wavy_depth()
    points = sample(depth, 5000, seed=1)
    hidden = []
    for one_of in (20, 100):
        bad = np.arange(len(points)) % one_of == 0
        z = np.where(bad, 0.3 * points.z, points.z)
        seen = visible(relative(depth, 0.3, 0.01), SparsePoints(points.u, points.v, z))
        hidden.append(np.sum(~seen[~bad]) / bad.sum())
    print("hidden around each bad echo of many and of few: {:.2f}, {:.2f} points".format(*hidden))
    assert hidden[0] < 0.2
    assert hidden[1] > 0.8


def test_points_outside_or_behind_the_camera_are_not_in_view() -> None:
    points = SparsePoints(
        np.array([5.0, -3.0, 5.0, 5.0, np.nan]),
        np.array([5.0, 5.0, 400.0, 5.0, 5.0]),
        np.array([4.0, 4.0, 4.0, -4.0, 4.0]),
    )
    seen = visible(relative(np.full((240, 320), 4.0), 0.3, 0.01), points)
    assert seen.tolist() == [True, False, False, False, False]
