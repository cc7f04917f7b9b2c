"""Low points of a moment ago: moved with the camera, dropped where they do not hold any more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.frames import Frame, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project, rays_of_pixels
from depth_anything_ros.metric.ground_odometry import GroundOdometry
from depth_anything_ros.metric.point_memory import PointMemory

CAMERA = Camera.from_hfov(320, 240, 70.0)
HEIGHT = 0.85
GROUND = Plane((0.0, -1.0, 0.0), HEIGHT)
SECOND = 1_000_000_000


def frame(points: np.ndarray, ahead: float, seconds: float, fixed_frame: str = "odom") -> Frame:
    """A frame of points in the optical frame, whose camera has come so many metres forward."""
    pose = np.eye(4)
    pose[2, 3] = ahead
    measured = SparsePoints(*project(CAMERA, points.astype(np.float64)), source="lidar")
    rgb = np.zeros((240, 320, 3), np.uint8)
    stamp = round(seconds * SECOND)
    return Frame(rgb, stamp, camera=CAMERA, points=measured, pose=pose, fixed_frame=fixed_frame)


def line(height: float, z: float) -> np.ndarray:
    """A line of points across the image."""
    x = np.linspace(-0.3, 0.3, 20) * z
    return np.stack([x, np.full(20, HEIGHT - height), np.full(20, z)], axis=1)


def recalled(memory: PointMemory, seen: Frame) -> np.ndarray:
    """The remembered points in the optical frame, Nx3."""
    points = memory.recall(seen, GROUND)
    assert points is not None
    assert seen.points is not None
    old = len(seen.points)
    assert points.z[:old] == pytest.approx(seen.points.z)
    x, y = rays_of_pixels(CAMERA, points.u[old:], points.v[old:])
    return np.stack([points.z[old:] * x, points.z[old:] * y, points.z[old:]], axis=1)


def test_floor_and_kerb_come_nearer_with_the_camera() -> None:
    memory = PointMemory()
    first = np.concatenate([line(0.0, 4.0), line(0.12, 5.0)])
    assert len(recalled(memory, frame(first, 0.0, 1.0))) == 0
    old = recalled(memory, frame(line(0.0, 4.0), 1.5, 3.0))
    assert len(old) == 40
    floor, kerb = old[old[:, 2] < 3], old[old[:, 2] > 3]
    assert floor[:, 2] == pytest.approx(2.5)
    assert floor[:, 1] == pytest.approx(HEIGHT)
    assert kerb[:, 2] == pytest.approx(3.5)
    assert kerb[:, 1] == pytest.approx(HEIGHT - 0.12)


def test_what_stands_below_something_tall_is_forgotten() -> None:
    memory = PointMemory()
    person = np.concatenate([line(height, 4.0) for height in (0.0, 0.1, 0.3, 0.5, 0.9)])
    recalled(memory, frame(person, 0.0, 1.0))
    old = recalled(memory, frame(line(0.0, 4.0), 1.5, 2.0))
    assert len(old) == 20  # the floor alone
    assert old[:, 1] == pytest.approx(HEIGHT)


def test_old_points_end_with_time_jumps_and_other_frames() -> None:
    for ahead, seconds, name in ((1.5, 8.0, "odom"), (1.5, 0.5, "odom"), (1.5, 2.0, "map")):
        memory = PointMemory()
        recalled(memory, frame(line(0.0, 4.0), 0.0, 1.0))
        assert len(recalled(memory, frame(line(0.0, 4.0), ahead, seconds, name))) == 0
    memory = PointMemory()
    recalled(memory, frame(line(0.0, 9.0), 0.0, 1.0))
    assert len(recalled(memory, frame(line(0.0, 4.0), 3.0, 2.0))) == 0  # the pose was set anew


def test_points_that_are_hidden_or_seen_through_do_not_hold() -> None:
    memory = PointMemory()
    recalled(memory, frame(line(0.2, 4.0), 0.0, 1.0))
    x, y = 4.0 * np.linspace(-0.3, 0.3, 20) * 3.0 / 2.5, (HEIGHT - 0.2) / 2.5 * 3.0
    behind = np.stack([x, np.full(20, y), np.full(20, 3.0)], axis=1)  # same pixels, farther
    assert len(recalled(memory, frame(behind, 1.5, 2.0))) == 0
    memory = PointMemory()
    recalled(memory, frame(line(0.0, 4.0), 0.0, 1.0))
    nearer = behind * 0.5
    nearer[:, 1] = HEIGHT / 2.5 * 1.5
    assert len(recalled(memory, frame(nearer, 1.5, 2.0))) == 0


def test_frames_without_pose_or_ground_keep_their_points() -> None:
    memory = PointMemory()
    seen = frame(line(0.0, 4.0), 0.0, 1.0)
    assert memory.recall(seen, None) is seen.points
    unposed = Frame(seen.rgb, seen.stamp, camera=CAMERA, points=seen.points)
    assert memory.recall(unposed, GROUND) is seen.points


def test_a_laser_scan_is_not_remembered_on_the_grounds_own_way() -> None:
    """That way is off by some percent: floor stays floor, an obstacle would stand elsewhere."""
    own = GroundOdometry().locate(replace(frame(line(0.0, 4.0), 0.0, 1.0), pose=None), GROUND)
    scan = np.stack([np.linspace(-2, 2, 120), np.full(120, HEIGHT - 0.25), np.full(120, 4.0)], 1)
    for fixed_frame, kept in (("odom", 120), (own.fixed_frame, 0)):
        memory = PointMemory()
        recalled(memory, frame(scan, 0.0, 1.0, fixed_frame))
        gone = frame(line(0.0, 1.3), 0.2, 2.0, fixed_frame)
        assert len(recalled(memory, gone)) == kept
    floor = PointMemory()
    recalled(
        floor, frame(np.concatenate([line(0.0, 3.0), line(0.0, 4.0)]), 0.0, 1.0, own.fixed_frame)
    )
    assert len(recalled(floor, frame(line(0.0, 1.3), 0.2, 2.0, own.fixed_frame))) == 40
