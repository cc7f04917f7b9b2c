"""The protocol of everything that can measure a scale: what a LiveScaler follows over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from depth_anything_ros.frames import Frame, Prediction, SparsePoints


@dataclass(frozen=True)
class Measurement:
    """A scale and shift measured in one frame.

    Attributes:
        method: Name of the source.
        reason: Where it comes from, in words a user understands.
        scale: Factor on the network's values.
        shift: Added after the factor, 1/m for disparity and m for depth.
        inliers: Number of measurements that agree.
        inlier_share: `inliers` divided by the number of measurements used.
        residual: Median |relative error| of the inliers; 0 where nothing was fitted.
        points: Measured depths that a local refinement may follow, or None.
    """

    method: str
    reason: str
    scale: float
    shift: float = 0.0
    inliers: int = 0
    inlier_share: float = 1.0
    residual: float = 0.0
    points: SparsePoints | None = None


@runtime_checkable
class ScaleSource(Protocol):
    """Measures scale and shift in single frames; may remember what it needs to do so.

    Attributes:
        name: The word that selects it (parameter `scaler`).
    """

    name: str

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Measure scale and shift of one prediction.

        Args:
            prediction: The network's values, HxW; not modified.
            frame: The frame they belong to.

        Returns:
            What was measured.

        Raises:
            UnmeasurableError: This frame gives no measurement; the text says why.
        """
        ...

    def reset(self) -> None:
        """Forget everything (new scene, time jumped back)."""
        ...
