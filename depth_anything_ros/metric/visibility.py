"""Which projected points the camera can really see.

A LiDAR or a map looks from another place than the camera: some of its points lie behind what the
camera sees. Such a point is much farther than a neighbour in the image, yet the network sees no
step there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Prediction, PredictionKind, SparsePoints
from depth_anything_ros.metric.fit import values_at

WINDOW_PX = 4
"""Side of the cells; a point is compared with the nearest ones of its cell and the 8 around it."""

BEHIND = 1.15
"""Ratio of depths from which on a point counts as behind another (own choice: more than a
slanted surface spans within a window)."""

NO_STEP = 0.02
"""Change of the network's value, as a share of its range in the image, that is no step."""


def visible(prediction: Prediction, points: SparsePoints) -> npt.NDArray[np.bool_]:
    """Tell the points in view from those hidden behind something.

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
    if prediction.kind is not PredictionKind.RELATIVE_DISPARITY:
        nearness = -nearness
    spread = np.percentile(nearness, 98) - np.percentile(nearness, 2)

    rows, columns = height // WINDOW_PX + 3, width // WINDOW_PX + 3
    row = (inside.v + 0.5).astype(np.intp) // WINDOW_PX + 1
    column = (inside.u + 0.5).astype(np.intp) // WINDOW_PX + 1
    cell = row * columns + column
    farthest_first = np.argsort(-inside.z, kind="stable")
    depth = np.full(rows * columns, np.inf)
    front = np.zeros(rows * columns)
    depth[cell[farthest_first]] = inside.z[farthest_first]  # the last one written stays: nearest
    front[cell[farthest_first]] = nearness[farthest_first]
    hidden = np.zeros(len(index), bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            other = cell + dy * columns + dx
            behind = inside.z > BEHIND * depth[other]
            hidden |= behind & (nearness >= front[other] - NO_STEP * spread)
    seen[index[hidden]] = False
    return seen
