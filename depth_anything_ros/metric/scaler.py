"""The protocol every way to metres fulfils."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from depth_anything_ros.frames import Frame, Prediction, ScaledDepth


@runtime_checkable
class MetricScaler(Protocol):
    """Turns the values of a network into metres, or says why it cannot.

    A scaler may remember (tracking, keyframes); it belongs to one camera.

    Attributes:
        name: The word that selects it (parameter `scaler`).
    """

    name: str

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Make metres of one prediction.

        Never raises for what a sensor may deliver: missing or degenerate measurements end in a
        state HELD or INVALID with the reason in words. `prediction.values` is not modified.

        Args:
            prediction: The network's values, HxW.
            frame: The frame they belong to, same HxW.

        Returns:
            HxW metres (NaN where unknown) and the state; `depth_m` is None when INVALID.
        """
        ...

    def reset(self) -> None:
        """Forget everything measured so far (new scene, time jumped back)."""
        ...
