"""Scale of a relative network from a virtual stereo baseline."""

from __future__ import annotations

import math

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.source import (
    SCALE_SOURCES,
    FrameInput,
    Measurement,
    SourceRecord,
)
from depth_anything_ros.metric.sources.focal import network_focal
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings


class BaselineSource:
    """The stereo formula for a relative network: `Z = f * B / (d * pixel_size)`.

    With f in metres as f_net * pixel_size the pixel size cancels: `1/Z = d / (f_net * B)`.

    Args:
        baseline: B, the calibrated virtual baseline in metres.

    Raises:
        SettingError: The baseline is not positive.
    """

    name = "baseline"

    def __init__(self, baseline: float) -> None:
        if not (math.isfinite(baseline) and baseline > 0):
            raise SettingError(f"baseline is {baseline:g}; it must be above 0 m")
        self._baseline = baseline

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Apply the formula; see `ScaleSource.measure`."""
        if prediction.kind is not PredictionKind.RELATIVE_DISPARITY:
            raise UnmeasurableError("a virtual baseline is for networks that give disparity only")
        focal = network_focal(prediction, frame)
        return Measurement(
            method=self.name,
            reason=f"virtual baseline {self._baseline:g} m at focal length {focal:.1f} px",
            scale=1 / (focal * self._baseline),
        )

    def reset(self) -> None:
        """Nothing is remembered."""


def _make(settings: ScalerSettings, info: ModelInfo) -> BaselineSource:
    return BaselineSource(settings.baseline)


def _why_not(settings: ScalerSettings, info: ModelInfo) -> str | None:
    if not settings.baseline:
        return "scaler is 'baseline' but baseline is 0; give it in metres"
    if info.kind is not PredictionKind.RELATIVE_DISPARITY:
        return (
            f"scaler is 'baseline' but {info.name} gives {info.kind.words}; it is for models that "
            "give disparity"
        )
    return None


SCALE_SOURCES.register(
    SourceRecord(
        name="baseline",
        rank=60,
        meaning="a virtual stereo baseline of a relative model, Z = f * B / disparity",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA}),
        settings=("baseline",),
        why_not=_why_not,
    )
)
