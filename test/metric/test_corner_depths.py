"""Corners whose depth the camera's motion shows, and depth of what stands drawn to them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from metric_scenes import CAMERA, look_at_plane, texture
from real_frames import Array

from depth_anything_ros.frames import Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.corner_depths import CornerDepths, CornerTracks
from depth_anything_ros.metric.corner_fusion import drawn_to_corners
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.ground_odometry import GroundOdometry

WALL = Plane((0.2, 0.0, -0.98), 4.0)
GROUND = Plane((0.0, -1.0, 0.0), 1.2)
SECOND = 10**9
STILL = np.zeros((CAMERA.height, CAMERA.width), np.bool_)
DISTORTED = replace(
    CAMERA, distortion_model="plumb_bob", distortion=(-0.12, 0.02, 0.001, -0.001, 0.0)
)


def frame_at(ahead: float, camera: Camera = CAMERA, turned_deg: float = 0.0) -> tuple[Frame, Array]:
    """A camera that drives towards a wall; odometry may say that it has turned."""
    pose = np.eye(4)
    pose[:3, 3] = 0.2 * ahead, 0, ahead
    rgb, depth = look_at_plane(pose, WALL, camera, texture(1))
    said = pose.copy()
    said[:3, :3] = cv2.Rodrigues(np.radians([0.0, turned_deg * ahead, 0.0]))[0]
    stamp = SECOND + round(ahead * 2 * SECOND)
    return Frame(rgb, stamp, camera=camera, pose=said), depth.astype(np.float32)


def corners_at(
    ahead: float, guessed: float, camera: Camera = CAMERA, turned_deg: float = 0.0
) -> tuple[CornerDepths, Array]:
    """Corners after a way, from a depth that is off by a factor, and their log errors."""
    tracks = CornerTracks()
    found = None
    for step in np.arange(0.0, ahead + 1e-6, 0.1):
        frame, depth = frame_at(float(step), camera, turned_deg)
        found = tracks.measure(frame, np.float32(guessed) * depth)
    assert found is not None
    return found, np.log(found.points.z / values_at(depth, found.points))


@pytest.mark.parametrize("guessed", [1.0, 0.7, 1.4])
@pytest.mark.parametrize("camera", [CAMERA, DISTORTED], ids=["pinhole", "distorted"])
def test_corners_have_their_depth_whatever_was_guessed(guessed: float, camera: Camera) -> None:
    corners, off = corners_at(0.8, guessed, camera)
    print(f"{len(off)} corners, off {np.percentile(np.abs(off), [50, 90])}")
    assert len(off) > 100
    assert np.median(np.abs(off)) < 0.02
    assert np.mean(np.abs(off) < 2 * corners.sigma) > 0.95
    assert np.abs(np.median(off)) < 0.01


def test_odometry_that_turns_is_adjusted_to_the_images() -> None:
    """Half a degree over the way is three pixels, as much as a corner moves."""
    _, off = corners_at(0.8, 1.0, turned_deg=0.6)
    assert np.median(np.abs(off)) < 0.04


def test_nothing_is_measured_without_motion_pose_or_texture() -> None:
    tracks = CornerTracks()
    frame, depth = frame_at(0.0)
    for _ in range(3):
        assert tracks.measure(frame, depth) is None
    moved, depth = frame_at(0.8)
    assert tracks.measure(replace(moved, pose=None), depth) is None
    blank = replace(moved, rgb=np.full_like(moved.rgb, 90))
    assert tracks.measure(blank, depth) is None
    later = replace(moved, stamp=moved.stamp + 60 * SECOND)
    assert CornerTracks().measure(later, depth) is None


def test_pictures_of_another_frame_or_of_long_ago_are_forgotten() -> None:
    for changed in ({"fixed_frame": "map"}, {"stamp": 60 * SECOND}):
        tracks = CornerTracks()
        assert tracks.measure(*frame_at(0.0)) is None
        frame, depth = frame_at(0.5)
        assert tracks.measure(replace(frame, **changed), depth) is None
        assert tracks.measure(*frame_at(0.0)) is None  # time goes back
    tracks = CornerTracks()
    tracks.measure(*frame_at(0.0))
    assert tracks.measure(*frame_at(0.5)) is not None


def test_corners_are_less_sure_where_only_the_ground_tells_the_way() -> None:
    """By what that way is off, which all corners share."""
    own = GroundOdometry().locate(replace(frame_at(0.0)[0], pose=None), GROUND).fixed_frame
    sigma = {}
    for fixed_frame in ("odom", own):
        tracks = CornerTracks()
        for ahead in (0.0, 0.5):
            frame, depth = frame_at(ahead)
            found = tracks.measure(replace(frame, fixed_frame=fixed_frame), depth)
        assert found is not None
        sigma[fixed_frame] = found.sigma
    assert np.sqrt(np.square(sigma[own]) - np.square(sigma["odom"])) == pytest.approx(0.07)


def wall_and_floor(wall: float = 3.0) -> tuple[Array, Array]:
    """Depth of a wall that stands on the ground, and where it is seen."""
    _, y = np.broadcast_arrays(*ray_table(CAMERA))
    with np.errstate(divide="ignore"):
        floor = np.where(y > 0, GROUND.offset / np.maximum(y, 1e-9), np.inf)
    return np.minimum(floor, wall).astype(np.float32), floor > wall


def drawn(
    depth: Array, relative: float, corners: CornerDepths, moving: Array = STILL
) -> tuple[Array, Array]:
    sigma = np.float32(relative) * depth
    return drawn_to_corners(depth, sigma, corners, CAMERA, GROUND, moving)


def corners_on(depth: Array, rows: slice, columns: slice, sigma: float = 0.04) -> CornerDepths:
    v, u = (each.ravel().astype(float) for each in np.mgrid[rows, columns])
    points = SparsePoints(u, v, np.ones_like(u))
    return CornerDepths(replace(points, z=values_at(depth, points)), np.full(len(u), sigma))


def test_what_stands_is_drawn_to_its_corners_and_surer_there() -> None:
    true, stands = wall_and_floor()
    depth = np.where(stands, 1.15 * true, true).astype(np.float32)
    corners = corners_on(true, slice(60, 140, 12), slice(40, 120, 12))
    answer, sigma = drawn(depth, 0.2, corners)
    near, far = np.s_[60:130, 40:110], np.s_[20:140, 220:]
    assert np.abs(answer[near] / true[near] - 1).max() < 0.04
    assert (sigma[near] / answer[near]).max() < 0.08
    np.testing.assert_allclose(answer[far], depth[far], rtol=1e-3)
    np.testing.assert_allclose(sigma[far], 0.2 * depth[far], rtol=1e-2)
    np.testing.assert_array_equal(answer[~stands], depth[~stands])  # floor stays


def test_corners_that_differ_make_nothing_sure() -> None:
    true, _ = wall_and_floor()
    corners = corners_on(true, slice(60, 140, 12), slice(40, 120, 12))
    factor = np.where(np.arange(len(corners.sigma)) % 2, 1.2, 1 / 1.2)
    mixed = replace(corners, points=replace(corners.points, z=corners.points.z * factor))
    near = np.s_[70:130, 50:110]
    _, agreed = drawn(true, 0.2, corners)
    _, doubted = drawn(true, 0.2, mixed)
    assert (agreed[near] / true[near]).max() < 0.08
    assert (doubted[near] / true[near]).min() > 0.11


def test_corners_that_contradict_a_sure_depth_leave_it_and_doubt_it() -> None:
    true, _ = wall_and_floor()
    corners = corners_on(2 * true, slice(60, 130, 12), slice(40, 120, 12))
    answer, sigma = drawn(true, 0.05, corners)
    np.testing.assert_array_equal(answer, true)
    assert (sigma[70:120, 50:110] / true[70:120, 50:110]).min() > 0.2
    np.testing.assert_allclose(sigma[:, 220:], 0.05 * true[:, 220:], rtol=1e-2)


def test_what_moves_is_floor_or_is_unknown_tells_nothing() -> None:
    true, _ = wall_and_floor()
    depth = (1.1 * true).astype(np.float32)
    corners = corners_on(true, slice(60, 140, 12), slice(40, 120, 12))
    on_floor = corners_on(true, slice(225, 240, 6), slice(40, 280, 12))
    unknown = np.full_like(depth, np.nan)
    for given, told, moving in (
        (depth, corners, ~STILL),
        (depth, on_floor, STILL),
        (unknown, corners, STILL),
    ):
        answer, sigma = drawn(given, 0.2, told, moving)
        np.testing.assert_array_equal(answer, given)
        np.testing.assert_allclose(sigma, 0.2 * given, rtol=1e-5)


def test_of_two_surfaces_each_is_drawn_to_its_own_corners() -> None:
    """A post before a wall: the corners of the wall beside it say nothing of it."""
    true, _ = wall_and_floor()
    post = np.s_[40:150, 70:80]
    true[post] = 1.8
    depth = true.copy()
    depth[post] *= 1.1
    corners = corners_on(true, slice(60, 140, 10), slice(30, 65, 8))
    answer, sigma = drawn(depth, 0.2, corners)
    np.testing.assert_allclose(answer[post], depth[post], rtol=0.01)
    assert (sigma[post] / answer[post]).min() > 0.19


def test_sky_stays_as_far_and_as_unsure() -> None:
    true, _ = wall_and_floor()
    true[:50] = np.inf
    corners = corners_on(true, slice(80, 140, 12), slice(40, 120, 12))
    answer, sigma = drawn(true, 0.2, corners)
    assert np.isinf(answer[:50]).all()
    assert np.isinf(sigma[:50]).all()
    assert np.isfinite(answer[50:]).all()


def test_where_measured_points_tell_corners_do_not() -> None:
    true, _ = wall_and_floor()
    depth = (1.1 * true).astype(np.float32)
    corners = corners_on(true, slice(60, 140, 12), slice(40, 120, 12))
    untouched = np.ones(depth.shape, np.float32)
    untouched[:, :80] = 0
    sigma_m = np.float32(0.2) * depth
    answer, _ = drawn_to_corners(depth, sigma_m, corners, CAMERA, GROUND, STILL, untouched)
    np.testing.assert_array_equal(answer[:, :80], depth[:, :80])
    assert np.abs(answer[70:130, 85:110] / true[70:130, 85:110] - 1).max() < 0.04
