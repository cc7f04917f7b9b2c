"""Closed-form scenes whose depth is known exactly, for the tests of metric/."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, Plane, Prediction, PredictionKind, SparsePoints
from depth_anything_ros.geometry.camera import Camera, ray_table

Array = npt.NDArray[Any]
RELATIVE = PredictionKind.RELATIVE_DISPARITY
METRIC = PredictionKind.METRIC_DEPTH
CAMERA = Camera(320, 240, 260.0, 260.0, 159.5, 119.5)


def ground_plane(height: float = 1.2, pitch_deg: float = 12.0) -> Plane:
    """Level ground seen by a camera `height` above it that looks down by `pitch_deg`."""
    pitch = np.radians(pitch_deg)
    return Plane((0.0, -float(np.cos(pitch)), -float(np.sin(pitch))), height)


def plane_depth(plane: Plane, camera: Camera = CAMERA, farthest: float = 60.0) -> Array:
    """HxW depth of a plane, `farthest` where it is not seen."""
    x, y = ray_table(camera)
    nx, ny, nz = plane.normal
    towards = -(nx * x.astype(float) + ny * y + nz) / plane.offset
    return np.where(towards > 1 / farthest, 1 / np.maximum(towards, 1e-9), farthest)


def wavy_depth(camera: Camera = CAMERA) -> Array:
    """HxW smooth depth between about 2 m and 9 m."""
    v, u = np.mgrid[0 : camera.height, 0 : camera.width].astype(float)
    u, v = u / camera.width, v / camera.height
    return 5 + 2 * np.sin(5 * u + 1) + 1.5 * np.cos(4 * v) - v


def relative(depth: Array, scale: float, shift: float) -> Prediction:
    """The prediction of a perfect relative network: 1/Z = scale * disparity + shift."""
    values = ((1 / depth - shift) / scale).astype(np.float32)
    return Prediction(values, RELATIVE, depth.shape)


def metric(depth: Array, factor: float = 1.0) -> Prediction:
    """The prediction of a metric network that is off by a factor: Z = factor * values."""
    return Prediction((depth / factor).astype(np.float32), METRIC, depth.shape)


def sample(depth: Array, count: int, seed: int = 0, source: str = "lidar") -> SparsePoints:
    """Exact depths at random different pixels."""
    rng = np.random.default_rng(seed)
    pixel = rng.permutation(depth.size)[:count]
    v, u = np.divmod(pixel, depth.shape[1])
    return SparsePoints(u.astype(float), v.astype(float), depth[v, u].astype(float), source)


def spoiled(points: SparsePoints, share: float, noise: float = 0.0, seed: int = 1) -> SparsePoints:
    """Some depths wrong by a factor of 2 to 5 either way, the others noisy."""
    rng = np.random.default_rng(seed)
    z = points.z * np.exp(noise * rng.standard_normal(len(points)))
    bad = rng.permutation(len(points))[: round(share * len(points))]
    factor = np.exp(rng.uniform(np.log(2), np.log(5), len(bad)))
    z[bad] = points.z[bad] * np.where(rng.random(len(bad)) < 0.5, factor, 1 / factor)
    return SparsePoints(points.u, points.v, z, points.source)


def frame(depth: Array, camera: Camera | None = CAMERA, **fields: Any) -> Frame:
    """A frame of the size of a depth map, with an image of mild texture."""
    rows = np.linspace(40, 200, depth.shape[0])[:, None, None]
    rgb = np.broadcast_to(rows, (*depth.shape, 3)).astype(np.uint8)
    return Frame(rgb=fields.pop("rgb", rgb), camera=camera, **fields)


def texture(seed: int = 0, size: int = 1024) -> Array:
    """A grey random texture with structure at every scale, uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    for cells in (16, 64, 256):
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        total += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    total = (total - total.min()) / (total.max() - total.min())
    return (255 * total).astype(np.uint8)


def look_at_plane(pose: Array, plane: Plane, camera: Camera, image: Array) -> tuple[Array, Array]:
    """Picture (HxWx3) and depth of a textured plane of the fixed frame, from a pose.

    The plane must face z: its texture lies over x and y of the fixed frame, 100 texels per metre.
    """
    x, y = ray_table(camera)
    x, y = np.broadcast_arrays(x.astype(float), y.astype(float))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ pose[:3, :3].T
    normal = np.array(plane.normal)
    depth = -(normal @ pose[:3, 3] + plane.offset) / (rays @ normal)
    hit = rays * depth[..., None] + pose[:3, 3]
    at = [(hit[..., i] * 100 + image.shape[0] / 2).astype(np.float32) for i in (0, 1)]
    grey = cv2.remap(image, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.repeat(grey[..., None], 3, axis=2), depth
