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
            raise UnmeasurableError(
                "the network gives relative disparity; choose a scaler to get metres"
            )
        return Measurement(self.name, "metres come from the network", scale=1.0)

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Pass metres through; see `MetricScaler.scale`."""
        try:
            reason = self.measure(prediction, frame).reason
        except UnmeasurableError as error:
            return ScaledDepth(None, ScaleState("none", Quality.INVALID, str(error)))
        state = ScaleState(self.name, Quality.GOOD, reason, scale=1.0, shift=0.0)
        return ScaledDepth(to_metres(prediction, 1.0, 0.0), state)

    def reset(self) -> None:
        """Nothing is remembered."""
