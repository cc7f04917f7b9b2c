"""Visibility of projected points.

A LiDAR or a map looks from another place than the camera: some of its points lie behind what the
camera sees. Such a point is much farther than a neighbour in the image, yet the network sees no
step there.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Prediction, SparsePoints
from depth_anything_ros.metric.fit import values_at

WINDOW_PX = 4
"""Side of the cells; a point is compared with the nearest ones of its cell and the 8 around it."""

BEHIND = 1.15
"""Ratio of depths from which on a point counts as behind another (own choice: more than a
slanted surface spans within a window)."""

NO_STEP = 0.02
"""Change of the network's value, as a share of its range in the image, that is no step."""


def visible(prediction: Prediction, points: SparsePoints) -> npt.NDArray[np.bool_]:
    """Separate visible points from occluded ones.

    Args:
        prediction: The network's values, HxW.
        points: N points of the same image; those outside or not in front are not in view.

    Returns:
        N bool.
    """
    height, width = prediction.values.shape
    u, v, z = points.u, points.v, points.z
    with np.errstate(invalid="ignore"):
        seen = (u >= -0.5) & (v >= -0.5) & (u < width - 0.5) & (v < height - 0.5)
        seen &= np.isfinite(z) & (z > 0)
    index = np.flatnonzero(seen)
    if not len(index):
        return seen
    inside = SparsePoints(u[index], v[index], z[index])
    nearness = values_at(prediction.values, inside)
    if not prediction.kind.inverse:
        nearness = -nearness
    far, near = np.percentile(nearness[:: max(1, len(nearness) // 2000)], [2, 98])

    rows, columns = height // WINDOW_PX + 3, width // WINDOW_PX + 3
    row = (inside.v + 0.5).astype(np.intp) // WINDOW_PX + 1
    column = (inside.u + 0.5).astype(np.intp) // WINDOW_PX + 1
    cell = row * columns + column
    depth = np.full(rows * columns, np.inf, np.float32)
    z32 = inside.z.astype(np.float32)
    np.minimum.at(depth, cell, z32)
    front = np.zeros(rows * columns)
    nearest = z32 == depth[cell]
    front[cell[nearest]] = nearness[nearest]
    around = cv2.erode(depth.reshape(rows, columns), np.ones((3, 3), np.uint8)).ravel()
    doubtful = np.flatnonzero(z32 > BEHIND * around[cell])
    hidden = np.zeros(len(doubtful), bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            other = cell[doubtful] + dy * columns + dx
            behind = z32[doubtful] > BEHIND * depth[other]
            no_step = nearness[doubtful] >= front[other] - NO_STEP * (near - far)
            hidden |= behind & no_step
    seen[index[doubtful[hidden]]] = False
    return seen
