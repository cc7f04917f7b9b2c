"""Poses of two pictures that fit their grey values."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from road_scene import CAMERA, GROUND, Mask, drive

from depth_anything_ros.frames import FloatArray
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.direct_alignment import aligned
from depth_anything_ros.metric.plane_sweep import THIN, Picture, PlaneSweep

AHEAD = 0.45
DISTORTED = replace(
    CAMERA, distortion_model="plumb_bob", distortion=(-0.12, 0.02, 0.001, -0.001, 0.0)
)


def picture(
    moved: float,
    contrast: float = 12.0,
    step: FloatArray | None = None,
    camera: Camera = CAMERA,
) -> Picture:
    """A picture of a level road, whose pose may be off."""
    frame = drive(0.0, moved, camera, road_contrast=contrast)[0]
    gray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(gray, (3, 3), 0), np.float32)
    assert frame.pose is not None
    return Picture(frame.stamp, frame.pose if step is None else frame.pose @ step, smooth)


def everywhere(sweep: PlaneSweep) -> Mask:
    """Every second pixel."""
    return np.ones(sweep.inside[::THIN, ::THIN].shape, np.bool_)


def off(sweep: PlaneSweep) -> tuple[float, float]:
    """Degrees and metres by which the way between two pictures is off."""
    before, now = sweep.pictures
    motion = np.linalg.inv(before.pose) @ now.pose
    turned = cv2.Rodrigues(motion[:3, :3])[0]
    way = motion[:3, 3] - (0, 0, AHEAD)
    return math.degrees(float(np.linalg.norm(turned))), float(np.linalg.norm(way))


def wrong_by(turned_deg: tuple[float, ...], moved: tuple[float, ...]) -> FloatArray:
    """A 4x4 motion."""
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = cv2.Rodrigues(np.radians(turned_deg))[0], moved
    return step


@pytest.mark.parametrize(
    ("turned_deg", "moved"),
    [
        ((0.3, -0.3, 0.3), (0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.01, -0.01, 0.01)),
        ((0.2, 0.3, -0.2), (-0.01, 0.0, 0.015)),
    ],
)
@pytest.mark.parametrize("camera", [CAMERA, DISTORTED], ids=["pinhole", "distorted"])
def test_a_wrong_pose_is_righted(
    camera: Camera, turned_deg: tuple[float, ...], moved: tuple[float, ...]
) -> None:
    step = wrong_by(turned_deg, moved)
    sweep = PlaneSweep(
        picture(0, camera=camera), picture(AHEAD, step=step, camera=camera), camera, GROUND
    )
    before = off(sweep)
    for _ in range(3):
        sweep = aligned(sweep, np.zeros(2), everywhere(sweep))
    after = off(sweep)
    print(f"{before} -> {after}")
    assert after[0] < 0.06
    assert after[1] < 0.004


def test_right_poses_stay_as_they_are() -> None:
    sweep = PlaneSweep(picture(0), picture(AHEAD), CAMERA, GROUND)
    turned, way = off(aligned(sweep, np.zeros(2), everywhere(sweep)))
    print(f"{turned:.3f} degrees, {1e3 * way:.1f} mm")
    assert turned < 0.03
    assert way < 0.002


def test_pictures_that_show_little_lead_no_pose_astray() -> None:
    step = wrong_by((0.2, 0.0, 0.0), (0.01, 0.0, 0.0))
    sweep = PlaneSweep(picture(0, 0.0), picture(AHEAD, 0.0, step), CAMERA, GROUND)
    before, after = off(sweep), off(aligned(sweep, np.zeros(2), everywhere(sweep)))
    print(f"{before} -> {after}")
    assert after[0] < 2 * before[0]
    assert after[1] < 2 * before[1]
