"""The ground plane that measured points show: found, corrected, followed over time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.measured_ground import (
    FollowedGround,
    _mean_plane,
    _near,
    measured_ground,
)

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


def mounted(x: float = 0.0, pitch_deg: float = 0.0) -> FloatArray:
    """Pose of a camera that looks along a fixed frame's x, whose z is up."""
    pitch = math.radians(pitch_deg)
    down = np.array(
        [
            [1.0, 0.0, 0.0],
            [0.0, math.cos(pitch), math.sin(pitch)],
            [0.0, -math.sin(pitch), math.cos(pitch)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]) @ down
    pose[:3, 3] = x, 0.0, HEIGHT
    return pose


def scan(floor: int, rise: float = 0.0) -> SparsePoints:
    """Points of a wall 4 m ahead, and some of the floor, which may rise ahead of the camera."""
    y = np.broadcast_to(ray_table(CAMERA)[1], (240, 320))
    slope = math.tan(math.radians(rise))
    with np.errstate(divide="ignore"):
        depth = HEIGHT / (y + slope)
    on_floor = np.flatnonzero((depth > 0) & (depth < 4))
    wall = np.flatnonzero(y < 0.1)
    rng = np.random.default_rng(1)
    chosen = np.concatenate([rng.permutation(on_floor)[:floor], rng.permutation(wall)[:2000]])
    z = np.concatenate([depth.ravel()[chosen[:floor]], np.full(2000, 4.0)])
    v, u = np.divmod(chosen, 320)
    return SparsePoints(u.astype(float), v.astype(float), z + rng.normal(0, 0.005, len(z)))


def test_a_few_points_show_the_ground_where_odometry_says_what_is_level() -> None:
    few = scan(floor=60)
    assert measured_ground(few, CAMERA, None) is None
    level = measured_ground(few, CAMERA, None, mounted())
    assert level is not None
    assert level.offset == pytest.approx(HEIGHT, rel=0.01)
    assert -level.normal[1] > math.cos(math.radians(0.5))
    # Of a camera that looks down by 10 degrees these points rise by as much.
    assert measured_ground(few, CAMERA, None, mounted(pitch_deg=10.0)) is None


def test_what_is_not_level_is_no_ground_where_odometry_says_what_is() -> None:
    slanted = scan(floor=400, rise=12.0)
    assert measured_ground(slanted, CAMERA, None) is not None
    assert measured_ground(slanted, CAMERA, None, mounted()) is None
    # A fixed frame whose z is not up says nothing.
    assert measured_ground(slanted, CAMERA, None, np.eye(4)) is not None


def test_what_has_points_below_is_no_ground() -> None:
    """A table top beside which the legs and the wall go on to the floor."""
    x, y = (values.ravel() for values in np.broadcast_arrays(*ray_table(CAMERA)))
    with np.errstate(divide="ignore"):
        top = 0.3 / y
    on_top = np.flatnonzero((top > 0) & (top < 2.0) & (np.abs(x) < 0.2))[::20]
    wall = np.flatnonzero((y > -0.3) & (y < 0.2) & (np.abs(x) > 0.3))[::10]
    chosen = np.concatenate([on_top, wall])
    v, u = np.divmod(chosen, 320)
    z = np.concatenate([top[on_top], np.full(len(wall), 4.0)])
    table = SparsePoints(u.astype(float), v.astype(float), z)
    assert len(on_top) > 100
    assert measured_ground(table, CAMERA, None, mounted()) is None


def frame(seconds: float, points: SparsePoints, pose: FloatArray | None = None) -> Frame:
    rgb = np.zeros((240, 320, 3), np.uint8)
    stamp = round(seconds * 1e9)
    return Frame(rgb, stamp, camera=CAMERA, points=points, pose=pose, fixed_frame="odom")


def test_the_ground_counts_once_it_is_seen_again_and_is_held_where_the_camera_is_known() -> None:
    floor, none = scan(floor=400), scan(floor=0)
    ground = FollowedGround()
    assert ground.follow(frame(0.0, floor, mounted()), CAMERA) is None
    assert ground.follow(frame(0.2, none, mounted(0.1)), CAMERA) is None
    found = ground.follow(frame(9.0, floor, mounted(0.5)), CAMERA)
    assert found is not None
    assert found.offset == pytest.approx(HEIGHT, rel=0.01)
    # 20 s and 8 m later the camera looks down by 5 degrees and sees no floor.
    turned = ground.follow(frame(29.0, none, mounted(8.5, pitch_deg=5.0)), CAMERA)
    assert turned is not None
    assert turned.offset == pytest.approx(HEIGHT, rel=0.02)
    assert math.degrees(math.asin(-turned.normal[2])) == pytest.approx(5.0, abs=0.5)
    assert ground.follow(frame(39.0, none, mounted(12.0)), CAMERA) is None


def test_without_poses_the_ground_is_held_for_two_seconds() -> None:
    floor, none = scan(floor=400), scan(floor=0)
    ground = FollowedGround()
    assert ground.follow(frame(0.0, floor), CAMERA) is None
    assert ground.follow(frame(0.5, floor), CAMERA) is not None
    assert ground.follow(frame(2.4, none), CAMERA) is not None
    assert ground.follow(frame(2.6, none), CAMERA) is None


def test_a_plane_that_is_seen_once_does_not_replace_the_ground() -> None:
    ground = FollowedGround()
    for number in range(2):
        ground.follow(frame(0.1 * number, scan(floor=400), mounted()), CAMERA)
    lower = scan(floor=400)
    lower = SparsePoints(lower.u, lower.v, 1.2 * lower.z)
    for number, height in enumerate((HEIGHT, 1.2 * HEIGHT)):
        found = ground.follow(frame(1.0 + 0.1 * number, lower, mounted()), CAMERA)
        assert found is not None
        assert found.offset == pytest.approx(height, rel=0.01)


def test_a_pavement_that_fills_the_image_is_not_the_ground_of_a_robot_on_the_road() -> None:
    ground = FollowedGround()
    for number in range(2):
        ground.follow(frame(0.1 * number, scan(floor=400), mounted()), CAMERA)
    road = scan(floor=400)
    pavement = SparsePoints(road.u, road.v, road.z * (HEIGHT - 0.12) / HEIGHT)
    for number in range(20):
        pose = mounted(0.1 * number)
        found = ground.follow(frame(1.0 + 0.1 * number, pavement, pose), CAMERA)
        assert found is not None
        assert found.offset == pytest.approx(HEIGHT, rel=0.01)
    # On top of it the camera is as high over the pavement as it was over the road.
    climbed = mounted(2.0)
    climbed[2, 3] += 0.12
    for number in range(2):
        found = ground.follow(frame(3.0 + 0.1 * number, scan(floor=400), climbed), CAMERA)
    assert found is not None
    assert found.offset == pytest.approx(HEIGHT, rel=0.01)


def test_without_poses_a_pavement_may_be_where_the_robot_drove() -> None:
    ground = FollowedGround()
    road = scan(floor=400)
    pavement = SparsePoints(road.u, road.v, road.z * (HEIGHT - 0.12) / HEIGHT)
    for number, points in enumerate((road, road, pavement, pavement)):
        found = ground.follow(frame(0.1 * number, points), CAMERA)
    assert found is not None
    assert found.offset == pytest.approx(HEIGHT - 0.12, rel=0.01)


def test_the_plane_of_a_laser_scan_is_no_ground() -> None:
    """All its points lie in one level plane with none below; the floor is where the wheels are."""
    u = np.arange(320.0)
    z = np.repeat([1.5, 3.0, 2.2, 4.0, 1.8], 64)
    scan = SparsePoints(u, CAMERA.cy + CAMERA.fy * 0.6 / z, z)
    pose = np.eye(4)
    pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # level: the image's up is the world's z
    assert measured_ground(scan, CAMERA, None, pose) is None
    assert measured_ground(scan, CAMERA, None) is None
    followed = FollowedGround()
    for stamp in range(1, 6):
        frame = Frame(np.zeros((240, 320, 3), np.uint8), stamp, points=scan, pose=pose)
        assert followed.follow(frame, CAMERA) is None
    known = Plane((0.0, -1.0, 0.0), 0.62)
    assert measured_ground(scan, CAMERA, known, pose) is known
