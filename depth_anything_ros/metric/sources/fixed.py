"""Scale and shift given by the user, and the small file that keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from depth_anything_ros.errors import InputError, SettingError
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


@dataclass(frozen=True)
class Calibration:
    """A scale and shift worth keeping, and the kind of network they belong to.

    Attributes:
        kind: What the network's values mean; scale and shift are useless for another kind.
        scale: Factor on the network's values, above 0.
        shift: Added after the factor, 1/m for disparity and m for depth.
        method: Name of the scaler that found them, or "fixed".
    """

    kind: PredictionKind
    scale: float
    shift: float = 0.0
    method: str = "fixed"

    def __post_init__(self) -> None:
        """Refuse what cannot be a scale and shift.

        Raises:
            SettingError: The scale is not a positive number or the shift is not finite.
        """
        check_scale(self.scale, self.shift)


def check_scale(scale: float, shift: float) -> None:
    """Refuse a scale and shift that cannot give metres.

    Args:
        scale: Factor on the network's values.
        shift: Added after the factor.

    Raises:
        SettingError: The scale is not a positive number or the shift is not finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise SettingError(f"scale is {scale:g}; it must be a positive number")
    if not math.isfinite(shift):
        raise SettingError(f"shift is {shift:g}; it must be a finite number")


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as YAML; `load_calibration` reads it back exactly.

    Args:
        calibration: What to write.
        path: The file; an existing one is replaced, missing folders are made.

    Raises:
        InputError: The file cannot be written.
    """
    fields = {
        "kind": calibration.kind.value,
        "scale": float(calibration.scale),
        "shift": float(calibration.shift),
        "method": calibration.method,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the calibration {path}: {error.strerror}") from error


def load_calibration(path: Path) -> Calibration:
    """Read what `save_calibration` wrote.

    Args:
        path: A YAML file with `kind`, `scale`, `shift` and optionally `method`.

    Returns:
        The calibration.

    Raises:
        InputError: The file is missing, is not such YAML or holds unusable numbers.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Calibration(
            kind=PredictionKind(fields["kind"]),
            scale=float(fields["scale"]),
            shift=float(fields.get("shift", 0.0)),
            method=str(fields.get("method", "fixed")),
        )
    except OSError as error:
        raise InputError(f"cannot read the calibration {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        kinds = ", ".join(kind.value for kind in PredictionKind)
        raise InputError(
            f"{path} is not a calibration ({error}); it needs `kind` ({kinds}), `scale` above 0 "
            "and `shift`"
        ) from error


class FixedScaler:
    """Applies a scale and shift given by the user; remembers nothing.

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
    def from_calibration(cls, calibration: Calibration) -> FixedScaler:
        """Make the scaler of a saved calibration.

        Args:
            calibration: Scale and shift with the kind they belong to.

        Returns:
            A scaler that refuses networks of another kind.
        """
        return cls(calibration.scale, calibration.shift, calibration.kind)

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Give scale and shift as the last resort of `auto`; see `ScaleSource.measure`."""
        if self._kind not in (None, prediction.kind):
            raise UnmeasurableError(
                f"the calibration is for {self._kind.value}, the network gives "
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
        return ScaledDepth(to_metres(prediction, self._scale, self._shift), state)

    def reset(self) -> None:
        """Nothing is remembered."""
