"""Depth steadied over time: static pixels hardly flicker, what moves or comes into sight stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from metric_scenes import CAMERA, look_at_plane, texture
from real_frames import Array

import depth_anything_ros as da
from depth_anything_ros.frames import (
    Frame,
    Plane,
    Quality,
    ScaledDepth,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, project, ray_table
from depth_anything_ros.geometry.camera_motion import (
    displacement,
    motion_of_flow,
    sample_displaced,
)
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.temporal_filter import TemporalFilter
from depth_anything_ros.pipeline import Pipeline
from depth_anything_ros.synthetic.robot import Robot

STATE = ScaleState("sparse", Quality.GOOD, "")
NOISE = 0.05
STEPS = 14
SLANTED = Plane((0.1, -0.5, -0.86), 4.0)
"""It faces the camera from 4.6 m away, leaning back."""


@dataclass
class Seen:
    frame: Frame
    truth: Array
    scaled: ScaledDepth
    object: Array
    """HxW bool: what moves by itself."""


def pose_at(step: int) -> Array:
    """Forwards by 4 cm, to the right by 2 cm and turned by half a degree a step."""
    pose = np.eye(4)
    angle = np.radians(0.5 * step)
    pose[:3, :3] = cv2.Rodrigues(np.array([0.0, angle, 0.0]))[0]
    pose[:3, 3] = 0.02 * step, 0, 0.04 * step
    return pose


def drive(with_object: bool = False) -> list[Seen]:
    """A drive with slow errors of depth that are others in each image."""
    rng = np.random.default_rng(0)
    image, patch = texture(1), texture(2)[:90, :70]
    height, width = CAMERA.height, CAMERA.width
    seen = []
    for step in range(STEPS):
        rgb, truth = look_at_plane(pose_at(step), SLANTED, CAMERA, image)
        moving = np.zeros(truth.shape, bool)
        points = None
        if with_object:
            part = np.s_[60:150, 30 + 9 * step : 100 + 9 * step]
            rgb = rgb.copy()
            rgb[part] = patch[..., None]
            truth[part] = 2.0
            moving[part] = True
            u, v = (
                axis.ravel().astype(float)
                for axis in np.meshgrid(range(4, width, 9), range(4, height, 9))
            )
            points = SparsePoints(u, v, truth[v.astype(int), u.astype(int)], "lidar")
        off = cv2.resize(
            rng.normal(0, NOISE, (6, 8)), (width, height), interpolation=cv2.INTER_CUBIC
        )
        depth = (truth * np.exp(off)).astype(np.float32)
        frame = Frame(rgb, 10**9 + step * 10**8, camera=CAMERA, points=points, pose=pose_at(step))
        scaled = ScaledDepth(depth, STATE, np.float32(NOISE) * depth)
        seen.append(Seen(frame, truth, scaled, moving))
    return seen


@pytest.fixture(scope="module")
def static() -> list[Seen]:
    return drive()


def steadied(seen: list[Seen], with_pose: bool = True) -> list[Array]:
    filter_ = TemporalFilter()
    depths = []
    for each in seen:
        frame = each.frame if with_pose else replace(each.frame, pose=None)
        depth = filter_.steady(each.scaled, frame).depth_m
        assert depth is not None
        depths.append(depth)
    return depths


def flicker(depths: list[Array], seen: list[Seen], first: int = 0) -> float:
    """Mean |log| of each depth over the one before, moved by the true motion from step `first`."""
    total = []
    for k in range(1, len(seen)):
        motion = np.linalg.inv(pose_at(first + k - 1)) @ pose_at(first + k)
        du, dv, ratio = displacement(CAMERA, (1 / seen[k].truth).astype(np.float32), motion)
        u = du + np.arange(CAMERA.width, dtype=np.float32)
        v = dv + np.arange(CAMERA.height, dtype=np.float32)[:, None]
        before = cv2.remap(1 / depths[k - 1], u, v, cv2.INTER_LINEAR, None, 0, float("nan")) * ratio
        total.append(np.nanmean(np.abs(np.log(depths[k] * before))))
    return float(np.mean(total))


def error(depths: list[Array], seen: list[Seen], of_object: bool = False) -> float:
    """AbsRel from the fourth image on."""
    parts = [
        np.mean(np.abs(depth / each.truth - 1)[each.object == of_object])
        for depth, each in zip(depths[3:], seen[3:], strict=True)
    ]
    return float(np.mean(parts))


@pytest.mark.parametrize("with_pose", [True, False])
def test_static_pixels_flicker_less_and_depth_gets_better(
    static: list[Seen], with_pose: bool
) -> None:
    raw = [each.scaled.depth_m for each in static if each.scaled.depth_m is not None]
    steady = steadied(static, with_pose)
    less = flicker(raw, static) / flicker(steady, static)
    before, after = error(raw, static), error(steady, static)
    print(f"flicker {less:.1f} times less, AbsRel {before:.4f} -> {after:.4f}")
    assert less > 2.5
    assert after < 0.7 * before


def test_what_moves_by_itself_is_not_smeared() -> None:
    seen = drive(with_object=True)
    raw = [each.scaled.depth_m for each in seen if each.scaled.depth_m is not None]
    for with_pose in (True, False):
        steady = steadied(seen, with_pose)
        before, after = error(raw, seen, True), error(steady, seen, True)
        print(f"AbsRel of the object {before:.4f} -> {after:.4f}, pose {with_pose}")
        assert after < 1.03 * before
        assert error(steady, seen) < 0.8 * error(raw, seen)


def test_depth_is_steadied_while_exposure_changes() -> None:
    chance = np.random.default_rng(3)
    seen = drive(with_object=True)
    for each in seen:
        rgb = each.frame.rgb * np.exp(chance.normal(0, 0.1))
        each.frame = replace(each.frame, rgb=np.clip(rgb, 0, 255).astype(np.uint8))
    raw = [each.scaled.depth_m for each in seen if each.scaled.depth_m is not None]
    for with_pose in (True, False):
        steady = steadied(seen, with_pose)
        print(f"AbsRel {error(raw, seen):.4f} -> {error(steady, seen):.4f}, pose {with_pose}")
        assert error(steady, seen) < 0.75 * error(raw, seen)
        assert error(steady, seen, True) < 1.03 * error(raw, seen, True)


def test_what_is_beside_a_thing_that_moves_is_steadied() -> None:
    seen = drive(with_object=True)
    for each in seen:  # points on the object alone
        points = each.frame.points
        assert points is not None
        on = each.object[points.v.astype(int), points.u.astype(int)]
        points = SparsePoints(points.u[on], points.v[on], points.z[on], "lidar")
        each.frame = replace(each.frame, points=points)
    raw = [each.scaled.depth_m for each in seen if each.scaled.depth_m is not None]
    steady = steadied(seen)
    beside = seen[:5]
    for k in range(5, STEPS):  # not what it has uncovered of late
        moved = np.any([each.object for each in seen[k - 5 : k + 1]], axis=0).astype(np.uint8)
        ring = cv2.dilate(moved, np.ones((41, 41))) - cv2.dilate(moved, np.ones((9, 9)))
        truth = np.where(ring > 0, seen[k].truth, np.float32(np.nan))
        beside.append(replace(seen[k], truth=truth))
    less = flicker(raw[5:], beside[5:], 5) / flicker(steady[5:], beside[5:], 5)
    print(f"flicker beside the object {less:.1f} times less")
    assert less > 2.5


def test_nothing_is_kept_over_cuts_gaps_jumps_and_other_cameras(static: list[Seen]) -> None:
    first, second = static[0], static[1]

    def after_first(frame: Frame, scaled: ScaledDepth = second.scaled) -> Array:
        filter_ = TemporalFilter()
        filter_.steady(first.scaled, first.frame)
        depth = filter_.steady(scaled, frame).depth_m
        assert depth is not None
        return depth

    now = second.scaled.depth_m
    assert now is not None
    assert np.abs(after_first(second.frame) / now - 1).max() > 0.01
    inverted = np.ascontiguousarray(255 - second.frame.rgb)
    for name, frame in {
        "cut": replace(second.frame, rgb=inverted),
        "gap": replace(second.frame, stamp=first.frame.stamp + 1_100_000_000),
        "back": replace(second.frame, stamp=first.frame.stamp - 1),
        "camera": replace(second.frame, camera=replace(CAMERA, fx=CAMERA.fx + 1)),
    }.items():
        np.testing.assert_array_equal(after_first(frame), now, err_msg=name)
    rescaled = replace(second.scaled, depth_m=(1.4 * now).astype(np.float32))
    np.testing.assert_allclose(after_first(second.frame, rescaled), 1.4 * now, rtol=1e-5)


def test_a_network_that_errs_while_the_scale_is_held_is_not_believed(static: list[Seen]) -> None:
    filter_ = TemporalFilter()
    for each in static[:8]:
        filter_.steady(each.scaled, each.frame)
    depth = static[8].scaled.depth_m
    assert depth is not None
    wrong = replace(
        static[8].scaled,
        depth_m=(1.4 * depth).astype(np.float32),
        state=replace(STATE, quality=Quality.HELD),
    )
    steady = filter_.steady(wrong, static[8].frame).depth_m
    assert steady is not None
    assert np.median(steady / static[8].truth) < 1.1


def test_unknown_stays_unknown_and_sigma_goes_with_the_depth(static: list[Seen]) -> None:
    filter_ = TemporalFilter()
    for each in static[:4]:
        depth, sigma = each.scaled.depth_m, each.scaled.sigma_m
        assert depth is not None and sigma is not None
        depth, sigma = depth.copy(), sigma.copy()
        depth[:50] = sigma[:50] = np.nan
        out = filter_.steady(ScaledDepth(depth, STATE, sigma), each.frame)
        assert out.depth_m is not None and out.sigma_m is not None
        assert np.isnan(out.depth_m[:50]).all() and np.isnan(out.sigma_m[:50]).all()
        np.testing.assert_allclose(out.sigma_m[50:] / out.depth_m[50:], NOISE, rtol=1e-3)
    assert filter_.steady(ScaledDepth(None, STATE), static[4].frame).depth_m is None


def test_motion_is_found_from_flow_and_depth(static: list[Seen]) -> None:
    motion = np.linalg.inv(pose_at(3)) @ pose_at(4)
    inverse = (1 / static[4].truth).astype(np.float32)
    du, dv, ratio = displacement(CAMERA, inverse, motion)
    flow = np.stack([du, dv], axis=-1)
    flow[40:120, 50:150] += 6.0
    found = motion_of_flow(CAMERA, inverse, flow)
    assert found is not None
    np.testing.assert_allclose(found[0], motion, atol=1e-4)
    x, y = ray_table(CAMERA)
    ahead = motion[2, 0] * x + motion[2, 1] * y + motion[2, 2] + motion[2, 3] * inverse
    np.testing.assert_allclose(ratio, ahead, rtol=1e-5)


@pytest.mark.parametrize(("measured", "most"), [(True, 0.12), (False, 0.15)])
def test_one_image_that_errs_is_not_believed(
    static: list[Seen], measured: bool, most: float
) -> None:
    part = np.s_[80:160, 100:220]
    filter_ = TemporalFilter()
    beside = np.arange(0.0, 320.0, 8.0)
    for step, each in enumerate(static):
        scaled = each.scaled
        assert scaled.depth_m is not None
        if step == STEPS - 2:  # as networks do that change their mind
            depth = scaled.depth_m.copy()
            depth[part] *= 1.6
            scaled = replace(scaled, depth_m=depth)
        points = SparsePoints(beside, np.full(40, 20.0), each.truth[20, ::8])
        frame = replace(each.frame, points=points) if measured else each.frame
        steady = filter_.steady(scaled, frame).depth_m
        assert steady is not None
        if step >= STEPS - 2:
            assert np.mean(np.abs(steady / each.truth - 1)[part]) < most


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_of_two_depths_the_one_that_fits_the_picture_is_taken(
    static: list[Seen], factor: float
) -> None:
    part = np.s_[80:160, 100:220]
    filter_ = TemporalFilter()
    errors = []
    for step, each in enumerate(static[::3]):  # 12 cm apart
        assert each.scaled.depth_m is not None
        depth = each.scaled.depth_m.copy()
        if step < 3:  # as networks do until they see a place from nearby
            depth[part] *= factor
        steady = filter_.steady(replace(each.scaled, depth_m=depth), each.frame).depth_m
        assert steady is not None
        errors.append(np.mean(np.abs(steady / each.truth - 1)[90:150, 110:205]))
    print(f"AbsRel {errors[2]:.3f} while wrong, then {errors[3]:.3f} and {errors[4]:.3f}")
    assert errors[2] > 0.3
    assert errors[3] < 0.3
    assert errors[4] < 0.2


def test_flicker_of_a_simulated_drive_with_the_embedded_network() -> None:
    camera = Camera.from_hfov(160, 120, 70.0)
    robot = Robot("street", 2, {"camera": camera})
    base_camera = robot.base_camera["camera"]
    to_camera = np.linalg.inv(base_camera) @ robot.base_lidar
    up = base_camera[2, :3]
    ground = Plane((float(up[0]), float(up[1]), float(up[2])), float(base_camera[2, 3]))
    pipeline = Pipeline(da.load("embedded", input_size=140).estimator, LiveScaler([SparseSource()]))
    filter_ = TemporalFilter()
    raw, steady, seen = [], [], []
    for step in range(12):
        rgb, truth = robot.photograph("camera", 0.1 * step)
        lidar = robot.measure(0.1 * step, 0.01, np.random.default_rng(step)) @ to_camera[:3, :3].T
        points = SparsePoints(*project(camera, lidar + to_camera[:3, 3]), "lidar")
        pose = robot.pose(0.1 * step) @ base_camera
        stamp = (step + 1) * 10**8
        frame = Frame(rgb, stamp, camera=camera, points=points, ground=ground, pose=pose)
        depth = pipeline.process(frame)
        assert depth.depth_m is not None
        scaled = ScaledDepth(depth.depth_m, depth.scale_state, depth.sigma_m)
        steadied_ = filter_.steady(scaled, frame).depth_m
        assert steadied_ is not None
        raw.append(depth.depth_m)
        steady.append(steadied_)
        seen.append((truth, pose))
    less = drive_flicker(raw, seen, camera) / drive_flicker(steady, seen, camera)
    before, after = (
        float(np.mean([absrel(depth, truth) for depth, (truth, _) in zip(each, seen, strict=True)]))
        for each in (raw, steady)
    )
    print(f"mean flicker {less:.1f} times less, AbsRel {before:.4f} -> {after:.4f}")
    assert less > 2.0
    assert after < before


def absrel(depth: Array, truth: Array) -> float:
    known = np.isfinite(depth) & np.isfinite(truth)
    return float(np.mean(np.abs(depth[known] / truth[known] - 1)))


def test_the_sky_stays_beyond_all_and_unknown_depth_unknown() -> None:
    filter_ = TemporalFilter()
    for each in drive():
        assert each.scaled.depth_m is not None
        depth = each.scaled.depth_m.copy()
        depth[:40], depth[40:50] = np.inf, np.nan
        sigma = np.where(np.isfinite(depth), 0.05 * depth, np.nan).astype(np.float32)
        steadied_ = filter_.steady(replace(each.scaled, depth_m=depth, sigma_m=sigma), each.frame)
        assert steadied_.depth_m is not None and steadied_.sigma_m is not None
        assert np.isposinf(steadied_.depth_m[:40]).all()
        assert np.isnan(steadied_.depth_m[40:50]).all()
        assert np.isfinite(steadied_.depth_m[50:]).all()
        changed = not np.array_equal(steadied_.depth_m[50:], depth[50:])
    assert changed


def test_what_gets_farther_than_can_be_told_is_unknown() -> None:
    filter_ = TemporalFilter()
    for step, each in enumerate(drive()[:3]):
        depth = np.full(each.truth.shape, 20.0, np.float32)
        depth[:80] = 1800.0 if step < 2 else 900.0
        sigma = (0.05 * depth).astype(np.float32)
        steady = filter_.steady(replace(each.scaled, depth_m=depth, sigma_m=sigma), each.frame)
    assert steady.depth_m is not None and steady.sigma_m is not None
    assert np.isnan(steady.depth_m[:60]).mean() > 0.5
    assert np.nanmax(steady.depth_m) <= 1000
    np.testing.assert_array_equal(np.isnan(steady.sigma_m), np.isnan(steady.depth_m))


def drive_flicker(depths: list[Array], seen: list[tuple[Array, Array]], camera: Camera) -> float:
    """Mean |log| of each depth over the one before, moved by the truth, from the fourth one on."""
    total = []
    for k in range(3, len(seen)):
        truth = np.where(np.isfinite(seen[k][0]), seen[k][0], np.float32(np.nan))
        motion = np.linalg.inv(seen[k - 1][1]) @ seen[k][1]
        du, dv, ratio = displacement(camera, (1 / truth).astype(np.float32), motion)
        last = tuple((1 / each).astype(np.float32) for each in (seen[k - 1][0], depths[k - 1]))
        known, before = (each * ratio for each in sample_displaced(last, du, dv))
        off = np.abs(np.log(depths[k] * before))[np.abs(truth * known - 1) < 0.03]
        total.append(np.nanmean(off[np.isfinite(off)]))
    return float(np.mean(total))
