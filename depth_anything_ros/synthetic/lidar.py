"""Beam directions of a spinning LiDAR."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FARTHEST = 100.0
"""Range in metres beyond which a simulated LiDAR gets no return."""


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
