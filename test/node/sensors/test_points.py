"""Every sensor has its own way of saying nothing, and none of them is a point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import LaserScan, PointCloud2, PointField, Range

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.sensors.points import (
    cloud_points,
    points_in_image,
    points_within,
    range_points,
    scan_points,
)

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
NEAREST, FURTHEST = 0.125, 30.0  # both are float32 without rounding
NOTHING = st.sampled_from([0.0, math.nan, math.inf, -math.inf, FURTHEST, 1e30, -1.0, 0.0625])
HITS = st.floats(NEAREST, 29.0, width=32)


@given(st.lists(st.tuples(st.booleans(), HITS, NOTHING), max_size=50))
def test_a_scan_has_a_point_for_each_hit(beams: list[tuple[bool, float, float]]) -> None:
    ranges = [hit if is_hit else nothing for is_hit, hit, nothing in beams]
    scan = LaserScan(
        angle_min=-1.0,
        angle_increment=0.01,
        range_min=NEAREST,
        range_max=FURTHEST,
        ranges=ranges,
    )
    points = scan_points(scan)
    expected = [hit for is_hit, hit, _ in beams if is_hit]
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), expected, rtol=1e-6)


@given(st.one_of(HITS, NOTHING))
def test_a_range_finder_has_a_point_or_none(distance: float) -> None:
    message = Range(
        field_of_view=0.1, min_range=0.0625, max_range=FURTHEST, range=float(np.float32(distance))
    )
    points = range_points(message)
    seen = 0.0625 < np.float32(distance) < FURTHEST
    assert len(points) == int(seen)
    if seen:
        assert points[0].tolist() == [float(np.float32(distance)), 0.0, 0.0]


@given(st.integers(0, 200), st.integers(0, 2000))
def test_beams_without_return_are_no_points(hits: int, misses: int) -> None:
    rng = np.random.default_rng(hits)
    measured = rng.uniform(1.0, 5.0, (hits, 3)).astype(np.float32)
    nothing = np.zeros((misses, 3), np.float32)
    nothing[::3] = np.nan
    sent = np.vstack([measured, nothing])
    cloud = PointCloud2(
        height=1,
        width=len(sent),
        point_step=12,
        row_step=12 * len(sent),
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate("xyz")
        ],
    )
    cloud.data.frombytes(sent.tobytes())
    placed = np.eye(4)
    placed[:3, 3] = 0.05, 0.05, 0.25  # at its own origin the LiDAR would be in the image
    points = cloud_points(cloud)
    np.testing.assert_array_equal(points, measured)
    found = points_in_image([("points", points, placed)], CAMERA)
    assert found is not None
    assert len(found) + found.outside == hits


def test_points_in_no_image_are_counted() -> None:
    ahead = np.stack([np.linspace(3, 9, 600), np.linspace(-1, 1, 600), -np.ones(600)], 1)
    found = points_in_image([("points", ahead, np.eye(4))], CAMERA)
    assert found is not None
    assert (len(found), found.outside) == (0, 600)
    assert points_in_image([], CAMERA) is None


def test_a_wide_cone_is_no_point() -> None:
    assert not len(range_points(Range(field_of_view=0.5, max_range=5.0, range=2.0)))
    assert (
        pytest.approx(2.0) == range_points(Range(field_of_view=0.1, max_range=5.0, range=2.0))[0, 0]
    )


@given(
    st.lists(st.floats(0.01, 200.0), min_size=1, max_size=50),
    st.floats(0.0, 5.0),
    st.floats(5.0, 100.0),
)
def test_points_nearer_or_farther_than_plausible_are_left_out(
    distances: list[float], low: float, high: float
) -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(len(distances), 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = np.array(distances)[:, None] * directions
    kept = np.linalg.norm(points_within(points, low, high), axis=1)
    expected = [d for d in distances if low * (1 + 1e-9) < d < high * (1 - 1e-9)]
    assert len(expected) <= len(kept) <= len(distances)
    assert (kept >= low).all() and (kept <= high).all()
    assert points_within(points, 0.0, np.inf) is points
