"""The protocol of scale sources, and their registry."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, Prediction, SparsePoints
from depth_anything_ros.metric.fit import FitSettings
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.registry import Registry
from depth_anything_ros.settings import ScalerSettings


@dataclass(frozen=True)
class Measurement:
    """A scale and shift measured in one frame.

    Attributes:
        method: Name of the source.
        reason: Where it comes from, as a sentence for users.
        scale: Factor on the network's values.
        shift: Added after the factor, 1/m for disparity and m for depth.
        inliers: Number of measurements that agree.
        inlier_share: `inliers` divided by the number of measurements used.
        residual: Median |relative error| of the inliers; 0 where nothing was fitted.
        points: Measured depths that a local refinement may follow, or None.
        wrong: Of the frame's points, N bool, those that are grossly wrong; None where they were not
            judged.
    """

    method: str
    reason: str
    scale: float
    shift: float = 0.0
    inliers: int = 0
    inlier_share: float = 1.0
    residual: float = 0.0
    points: SparsePoints | None = None
    wrong: npt.NDArray[np.bool_] | None = None


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
            UnmeasurableError: This frame gives no measurement; the message says why.
        """
        ...

    def reset(self) -> None:
        """Reset all state (new scene, time jumped back)."""
        ...


def fit_settings(settings: ScalerSettings) -> FitSettings:
    """How a source fits the network's values to what it measures."""
    return FitSettings(settings.fit_shift, settings.min_points, seed=settings.seed)


class FrameInput(enum.Enum):
    """What a source needs of a frame besides the image; each is a field of `Frame`."""

    CAMERA = "camera"
    POINTS = "points"
    GROUND = "ground"
    POSE = "pose"
    SLAM = "slam"


def always_possible(settings: ScalerSettings, info: ModelInfo) -> None:
    """Nothing keeps a source from being used with these settings and this network."""


@dataclass(frozen=True)
class SourceRecord:
    """A scale source as choices, documentation and `auto` know it.

    Attributes:
        name: The word that selects it (parameter `scaler`).
        rank: Its place in the order of `auto`; the lowest that can measure is taken.
        meaning: One line for users.
        make: Sets one up for one camera.
        inputs: What it needs of a frame; decides what the node subscribes to.
        settings: Names of the fields of `ScalerSettings` that are about this source.
        why_not: Reason why it cannot be used at all with some settings and a network, or
            None; `auto` then passes over it.
    """

    name: str
    rank: int
    meaning: str
    make: Callable[[ScalerSettings, ModelInfo], ScaleSource]
    inputs: frozenset[FrameInput] = frozenset()
    settings: tuple[str, ...] = ()
    why_not: Callable[[ScalerSettings, ModelInfo], str | None] = always_possible


SCALE_SOURCES: Registry[SourceRecord] = Registry("scaler", "depth_anything_ros.metric.sources")
"""Every scale source, the best first; each is registered by a module of `metric/sources/`."""
