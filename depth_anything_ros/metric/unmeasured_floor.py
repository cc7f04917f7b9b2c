"""Floor of an image on which no point was measured.

A LiDAR on top of a robot may see nothing of the floor that a camera which looks down shows. Scale
and shift that fit what it sees are then open for all that is nearer.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, Frame, Prediction, SparsePoints
from depth_anything_ros.metric.fit import UnmeasurableError, values_at
from depth_anything_ros.metric.source import Measurement
from depth_anything_ros.metric.sources.ground import (
    GroundPlaneSource,
    GroundSettings,
    inverse_ground_depth,
)
from depth_anything_ros.metric.sources.sparse import subset

_ROWS = 16  # of the pixels that are looked at; of a landscape image the shorter side
_APART = 0.15  # image widths from every measured point
_SAME_SCALE = 2.0  # between what floor and what points alone say of the points' depth
_CELL = 4  # pixels to which that is told
_SETTINGS = GroundSettings()


def unmeasured_floor(
    points: SparsePoints, prediction: Prediction, frame: Frame
) -> SparsePoints | None:
    """Pixels that the network sees on the ground plane, far from all measured points.

    Args:
        points: Measured points of the image.
        prediction: What the network says of it.
        frame: The image with camera and ground plane.

    Returns:
        Some of those pixels with the depth of the plane; None where there are none (without any
        points, too), or where they tell of a scale that is far from that of the points.
    """
    if frame.camera is None or frame.ground is None or not len(points):
        return None
    height, width = prediction.values.shape
    step = max(1, min(height, width) // _ROWS)
    v, u = (part.ravel() for part in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    inverse = inverse_ground_depth(frame.camera, frame.ground)[v, u]
    floor = (inverse * _SETTINGS.max_range >= 1) & _are_apart(points, u, v, (height, width))
    if not floor.any():
        return None
    try:
        measured = GroundPlaneSource(_SETTINGS).measure(prediction, frame)
    except UnmeasurableError:
        return None
    at_points = _ratio(measured, prediction, points)
    at_points = at_points[np.isfinite(at_points)]
    if not len(at_points) or not 1 / _SAME_SCALE < np.median(at_points) < _SAME_SCALE:
        return None
    seen = SparsePoints(u[floor].astype(float), v[floor].astype(float), 1 / inverse[floor], "floor")
    return subset(seen, np.abs(_ratio(measured, prediction, seen) - 1) < _SETTINGS.tolerance)


def _ratio(measured: Measurement, prediction: Prediction, points: SparsePoints) -> FloatArray:
    """Inverse depth by a measurement over that of points."""
    fitted = measured.scale * values_at(prediction.values, points) + measured.shift
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(fitted * points.z if prediction.kind.inverse else points.z / fitted)


def _are_apart(
    points: SparsePoints,
    u: npt.NDArray[np.intp],
    v: npt.NDArray[np.intp],
    shape: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """Which pixels are far from all points."""
    height, width = shape
    empty = np.ones((height // _CELL + 1, width // _CELL + 1), np.uint8)
    rows = np.clip(np.rint(points.v), 0, height - 1).astype(np.intp) // _CELL
    columns = np.clip(np.rint(points.u), 0, width - 1).astype(np.intp) // _CELL
    empty[rows, columns] = 0
    apart = cv2.distanceTransform(empty, cv2.DIST_L2, 3)
    return np.asarray(apart[v // _CELL, u // _CELL] * _CELL > _APART * width)
