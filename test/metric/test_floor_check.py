"""The floor that points show against the ground that is known: what differs is said in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from metric_scenes import CAMERA
from real_frames import Array

from depth_anything_ros.frames import Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import project, rays_of_pixels
from depth_anything_ros.metric.floor_check import FloorCheck

HEIGHT = 0.9
GROUND = Plane((0.0, -1.0, 0.0), HEIGHT)
RGB = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)


def room(seed: int) -> Array:
    """Points of a floor, walls and a table, 1 cm of noise, in the optical frame."""
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-3, 3, 1500), rng.uniform(1, 7, 1500)
    floor = np.stack([x, np.full_like(x, HEIGHT), z], axis=1)
    wall = np.stack([x, rng.uniform(-1.5, HEIGHT, 1500), np.full_like(x, 7.0)], axis=1)
    table = np.stack([rng.uniform(0, 1, 300), np.full(300, 0.3), rng.uniform(2, 3, 300)], axis=1)
    return np.concatenate([floor, wall, table]) + rng.normal(0, 0.01, (3300, 3))


def xyz(points: SparsePoints) -> Array:
    """The points in the optical frame, rows of x, y and z."""
    x, y = rays_of_pixels(CAMERA, points.u, points.v)
    return np.stack([points.z * x, points.z * y, points.z])


def drive(
    seconds: int, pitch: float = 0.0, roll: float = 0.0, factor: float = 1.0, rate: int = 2
) -> Iterator[Frame]:
    """Frames whose points are turned about the camera and scaled."""
    turn = cv2.Rodrigues(np.radians(np.array([pitch, 0.0, roll])))[0]
    for number in range(seconds * rate):
        points = SparsePoints(*project(CAMERA, factor * room(number) @ turn.T), source="/points")
        stamp = 10**9 + round(number * 1e9 / rate)
        yield Frame(RGB, stamp, camera=CAMERA, points=points, ground=GROUND)


@pytest.mark.parametrize(
    "pitch, roll, words",
    [
        (0.9, 0.0, "0.9 degrees up;"),
        (-1.5, 0.0, "1.5 degrees down;"),
        (0.0, 1.0, "1.0 degrees clockwise about the view;"),
        (0.8, -2.0, "0.8 degrees up and is turned 2.0 degrees counterclockwise"),
    ],
)
def test_turned_sensor_is_found_within_ten_seconds(pitch: float, roll: float, words: str) -> None:
    check = FloorCheck()
    for frame in drive(10, pitch, roll):
        check.add(frame)
    assert check.values["floor_pitch_deg"] == pytest.approx(pitch, abs=0.1)
    assert check.values["floor_roll_deg"] == pytest.approx(roll, abs=0.1)
    assert words in check.finding
    assert "the floor that /points shows is turned" in check.finding


def test_scales_that_differ_are_said() -> None:
    check = FloorCheck()
    for frame in drive(25, factor=1.2, rate=1):
        check.add(frame)
    assert check.values["floor_height_factor"] == pytest.approx(1.2, abs=0.01)
    assert "lies 1.08 m below the camera but the ground is said to be 0.90 m" in check.finding
    assert "a factor of 1.20" in check.finding


def test_nothing_is_said_without_reason() -> None:
    check = FloorCheck()
    pavement = next(drive(1, factor=0.85))
    for number, frame in enumerate(drive(50, 0.2, -0.2, 1.03, rate=1)):
        passing = number in range(25, 33)
        check.add(replace(pavement, stamp=frame.stamp) if passing else frame)
        assert not check.finding
    assert set(check.values) == {"floor_height_factor", "floor_pitch_deg", "floor_roll_deg"}


def test_points_that_are_wrong_do_not_count() -> None:
    """A mirror shows most of the floor at half its distance."""
    seen, said = FloorCheck(), FloorCheck()
    for frame in drive(25, rate=1):
        points = frame.points
        assert points is not None
        _, y, _ = xyz(points)
        mirrored = (y > 0.8) & (points.u < 0.85 * CAMERA.width)
        points = replace(points, z=np.where(mirrored, 0.55 * points.z, points.z))
        frame = replace(frame, points=points)
        seen.add(frame)
        said.add(frame, mirrored)
    assert "m below the camera but the ground is said to be 0.90 m" in seen.finding
    assert seen.values["floor_height_factor"] == pytest.approx(0.55, abs=0.02)
    assert said.values["floor_height_factor"] == pytest.approx(1.0, abs=0.01)
    assert not said.finding


def test_what_is_old_or_of_another_time_is_forgotten() -> None:
    check = FloorCheck()
    for frame in drive(10, 1.0):
        check.add(frame)
    assert check.finding
    check.add(Frame(RGB, 10**9, camera=CAMERA))
    assert not check.finding and not check.values
    for frame in drive(5, 1.0):
        check.add(frame)
    check.add(Frame(RGB, 70 * 10**9, camera=CAMERA))
    assert not check.values


def test_the_plane_of_a_laser_scan_is_no_floor() -> None:
    check = FloorCheck()
    u = np.linspace(0, CAMERA.width - 1, 300)
    z = np.repeat([1.5, 3.0, 2.2, 4.0, 1.8], 60)
    points = SparsePoints(u, CAMERA.cy + CAMERA.fy * 0.6 / z, z, source="/scan")
    for frame in drive(25, rate=1):
        check.add(replace(frame, points=points))
    assert check.values == {}
    assert check.finding == ""
