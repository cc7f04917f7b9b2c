"""The ground plane that measured points show: found, corrected, followed over time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.frames import FloatImage, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.measured_ground import _mean_plane, _near, measured_ground

CAMERA = Camera.from_hfov(320, 240, 70.0)
HEIGHT = 0.85


def level_floor() -> FloatImage:
    """Depth of level floor up to a wall 4 m ahead."""
    down = np.broadcast_to(ray_table(CAMERA)[1], (240, 320))
    return np.asarray(HEIGHT / np.maximum(down, HEIGHT / 4.0), np.float32)


def _points(depth: FloatImage, count: int) -> SparsePoints:
    chosen = np.random.default_rng(0).permutation(depth.size)[:count]
    v, u = np.divmod(chosen, depth.shape[1])
    return SparsePoints(u.astype(float), v.astype(float), depth.ravel()[chosen].astype(float))


def test_points_find_the_ground_and_correct_what_is_known_of_it() -> None:
    points = _points(level_floor(), 2000)
    found = measured_ground(points, CAMERA, None)
    assert found is not None
    assert found.offset == pytest.approx(HEIGHT, rel=0.005)
    believed = Plane((0.0, -1.0, 0.0), 1.05 * HEIGHT)
    corrected = measured_ground(points, CAMERA, believed)
    assert corrected is not None
    assert corrected.offset == pytest.approx(HEIGHT, rel=0.01)
    few = _points(level_floor(), 20)
    assert measured_ground(few, CAMERA, believed) is believed
    assert measured_ground(few, CAMERA, None) is None


def test_the_ground_of_a_camera_that_is_rolled() -> None:
    normal = np.array([0.15, -0.97, -0.1])
    normal /= np.linalg.norm(normal)
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    with np.errstate(divide="ignore"):
        depth = -HEIGHT / (normal[0] * x + normal[1] * y + normal[2])
    points = _points(np.where((depth > 0) & (depth < 8), depth, 8).astype(np.float32), 3000)
    found = measured_ground(points, CAMERA, None)
    assert found is not None
    assert found.offset == pytest.approx(HEIGHT, rel=0.01)
    np.testing.assert_allclose(found.normal, normal, atol=0.01)


def test_the_ground_over_time_is_a_mean_and_what_is_far_from_it_another() -> None:
    turned = math.radians(0.8)
    before = Plane((0.0, -1.0, 0.0), 2.0)
    now = Plane((0.0, -math.cos(turned), -math.sin(turned)), 2.05)
    mean = _mean_plane(before, now)
    assert mean.offset == pytest.approx(2.015)
    assert math.asin(-mean.normal[2]) == pytest.approx(0.3 * turned, rel=1e-3)
    assert _near(now, before, 0.03) and not _near(now, before, 0.02)
    assert not _near(replace(now, offset=2.07), before, 0.03)
