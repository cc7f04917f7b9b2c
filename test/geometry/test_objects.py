"""Objects of synthetic scenes: boxes and balls whose place, size and turn are known."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.objects import find_objects, oriented_box

CAMERA = Camera.from_hfov(640, 480, 65.0)
UP = np.array([0.0, -1.0, 0.0])


def rays() -> np.ndarray:
    x, y = (part.astype(float) for part in np.broadcast_arrays(*ray_table(CAMERA)))
    return np.stack([x, y, np.ones_like(x)], axis=-1)


def box_depth(center: np.ndarray, axes: np.ndarray, size: np.ndarray) -> np.ndarray:
    """HxW depth of a solid box, inf beside it (slab test in the box's frame)."""
    origin, towards = -center @ axes, rays() @ axes
    with np.errstate(divide="ignore"):
        ends = np.sort(
            np.stack([(-size / 2 - origin) / towards, (size / 2 - origin) / towards]), axis=0
        )
    enter, leave = ends[0].max(axis=-1), ends[1].min(axis=-1)
    return np.where(enter < leave, enter, np.inf)


def ball_depth(center: np.ndarray, radius: float) -> np.ndarray:
    towards = rays()
    a, b = (towards**2).sum(-1), towards @ center
    root = b**2 - a * (center @ center - radius**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


def turned(degrees: float) -> np.ndarray:
    """Axes of an upright box turned about the vertical; the last one points up."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0.0], [0.0, 0.0, -1.0], [s, c, 0.0]])


def scene(*surfaces: np.ndarray, wall: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels 1, 2, ... of the surfaces, and the depth of all before a wall."""
    stack = np.stack([np.full((480, 640), wall), *surfaces])
    return stack.argmin(axis=0).astype(np.uint8), stack.min(axis=0).astype(np.float32)


@pytest.mark.parametrize("degrees", [10.0, 30.0, -35.0])
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_an_upright_box_is_measured(degrees: float, noise: float) -> None:
    center, size = np.array([0.1, 0.25, 1.0]), np.array([0.30, 0.20, 0.15])
    axes = turned(degrees)
    labels, depth = scene(box_depth(center, axes, size))
    depth *= (1 + noise * np.random.default_rng(0).standard_normal(depth.shape)).astype(np.float32)
    (found,) = find_objects(labels, depth, CAMERA, UP)
    assert found.label == 1
    # Both sides and the top are in view, so the box of what is seen is the whole box.
    turn = np.degrees(np.arccos(np.abs(found.box.axes.T @ axes).max(axis=0).clip(max=1)))
    matched = found.box.size[np.abs(found.box.axes.T @ axes).argmax(axis=0)]
    print(f"turn {degrees}: off by {turn.max():.2f} degrees, size {matched.round(4)}")
    assert turn.max() < 1.0 + 400 * noise
    np.testing.assert_allclose(matched, size, atol=0.006 + 4 * noise)
    np.testing.assert_allclose(found.box.center, center, atol=0.005 + 2 * noise)
    np.testing.assert_allclose(np.linalg.det(found.box.axes), 1.0)


def test_a_face_is_grasped_where_it_is_nearest() -> None:
    # The front face of a box straight ahead: the foot of the perpendicular is the nearest point.
    center, size = np.array([0.05, 0.03, 1.2]), np.array([0.4, 0.4, 0.3])
    labels, depth = scene(box_depth(center, np.eye(3), size))
    (found,) = find_objects(labels, depth, CAMERA)
    np.testing.assert_allclose(found.grasp_point, [0.0, 0.0, 1.05], atol=0.005)
    np.testing.assert_allclose(found.approach_normal, [0.0, 0.0, -1.0], atol=1e-4)
    np.testing.assert_allclose(found.box.size[:2], 0.4, atol=0.01)
    assert found.box.size[2] < 1e-3
    np.testing.assert_allclose(found.centroid, [0.05, 0.03, 1.05], atol=0.002)


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_a_ball_is_grasped_at_its_front(noise: float) -> None:
    center, radius = np.array([0.15, -0.1, 0.8]), 0.1
    labels, depth = scene(ball_depth(center, radius))
    depth *= (1 + noise * np.random.default_rng(0).standard_normal(depth.shape)).astype(np.float32)
    (found,) = find_objects(labels, depth, CAMERA)
    towards_camera = -center / np.linalg.norm(center)
    front = center + radius * towards_camera
    off = np.linalg.norm(found.grasp_point - front)
    tilt = np.degrees(np.arccos(found.approach_normal @ towards_camera))
    outward = (found.grasp_point - center) / np.linalg.norm(found.grasp_point - center)
    print(f"noise {noise}: grasp {off * 1000:.1f} mm off the front, normal {tilt:.1f} degrees")
    assert off < 0.004 + 25 * noise
    assert np.degrees(np.arccos(found.approach_normal @ outward)) < 0.5 + 10_000 * noise
    np.testing.assert_allclose(np.linalg.norm(found.approach_normal), 1.0)


def test_spilt_masks_and_strays_do_not_count() -> None:
    center, size, axes = np.array([0.0, 0.2, 1.0]), np.array([0.30, 0.20, 0.15]), turned(25.0)
    labels, depth = scene(box_depth(center, axes, size))
    (clean,) = find_objects(labels, depth, CAMERA, UP)
    spilt = np.roll(labels, (4, 6), axis=(0, 1)) | labels
    assert ((spilt > 0) & (labels == 0)).sum() > 1000
    rng = np.random.default_rng(0)
    v, u = np.nonzero(labels)
    some = rng.permutation(len(v))[: len(v) // 50]
    depth[v[some], u[some]] *= rng.uniform(0.3, 0.7, len(some)).astype(np.float32)
    depth[v[:40], u[:40]] = np.nan
    (found,) = find_objects(spilt, depth, CAMERA, UP)
    np.testing.assert_allclose(found.box.size, clean.box.size, atol=0.006)
    np.testing.assert_allclose(found.box.center, clean.box.center, atol=0.004)
    np.testing.assert_allclose(found.grasp_point, clean.grasp_point, atol=0.02)


def test_every_label_is_one_object() -> None:
    ball = ball_depth(np.array([-0.3, 0.0, 1.0]), 0.12)
    box = box_depth(np.array([0.3, 0.1, 1.1]), turned(15.0), np.array([0.2, 0.2, 0.2]))
    labels, depth = scene(ball, box)
    wide = labels.astype(np.uint16) * 1000
    wide[0, 0] = 7
    found = find_objects(wide, depth, CAMERA)
    assert [each.label for each in found] == [1000, 2000]
    assert found[0].centroid[0] < -0.2
    assert found[1].centroid[0] > 0.2
    assert len(found[1].points) == pytest.approx((labels == 2).sum(), rel=0.02)
    assert find_objects(np.zeros_like(labels), depth, CAMERA) == []
    unknown = np.full_like(depth, np.nan)
    assert find_objects(labels, unknown, CAMERA) == []


def test_only_the_pixels_of_a_mask_belong_to_its_object() -> None:
    labels = np.zeros((480, 640), np.uint8)
    labels[200:300, 300:400] = 5 * np.tri(100, dtype=np.uint8)  # beside it, the same surface
    (found,) = find_objects(labels, np.full((480, 640), 1.0, np.float32), CAMERA)
    assert len(found.points) == pytest.approx((labels == 5).sum(), rel=0.01)


def test_small_objects_are_still_found() -> None:
    labels = np.zeros((480, 640), np.uint8)
    labels[200:204, 300:303] = 5
    depth = np.full((480, 640), 1.0, np.float32)
    (found,) = find_objects(labels, depth, CAMERA, min_points=10)
    assert found.grasp_point[2] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(found.approach_normal, [0, 0, -1], atol=1e-6)
    assert find_objects(labels, depth, CAMERA) == []


def test_a_box_of_points_in_any_frame() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    points = rng.uniform(-0.5, 0.5, (20_000, 3)) * [1.0, 0.6, 0.1] @ axes.T + [4.0, -2.0, 7.0]
    points[:30] += rng.uniform(-5, 5, (30, 3))
    box = oriented_box(points)
    np.testing.assert_allclose(np.sort(box.size)[::-1], [1.0, 0.6, 0.1], rtol=0.03)
    np.testing.assert_allclose(box.center, [4.0, -2.0, 7.0], atol=0.01)
    assert abs(box.axes[:, 2] @ axes[:, 2]) > 0.999


def test_masks_must_fit() -> None:
    depth = np.ones((480, 640), np.float32)
    with pytest.raises(InputError, match="mono8 or 16UC1"):
        find_objects(np.zeros((48, 64), np.uint8), depth, CAMERA)
    with pytest.raises(InputError, match="int64"):
        find_objects(np.zeros((480, 640), np.int64), depth, CAMERA)  # type: ignore[arg-type]
