"""The network's own metres, as they are; nothing for a network that has none."""

from __future__ import annotations

from depth_anything_ros.frames import (
    Frame,
    Prediction,
    Quality,
    ScaledDepth,
    ScaleState,
)
from depth_anything_ros.metric.apply import to_metres
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.source import SCALE_SOURCES, Measurement, SourceRecord
from depth_anything_ros.metric.uncertainty import sigma_of_state
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings


class NetworkScaler:
    """Takes a metric network's values unchanged (also `scaler: none`).

    A relative network has no metres of its own: its state is INVALID with the remedy as reason.
    """

    name = "network"

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Take the network's word as the last resort; see `ScaleSource.measure`."""
        if not prediction.kind.metric:
            raise UnmeasurableError(
                f"the network gives {prediction.kind.words}; choose a scaler to get metres"
            )
        return Measurement(self.name, "metres come from the network", scale=1.0)

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Pass metres through; see `MetricScaler.scale`."""
        try:
            reason = self.measure(prediction, frame).reason
        except UnmeasurableError as error:
            return ScaledDepth(None, ScaleState("none", Quality.INVALID, str(error)))
        state = ScaleState(self.name, Quality.GOOD, reason, scale=1.0, shift=0.0)
        depth_m = to_metres(prediction, 1.0, 0.0)
        return ScaledDepth(depth_m, state, sigma_of_state(depth_m, state))

    def reset(self) -> None:
        """Nothing is remembered."""


def _make(settings: ScalerSettings, info: ModelInfo) -> NetworkScaler:
    return NetworkScaler()


def _why_not(settings: ScalerSettings, info: ModelInfo) -> str | None:
    if info.kind.metric:
        return None
    return (
        f"scaler is 'network' but {info.name} gives {info.kind.words}, which has no metres; use "
        "another scaler or a metric model"
    )


SCALE_SOURCES.register(
    SourceRecord(
        name="network",
        rank=80,
        meaning="a metric model as it is",
        make=_make,
        why_not=_why_not,
    )
)
