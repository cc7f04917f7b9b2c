"""What moves by itself while the camera moves is seen, and a wrong depth is no motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from metric_scenes import CAMERA, look_at_plane, texture
from real_frames import Array

from depth_anything_ros.benchmark.navigation import MAX_RELATIVE_SIGMA
from depth_anything_ros.frames import Frame, Plane, Prediction, PredictionKind, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.metric.moving_things import MovingThings
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.pipeline import DepthLimits, Pipeline
from depth_anything_ros.settings import ScalerSettings
from depth_anything_ros.synthetic.robot import Robot

WALL = Plane((0.1, -0.2, -0.97), 4.0)
SECOND = 10**9
RATE = 5.0


def seen(step: int, pixels: int) -> tuple[Frame, Array, Array]:
    """A camera drives past a wall before which a picture moves by so many pixels an image."""
    pose = np.eye(4)
    pose[:3, 3] = 0.02 * step, 0, 0.04 * step
    rgb, depth = look_at_plane(pose, WALL, CAMERA, texture(1))
    moving = np.zeros(depth.shape, bool)
    if pixels:
        part = np.s_[60:150, 30 + pixels * step : 100 + pixels * step]
        rgb, depth = rgb.copy(), depth.copy()
        rgb[part], depth[part] = texture(2)[:90, :70, None], 2.0
        moving[part] = True
    frame = Frame(rgb, SECOND + step * SECOND // 10, camera=CAMERA, pose=pose)
    return frame, depth.astype(np.float32), moving


def test_what_moves_is_seen() -> None:
    things = MovingThings()
    for step in range(10):
        frame, depth, moving = seen(step, 9)
        found = things.seen(depth, frame)
        if step > 2:
            assert found.perhaps[moving].mean() > 0.9
            assert found.perhaps[~moving].mean() < 0.25  # around it
        if step > 4:
            assert found.surely[moving].mean() > 0.5
        assert not (found.surely & ~found.perhaps).any()


@pytest.mark.parametrize("pixels", [0, 9])
def test_what_moves_is_seen_while_exposure_changes(pixels: int) -> None:
    things, chance = MovingThings(), np.random.default_rng(3)
    lasting = []
    for step in range(10):
        frame, depth, moving = seen(step, pixels)
        rgb = np.clip(frame.rgb * np.exp(chance.normal(0, 0.2)), 0, 255)
        found = things.seen(depth, replace(frame, rgb=rgb.astype(np.uint8)))
        assert found.perhaps[~moving].mean() < (0.25 if pixels else 0.01)
        if pixels and step > 2:
            assert found.perhaps[moving].mean() > 0.8
            lasting.append(found.surely[moving].mean())
    assert not pixels or np.mean(lasting) > 0.8


@pytest.mark.parametrize("factor", [1.0, 0.8, 1.25])
def test_what_is_still_is_not_though_its_depth_is_wrong(factor: float) -> None:
    things = MovingThings()
    for step in range(8):
        frame, depth, _ = seen(step, 0)
        assert things.seen(np.float32(factor) * depth, frame).perhaps.mean() < 0.02


def test_nothing_is_seen_without_poses_or_after_a_gap() -> None:
    things = MovingThings()
    for step in range(4):
        frame, depth, _ = seen(step, 9)
        assert not things.seen(depth, replace(frame, pose=None)).perhaps.any()
    frame, depth, _ = seen(4, 9)
    assert not things.seen(depth, frame).perhaps.any()
    frame, depth, _ = seen(5, 9)
    assert things.seen(depth, frame).perhaps.any()
    frame, depth, _ = seen(6, 9)
    assert not things.seen(depth, replace(frame, stamp=frame.stamp + SECOND)).perhaps.any()


class Canned(ConstantEstimator):
    """Predicts what it is told to: relative disparity, bent by a smooth wave of 10 %."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.depth_m: Array = np.ones((1, 1), np.float32)

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        height, width = self.depth_m.shape
        v, u = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        values = (3 / self.depth_m * np.exp(0.1 * np.sin(9 * v + 5 * u))).astype(np.float32)
        return [Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape)]


def with_person(
    rgb: Array, depth: Array, camera: Camera, foot: Array
) -> tuple[Array, Array, Array]:
    """A picture in which a person of 0.5 x 1.7 m stands at a place in the optical frame."""
    x, y, z = map(float, foot)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    half, height = 0.25 * camera.fx / z, 1.7 * camera.fy / z
    corners = np.array([[u - half, v - height], [u + half, v - height], [u - half, v]], np.float32)
    drawn = texture(3)[200:370, 200:250]
    to_picture = cv2.getAffineTransform(np.array([[0, 0], [50, 0], [0, 170]], np.float32), corners)
    size = (camera.width, camera.height)
    person = cv2.warpAffine(drawn, to_picture, size)
    shown = cv2.warpAffine(np.ones_like(drawn), to_picture, size) > 0
    return (
        np.where(shown[..., None], person[..., None], rgb),
        np.where(shown, np.float32(z), depth),
        shown,
    )


@pytest.mark.parametrize(("start", "speed"), [(5.0, -1.0), (1.6, 0.9)], ids=["nearer", "away"])
def test_a_person_that_walks_is_neither_masked_nor_misplaced(start: float, speed: float) -> None:
    """By the ground plane alone: what the camera's motion shows of heights is not so of people."""
    camera = Camera.from_hfov(320, 240, 70.0)
    robot = Robot("street", 101, {"camera": camera})
    mounted = robot.base_camera["camera"]
    up = mounted[2, :3]
    ground = Plane((float(up[0]), float(up[1]), float(up[2])), float(mounted[2, 3]))
    network = Canned()
    info = ModelInfo("bent", "none", "none", PredictionKind.RELATIVE_DISPARITY)
    scaler = make_scaler(ScalerSettings(scaler="ground_plane"), info)
    limits = DepthLimits(0.3, 5.0, max_relative_sigma=MAX_RELATIVE_SIGMA)
    pipeline = Pipeline(network, scaler, limits)
    begin = robot.pose(0.0)
    shares = []
    for step in range(16):
        seconds = step / RATE
        distance = 10.0 + 0.4 * seconds
        if step == 0:
            begin = robot.pose(distance)
        rgb, depth = robot.photograph("camera", distance)
        pose = robot.pose(distance) @ mounted
        foot = np.linalg.inv(pose) @ begin @ np.array([start + speed * seconds, 0.2, 0, 1])
        rgb, depth, shown = with_person(rgb, depth, camera, foot[:3])
        network.depth_m = depth
        stamp = SECOND + round(seconds * SECOND)
        answer = pipeline.process(Frame(rgb, stamp, camera=camera, ground=ground, pose=pose))
        if step > 4 and answer.depth_m is not None and 1.8 < foot[2] < 4:  # its feet are seen
            off = np.abs(np.log(answer.depth_m[shown] / depth[shown]))
            shares.append(float((off < 0.15).mean()))  # NaN is not
    print([round(share, 2) for share in shares])
    assert len(shares) >= 4
    assert np.mean(shares) > 0.25
