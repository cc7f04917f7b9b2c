"""Clouds against closed-form surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.cloud import build_cloud

CAMERA = Camera(320, 240, 260.0, 262.0, 161.3, 118.9)
BENT = Camera(320, 240, 260.0, 262.0, 161.3, 118.9, "plumb_bob", (-0.2, 0.05, 0.001, -0.001, 0.0))


def plane_depth(camera: Camera) -> np.ndarray:
    """Depth of the plane 0.2 x - 0.3 y + z = 4."""
    x, y = (part.astype(np.float64) for part in ray_table(camera))
    return (4.0 / (0.2 * x - 0.3 * y + 1.0)).astype(np.float32)


def sphere_depth(camera: Camera) -> np.ndarray:
    """Depth of the near side of a sphere of radius 1 at (0.2, -0.1, 5), NaN beside it."""
    x, y = (part.astype(np.float64) for part in np.broadcast_arrays(*ray_table(camera)))
    centre = np.array([0.2, -0.1, 5.0])
    a = x**2 + y**2 + 1
    b = x * centre[0] + y * centre[1] + centre[2]
    root = b**2 - a * (centre @ centre - 1)
    with np.errstate(invalid="ignore"):
        return ((b - np.sqrt(root)) / a).astype(np.float32)


@pytest.mark.parametrize("camera", [CAMERA, BENT])
def test_a_plane_is_a_plane(camera: Camera) -> None:
    xyz = build_cloud(plane_depth(camera), camera).xyz.astype(np.float64)
    error = np.abs(xyz @ [0.2, -0.3, 1.0] - 4.0).max()
    print(f"plane error {error:.1e} m")
    assert error <= 1e-5


@pytest.mark.parametrize("camera", [CAMERA, BENT])
@pytest.mark.parametrize("organized", [True, False])
def test_a_sphere_is_a_sphere(camera: Camera, organized: bool) -> None:
    depth = sphere_depth(camera)
    cloud = build_cloud(depth, camera, organized=organized)
    known = int(np.isfinite(depth).sum())
    assert known > 1000
    xyz = cloud.xyz[np.isfinite(cloud.xyz[:, 2])].astype(np.float64)
    assert len(xyz) == known
    assert len(cloud.xyz) == (depth.size if organized else known)
    assert cloud.is_organized is organized
    error = np.abs(np.linalg.norm(xyz - [0.2, -0.1, 5.0], axis=1) - 1.0).max()
    assert error <= 1e-5


def test_colours_survive_pcl_packing() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    depth = plane_depth(CAMERA)
    depth[10, 20] = np.nan
    organized = build_cloud(depth, CAMERA, rgb)
    assert organized.rgb is not None
    np.testing.assert_array_equal(organized.rgb.reshape(rgb.shape), rgb)
    assert not np.isnan(organized.data[..., 3]).any()
    assert np.isnan(organized.data[10, 20, :3]).all()
    dense = build_cloud(depth, CAMERA, rgb, organized=False)
    assert dense.rgb is not None
    known = np.isfinite(depth)
    np.testing.assert_array_equal(dense.rgb, rgb[known])


@pytest.mark.parametrize("organized", [True, False])
@pytest.mark.parametrize("colored", [True, False])
def test_confidence_is_the_last_field(colored: bool, organized: bool) -> None:
    depth = plane_depth(CAMERA)
    depth[3, 4] = np.nan
    confidence = np.random.default_rng(0).random(depth.shape, np.float32)
    rgb = np.full((240, 320, 3), (1, 2, 3), np.uint8) if colored else None
    cloud = build_cloud(depth, CAMERA, rgb, organized, stride=2, confidence=confidence)
    assert cloud.fields == ("x", "y", "z", *(["rgb"] if colored else []), "confidence")
    assert cloud.data.flags.c_contiguous
    assert cloud.data.shape[2] == len(cloud.fields)
    expected = confidence[::2, ::2]
    assert cloud.confidence is not None
    np.testing.assert_array_equal(
        cloud.confidence, expected.ravel() if organized else expected[depth[::2, ::2] > 0]
    )
    assert (cloud.rgb is not None) is colored
    if cloud.rgb is not None:
        assert (cloud.rgb == (1, 2, 3)).all()
    with pytest.raises(InputError, match="its confidence is"):
        build_cloud(depth, CAMERA, confidence=confidence[1:])


@pytest.mark.parametrize("organized", [True, False])
@pytest.mark.parametrize("camera", [CAMERA, BENT])
def test_stride_takes_the_same_points(camera: Camera, organized: bool) -> None:
    depth = plane_depth(camera)
    full = build_cloud(depth, camera).data
    strided = build_cloud(depth, camera, stride=3, organized=organized)
    np.testing.assert_array_equal(strided.xyz, full[::3, ::3].reshape(-1, 3))


def test_range_limits_cut_along_the_optical_axis() -> None:
    depth = plane_depth(CAMERA)
    depth[0, 0], depth[0, 1], depth[0, 2] = np.inf, -np.inf, 0.0
    depth[0, 3] = 0.01
    inside = (depth >= 3.5) & (depth <= 4.5)
    cloud = build_cloud(depth, CAMERA, organized=False, min_range=3.5, max_range=4.5)
    np.testing.assert_array_equal(cloud.xyz[:, 2], depth[inside])
    unlimited = build_cloud(depth, CAMERA, organized=False)
    assert len(unlimited.xyz) == depth.size - 3


def test_nothing_known_makes_an_empty_cloud() -> None:
    nothing = np.full((240, 320), np.nan, np.float32)
    rgb = np.zeros((240, 320, 3), np.uint8)
    cloud = build_cloud(nothing, CAMERA, rgb, organized=False)
    assert cloud.data.shape == (1, 0, 4)
    assert cloud.rgb is not None
    assert len(cloud.rgb) == 0


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="depth is 320x200 but its camera is 320x240"):
        build_cloud(np.ones((200, 320), np.float32), CAMERA)
