"""Scale of a metric network from the focal length alone."""

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
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings


def network_focal(prediction: Prediction, frame: Frame) -> float:
    """Focal length along x in pixels of the image as the network saw it.

    Args:
        prediction: Tells the network's input size.
        frame: Brings the camera.

    Returns:
        fx times input width / image width.

    Raises:
        UnmeasurableError: The camera is not known.
    """
    if frame.camera is None:
        raise UnmeasurableError("no camera_info: the focal length is unknown")
    return frame.camera.fx * prediction.input_size[1] / frame.camera.width


class FocalSource:
    """Corrects a metric network for the real focal length: `Z = Z_net * f_net / f_train`.

    A network learns size in pixels as distance, so metres grow with the focal length (Metric3D,
    Yin et al. 2023, section 3.1).

    Args:
        training_focal: f_train, focal length in pixels at the network's input in training.

    Raises:
        SettingError: The focal length is not positive.
    """

    name = "focal"

    def __init__(self, training_focal: float) -> None:
        if not (math.isfinite(training_focal) and training_focal > 0):
            raise SettingError(f"training_focal is {training_focal:g}; it must be above 0 px")
        self._training_focal = training_focal

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Compare focal lengths; see `ScaleSource.measure`."""
        if prediction.kind is not PredictionKind.METRIC_DEPTH:
            raise UnmeasurableError("the focal length corrects metric networks only")
        focal = network_focal(prediction, frame)
        return Measurement(
            method=self.name,
            reason=f"focal length {focal:.1f} px, in training {self._training_focal:.1f} px",
            scale=focal / self._training_focal,
        )

    def reset(self) -> None:
        """Nothing is remembered."""


def _make(settings: ScalerSettings, info: ModelInfo) -> FocalSource:
    assert info.train_focal is not None
    return FocalSource(info.train_focal)


def _why_not(settings: ScalerSettings, info: ModelInfo) -> str | None:
    if info.kind is PredictionKind.METRIC_DEPTH and info.train_focal is not None:
        return None
    return (
        f"scaler is 'focal' but the focal length {info.name} was trained with is not known; use "
        "a metric Depth Anything V2 model, or another scaler"
    )


SCALE_SOURCES.register(
    SourceRecord(
        name="focal",
        rank=50,
        meaning="a metric model's metres, corrected for this camera's focal length",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA}),
        why_not=_why_not,
    )
)
