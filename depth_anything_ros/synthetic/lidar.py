"""The pattern a spinning LiDAR leaves in an image."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from depth_anything_ros.geometry.camera import Camera, project

FARTHEST = 100.0
"""Range in metres beyond which a simulated LiDAR sees nothing."""


def beams(
    rows: int, lowest_deg: float, highest_deg: float, columns: int
) -> npt.NDArray[np.float64]:
    """Directions of a spinning LiDAR, row by row (x forward, y left, z up).

    Args:
        rows: Number of lasers.
        lowest_deg: Elevation of the lowest one in degrees.
        highest_deg: Elevation of the highest one in degrees.
        columns: Shots per turn.

    Returns:
        (rows * columns) x 3 unit vectors.
    """
    elevation = np.radians(np.linspace(lowest_deg, highest_deg, rows))[:, None]
    azimuth = (np.arange(columns) * 2 * math.pi / columns)[None]
    parts = np.broadcast_arrays(
        np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    )
    return np.stack(parts, -1).reshape(-1, 3)


def random_pattern(
    rng: np.random.Generator,
    camera: Camera,
    pose_world_camera: npt.NDArray[np.float64],
    depth: npt.NDArray[np.float32],
) -> npt.NDArray[np.bool_]:
    """Which pixels an upright LiDAR at the camera's place measures.

    Args:
        rng: Source of chance: 16, 32 or 64 lasers, shots per turn, shots lost.
        camera: The camera.
        pose_world_camera: 4x4 float64, optical frame -> world.
        depth: HxW metres, infinite for sky.

    Returns:
        HxW bool.
    """
    rows = int(rng.choice([16, 32, 64]))
    lowest, highest = {16: (-15, 15), 32: (-25, 15), 64: (-24.8, 2.0)}[rows]
    directions = beams(rows, lowest, highest, int(rng.choice([900, 1800])))
    ahead = directions @ pose_world_camera[:3, 2] > 0.4  # half of the widest image is 66 degrees
    local = directions[ahead] @ pose_world_camera[:3, :3]
    u, v, _ = project(camera, local[rng.uniform(size=len(local)) > 0.1])
    mask = np.zeros(depth.shape, bool)
    mask[np.rint(v).astype(int), np.rint(u).astype(int)] = True
    return np.asarray(mask & (depth < FARTHEST))
