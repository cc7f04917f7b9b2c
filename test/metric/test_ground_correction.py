"""The ground's height and attitude as the camera's motion shows them, where its mount is wrong."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from road_scene import CAMERA, GROUND, HEIGHT, drive

from depth_anything_ros.frames import (
    Frame,
    Plane,
    Prediction,
    PredictionKind,
    Quality,
    ScaledDepth,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import project
from depth_anything_ros.metric.floor_check import FloorCheck
from depth_anything_ros.metric.ground_correction import GroundCorrection
from depth_anything_ros.metric.ground_fusion import GroundFusion
from depth_anything_ros.metric.ground_parallax import GroundParallax
from depth_anything_ros.metric.sources.ground import inverse_ground_depth

SHAPE = (120, 160)
STEP = 0.15  # metres between images


def told(factor: float, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> Plane:
    """The ground as a wrong mount has it."""
    turn = cv2.Rodrigues(np.radians([pitch_deg, 0.0, roll_deg]))[0]
    x, y, z = (float(part) for part in turn @ np.array(GROUND.normal))
    return Plane((x, y, z), factor * HEIGHT)


def off(ground: Plane) -> tuple[float, float, float]:
    """Share of the height, and degrees about x and z, by which a ground is off."""
    turn = np.degrees(np.cross(GROUND.normal, ground.normal))
    return ground.offset / HEIGHT - 1, float(turn[0]), float(turn[2])


def driven(wrong: Plane, images: int = 30, pose_off: float = 0.0, step: float = 0.0) -> Plane:
    """The ground after so many images, whose poses are off by so many metres at random."""
    compares, ground = GroundParallax(), wrong
    rng = np.random.default_rng(0)
    for number in range(images):
        frame = drive(step, STEP * number)[0]
        assert frame.pose is not None
        pose = np.array(frame.pose)
        pose[:3, 3] += rng.normal(0, pose_off, 3) * (1, 0, 1)
        ground = compares.correction.corrected(wrong)
        compares.compare(replace(frame, pose=pose), ground, SHAPE, wrong)
    return ground


@pytest.mark.parametrize(
    ("wrong", "pose_off", "step"),
    [
        (told(1.0), 0.0, 0.0),
        (told(1.06), 0.0, 0.0),
        (told(0.94), 0.0, 0.0),
        (told(1.0, 1.5, 0.0), 0.0, 0.0),
        (told(0.96, -1.0, 1.5), 0.0, 0.0),
        (told(1.05), 0.01, 0.0),
        (told(1.05, 1.0), 0.0, 0.15),  # a pavement fills a third of the image
    ],
)
def test_the_mount_is_found_within_a_few_metres(wrong: Plane, pose_off: float, step: float) -> None:
    height, pitch, roll = off(driven(wrong, pose_off=pose_off, step=step))
    print(f"height {100 * height:.2f} %, pitch {pitch:.2f}, roll {roll:.2f} degrees off")
    assert abs(height) < (0.012 if pose_off or step else 0.006)
    assert abs(pitch) < 0.3
    assert abs(roll) < 0.2


def test_odometry_gives_the_scale() -> None:
    """Where its metres are 3 % long the ground lies 3 % lower: both are of the same map."""
    compares, ground = GroundParallax(), GROUND
    for number in range(30):
        frame = drive(0.0, STEP * number)[0]
        assert frame.pose is not None
        pose = np.array(frame.pose)
        pose[2, 3] *= 1.03
        ground = compares.correction.corrected(GROUND)
        compares.compare(replace(frame, pose=pose), ground, SHAPE, GROUND)
    assert off(ground)[0] == pytest.approx(0.03, abs=0.006)


def test_nothing_is_corrected_without_motion_or_by_much() -> None:
    assert GroundCorrection().corrected(GROUND) is GROUND
    assert driven(GROUND, images=1) is GROUND
    wrong = told(1.4)
    ground = driven(wrong)
    assert ground is wrong or abs(ground.offset / wrong.offset - 1) < 0.15


def test_depth_from_a_wrong_mount_becomes_right() -> None:
    """A camera that stands 5 % lower than said: the road's depth, and the ground told of."""
    wrong, fusion = told(1.05), GroundFusion()
    check = FloorCheck()
    errors, ground = [], None
    for number in range(30):
        frame = replace(drive(0.0, STEP * number)[0], ground=wrong, stamp=(number + 1) * 10**9)
        scaled = fusion.scale(_OnGround(), _prediction(), frame)
        check.add(frame, corrected=scaled.ground)
        assert scaled.depth_m is not None
        truth = inverse_ground_depth(CAMERA, GROUND)
        near = truth > 1 / 3
        errors.append(float(np.median((scaled.depth_m * truth)[near])) - 1)
        ground = scaled.ground
    print(f"errors {errors[0]:.3f} at first, {errors[-1]:.3f} at last")
    assert errors[0] == pytest.approx(0.05, abs=0.01)
    assert abs(errors[-1]) < 0.01
    assert ground is not None and ground != wrong
    assert check.values["floor_height_factor"] == pytest.approx(1 / 1.05, abs=0.01)
    assert not check.finding  # 5 % is what a mount is known to


def test_a_mount_that_is_far_off_is_said() -> None:
    check, known, seen = FloorCheck(), told(1.0), told(0.89, 0.0, -1.4)
    rgb = np.zeros((240, 320, 3), np.uint8)
    for second in range(1, 26):
        frame = Frame(rgb, second * 10**9, camera=CAMERA, ground=known)
        check.add(frame, corrected=seen)
    assert "the floor that the camera's motion shows lies 0.76 m below the camera" in check.finding
    assert "said to be 0.85 m below it" in check.finding
    assert "turned 1.4 degrees counterclockwise" in check.finding
    assert "check camera_height, base_frame" in check.finding


def test_points_on_the_floor_say_more_than_motion() -> None:
    """They show the mount themselves, at once."""
    wrong, fusion = told(1.05), GroundFusion()
    rng = np.random.default_rng(1)
    x, z = rng.uniform(-2, 2, 800), rng.uniform(1.5, 5, 800)
    points = SparsePoints(*project(CAMERA, np.stack([x, np.full(800, HEIGHT), z], axis=1)))
    frame = replace(drive(0.0, 0.0)[0], ground=wrong, points=points)
    scaled = fusion.scale(_OnGround(), _prediction(), frame)
    assert scaled.ground is not None
    assert abs(off(scaled.ground)[0]) < 0.01


class _OnGround:
    """A scaler that takes all it sees for ground."""

    name = "ground_plane"

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        assert frame.camera is not None and frame.ground is not None
        plane = inverse_ground_depth(frame.camera, frame.ground)
        depth_m = (1 / np.maximum(plane, 1 / 20)).astype(np.float32)
        return ScaledDepth(depth_m, ScaleState("ground_plane", Quality.GOOD, ""), 0.1 * depth_m)

    def reset(self) -> None:
        """It has no state."""


def _prediction() -> Prediction:
    values = np.ones((CAMERA.height, CAMERA.width), np.float32)
    return Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape)
