"""A robot's way is smooth and free, and its sight depends on seed and distance alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.robot import KINDS, Robot
from depth_anything_ros.synthetic.route import BODY, Route, find_route
from depth_anything_ros.synthetic.worlds import kinds as worlds

CAMERAS = {"camera": Camera.from_hfov(64, 48, 70.0)}


@pytest.mark.parametrize("half", [0.0, 1.3])
def test_the_robot_moves_where_it_looks(half: float) -> None:
    route = Route(x=0.4, y=-0.7, heading=0.8, half=half, radius=0.6)
    step = 1e-5
    for distance in np.linspace(0.013, 2 * route.length, 60):
        here, there = route.pose(distance), route.pose(distance + step)
        motion = np.linalg.inv(here) @ there
        np.testing.assert_allclose(motion[:3, 3] / step, [1, 0, 0], atol=1e-4)
        turn = math.atan2(motion[1, 0], motion[0, 0]) / step
        assert turn == pytest.approx(route.curvature(distance), abs=1e-4)
    np.testing.assert_allclose(route.pose(route.length), route.pose(0.0), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_is_free(kind: str) -> None:
    atlas = textures.build(0)
    found = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        world = worlds.build(rng, atlas, kind)
        route = find_route(rng, world)
        if route is None:
            continue
        found += 1
        way = [route.pose(distance)[:2, 3] for distance in np.arange(0, route.length, 0.2)]
        # 1 cm: the way is checked every 10 cm, and a box may reach in between.
        free = min(world.scene.clearance((*spot, z)) for spot in way for z in (0.3, 0.8, 1.0))
        print(f"{kind} {seed}: lap {route.length:.1f} m, {free:.2f} m free around it")
        assert free > BODY - 0.01
        assert (np.min(way, axis=0) > np.array(world.low) + BODY).all()
        assert (np.max(way, axis=0) < np.array(world.high) - BODY).all()
    assert found >= 3


def test_the_seed_decides_the_world() -> None:
    first, again, other = (Robot("room", seed, CAMERAS) for seed in (5, 5, 6))
    one, same, different = (robot.photograph("camera", 1.5) for robot in (first, again, other))
    np.testing.assert_array_equal(one[0], same[0])
    np.testing.assert_array_equal(one[1], same[1])
    assert (one[1] != different[1]).mean() > 0.9
    np.testing.assert_array_equal(first.measure(1.5), again.measure(1.5))


def test_a_robot_that_stops_looks_to_both_sides() -> None:
    robot, driving = (Robot("room", 2, CAMERAS, turns_deg=turns) for turns in (70.0, 0.0))
    np.testing.assert_array_equal(robot.pose(1.0), driving.pose(1.0))
    stopped = driving.pose(1.5)
    for distance, yaw in ((1.5, 0.0), (2.25, 70.0), (3.0, 0.0), (3.75, -70.0), (4.5, 0.0)):
        pose = robot.pose(distance)
        np.testing.assert_allclose(pose[:3, 3], stopped[:3, 3])
        turned = np.linalg.inv(stopped) @ pose
        assert np.degrees(np.arctan2(turned[1, 0], turned[0, 0])) == pytest.approx(yaw, abs=1e-6)
    np.testing.assert_allclose(robot.pose(5.0), driving.pose(2.0))


def test_depth_needs_no_colour() -> None:
    robot = Robot("street", 1, CAMERAS)
    _, depth = robot.photograph("camera", 0.7)
    black, alone = robot.photograph("camera", 0.7, coloured=False)
    np.testing.assert_array_equal(alone, depth)
    assert not black.any()


def test_cameras_look_around() -> None:
    lens = CAMERAS["camera"]
    robot = Robot("room", 0, {"front": lens, "left": lens, "back": lens, "right": lens})
    ahead = np.stack([pose[:3, 2] for pose in robot.base_camera.values()])
    np.testing.assert_allclose(ahead, [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], atol=1e-12)


def test_noise_of_the_lidar_is_along_the_beams() -> None:
    robot = Robot("room", 2, CAMERAS)
    exact = robot.measure(0.0)
    noisy = robot.measure(0.0, 0.03, np.random.default_rng(0))
    ranges = np.linalg.norm(exact, axis=1)
    assert np.std(np.linalg.norm(noisy, axis=1) - ranges) == pytest.approx(0.03, rel=0.05)
    across = np.linalg.norm(np.cross(noisy, exact), axis=1) / ranges
    assert across.max() < 1e-5


def test_an_unknown_world_is_refused() -> None:
    with pytest.raises(SettingError, match="world is 'moon'; use one of room, street"):
        Robot("moon", 0, CAMERAS)
