"""Depth of rendered scenes against closed forms, and between views."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.synthetic import lidar
from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.rendering.render import render, scan
from depth_anything_ros.synthetic.rendering.scene import Light, Material, Scene
from depth_anything_ros.synthetic.rendering.scene_batch import stack
from depth_anything_ros.synthetic.rendering.solids import Kind
from depth_anything_ros.synthetic.rendering.terrain import fractal_heights, height_at
from depth_anything_ros.synthetic.rendering.tracing import all_candidates, nearest
from depth_anything_ros.synthetic.views import camera_pose, random_pose
from depth_anything_ros.synthetic.worlds import kinds as worlds

Array = npt.NDArray[np.float64]
CAMERA = Camera(200, 150, 130.0, 131.0, 98.3, 75.2)
POSE = camera_pose(0.3, -0.2, 1.4, yaw=0.4, tilt=-0.15, roll=0.1)


def rays(camera: Camera, pose: Array) -> tuple[Array, Array]:
    """Origin (3) and directions (HxWx3) of unit optical depth, in float64."""
    x, y = np.broadcast_arrays(*ray_table(camera))
    local = np.stack([x, y, np.ones_like(x)], -1).astype(np.float64)
    return pose[:3, 3], local @ pose[:3, :3].T


def smallest(roots: list[Array]) -> Array:
    return np.min([np.where(np.isnan(t), np.inf, t) for t in roots], axis=0)


def test_depth_of_plane_is_closed_form() -> None:
    scene = Scene()
    normal = np.array([-0.8, 0.36, 0.48])
    scene.plane((4.0, 1.0, 0.5), (-0.8, 0.36, 0.48), Material())
    _, depth = render(scene, CAMERA, POSE)
    origin, d = rays(CAMERA, POSE)
    t = (np.array([4.0, 1.0, 0.5]) - origin) @ normal / (d @ normal)
    expected = np.where((d @ normal < 0) & (t > 0), t, np.inf)
    near = expected < 50
    error = np.abs(depth[near] - expected[near]).max()
    print(f"plane: largest error {error:.2e} m")
    assert near.mean() > 0.5
    assert error <= 1e-4
    assert np.isinf(depth[np.isinf(expected)]).all()


def test_depth_of_sphere_is_closed_form() -> None:
    scene = Scene()
    centre, radius = np.array([5.0, 2.0, 1.0]), 1.2
    scene.at(5, 2, 1).ball((0, 0, 0), (radius,) * 3, Material())
    _, depth = render(scene, CAMERA, POSE)
    origin, d = rays(CAMERA, POSE)
    a, b = (d * d).sum(-1), (d * (origin - centre)).sum(-1)
    c = ((origin - centre) ** 2).sum() - radius**2
    with np.errstate(invalid="ignore"):
        expected = (-b - np.sqrt(b * b - a * c)) / a
    # Where a ray grazes the rim its depth has no bounded condition.
    inner = (b * b - a * c) / (a * radius**2) > 1e-2
    error = np.abs(depth[inner] - expected[inner]).max()
    print(f"sphere: largest error {error:.2e} m over {inner.sum()} pixels")
    assert inner.sum() > 1500
    assert error <= 1e-4
    assert np.isinf(depth[b * b - a * c < -1e-2]).all()


def box_depth(origin: Array, d: Array, turn: Array, centre: Array, half: Array) -> Array:
    o, local = turn @ (origin - centre), d @ turn.T
    sides = [((-half - o) / local), ((half - o) / local)]
    enter, leave = np.minimum(*sides).max(-1), np.maximum(*sides).min(-1)
    return np.where((enter <= leave) & (enter > 0), enter, np.inf)


def test_depth_of_box_is_closed_form() -> None:
    scene = Scene()
    yaw, pitch, roll = 0.5, 0.3, -0.2
    half = (0.9, 0.4, 0.7)
    scene.at(4.5, 1.5, 1.0).box((0, 0, 0), half, Material(), yaw=yaw, pitch=pitch, roll=roll)
    _, depth = render(scene, CAMERA, POSE)
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    origin, d = rays(CAMERA, POSE)
    expected = box_depth(origin, d, (rz @ ry @ rx).T, np.array([4.5, 1.5, 1.0]), np.array(half))
    both = np.isfinite(depth) & np.isfinite(expected)
    error = np.abs(depth[both] - expected[both]).max()
    print(f"box: largest error {error:.2e} m over {both.sum()} pixels")
    assert both.sum() > 1000
    assert error <= 1e-4
    assert (np.isfinite(depth) != np.isfinite(expected)).mean() < 1e-3


def triangle_depth(origin: Array, d: Array, corners: Array) -> Array:
    """Moeller and Trumbore (1997), front sides only."""
    first, second = corners[1] - corners[0], corners[2] - corners[0]
    p = np.cross(d, second)
    determinant = p @ first
    with np.errstate(divide="ignore", invalid="ignore"):
        u = p @ (origin - corners[0]) / determinant
        q = np.cross(origin - corners[0], first)
        v, t = d @ q / determinant, second @ q / determinant
    inside = (determinant > 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return np.where(inside, t, np.inf)


def test_depth_of_a_mesh_is_closed_form() -> None:
    """A lopsided pyramid with obtuse, acute and right-angled faces."""
    vertices = np.array([[3.5, 0, 0.2], [5, 0, 0.2], [5, 2, 0.2], [3.5, 2, 0.2], [6, 2.6, 2.5]])
    faces = [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4), (0, 3, 2), (0, 2, 1)]
    scene = Scene()
    scene.mesh(vertices, faces, Material())
    assert len(scene) == 4 * 2 + 2  # the bottom's two are right-angled already
    _, depth = render(scene, CAMERA, POSE)
    origin, d = rays(CAMERA, POSE)
    expected = np.min([triangle_depth(origin, d, vertices[list(face)]) for face in faces], axis=0)
    both = np.isfinite(depth) & np.isfinite(expected)
    error = np.abs(depth[both] - expected[both]).max()
    print(f"mesh: largest error {error:.2e} m over {both.sum()} pixels")
    assert both.sum() > 1000
    assert error <= 1e-4
    assert (np.isfinite(depth) != np.isfinite(expected)).mean() < 1e-3
    placed = Scene()
    placed.at(1.0, -0.5, 0.2, 0.3).mesh(vertices, faces, Material())
    turned = camera_pose(*(1.0 + 0.3 * math.cos(0.3) + 0.2 * math.sin(0.3),
                    -0.5 + 0.3 * math.sin(0.3) - 0.2 * math.cos(0.3), 1.6),
                  yaw=0.7, tilt=-0.15, roll=0.1)  # fmt: skip
    _, again = render(placed, CAMERA, turned)
    assert np.abs(again[both] - depth[both]).max() <= 2e-4


@pytest.mark.parametrize("kind", [Kind.CYLINDER, Kind.CONE])
def test_depth_of_round_solids_is_closed_form(kind: Kind) -> None:
    scene = Scene()
    scene.at(4.0, 1.2, 0.8).put(kind, (0, 0, 0), (0.7, 0.7, 0.8), Material(), pitch=0.4)
    _, depth = render(scene, CAMERA, POSE)
    c, s = math.cos(0.4), math.sin(0.4)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T / np.array([[0.7], [0.7], [0.8]])
    origin, d = rays(CAMERA, POSE)
    o, d = turn @ (origin - np.array([4.0, 1.2, 0.8])), d @ turn.T
    points = np.isfinite(depth)
    where = o + np.where(points, depth, 0)[..., None] * d
    x, y, z = np.moveaxis(where, -1, 0)
    width = 1.0 if kind is Kind.CYLINDER else (1 - z) / 2
    # Every depth must lie on the surface of the solid, and nothing of it may lie before.
    on_side = np.abs(np.hypot(x, y) - width)
    on_caps = np.abs(np.abs(z) - 1)
    error = np.minimum(on_side, on_caps)[points].max()
    print(f"{kind.name}: largest distance from the surface {error:.2e}")
    assert points.sum() > 800
    assert error <= 1e-4
    assert (np.hypot(x, y) <= width + 1e-4)[points].all()
    assert (np.abs(z) <= 1 + 1e-4)[points].all()
    before = o + np.where(points, depth * 0.999, 0)[..., None] * d
    bx, by, bz = np.moveaxis(before, -1, 0)
    bound = 1.0 if kind is Kind.CYLINDER else (1 - bz) / 2
    inside = (np.hypot(bx, by) < bound - 1e-3) & (np.abs(bz) < 1 - 1e-3)
    assert not inside[points].any()


def test_terrain_depth_lies_on_the_height_field() -> None:
    rng = np.random.default_rng(3)
    heights = fractal_heights(rng, 100.0, 2.0, 0.4)
    scene = Scene()
    scene.terrain(heights, 100.0, Material())
    pose = camera_pose(0, 0, height_at(heights, 100.0, 0, 0) + 1.5, 0.3)
    _, depth = render(scene, CAMERA, pose)
    origin, d = rays(CAMERA, pose)
    near = depth < 30
    points = origin + depth[near][:, None] * d[near]
    ground = np.array([height_at(heights, 100.0, x, y) for x, y, _ in points[::50]])
    error = np.abs(points[::50, 2] - ground).max()
    print(f"terrain: largest height error {error:.2e} m")
    assert near.mean() > 0.2
    assert error < 2e-3


def test_depth_agrees_between_two_views() -> None:
    rng = np.random.default_rng(5)
    atlas = textures.build(0)
    for kind in ("room", "street", "hall"):
        world = worlds.build(rng, atlas, kind)
        first = random_pose(rng, world)
        second = first.copy()
        second[:3, 3] += first[:3, :3] @ np.array([0.05, -0.02, -0.1])
        _, depth = render(world.scene, CAMERA, first)
        _, other = render(world.scene, CAMERA, second)
        origin, d = rays(CAMERA, first)
        use = depth < 60
        points = origin + depth[use][:, None] * d[use]
        local = (points - second[:3, 3]) @ second[:3, :3]
        u = CAMERA.fx * local[:, 0] / local[:, 2] + CAMERA.cx
        v = CAMERA.fy * local[:, 1] / local[:, 2] + CAMERA.cy
        inside = (u >= 0) & (v >= 0) & (u < CAMERA.width - 1) & (v < CAMERA.height - 1)
        u, v, z = u[inside], v[inside], local[inside, 2]
        i, j = v.astype(int), u.astype(int)
        # Inverse depth is linear over a plane in the image: bilinear interpolation is exact there.
        inverse = 1 / other.astype(np.float64)
        a, b = u - j, v - i
        corners = [inverse[i, j], inverse[i, j + 1], inverse[i + 1, j], inverse[i + 1, j + 1]]
        seen = 1 / (
            (1 - b) * ((1 - a) * corners[0] + a * corners[1])
            + b * ((1 - a) * corners[2] + a * corners[3])
        )
        smooth = np.ptp(corners, axis=0) < 0.05 * np.mean(corners, axis=0)
        relative = (seen / z - 1)[smooth]
        share = (np.abs(relative) < 2e-3).mean()
        print(f"{kind}: {share:.4f} of {smooth.sum()} pixels agree within 0.2 %")
        assert np.median(np.abs(relative)) < 1e-5
        assert share > 0.94
        # The others are hidden in the second view by nearer things; it sees past a point only
        # where something thin lies between its pixels.
        assert (relative > 2e-3).mean() < 0.015


def test_culled_rays_equal_all_rays_against_all_surfaces() -> None:
    rng = np.random.default_rng(8)
    atlas = textures.build(0)
    for kind in ("room", "street", "corridor"):
        world = worlds.build(rng, atlas, kind)
        pose = random_pose(rng, world)
        _, depth = render(world.scene, CAMERA, pose)
        scenes = stack([world.scene])
        origin, d = rays(CAMERA, pose)
        direction = torch.from_numpy(d.reshape(1, -1, 3)).float().transpose(1, 2)
        scene_of = torch.zeros(1, dtype=torch.long)
        start = torch.from_numpy(origin).float()[None, :, None]
        t, _ = nearest(scenes, scene_of, start, direction, all_candidates(scenes, scene_of))
        brute = t.view(depth.shape).numpy()
        different = ~np.isclose(depth, brute, rtol=1e-4, atol=1e-4)
        assert different.mean() < 2e-4, kind


def test_scan_measures_ranges_and_agrees_with_the_camera() -> None:
    rng = np.random.default_rng(1)
    world = worlds.build(rng, textures.build(0), "room")
    pose = random_pose(rng, world)
    _, depth = render(world.scene, CAMERA, pose)
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    local = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
    length = np.linalg.norm(local, axis=1, keepdims=True)
    ranges = scan(world.scene, pose, local / length)
    agree = np.isclose(ranges, depth.ravel() * length[:, 0], rtol=1e-4)
    assert agree.mean() > 0.9995
    assert scan(Scene(), np.eye(4), local[:3]).tolist() == [np.inf] * 3
    assert scan(Scene(), np.eye(4), local[:0]).shape == (0,)


def test_distorted_camera_sees_through_its_lens() -> None:
    scene = Scene()
    scene.plane((3.0, 0, 0), (-1, 0, 0), Material())
    camera = Camera(160, 120, 90, 90, 79.5, 59.5, "plumb_bob", (-0.25, 0.05, 0.001, 0.0, 0.0))
    _, depth = render(scene, camera, camera_pose(0, 0, 0, 0.3))
    x, _ = ray_table(camera)
    forward = math.cos(0.3) + x * math.sin(0.3)
    assert np.abs(depth - 3.0 / forward).max() < 1e-4


def test_solids_seen_from_behind_or_inside_do_not_appear() -> None:
    scene = Scene()
    scene.at(0, 0, 0).ball((-3, 0, 0), (1, 1, 1), Material())
    scene.at(0, 0, 0).box((0, 0, 0), (2, 2, 2), Material())
    scene.plane((5.0, 0, 0), (1.0, 0, 0), Material())
    _, depth = render(scene, CAMERA, camera_pose(0, 0, 0, 0))
    assert np.isinf(depth).all()


def test_shadow_falls_where_the_lamp_is_hidden() -> None:
    atlas = textures.build(0)
    plain = Material((0.5,) * 3, (0.5,) * 3, atlas.numbers("plain")[0])
    light = Light(sun=(0.0, 0.0, 1.0), radius=0.02, colour=(1.0,) * 3, above=(0.1,) * 3)
    bare, covered = Scene(light), Scene(light)
    for scene in (bare, covered):
        scene.plane((0, 0, 0), (0, 0, 1), plain)
    covered.at(4, 0, 2.5).box((0, 0, 0), (1, 1, 0.05), plain)
    pose = camera_pose(0, 0, 1.5, 0, tilt=-0.4)
    first, _ = render(bare, CAMERA, pose, atlas)
    second, depth = render(covered, CAMERA, pose, atlas)
    origin, d = rays(CAMERA, pose)
    ground = origin + np.where(depth < 50, depth, 0)[..., None] * d
    on_ground = np.abs(ground[..., 2]) < 1e-3
    offset = np.maximum(np.abs(ground[..., 0] - 4), np.abs(ground[..., 1]))
    inner, outer = on_ground & (offset < 0.8), on_ground & (offset > 2.5) & (depth < 8)
    assert inner.sum() > 100
    assert second[inner].mean() < 0.6 * first[inner].mean()
    assert abs(second[outer].mean() / first[outer].mean() - 1) < 0.02


def test_lidar_beams_are_unit_and_spread() -> None:
    directions = lidar.beams(16, -15, 15, 360)
    assert directions.shape == (16 * 360, 3)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1)
    elevation = np.degrees(np.arcsin(directions[:, 2]))
    assert np.allclose([elevation.min(), elevation.max()], [-15, 15])
