"""A recording of random pictures with LiDAR points from which a network's scale can be measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_bag import (
    FOCAL,
    HEIGHT,
    SECOND,
    WIDTH,
    Recorded,
    cloud,
    image,
    info,
    static,
    write_bag,
)
from tiny_networks import OFFSET, SLOPE

SCALE, SHIFT = 0.05, 0.02
"""1/Z = SCALE * disparity + SHIFT, with the disparity of `write_red_network`."""

IMAGES = 4
LIDAR_ABOVE = 0.25
"""Metres by which the LiDAR stands above the camera (y of the optical frame)."""


def recorded_frames(gap: float = 0.25, frame: str = "cam") -> list[Recorded]:
    """Pictures, calibration and points, all of one moment each.

    Args:
        gap: Seconds between two pictures.
        frame: Frame of the points; that of the camera, or "lidar".
    """
    rng = np.random.default_rng(5)
    recorded = []
    for number in range(IMAGES):
        moment = round(number * gap * SECOND)
        blocks = rng.integers(30, 220, (6, 8, 3))
        rgb = np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8)
        picture = image("/camera/image_raw", moment)
        picture.message.data = rgb.ravel()
        rows, columns = np.mgrid[4:HEIGHT:8, 4:WIDTH:8].reshape(2, -1)
        disparity = OFFSET + SLOPE * rgb[rows, columns, 0] / 255
        z = 1 / (SCALE * disparity + SHIFT) * rng.normal(1, 0.01, len(rows))
        points = np.stack([(columns - 31.5) * z / FOCAL, (rows - 23.5) * z / FOCAL, z], 1)
        if frame != "cam":
            points[:, 1] += LIDAR_ABOVE
        recorded += [
            info("/camera/camera_info", moment),
            cloud("/lidar/points", moment, points, frame),
            picture,
        ]
    if frame != "cam":
        recorded.append(static(0, "cam", frame, 0.0, -LIDAR_ABOVE, 0.0))
    return recorded


def write_scaled_bag(folder: Path, frame: str = "cam", storage: str = "MCAP") -> Path:
    """Write `recorded_frames` as a recording."""
    return write_bag(folder, recorded_frames(frame=frame), storage)
