"""The network's own metres, as they are; nothing for a network that has none."""

from __future__ import annotations

from depth_anything_ros.frames import (
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    ScaledDepth,
    ScaleState,
)
from depth_anything_ros.metric.apply import to_metres
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.source import Measurement


class NetworkScaler:
    """Trusts a metric network as it is (also what `scaler: none` means).

    A relative network has no metres of its own: its state is INVALID and says what to do.
    """

    name = "network"

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Take the network's word as the last resort; see `ScaleSource.measure`."""
        if prediction.kind is not PredictionKind.METRIC_DEPTH:
            raise UnmeasurableError("the network gives relative disparity")
        return Measurement(self.name, "metres come from the network", scale=1.0)

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Pass metres through; see `MetricScaler.scale`."""
        if prediction.kind is PredictionKind.METRIC_DEPTH:
            state = ScaleState(
                method=self.name,
                quality=Quality.GOOD,
                reason="metres come from the network",
                scale=1.0,
                shift=0.0,
            )
            return ScaledDepth(to_metres(prediction, 1.0, 0.0), state)
        reason = "the network gives relative disparity; choose a scaler to get metres"
        return ScaledDepth(None, ScaleState("none", Quality.INVALID, reason))

    def reset(self) -> None:
        """Nothing is remembered."""
