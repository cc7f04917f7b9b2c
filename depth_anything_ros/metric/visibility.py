"""Visibility of projected points.

A LiDAR or a map looks from another place than the camera: some of its points lie behind what the
camera sees. Such a point is much farther than a neighbour in the image, yet the network sees no
step there.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Prediction, SparsePoints
from depth_anything_ros.metric.fit import values_at

WINDOW_PX = 4
"""Side of the cells; a point is compared with the nearest ones of its cell and the 8 around it."""

BEHIND = 1.15
"""Ratio of depths from which on a point counts as behind another (own choice: more than a
slanted surface spans within a window)."""

NO_STEP = 0.02
"""Change of the network's value, as a share of its range in the image, that is no step."""

_FEWER = 2
_ROUNDS = 3  # hidden points look like a surface to each other
_AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


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

    seen[index[_hidden(inside, nearness, (height, width), NO_STEP * (near - far))]] = False
    return seen


def _hidden(
    points: SparsePoints, nearness: FloatArray, shape: tuple[int, int], no_step: float
) -> npt.NDArray[np.intp]:
    """Which points lie behind others around them."""
    rows, columns = (side // WINDOW_PX + 3 for side in shape)
    row = (points.v + 0.5).astype(np.intp) // WINDOW_PX + 1
    column = (points.u + 0.5).astype(np.intp) // WINDOW_PX + 1
    cell = row * columns + column
    z = points.z.astype(np.float32)
    depth = np.full(rows * columns, np.inf, np.float32)
    np.minimum.at(depth, cell, z)
    front = np.zeros(rows * columns)
    nearest = z == depth[cell]
    front[cell[nearest]] = nearness[nearest]
    around = cv2.erode(depth.reshape(rows, columns), np.ones((3, 3), np.uint8)).ravel()
    doubtful = np.flatnonzero(z > BEHIND * around[cell])
    covered: dict[tuple[int, int], npt.NDArray[np.bool_]] = {}
    for dy, dx in _AROUND:
        other = cell[doubtful] + dy * columns + dx
        nearer = z[doubtful] > BEHIND * depth[other]
        covered[dy, dx] = nearer & (nearness[doubtful] >= front[other] - no_step)
    nearer_cells = np.sum(list(covered.values()), axis=0)
    down = np.sum([dy * covered[dy, dx] for dy, dx in _AROUND], axis=0)
    right = np.sum([dx * covered[dy, dx] for dy, dx in _AROUND], axis=0)
    hidden = np.zeros(len(doubtful), bool)
    for dy, dx in _AROUND[_AROUND.index((0, 0)) + 1 :]:
        hidden |= covered[dy, dx] & covered[-dy, -dx]
    # A point beside an edge has the nearer surface on one side and its own on the other.
    for _ in range(_ROUNDS):
        seen = np.full(rows * columns, np.inf, np.float32)
        visible = np.ones(len(z), bool)
        visible[doubtful[hidden]] = False
        np.minimum.at(seen, cell[visible], z[visible])
        own_cells = np.zeros(len(doubtful), np.intp)
        for dy, dx in _AROUND:
            other = cell[doubtful] + dy * columns + dx
            beside = np.isfinite(seen[other]) & (z[doubtful] <= BEHIND * seen[other])
            own_cells += beside & (dy * down + dx * right < 0)
        hidden |= nearer_cells > _FEWER * own_cells
    return doubtful[hidden]
