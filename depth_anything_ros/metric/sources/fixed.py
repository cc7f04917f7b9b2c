"""Scale and shift given by the user, as numbers or as a scale file."""

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
from depth_anything_ros.metric.scale_file import SavedScale, check_scale, load_scale
from depth_anything_ros.metric.source import SCALE_SOURCES, Measurement, SourceRecord
from depth_anything_ros.metric.uncertainty import sigma_of_state
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings


class FixedScaler:
    """Applies a scale and shift given by the user; has no state.

    Args:
        scale: Factor on the network's values, above 0.
        shift: Added after the factor, 1/m for disparity and m for depth.
        kind: The kind of network they belong to; None takes any.

    Raises:
        SettingError: The scale is not a positive number or the shift is not finite.
    """

    name = "fixed"

    def __init__(
        self, scale: float, shift: float = 0.0, kind: PredictionKind | None = None
    ) -> None:
        check_scale(scale, shift)
        self._scale = float(scale)
        self._shift = float(shift)
        self._kind = kind

    @classmethod
    def from_saved(cls, saved: SavedScale) -> FixedScaler:
        """Make the scaler of a scale file's content.

        Args:
            saved: Scale and shift with the kind they belong to.

        Returns:
            A scaler that refuses networks of another kind.
        """
        return cls(saved.scale, saved.shift, saved.kind)

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Give scale and shift as the last resort of `auto`; see `ScaleSource.measure`."""
        if self._kind not in (None, prediction.kind):
            raise UnmeasurableError(
                f"the scale file is for {self._kind.value}, the network gives "
                f"{prediction.kind.value}"
            )
        return Measurement(self.name, "scale and shift are given", self._scale, self._shift)

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Apply scale and shift; see `MetricScaler.scale`."""
        try:
            reason = self.measure(prediction, frame).reason
        except UnmeasurableError as error:
            return ScaledDepth(None, ScaleState(self.name, Quality.INVALID, str(error)))
        state = ScaleState(self.name, Quality.GOOD, reason, self._scale, self._shift)
        depth_m = to_metres(prediction, self._scale, self._shift)
        return ScaledDepth(depth_m, state, sigma_of_state(depth_m, state))

    def reset(self) -> None:
        """Nothing is remembered."""


def _make(settings: ScalerSettings, info: ModelInfo) -> FixedScaler:
    if settings.scale_file is not None:
        return FixedScaler.from_saved(load_scale(settings.scale_file))
    return FixedScaler(settings.scale, settings.shift)


def _why_not(settings: ScalerSettings, info: ModelInfo) -> str | None:
    if settings.scale > 0 or settings.scale_file is not None:
        return None
    return "scaler is 'fixed' but scale is 0; give scale (and shift), or scale_file"


SCALE_SOURCES.register(
    SourceRecord(
        name="fixed",
        rank=70,
        meaning="scale and shift as numbers or as a scale file",
        make=_make,
        settings=("scale", "shift", "scale_file"),
        why_not=_why_not,
    )
)
