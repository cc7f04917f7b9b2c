"""Settings -> one camera's way to metres; the one place that knows every scale source."""

from __future__ import annotations

from dataclasses import replace

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.metric.fit import FitSettings
from depth_anything_ros.metric.live import AUTO_ORDER, LiveScaler
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.source import ScaleSource
from depth_anything_ros.metric.sources.fixed import FixedScaler, load_calibration
from depth_anything_ros.metric.sources.focal import BaselineSource, FocalSource
from depth_anything_ros.metric.sources.ground import GroundPlaneSource, GroundSettings
from depth_anything_ros.metric.sources.motion import MotionSettings, MotionSource
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.metric.sources.slam import SlamSettings, SlamSource
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.tracking import TrackingSettings
from depth_anything_ros.network.catalogue import ModelInfo
from depth_anything_ros.settings import SCALERS, ScalerSettings


def make_scaler(settings: ScalerSettings, info: ModelInfo) -> MetricScaler:
    """Set up one camera's way to metres.

    Args:
        settings: Which way, and its numbers.
        info: The network whose values it will scale.

    Returns:
        A scaler with nothing measured yet; a `LiveScaler` where it follows measurements.

    Raises:
        SettingError: The settings do not fit together or not to the network.
        InputError: The calibration file cannot be used.
    """
    name = settings.scaler
    if name == "none":
        return NetworkScaler()
    if name == "network":
        if info.kind is PredictionKind.RELATIVE_DISPARITY:
            raise SettingError(
                f"scaler is 'network' but {info.name} gives relative depth, which has no "
                "metres; use another scaler or a metric model"
            )
        return NetworkScaler()
    if name == "fixed":
        return _fixed_scaler(settings)
    tracking = TrackingSettings(max_age=settings.max_age)
    sources = _auto_sources(settings, info) if name == "auto" else [_source(settings, info)]
    return LiveScaler(sources, tracking, settings.refinement, seed=settings.seed)


def _auto_sources(settings: ScalerSettings, info: ModelInfo) -> list[ScaleSource]:
    """Every source that the settings and the network allow, best first."""
    metric = info.kind is PredictionKind.METRIC_DEPTH
    possible = {
        "focal": metric and info.train_focal is not None,
        "baseline": not metric and settings.baseline > 0,
        "fixed": settings.scale > 0 or settings.calibration is not None,
    }
    sources: list[ScaleSource] = [
        _source(replace(settings, scaler=name), info)
        for name in AUTO_ORDER
        if possible.get(name, True)
    ]
    return [*sources, NetworkScaler()] if metric else sources


def _source(settings: ScalerSettings, info: ModelInfo) -> ScaleSource:
    """One source of scale by name."""
    fit = FitSettings(settings.fit_shift, settings.min_points, seed=settings.seed)
    name = settings.scaler
    if name == "sparse":
        return SparseSource(fit)
    if name == "ground_plane":
        return GroundPlaneSource(GroundSettings(fit=fit))
    if name == "motion":
        return MotionSource(MotionSettings(fit=fit))
    if name == "slam":
        return SlamSource(SlamSettings(fit=fit))
    if name == "fixed":
        return _fixed_scaler(settings)
    if name == "focal":
        if info.train_focal is None:
            raise SettingError(
                f"scaler is 'focal' but the focal length {info.name} was trained with is not "
                "known; use a metric Depth Anything V2 model, or another scaler"
            )
        return FocalSource(info.train_focal)
    if name == "baseline":
        if not settings.baseline:
            raise SettingError("scaler is 'baseline' but baseline is 0; give it in metres")
        return BaselineSource(settings.baseline)
    raise SettingError(f"scaler is '{name}'; use one of {', '.join(SCALERS)}")


def _fixed_scaler(settings: ScalerSettings) -> FixedScaler:
    if settings.calibration is not None:
        return FixedScaler.from_calibration(load_calibration(settings.calibration))
    if not settings.scale:
        raise SettingError(
            "scaler is 'fixed' but scale is 0; give scale (and shift), or a calibration file"
        )
    return FixedScaler(settings.scale, settings.shift)
