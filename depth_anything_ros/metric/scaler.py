"""The protocol of scalers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from depth_anything_ros.frames import Frame, Prediction, ScaledDepth


@runtime_checkable
class MetricScaler(Protocol):
    """Turns the values of a network into metres, or gives the reason why not.

    A scaler may remember (tracking, keyframes); it belongs to one camera.

    Attributes:
        name: The word that selects it (parameter `scaler`).
    """

    name: str

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Make metres of one prediction.

        Never raises for what a sensor may deliver: missing or degenerate measurements end in a
        state HELD or INVALID with the reason. `prediction.values` is not modified.

        Args:
            prediction: The network's values, HxW.
            frame: The frame they belong to, same HxW.

        Returns:
            HxW metres (NaN where unknown) and the state; `depth_m` is None when INVALID.
        """
        ...

    def reset(self) -> None:
        """Reset all measurements (new scene, time jumped back)."""
        ...
