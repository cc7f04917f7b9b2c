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
_AMONG = 3  # other points around, of which one at least is like a point of a surface
_BAD_ECHOES = 0.03  # share of the points that are like none, from which on these hide nothing
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
    # Where many are bad echoes, what lies behind them is seen. Few may be a thin pole as well.
    alone = _alone(depth, z, cell, (rows, columns))
    if alone.sum() > _BAD_ECHOES * len(z):
        surface = ~alone[cell] | (z > depth[cell])
        depth[:] = np.inf
        np.minimum.at(depth, cell[surface], z[surface])
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


def _alone(
    depth: npt.NDArray[np.float32],
    z: npt.NDArray[np.float32],
    cell: npt.NDArray[np.intp],
    shape: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """Cells whose nearest point is no surface but a bad echo: of the others around none is like it.

    Args:
        depth: Depth of the nearest point of each cell, infinite without any.
        z: N depths.
        cell: N, the cell of each.
        shape: Rows and columns of cells, the outermost of which are empty.

    Returns:
        As `depth`.
    """
    alike = np.bincount(cell, z <= np.float32(BEHIND) * depth[cell], len(depth)) > 1
    count = np.bincount(cell, minlength=len(depth)).astype(np.float32).reshape(shape)
    others = cv2.boxFilter(count, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    which = np.flatnonzero((others.ravel() > _AMONG) & ~alike & np.isfinite(depth))
    here = depth[which]
    alike = np.zeros(len(which), bool)
    for dy, dx in _AROUND:
        if dy or dx:
            there = depth[which + dy * shape[1] + dx]
            alike |= (there <= np.float32(BEHIND) * here) & (here <= np.float32(BEHIND) * there)
    alone = np.zeros(len(depth), bool)
    alone[which[~alike]] = True
    return alone
