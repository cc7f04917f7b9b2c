"""Scale from measured points: LiDAR, laser scan, range, depth camera, SLAM map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, Prediction, RgbImage, SparsePoints
from depth_anything_ros.metric.fit import (
    Fit,
    FitSettings,
    OpposedError,
    UnmeasurableError,
    fit_points,
    values_at,
)
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
    fit_settings,
)
from depth_anything_ros.metric.visibility import visible
from depth_anything_ros.metric.wrong_points import WrongPoints, wrong_points
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

_SPOIL_A_FIT = 0.05
"""Share of single wrong points up to which a robust fit is the same without: own choice."""


class SparseSource:
    """Fits scale and shift to `Frame.points`.

    Args:
        fit: How to fit.
    """

    name = "sparse"

    def __init__(self, fit: FitSettings | None = None) -> None:
        self._fit = fit or FitSettings()
        self._agreed = False

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Fit the frame's points; see `ScaleSource.measure`."""
        if frame.points is None:
            raise UnmeasurableError("no measured points for this image")
        try:
            measured = measure_points(
                prediction, frame.points, self._fit, self.name, frame.rgb, frame.floor
            )
        except OpposedError as error:
            if self._agreed:
                misread = UnmeasurableError(
                    f"{error.finding}; points agreed before, so likelier the network misreads this "
                    "scene than the extrinsics are wrong"
                )
                misread.points = error.points
                raise misread from error
            raise
        self._agreed = True
        return measured

    def reset(self) -> None:
        """Forget that points have agreed with the network."""
        self._agreed = False


def measure_points(
    prediction: Prediction,
    points: SparsePoints,
    settings: FitSettings,
    method: str,
    rgb: RgbImage | None = None,
    floor: SparsePoints | None = None,
) -> Measurement:
    """Fit scale and shift to the visible ones of some points.

    Points of a sensor, which may be wrong one by one or in a whole place (mirror, dirty window),
    are left out where they contradict the network and the others; tell this by giving the image.

    Args:
        prediction: The network's values.
        points: Measured depths in the same image.
        settings: How to fit.
        method: Name to report.
        rgb: HxWx3 image the points were measured for; None where they cannot be wrong.
        floor: See `Frame.floor`.

    Returns:
        The measurement, with the visible points for refinement, and which ones of all were wrong.

    Raises:
        UnmeasurableError: The points do not determine a scale.
    """
    if not len(points) and points.outside:
        raise UnmeasurableError(
            f"all {points.outside} points ({points.source}) lie behind the camera or outside its "
            "image; is the image's frame_id an optical frame (z forward), are the extrinsics right?"
        )
    if len(points) and not np.any(points.z > 0):
        raise UnmeasurableError(f"all {len(points)} points are behind the camera")
    seen = visible(prediction, points)
    points = subset(points, seen)
    fit = _fitted(prediction, points, settings, floor)
    left_out = ""
    of_all = None
    if rgb is not None:
        fitted = fit.scale * values_at(prediction.values, points) + fit.shift
        if not prediction.kind.inverse:
            fitted = 1 / np.maximum(fitted, 1e-3)
        wrong = wrong_points(points, fitted, prediction.values, rgb)
        of_all = np.zeros(len(seen), bool)
        of_all[seen] = wrong.all
        if wrong.all.any():
            left_out = _left_out(wrong)
            points = subset(points, ~wrong.all)
            if wrong.together.any() or wrong.alone.mean() > _SPOIL_A_FIT:
                fit = _fitted(prediction, points, settings, floor)
            else:
                fit = replace(fit, inliers=fit.inliers[~wrong.all])
    inliers = int(fit.inliers.sum())
    return Measurement(
        method=method,
        reason=f"{inliers} of {len(points)} points ({points.source}) agree{left_out}",
        scale=fit.scale,
        shift=fit.shift,
        inliers=inliers,
        inlier_share=fit.inlier_share,
        residual=fit.residual,
        points=points,
        wrong=of_all,
    )


def _fitted(
    prediction: Prediction,
    points: SparsePoints,
    settings: FitSettings,
    floor: SparsePoints | None,
) -> Fit:
    """Fit some points; of those that no scale fits the error tells which may be right."""
    alone: Fit | UnmeasurableError
    try:
        alone = fit_points(prediction, points, settings)
    except UnmeasurableError as error:
        if isinstance(error, OpposedError) and error.is_strong:
            raise
        error.points = points
        alone = error
    if floor is not None and len(floor) and len(points) >= settings.min_points:
        both = _fitted_with_floor(prediction, points, settings, floor)
        if both is not None:
            return both
    if isinstance(alone, UnmeasurableError):
        raise alone
    return alone


def _fitted_with_floor(
    prediction: Prediction, points: SparsePoints, settings: FitSettings, floor: SparsePoints
) -> Fit | None:
    """Fit points and as much floor; None where the points do not agree with that."""
    repeated = np.resize(np.arange(len(floor)), max(len(points), len(floor)))
    u, v, z = (
        np.concatenate([getattr(points, axis), getattr(floor, axis)[repeated]])
        for axis in ("u", "v", "z")
    )
    try:
        fit = fit_points(prediction, SparsePoints(u, v, z), settings)
    except UnmeasurableError:
        return None
    fit = replace(fit, inliers=fit.inliers[: len(points)])
    return fit if fit.inlier_share >= settings.min_inlier_share else None


def _left_out(wrong: WrongPoints) -> str:
    """Say which points contradict the image and the others."""
    together, alone = np.count_nonzero(wrong.together), np.count_nonzero(wrong.alone)
    if together:
        more = f"; and {alone} alone" if alone else ""
        return (
            f"; {together} in one place contradict the image and the others: a mirror or a dirty "
            f"sensor?{more}"
        )
    return f"; {alone} left out, alone in contradicting the image and the others"


def subset(points: SparsePoints, keep: npt.NDArray[np.bool_]) -> SparsePoints:
    """Some of the points.

    Args:
        points: N points.
        keep: N bool.

    Returns:
        The points to keep, in order.
    """
    return replace(points, u=points.u[keep], v=points.v[keep], z=points.z[keep])


def _make(settings: ScalerSettings, info: ModelInfo) -> SparseSource:
    return SparseSource(fit_settings(settings))


SCALE_SOURCES.register(
    SourceRecord(
        name="sparse",
        rank=10,
        meaning="measured points: LiDAR, laser scan, range, depth camera",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA, FrameInput.POINTS}),
        settings=("fit_shift", "min_points", "refinement"),
    )
)
