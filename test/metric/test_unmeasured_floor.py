"""Scale and shift hold on floor that a LiDAR above it does not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    Plane,
    Prediction,
    PredictionKind,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.fit import OpposedError
from depth_anything_ros.metric.ground_fusion import GroundFusion
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.unmeasured_floor import unmeasured_floor
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

SHAPE = (120, 160)
CAMERA = Camera.from_hfov(SHAPE[1], SHAPE[0], 70.0)
HEIGHT, WALL = 0.85, 4.0
GROUND = Plane((0.0, -1.0, 0.0), HEIGHT)
RELATIVE = PredictionKind.RELATIVE_DISPARITY


def scene() -> FloatImage:
    """Level floor up to a wall that slants from 3.6 m to 4.4 m."""
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    wall = WALL / (1 - 0.14 * x)
    with np.errstate(divide="ignore"):
        return np.where(y > 0, np.minimum(HEIGHT / y, wall), wall).astype(np.float32)


DEPTH = scene()
FLOOR = DEPTH * np.broadcast_arrays(*ray_table(CAMERA))[1] > 0.99 * HEIGHT


def points_of(rows: slice, step: int = 4) -> SparsePoints:
    v, u = (part.ravel() for part in np.mgrid[rows, 2 : SHAPE[1] : step])
    return SparsePoints(u.astype(float), v.astype(float), DEPTH[v, u].astype(float), "lidar")


ON_THE_WALL = points_of(slice(2, 50, 4))
EVERYWHERE = points_of(slice(2, SHAPE[0], 4))


def misread() -> Prediction:
    """A network that sees floor right but makes less of the slant of the wall."""
    inverse = 1 / DEPTH
    slant = inverse - 1 / WALL
    values = np.where(FLOOR, inverse, inverse - 0.6 * slant)
    rng = np.random.default_rng(0)
    values = 5 * (values - 0.05) * (1 + 0.01 * rng.standard_normal(SHAPE))
    return Prediction(values.astype(np.float32), RELATIVE, SHAPE)


def frame(points: SparsePoints | None = ON_THE_WALL, ground: Plane | None = GROUND) -> Frame:
    rgb = np.full((*SHAPE, 3), 120, np.uint8)
    return Frame(rgb, camera=CAMERA, points=points, ground=ground)


def relative_error(fitted: npt.NDArray[np.floating[Any]], where: npt.NDArray[np.bool_]) -> float:
    return float(np.median(np.abs(fitted * DEPTH - 1)[where]))


def test_only_floor_far_from_points_is_taken() -> None:
    floor = unmeasured_floor(ON_THE_WALL, misread(), frame())
    assert floor is not None
    at = (floor.v.astype(int), floor.u.astype(int))
    assert len(floor) > 40
    assert FLOOR[at].all()
    assert floor.z == pytest.approx(DEPTH[at], rel=1e-3)
    assert floor.v.min() > ON_THE_WALL.v.max() + 0.14 * SHAPE[1]


def test_there_is_none_where_points_are_or_no_floor_is_seen() -> None:
    prediction = misread()
    assert unmeasured_floor(EVERYWHERE, prediction, frame(EVERYWHERE)) is None
    assert unmeasured_floor(ON_THE_WALL, prediction, frame(ground=None)) is None
    none = points_of(slice(0, 0))
    assert unmeasured_floor(none, prediction, frame(none)) is None
    wall = replace(prediction, values=np.ones(SHAPE, np.float32))
    assert unmeasured_floor(ON_THE_WALL, wall, frame()) is None


def test_scale_and_shift_hold_on_the_floor_and_at_the_points() -> None:
    prediction = misread()
    floor = unmeasured_floor(ON_THE_WALL, prediction, frame())
    with_floor = SparseSource().measure(prediction, replace(frame(), floor=floor))
    without = SparseSource().measure(prediction, frame())
    above = np.arange(SHAPE[0])[:, None] < 50
    errors = {
        (name, place): relative_error(fit.scale * prediction.values + fit.shift, where)
        for name, fit in (("with", with_floor), ("without", without))
        for place, where in (("floor", FLOOR), ("wall", above & ~FLOOR))
    }
    print({" ".join(key): round(error, 3) for key, error in errors.items()})
    assert errors["without", "floor"] > 0.2
    assert errors["with", "floor"] < 0.03
    assert errors["with", "wall"] < 0.05
    assert with_floor.points is not None
    assert len(with_floor.points) == len(ON_THE_WALL)  # floor is no measured point
    assert with_floor.inliers <= len(ON_THE_WALL)


def test_a_plane_that_contradicts_the_points_is_none() -> None:
    """A camera that is said to stand two and a half times as high as it does."""
    prediction = replace(misread(), values=(3 / DEPTH).astype(np.float32))
    assert unmeasured_floor(ON_THE_WALL, prediction, frame()) is not None
    high = frame(ground=replace(GROUND, offset=2.5 * HEIGHT))
    assert unmeasured_floor(ON_THE_WALL, prediction, high) is None


def test_points_that_oppose_the_network_are_refused_all_the_same() -> None:
    """A LiDAR turned upside down: its floor is on the upper half of the image."""
    turned = points_of(slice(70, SHAPE[0], 4))
    turned = replace(turned, v=SHAPE[0] - 1 - turned.v)
    rows = np.arange(SHAPE[0])[:, None]
    values = np.where(rows < 50, 0.4 + 0.002 * rows, misread().values)
    prediction = replace(misread(), values=values.astype(np.float32))
    floor = points_of(slice(90, SHAPE[0], 8))
    with pytest.raises(OpposedError):
        SparseSource().measure(prediction, replace(frame(turned), floor=floor))


def test_floor_tells_the_scale_where_no_scale_fits_the_points() -> None:
    """The wall's slant is misread as the opposite one, but what it spans is little."""
    inverse = 1 / DEPTH
    values = np.where(FLOOR, inverse, 2 / WALL - inverse)
    values *= 1 + 0.05 * np.random.default_rng(0).standard_normal(SHAPE)
    prediction = replace(misread(), values=(3 * values).astype(np.float32))
    floor = unmeasured_floor(ON_THE_WALL, prediction, frame())
    assert floor is not None
    with pytest.raises(OpposedError):
        SparseSource().measure(prediction, frame())
    measured = SparseSource().measure(prediction, replace(frame(), floor=floor))
    fitted = measured.scale * prediction.values + measured.shift
    assert relative_error(fitted, FLOOR) < 0.06
    assert relative_error(fitted, ~FLOOR) < 0.1


def test_ground_fusion_hands_it_to_the_scaler() -> None:
    info = ModelInfo("misread", "none", "none", RELATIVE)
    scaler = make_scaler(ScalerSettings(scaler="sparse", refinement="none"), info)
    prediction = misread()
    alone = scaler.scale(prediction, frame())
    assert alone.depth_m is not None
    fused = GroundFusion().scale(
        make_scaler(ScalerSettings(scaler="sparse", refinement="none"), info), prediction, frame()
    )
    assert fused.depth_m is not None
    assert fused.state.scale / alone.state.scale < 0.8
    assert relative_error(1 / fused.depth_m, FLOOR) < 0.02
