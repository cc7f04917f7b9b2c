"""Where a camera is, told by the ground in its images alone."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from metric_scenes import texture
from road_scene import CAMERA, GROUND, HEIGHT, drive

from depth_anything_ros.frames import Frame, Plane
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.ground_odometry import GroundOdometry, told_by_ground

RATE = 5.0
FLOOR = cv2.GaussianBlur(
    np.random.default_rng(3).integers(0, 255, (2048, 2048)).astype(np.float32), (0, 0), 1.5
)
FLOOR = np.clip(128 + 40 * (FLOOR - FLOOR.mean()) / FLOOR.std(), 0, 255)


def seen(x: float, y: float, yaw: float, camera: Camera = CAMERA, contrast: float = 1.0) -> Frame:
    """A floor between walls 3 m away on three sides, without a pose.

    Args:
        x: Metres ahead of the start.
        y: Metres to the left of it.
        yaw: Radians turned to the left.
        camera: The camera.
        contrast: Share of the texture's contrast on the floor.
    """
    across, down = np.broadcast_arrays(*ray_table(camera))
    ahead = np.stack([np.ones_like(across), -across], axis=-1)  # to the front and to the left
    turn = np.array([[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]])
    way = ahead @ turn.T
    with np.errstate(divide="ignore"):
        floor = np.where(down > 1e-3, HEIGHT / np.maximum(down, 1e-3), np.inf)
        front = np.where(way[..., 0] > 1e-3, (6 - x) / np.maximum(way[..., 0], 1e-3), np.inf)
        left = np.where(way[..., 1] > 1e-3, (3 - y) / np.maximum(way[..., 1], 1e-3), np.inf)
        right = np.where(way[..., 1] < -1e-3, (3 + y) / np.maximum(-way[..., 1], 1e-3), np.inf)
    z = np.minimum.reduce([floor, front, left, right])
    place = np.array([x, y]) + z[..., None] * way
    high = HEIGHT - z * down
    on_floor = z == floor
    u = np.where(on_floor | (z == front), place[..., 1], place[..., 0])
    v = np.where(on_floor, place[..., 0], high + 7)
    columns, rows = (((each / 0.015) % 2040).astype(np.float32) for each in (u, v))
    gray = cv2.remap(FLOOR.astype(np.float32), columns, rows, cv2.INTER_LINEAR)
    gray = np.where(on_floor, 110 + contrast * (gray - 128), gray)
    rgb = np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return Frame(rgb, camera=camera, ground=GROUND)


def track(frames: list[Frame], rate: float = RATE) -> list[Frame]:
    """The frames with poses."""
    odometry = GroundOdometry()
    return [
        odometry.locate(replace(frame, stamp=10**9 + round(number * 1e9 / rate)), GROUND)
        for number, frame in enumerate(frames)
    ]


def apart(first: Frame, second: Frame) -> tuple[float, float, float]:
    """Metres ahead and left, and radians to the left, from one pose to the other."""
    assert first.pose is not None and second.pose is not None
    assert first.fixed_frame == second.fixed_frame
    motion = np.linalg.inv(first.pose) @ second.pose
    turned = -math.atan2(motion[0, 2], motion[2, 2])
    return float(motion[2, 3]), -float(motion[0, 3]), turned


def test_the_way_is_known_while_exposure_changes() -> None:
    gains = np.exp(np.random.default_rng(2).normal(0, 0.15, 14))
    frames = []
    for number, gain in enumerate(gains):
        frame = seen(0.1 * number, 0.0, 0.0)
        grey = np.clip(gain * frame.rgb.astype(np.float64), 0, 255)
        frames.append(replace(frame, rgb=grey.astype(np.uint8)))
    poses = track(frames)
    ahead, left, turned = apart(poses[3], poses[-1])
    print(f"{ahead:.3f} m ahead, {left:.3f} m left, {math.degrees(turned):.2f} degrees")
    assert ahead == pytest.approx(1.0, abs=0.025)
    assert left == pytest.approx(0.0, abs=0.01)
    assert math.degrees(turned) == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("rate", [2.0, 5.0, 15.0])
def test_a_straight_way_is_known_to_two_percent(rate: float) -> None:
    frames = track([seen(0.5 * number / rate, 0.0, 0.0) for number in range(14)], rate)
    ahead, left, turned = apart(frames[3], frames[-1])  # until then it may look for the velocity
    print(f"{ahead:.3f} m ahead, {left:.3f} m left, {math.degrees(turned):.2f} degrees")
    assert ahead == pytest.approx(0.5 * 10 / rate, rel=0.02, abs=0.005)
    assert abs(left) < 0.03
    assert abs(turned) < math.radians(0.7)
    assert all(told_by_ground(frame) for frame in frames)


def test_a_bend_is_followed() -> None:
    ways = [(1.5 * math.sin(a), 1.5 * (1 - math.cos(a)), a) for a in np.arange(14) * 0.06]
    frames = track([seen(*way) for way in ways])
    ahead, left, turned = apart(frames[0], frames[-1])
    x, y, yaw = ways[-1]
    print(f"{ahead:.3f} {left:.3f} {turned:.3f}, truly {x:.3f} {y:.3f} {yaw:.3f}")
    assert ahead == pytest.approx(x, abs=0.04)
    assert left == pytest.approx(y, abs=0.04)
    assert turned == pytest.approx(yaw, abs=math.radians(1.0))


def test_a_camera_that_looks_down_and_distorts() -> None:
    camera = replace(CAMERA, distortion_model="plumb_bob", distortion=(-0.1, 0.01, 0.001, 0.0, 0.0))
    frames = track([seen(0.1 * number, 0.0, 0.0, camera) for number in range(10)])
    assert apart(frames[3], frames[-1])[0] == pytest.approx(0.6, rel=0.02)
    # The same way is seen by a camera whose mount says that it is twice as high: twice as far.
    high = Plane(GROUND.normal, 2 * HEIGHT)
    odometry = GroundOdometry()
    twice = [
        odometry.locate(replace(frame, stamp=10**9 + number * 10**8, pose=None), high)
        for number, frame in enumerate(frames)
    ]
    assert apart(twice[3], twice[-1])[0] == pytest.approx(1.2, rel=0.03)


def test_who_stands_does_not_move() -> None:
    frames = track([seen(0.0, 0.0, 0.0) for _ in range(8)])
    assert np.allclose(apart(frames[0], frames[-1]), 0, atol=1e-3)


def test_without_ground_to_be_seen_the_way_is_lost() -> None:
    """A new fixed frame begins, so that nothing of before is compared."""
    blank = [seen(0.1 * number, 0.0, 0.0, contrast=0.0) for number in range(4)]
    walls = track(blank)
    assert len({frame.fixed_frame for frame in walls}) > 1
    cut = track([*(seen(0.1 * n, 0.0, 0.0) for n in range(4)), seen(0.0, 0.0, 2.5)])
    assert len({frame.fixed_frame for frame in cut[:4]}) == 1
    assert cut[4].fixed_frame != cut[3].fixed_frame
    late = GroundOdometry()
    first = late.locate(replace(seen(0.0, 0.0, 0.0), stamp=10**9), GROUND)
    second = late.locate(replace(seen(0.0, 0.0, 0.0), stamp=9 * 10**9), GROUND)
    assert first.fixed_frame != second.fixed_frame


def test_a_pavement_beside_the_road_does_not_mislead() -> None:
    frames = [replace(drive(0.15, 0.12 * number)[0], pose=None) for number in range(10)]
    known = track(frames)
    ahead, _, turned = apart(known[3], known[9])
    print(f"{ahead:.3f} m")
    assert ahead == pytest.approx(0.72, rel=0.03)
    assert abs(turned) < math.radians(0.7)


def test_without_camera_nothing_is_known() -> None:
    frame = Frame(texture(0))
    assert GroundOdometry().locate(frame, GROUND) is frame
