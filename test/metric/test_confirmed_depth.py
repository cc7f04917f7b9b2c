"""What was seen while the camera moved still holds while it turns on the spot."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from metric_scenes import CAMERA, look_at_plane, texture
from real_frames import Array

from depth_anything_ros.frames import Frame, Plane, Quality, ScaledDepth, ScaleState
from depth_anything_ros.metric.confirmed_depth import ConfirmedDepth

WALL = Plane((0.1, -0.2, -0.97), 4.0)
SECOND = 10**9
SHAPE = (CAMERA.height, CAMERA.width)
ALL = np.ones(SHAPE, bool)
DOUBT = np.full(SHAPE, 0.1, np.float32)
SIGMA = 0.03


def seen(turned_deg: float, seconds: float, ahead: float = 0.0) -> tuple[Frame, Array]:
    """A camera that has turned to the right in front of a wall, and the wall's true depth."""
    pose = np.eye(4)
    pose[:3, :3], _ = cv2.Rodrigues(np.array([0.0, math.radians(turned_deg), 0.0]))
    pose[2, 3] = ahead
    rgb, depth = look_at_plane(pose, WALL, CAMERA, texture(1))
    frame = Frame(
        rgb, SECOND + round(seconds * SECOND), camera=CAMERA, pose=pose, fixed_frame="odom"
    )
    return frame, depth.astype(np.float32)


def scaled(depth: Array) -> ScaledDepth:
    depth = depth.astype(np.float32)
    state = ScaleState("ground_plane", Quality.GOOD, "all is well", 1.0, 0.0)
    return ScaledDepth(depth, state, np.float32(SIGMA) * depth)


@pytest.fixture
def confirmed() -> ConfirmedDepth:
    """It was confirmed what there is straight ahead."""
    confirmed = ConfirmedDepth()
    frame, depth = seen(0, 0)
    confirmed.remember(depth, np.float32(SIGMA) * depth, frame, ALL)
    return confirmed


def errors(found: ScaledDepth, truth: Array) -> Array:
    assert found.depth_m is not None
    return np.asarray(found.depth_m / truth - 1)


@pytest.mark.parametrize("turned_deg", [-20.0, 10.0, 25.0])
def test_a_scale_that_contradicts_is_not_believed(
    confirmed: ConfirmedDepth, turned_deg: float
) -> None:
    frame, depth = seen(turned_deg, 1.0)
    found = confirmed.fused(scaled(2 * depth), frame, DOUBT, True)
    off = errors(found, depth)
    known = np.isfinite(off)
    hfov = 2 * math.degrees(math.atan(CAMERA.width / 2 / CAMERA.fx))
    assert known.mean() == pytest.approx(1 - abs(turned_deg) / hfov, abs=0.12)
    assert np.abs(off[known]).max() < 0.03
    assert found.state.quality is Quality.HELD
    assert "while the camera moved" in found.state.reason


def test_a_seat_that_is_taken_for_floor_stays_where_it_was(confirmed: ConfirmedDepth) -> None:
    frame, depth = seen(10.0, 1.0)
    wrong = np.ones(SHAPE)
    wrong[:, : CAMERA.width // 3] = 1.8
    found = confirmed.fused(scaled(depth * wrong), frame, DOUBT, True)
    assert found.sigma_m is not None and found.depth_m is not None
    off, sigma = errors(found, depth), found.sigma_m / found.depth_m
    surely = sigma < 0.08
    assert np.abs(off[surely]).max() < 0.08
    assert np.median(sigma[:, : CAMERA.width // 3]) > 0.1
    assert found.state.quality is Quality.GOOD


def test_what_has_come_in_between_is_kept(confirmed: ConfirmedDepth) -> None:
    frame, depth = seen(0.0, 1.0)
    person = np.zeros(SHAPE, bool)
    person[:, CAMERA.width // 2 :][:, :20] = True
    found = confirmed.fused(scaled(np.where(person, depth / 2, depth)), frame, DOUBT, True)
    assert errors(found, depth)[person] == pytest.approx(-0.5)


def test_what_nothing_confirms_is_less_sure(confirmed: ConfirmedDepth) -> None:
    frame, depth = seen(25.0, 1.0)
    found = confirmed.fused(scaled(depth), frame, DOUBT, True)
    assert found.sigma_m is not None
    sigma = found.sigma_m / depth
    assert np.abs(errors(found, depth)).max() < 0.03
    assert np.quantile(sigma[:, 5:15], 0.95) < 0.04
    assert sigma[:, -15:-5] == pytest.approx(np.hypot(SIGMA, 0.1), rel=1e-3)


def test_it_serves_where_there_is_no_depth(confirmed: ConfirmedDepth) -> None:
    frame, depth = seen(5.0, 1.0)
    none = replace(scaled(depth), depth_m=None, sigma_m=None)
    assert confirmed.fused(none, frame, DOUBT, False) is none
    found = confirmed.fused(none, frame, DOUBT, True)
    assert np.nanmax(np.abs(errors(found, depth))) < 0.03
    assert found.state.quality is Quality.HELD


@pytest.mark.parametrize(
    ("seconds", "ahead", "fixed_frame"),
    [(13.0, 0.0, "odom"), (1.0, 0.5, "odom"), (1.0, 0.0, "map")],
)
def test_what_is_old_or_was_seen_from_elsewhere_tells_nothing(
    confirmed: ConfirmedDepth, seconds: float, ahead: float, fixed_frame: str
) -> None:
    frame, depth = seen(0.0, seconds, ahead)
    frame = replace(frame, fixed_frame=fixed_frame)
    found = confirmed.fused(scaled(2 * depth), frame, DOUBT, True)
    assert errors(found, depth) == pytest.approx(1.0)


def test_a_frame_without_odometry_stays_as_it_is(confirmed: ConfirmedDepth) -> None:
    frame, depth = seen(0.0, 1.0)
    given = scaled(2 * depth)
    assert confirmed.fused(given, replace(frame, pose=None), DOUBT, True) is given
    assert confirmed.fused(given, frame, DOUBT, True) is not given


def test_what_hides_a_place_is_seen_in_the_image(confirmed: ConfirmedDepth) -> None:
    """A thing so near that nothing is known of its depth."""
    frame, depth = seen(0.0, 1.0)
    rgb = frame.rgb.copy()
    rgb[:, : CAMERA.width // 3] = 5
    none = replace(scaled(depth), depth_m=None, sigma_m=None)
    found = confirmed.fused(none, replace(frame, rgb=rgb), DOUBT, True)
    assert found.depth_m is not None
    known = np.isfinite(found.depth_m)
    assert known[:, : CAMERA.width // 3 - 4].mean() < 0.05
    assert known[:, CAMERA.width // 3 + 4 :].mean() > 0.95


def test_brighter_images_show_the_same(confirmed: ConfirmedDepth) -> None:
    frame, depth = seen(5.0, 1.0)
    frame = replace(frame, rgb=np.clip(1.3 * frame.rgb.astype(float), 0, 255).astype(np.uint8))
    found = confirmed.fused(scaled(2 * depth), frame, DOUBT, True)
    assert np.isfinite(errors(found, depth)).mean() > 0.8
