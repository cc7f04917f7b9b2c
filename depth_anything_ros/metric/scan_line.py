"""Whether measured points are those of a laser scan, one line of an image.

Such points show nothing of what is beside them: a network's errors are alike along a line, and
they all lie in the scanner's own plane, which is not the ground.
"""

from __future__ import annotations

import numpy as np

from depth_anything_ros.frames import FloatArray

_IN_LINE = 0.02  # width of the points in the image against their length
# A laser scan seen from above or below is a curve, lower where it is nearer, with a step where a
# thing ends. Points of several lines lie now on one, now on the other.
_LOOKED_AT = 150  # of its points
_STEEPEST = 2.0  # rows per column
# Share of neighbours beyond that, for so many points. One in a thousand random draws of points of
# real frames has less than 0.07, 0.13, 0.34 and 0.56; simulated laser scans have 0.01 in the median
# and up to 0.42, LiDARs of 4 beams 0.74 and more.
_OF_A_CURVE = (30, 40, 60, 100)
_STEPS = (0.05, 0.13, 0.34, 0.5)


def are_in_line(u: FloatArray, v: FloatArray) -> bool:
    """Whether places of an image lie in one line: straight, or level with curves and steps.

    Args:
        u: N columns.
        v: N rows.
    """
    if len(u) < 2:
        return False
    thin, long = np.linalg.eigvalsh(np.cov(u, v))
    if thin < _IN_LINE**2 * long:
        return True
    if len(u) < _OF_A_CURVE[0]:
        return False
    order = np.argsort(u)[:: max(1, len(u) // _LOOKED_AT)]  # the same place may be there often
    across, down = np.diff(u[order]), np.abs(np.diff(v[order]))
    steps = down > _STEEPEST * np.maximum(across, (u.max() - u.min()) / len(order))
    return bool(np.mean(steps) < np.interp(len(order), _OF_A_CURVE, _STEPS))
