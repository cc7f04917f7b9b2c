"""A short drive through a textured box with exact depth, on which scale sources are measured.

It offers every source its input (points, ground, moving corners, a SLAM map) at any image size and
number of points, and is computed within seconds.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from depth_anything_ros.frames import (
    FloatArray,
    Frame,
    Plane,
    Prediction,
    PredictionKind,
    RgbImage,
    SlamView,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, ray_table

HEIGHT = 1.2
"""Metres of the camera above the ground."""

SCALE, SHIFT = 0.4, 0.02
"""1/Z = SCALE * disparity + SHIFT, without the network's error."""

PERIOD_NS = 100_000_000
"""Nanoseconds between two images."""

_WALLS = ((0, -6.0), (0, 6.0), (1, -8.0), (1, HEIGHT), (2, 40.0))  # axis and metres of each plane
_STEP = 0.15  # metres between two images
_TEXELS = 40.0  # per metre
_BEAMS = 64
_SLAM_UNIT = 3.0  # metres
_MAP_POINTS = 2000


def drive(height: int, width: int, points: int, images: int = 12) -> list[tuple[Prediction, Frame]]:
    """Predictions and frames of a robot that drives forwards and back; the lap can be repeated.

    Args:
        height: Rows of the images.
        width: Columns of the images.
        points: LiDAR points per image: 2 cm of noise, 2 % gross errors.
        images: Different images, at least 1.

    Returns:
        For each image of the lap a relative network's prediction, 10 % wrong in places, and the
        frame it belongs to; stamps start at 0 and are `PERIOD_NS` apart.
    """
    camera = Camera.from_hfov(width, height, 70.0)
    rng = np.random.default_rng(0)
    coarse = [rng.integers(40, 216, (cells, cells), dtype=np.uint8) for cells in (128, 512)]
    texture = np.mean([cv2.resize(each, (1024, 1024)) for each in coarse], axis=0).astype(np.uint8)
    world = np.empty((0, 3))
    seen = []
    for index in range(images):
        pose, slam_pose = np.eye(4), np.eye(4)
        pose[2, 3] = index * _STEP
        slam_pose[2, 3] = index * _STEP / _SLAM_UNIT
        depth, rgb = _look(camera, pose, texture)
        if index == 0:
            world = _map_points(camera, depth, rng)
        frame = Frame(
            rgb=rgb,
            frame_id="camera_optical",
            camera=camera,
            points=_scan(depth, points, rng),
            ground=Plane((0.0, -1.0, 0.0), HEIGHT),
            pose=pose,
            slam=SlamView(slam_pose, world / _SLAM_UNIT),
        )
        seen.append((_predict(depth, rng), frame))
    lap = [*seen, *seen[-2:0:-1]]
    return [
        (prediction, replace(frame, stamp=index * PERIOD_NS))
        for index, (prediction, frame) in enumerate(lap)
    ]


def _look(camera: Camera, pose: FloatArray, texture: RgbImage) -> tuple[FloatArray, RgbImage]:
    """Depth and picture of the box; the camera is not rotated, so rays are those of the world."""
    x, y = np.broadcast_arrays(*(part.astype(np.float64) for part in ray_table(camera)))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1)
    depth = np.full(x.shape, np.inf)
    u, v = np.zeros_like(x), np.zeros_like(x)
    for axis, metres in _WALLS:
        with np.errstate(divide="ignore"):
            distance = (metres - pose[axis, 3]) / rays[..., axis]
        nearer = (distance > 0) & (distance < depth)
        depth[nearer] = distance[nearer]
        hit = rays[nearer] * distance[nearer, None] + pose[:3, 3]
        u[nearer], v[nearer] = np.delete(hit, axis, axis=1).T * _TEXELS
    at = [part.astype(np.float32) for part in (u, v)]
    grey = cv2.remap(texture, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return depth, np.repeat(grey[..., None], 3, axis=2)


def _predict(depth: FloatArray, rng: np.random.Generator) -> Prediction:
    error = cv2.resize(
        rng.normal(1.0, 0.1, (5, 7)), depth.shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    values = ((error / depth - SHIFT) / SCALE).astype(np.float32)
    return Prediction(values, PredictionKind.RELATIVE_DISPARITY, depth.shape)


def _scan(depth: FloatArray, points: int, rng: np.random.Generator) -> SparsePoints:
    height, width = depth.shape
    rows = np.linspace(0.3 * height, height - 1, _BEAMS)
    u, v = rng.uniform(0, width - 1, points), rng.choice(rows, points)
    z = depth[np.rint(v).astype(int), np.rint(u).astype(int)] + rng.normal(0, 0.02, points)
    wrong = rng.uniform(size=points) < 0.02
    z[wrong] *= rng.uniform(1.5, 3.0, int(wrong.sum()))
    return SparsePoints(u, v, z, "lidar")


def _map_points(camera: Camera, depth: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Points of a SLAM map, in metres."""
    v, u = np.divmod(rng.choice(depth.size, _MAP_POINTS), camera.width)
    z = depth[v, u]
    return np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], axis=-1)
