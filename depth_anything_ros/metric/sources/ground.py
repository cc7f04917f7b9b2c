"""Scale from where the camera stands: on the ground, the depth of every pixel is known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from depth_anything_ros.frames import FloatArray, Frame, Plane, Prediction
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, fit_line
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
    fit_settings,
)
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

_STREAM = 3  # apart from other users of the same seed
_GRID = 64
_JUDGES = 1024
_PAIRS = 256
_MIN_PIXELS = 50
_MIN_SPAN = 1.5
# How much of the fit may be shift, and how much where the network follows the plane badly. Of
# cameras that look down by 0 to 60 degrees it is at most 0.73 (embedded network, simulated rooms
# and streets); where a street, a room or a photograph is claimed to be seen from above by 80
# degrees, 0.93 and more.
_MOST_SHIFT = 0.92
_MUCH_SHIFT, _MIN_CORRELATION = 0.75, 0.92


@dataclass(frozen=True)
class GroundSettings:
    """How the ground is found.

    Attributes:
        max_range: Metres up to which ground is used; farther its depth hangs on the attitude.
        tolerance: Relative difference of 1/Z up to which a pixel is ground.
        min_share: Smallest share of the pixels that look at near ground that must be ground.
        fit: How scale and shift are fitted to the ground pixels.
    """

    max_range: float = 20.0
    tolerance: float = 0.06
    min_share: float = 0.1
    fit: FitSettings = field(default_factory=FitSettings)


def inverse_ground_depth(camera: Camera, ground: Plane) -> FloatArray:
    """1/Z of the ground at every pixel.

    A point Z * (x, y, 1) of the plane has n . (x, y, 1) * Z + h = 0, so 1/Z = -n . (x, y, 1) / h.

    Args:
        camera: The camera of the image.
        ground: The ground plane, in the optical frame.

    Returns:
        HxW in 1/m; negative above the horizon, NaN where the camera has no ray.
    """
    x, y = ray_table(camera)
    nx, ny, nz = ground.normal
    return -(nx * x + ny * y + nz).astype(np.float64) / ground.offset


class GroundPlaneSource:
    """Finds ground pixels and fits scale and shift to their known depth.

    Obstacles are nearer than the ground behind them, never farther: among candidate lines the one
    wins that explains most pixels and puts fewest below the ground. So a table top, as plane as the
    floor, is not mistaken for it.

    Args:
        settings: How to find the ground.
    """

    name = "ground_plane"

    def __init__(self, settings: GroundSettings | None = None) -> None:
        self._settings = settings or GroundSettings()

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Fit to the ground; see `ScaleSource.measure`."""
        if frame.ground is None:
            raise UnmeasurableError("where the camera stands is not known (no ground plane)")
        if frame.camera is None:
            raise UnmeasurableError("no camera_info: pixel rays are unknown")
        if not frame.ground.offset > 0:
            raise UnmeasurableError(
                f"the camera stands {frame.ground.offset:g} m above the ground; it must be above 0"
            )
        settings = self._settings
        step = max(1, min(prediction.values.shape) // _GRID)
        inverse = inverse_ground_depth(frame.camera, frame.ground)[::step, ::step].ravel()
        values = prediction.values[::step, ::step].ravel().astype(np.float64)
        with np.errstate(invalid="ignore"):
            looks_down = (inverse * settings.max_range >= 1) & np.isfinite(values)
        relative = prediction.kind.inverse
        if not relative:
            looks_down &= values > 0
        values, inverse = values[looks_down], inverse[looks_down]
        if len(values) < _MIN_PIXELS:
            raise UnmeasurableError(
                f"no ground is seen within {settings.max_range:g} m: the camera looks above it"
            )
        measured = inverse if relative else 1 / inverse
        with_shift = settings.fit.with_shift(prediction.kind)
        scale, shift = _most_ground(values, measured, relative, with_shift, settings)
        ground = np.abs((scale * values + shift) / measured - 1) < 2 * settings.tolerance
        if np.mean(ground) < settings.min_share:
            raise UnmeasurableError(
                f"no ground is seen: only {np.mean(ground):.0%} of the pixels that look at it fit "
                f"a plane, at least {settings.min_share:.0%} must"
            )
        if _span(inverse[ground]) < min(0.9 * _span(inverse), _MIN_SPAN):
            raise UnmeasurableError(
                "no ground is seen: what fits the plane spans too little depth to tell it from a "
                "wall"
            )
        fit = fit_line(values[ground], measured[ground], with_shift, settings.fit)
        _check_followed(values[ground], measured[ground], fit.shift)
        inliers = int(fit.inliers.sum())
        share = inliers / len(values)
        return Measurement(
            method=self.name,
            reason=f"{share:.0%} of the pixels that look down see the ground",
            scale=fit.scale,
            shift=fit.shift,
            inliers=inliers,
            inlier_share=share,
            residual=fit.residual,
        )

    def reset(self) -> None:
        """Nothing is remembered."""


def _check_followed(values: FloatArray, measured: FloatArray, shift: float) -> None:
    """Refuse a plane so nearly at one depth that a flat line explains any picture."""
    share = shift / float(np.median(measured))
    if share < _MUCH_SHIFT:
        return
    correlation = float(np.asarray(np.corrcoef(np.stack([values, measured])))[0, 1])
    if share > _MOST_SHIFT or correlation < _MIN_CORRELATION:
        raise UnmeasurableError(
            "no ground is seen: by height and attitude everything would lie at nearly one depth, "
            f"{np.median(1 / measured):.2g} m, which the network does not show (correlation "
            f"{correlation:.2f}); are camera_height, pitch and roll right?"
        )


def _span(inverse: FloatArray) -> float:
    """Ratio of far to near depth, extremes aside."""
    near, far = np.percentile(inverse, [95, 5])
    return float(near / far)


def _most_ground(
    values: FloatArray,
    measured: FloatArray,
    relative: bool,
    with_shift: bool,
    settings: GroundSettings,
) -> tuple[float, float]:
    """The line through random pixels that makes most pixels ground and fewest lie below it."""
    rng = np.random.default_rng((settings.fit.seed, _STREAM))
    first, second = rng.integers(0, len(values), (2, _PAIRS))
    if with_shift:
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = (measured[first] - measured[second]) / (values[first] - values[second])
            shift = measured[first] - scale * values[first]
    else:
        scale, shift = measured[first] / values[first], np.zeros(_PAIRS)
    sound = np.isfinite(scale) & (scale > 0)
    if not sound.any():
        raise UnmeasurableError("no ground is seen: nothing gets nearer towards the image's bottom")
    scale, shift = scale[sound], shift[sound]
    judges = rng.permutation(len(values))[:_JUDGES]
    ratio = (scale[:, None] * values[judges] + shift[:, None]) / measured[judges]
    on = np.abs(ratio - 1) < settings.tolerance
    below = ratio < 1 - 2 * settings.tolerance if relative else ratio > 1 + 2 * settings.tolerance
    best = int(np.argmax(on.sum(axis=1) - below.sum(axis=1)))
    return float(scale[best]), float(shift[best])


def _make(settings: ScalerSettings, info: ModelInfo) -> GroundPlaneSource:
    return GroundPlaneSource(GroundSettings(fit=fit_settings(settings)))


SCALE_SOURCES.register(
    SourceRecord(
        name="ground_plane",
        rank=40,
        meaning="the ground, seen from a camera whose height and attitude are known",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA, FrameInput.GROUND}),
        settings=("fit_shift", "min_points"),
    )
)
