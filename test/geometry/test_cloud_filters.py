"""Cloud filters against scenes whose answer is known in closed form."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.geometry import cloud_filters
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.cloud import Cloud, build_cloud, pack_colors
from depth_anything_ros.geometry.cloud_filters import downsample, flying_pixels, within_height

CAMERA = Camera(320, 240, 260.0, 262.0, 161.3, 118.9)
BENT = Camera(320, 240, 260.0, 262.0, 161.3, 118.9, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, 0.0))


def smooth_step(near: float = 1.0, far: float = 3.0, ramp: int = 4) -> np.ndarray:
    """Columns at `near`, then `ramp` columns in between, then columns at `far`."""
    row = np.full(320, far)
    row[:150] = near
    row[150 : 150 + ramp] = np.linspace(near, far, ramp + 2)[1:-1]
    return np.tile(row, (240, 1)).astype(np.float32)


def ground_depth(camera: Camera, height: float) -> np.ndarray:
    """Depth of level ground below a level camera, NaN above the horizon."""
    y = np.broadcast_to(ray_table(camera)[1], (camera.height, camera.width))
    return np.where(y > 1e-3, height / np.maximum(y, 1e-3), np.nan).astype(np.float32)


# --- flying pixels --------------------------------------------------------------------------


@pytest.mark.parametrize("camera", [CAMERA, BENT])
@pytest.mark.parametrize("turned", [False, True])
def test_only_what_lies_between_two_surfaces_flies(camera: Camera, turned: bool) -> None:
    depth = smooth_step()
    expected = np.zeros(depth.shape, bool)
    expected[:, 150:154] = True
    if turned:
        camera = Camera(
            240, 320, 262.0, 260.0, 118.9, 161.3, camera.distortion_model, camera.distortion
        )
        depth, expected = np.ascontiguousarray(depth.T), np.ascontiguousarray(expected.T)
    np.testing.assert_array_equal(flying_pixels(depth, camera), expected)


def test_diagonal_edges_are_found() -> None:
    v, u = np.mgrid[:240, :320]
    depth = np.where(u + v < 280, 1.0, 3.0).astype(np.float32)
    smooth = np.asarray(cv2.blur(depth, (3, 3)), np.float32)
    flying = flying_pixels(smooth, CAMERA)[2:-2, 2:-2]
    between = ((smooth > 1.3) & (smooth < 2.7))[2:-2, 2:-2]
    assert between.sum() > 200
    assert flying[between].all()
    assert not flying[((smooth == 1) | (smooth == 3))[2:-2, 2:-2]].any()


@pytest.mark.parametrize("factor", [0.01, 1.0, 250.0])
def test_scale_changes_nothing(factor: float) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(1, 9, (240, 320)).astype(np.float32)
    depth = np.asarray(cv2.GaussianBlur(noise, (5, 5), 0), np.float32)
    plain = flying_pixels(depth, CAMERA)
    assert 0.05 < plain.mean() < 0.95
    changed = flying_pixels((depth * factor).astype(np.float32), CAMERA) != plain
    assert changed.mean() < 1e-4  # float rounding on the threshold


def test_the_angle_is_the_one_between_ray_and_surface() -> None:
    # A wall through a point in front of the camera, turned so that its rays graze it: where the
    # ray meets it at less than the limit, it is not believed.
    wall = np.radians(20.0)
    x, y = ray_table(CAMERA)
    rays = np.stack(np.broadcast_arrays(x.astype(float), y.astype(float), 1.0), axis=-1)
    normal = np.array([np.cos(wall), 0.0, -np.sin(wall)])
    towards = rays @ normal
    with np.errstate(divide="ignore"):
        depth = np.where(towards < 0, -0.5 / towards, np.nan).astype(np.float32)
    assert np.isfinite(depth).sum() > 20_000
    # Along the rows alone (the middle one), where the wall is steepest.
    grazing = np.degrees(np.arcsin(-towards / np.linalg.norm(rays, axis=-1)))[119]
    flying = flying_pixels(depth, CAMERA, min_angle_deg=8.0)[119]
    inner = np.isfinite(depth[119]) & (np.arange(320) > 1) & (np.arange(320) < 318)
    sure = inner & (np.abs(grazing - 8.0) > 0.3)
    # The outermost known pixel has an unknown neighbour.
    sure &= np.isfinite(np.roll(depth[119], 1)) & np.isfinite(np.roll(depth[119], -1))
    assert sure.sum() > 100
    assert (grazing[sure] < 8.0).sum() > 20
    np.testing.assert_array_equal(flying[sure], grazing[sure] < 8.0)


def test_ground_and_thin_poles_stay() -> None:
    ground = ground_depth(CAMERA, 0.3)
    far = ground > 0.3 / math.tan(math.radians(2.0)) * 1.1
    flying = flying_pixels(ground, CAMERA)
    assert not flying[np.isfinite(ground) & (ground < 0.3 / math.tan(math.radians(2.5)))].any()
    assert flying[1:-1][far[1:-1] & np.isfinite(ground[:-2])].any()
    pole = np.full((240, 320), 5.0, np.float32)
    pole[:, 160] = 1.0
    assert not flying_pixels(pole, CAMERA).any()


def test_unknown_neighbours_are_no_evidence() -> None:
    depth = smooth_step(ramp=1)
    assert flying_pixels(depth, CAMERA)[:, 150].all()
    depth[:, 151] = np.nan
    depth[:, 149] = np.inf
    assert not flying_pixels(depth, CAMERA).any()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match="320x240"):
        flying_pixels(np.ones((10, 10), np.float32), CAMERA)
    with pytest.raises(SettingError, match="min_angle_deg is 90"):
        flying_pixels(smooth_step(), CAMERA, 90)


# --- height band ----------------------------------------------------------------------------


@pytest.mark.parametrize("organized", [True, False])
def test_a_height_band_cuts_in_the_target_frame(organized: bool) -> None:
    # The camera looks along the robot's x, pitched down by 10 degrees, 0.8 m up.
    pitch = np.radians(10.0)
    level = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    down = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    to_robot = np.eye(4)
    to_robot[:3, :3] = down @ level
    to_robot[:3, 3] = [0.2, 0.0, 0.8]
    depth = np.full((240, 320), 2.5, np.float32)
    rgb = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    cloud = build_cloud(depth, CAMERA, rgb, organized, confidence=np.full_like(depth, 0.5))
    height = cloud.xyz.astype(float) @ to_robot[2, :3] + to_robot[2, 3]
    expected = (height >= -0.2) & (height <= 0.5)
    assert 1000 < expected.sum() < len(expected)
    kept = within_height(cloud, to_robot, -0.2, 0.5)
    assert kept.fields == cloud.fields
    if organized:
        assert kept.data.shape == cloud.data.shape
        np.testing.assert_array_equal(np.isfinite(kept.xyz).all(axis=1), expected)
    assert kept.rgb is not None
    known = np.isfinite(kept.xyz[:, 2])
    np.testing.assert_array_equal(kept.points[known], cloud.points[expected])
    assert np.isfinite(cloud.data).all()


# --- voxels ---------------------------------------------------------------------------------


def scattered(count: int = 5000, seed: int = 0) -> Cloud:
    rng = np.random.default_rng(seed)
    data = np.empty((1, count, 5), np.float32)
    data[0, :, :3] = rng.uniform(-1, 1, (count, 3))
    data[0, :, 3] = pack_colors(rng.integers(0, 256, (1, count, 3), dtype=np.uint8))[0]
    data[0, :, 4] = rng.random(count)
    return Cloud(data, ("x", "y", "z", "rgb", "confidence"))


@pytest.mark.parametrize("tabled", [True, False])
def test_voxels_hold_the_means_of_their_points(
    tabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tabled:
        monkeypatch.setattr(cloud_filters, "_MOST_TABLED_CUBES", 0)
    cloud = scattered()
    assert cloud.rgb is not None
    assert cloud.confidence is not None
    cubes = np.floor(cloud.xyz / np.float32(0.25)).astype(int)
    small = downsample(cloud, 0.25)
    assert small.rgb is not None
    assert small.confidence is not None
    found = {tuple(cube): i for i, cube in enumerate(np.unique(cubes, axis=0))}
    assert len(small.xyz) == len(found) == 512
    at = np.floor(small.xyz / 0.25).astype(int)
    for i in range(len(small.xyz)):
        members = (cubes == at[i]).all(axis=1)
        np.testing.assert_allclose(small.xyz[i], cloud.xyz[members].mean(axis=0), atol=1e-6)
        mean_color = cloud.rgb[members].mean(axis=0)
        np.testing.assert_allclose(small.rgb[i], mean_color, atol=0.5 + 1e-9)
        np.testing.assert_allclose(small.confidence[i], cloud.confidence[members].mean(), atol=1e-6)


def test_the_nearest_point_keeps_its_own_fields() -> None:
    cloud = scattered()
    cubes = np.floor(cloud.xyz / np.float32(0.25)).astype(int)
    small = downsample(cloud, 0.25, nearest=True)
    at = np.floor(small.xyz / np.float32(0.25)).astype(int)
    assert len(np.unique(at, axis=0)) == len(at) == 512
    for i in range(len(at)):
        members = np.flatnonzero((cubes == at[i]).all(axis=1))
        centroid = cloud.xyz[members].mean(axis=0, dtype=float)
        smallest = np.linalg.norm(cloud.xyz[members] - centroid, axis=1).min()
        assert np.linalg.norm(small.xyz[i] - centroid) == pytest.approx(smallest, abs=1e-7)
        assert (cloud.points[members] == small.points[i]).all(axis=1).sum() == 1


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_a_cloud_of_hardly_any_points_stays_where_it_is(count: int, nearest: bool) -> None:
    """A lone one came out at the camera itself: an obstacle on the robot."""
    cloud = scattered(count)
    before = cloud.data.copy()
    small = downsample(cloud, 1e-3, nearest)
    order = np.argsort(small.xyz[:, 0]), np.argsort(before[0, :, 0])
    np.testing.assert_allclose(small.xyz[order[0]], before[0, order[1], :3], atol=1e-6)
    np.testing.assert_array_equal(cloud.data, before)


def test_voxels_of_an_organized_cloud_leave_unknown_points_out() -> None:
    depth = np.full((240, 320), 2.0, np.float32)
    depth[:, ::2] = np.nan
    cloud = build_cloud(depth, CAMERA)
    small = downsample(cloud, 0.1)
    assert small.fields == ("x", "y", "z")
    assert small.data.shape[0] == 1
    np.testing.assert_allclose(small.xyz[:, 2], 2.0, atol=1e-6)
    cubes = np.floor(cloud.xyz[np.isfinite(cloud.xyz[:, 2])] * np.float32(10))
    assert len(small.xyz) == len(np.unique(cubes, axis=0))
    nothing = downsample(build_cloud(np.full_like(depth, np.nan), CAMERA), 0.1)
    assert nothing.data.shape == (1, 0, 3)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), 1e-12])
def test_impossible_voxels_are_refused(size: float) -> None:
    with pytest.raises(SettingError, match="voxel_size is"):
        downsample(scattered(10), size)
