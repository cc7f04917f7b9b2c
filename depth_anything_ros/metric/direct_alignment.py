"""Poses of two pictures that fit their grey values: odometry is rarely right to the pixel.

Direct alignment (Irani and Anandan, About Direct Methods, 1999): the small motion is looked for
that makes the ground of one picture look like that of the other. What is higher has no say: its
height is known by the poses alone, and would confirm wrong ones. Where the ground shows little, the
motion stays as odometry says.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray
from depth_anything_ros.metric.plane_sweep import LEAST_PIXELS, NOISE, PlaneSweep

ALIKE = 20.0
"""Pixels that say the same: they lie side by side. Own choice, on simulated worlds 0 to 4."""

# Own choices, made on the same.
_TURNED = math.radians(0.3)  # standard deviation of odometry's relative rotation, per axis,
_WAY_M, _WAY = 0.01, 0.03  # and of its way: metres, and as a share of it
_ROUNDS = 5


def aligned(sweep: PlaneSweep, shift: FloatArray, on_ground: npt.NDArray[np.bool_]) -> PlaneSweep:
    """The same two pictures from poses that fit them better.

    Args:
        sweep: The pictures.
        shift: Columns and rows by which the poses are off, about.
        on_ground: What shows the ground, at every second pixel.

    Returns:
        The pictures from other poses; the same where they do not show enough.
    """
    places = sweep.of_ground(on_ground)
    if np.count_nonzero(places.seen) < LEAST_PIXELS:
        return sweep
    ways = _ways(sweep, places.points)
    sigma = np.array([_TURNED] * 3 + [math.hypot(_WAY_M, _WAY * sweep.apart)] * 3)
    sure = np.diag(1 / np.square(sigma))
    step = np.array([-shift[1] / sweep.focal, shift[0] / sweep.focal_columns, 0, 0, 0, 0])
    for _ in range(_ROUNDS):
        maps = places.maps.copy()
        maps[:, places.seen] += np.tensordot(step, ways, axes=1).astype(np.float32)
        off, slopes = sweep.differences(maps, places.seen)
        along = (ways * slopes).sum(axis=1)
        usual = 2 * float(np.median(np.abs(off))) + NOISE
        weight = 1 / (1 + np.square(off / usual))
        variance = ALIKE * float(weight @ np.square(off)) / float(weight.sum()) + NOISE**2
        weighed = along * (weight / variance)
        normal = weighed @ along.T + sure
        step = step + np.linalg.solve(normal, weighed @ off - sure @ step)
    moved = np.eye(4)
    moved[:3, :3], _ = cv2.Rodrigues(step[:3])
    moved[:3, 3] = step[3:]
    return sweep.moved(moved)


def _ways(sweep: PlaneSweep, points: FloatArray) -> FloatArray:
    """How pixels of the other picture move with it, without its lens's distortion.

    Args:
        sweep: The pictures.
        points: 3xN metres in the other one's optical frame.

    Returns:
        6x2xN columns and rows per radian about x, y and z and per metre along them.
    """
    z = points[2]
    x, y = points[:2] / z
    none = np.zeros_like(z)
    columns = [-x * y, 1 + x * x, -y, 1 / z, none, -x / z]
    rows = [-(1 + y * y), x * y, x, none, 1 / z, -y / z]
    return np.stack([sweep.focal_columns * np.stack(columns), sweep.focal * np.stack(rows)], axis=1)
