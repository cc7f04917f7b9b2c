"""Scale of a network that knows metres but for the focal length, from the focal length alone."""

from __future__ import annotations

import math

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction
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
        prediction: For the network's input size.
        frame: Brings the camera.

    Returns:
        fx times input width / image width.

    Raises:
        UnmeasurableError: The camera is not known.
    """
    if frame.camera is None:
        raise UnmeasurableError("no camera_info: the focal length is unknown")
    return frame.camera.fx * prediction.input_size[1] / frame.camera.width


def mean_network_focal(prediction: Prediction, frame: Frame) -> float:
    """Mean focal length along x and y in pixels of the image as the network saw it.

    Args:
        prediction: For the network's input size.
        frame: Brings the camera.

    Returns:
        Mean of fx times input width / image width and fy times input height / image height.

    Raises:
        UnmeasurableError: The camera is not known.
    """
    along_x = network_focal(prediction, frame)
    camera = frame.camera
    assert camera is not None  # else network_focal would have refused
    return (along_x + camera.fy * prediction.input_size[0] / camera.height) / 2


class FocalSource:
    """Metres from the focal length: `Z = Z_net * f_net / f_reference`.

    A network learns size in pixels as distance, so metres grow with the focal length (Metric3D,
    Yin et al. 2023, section 3.1). What a metric network gives is corrected; what a network gives
    for a canonical camera becomes metres (Depth Anything 3 metric, apply_metric_scaling: the mean
    of fx and fy at the network's input, over 300 px).

    Args:
        reference_focal: Focal length in pixels at the network's input for which its depth is right:
            that of its training pictures, or of the canonical camera.
        canonical: Whether it is the canonical camera's.

    Raises:
        SettingError: The focal length is not positive.
    """

    name = "focal"

    def __init__(self, reference_focal: float, canonical: bool = False) -> None:
        if not (math.isfinite(reference_focal) and reference_focal > 0):
            raise SettingError(f"reference_focal is {reference_focal:g}; it must be above 0 px")
        self._reference = reference_focal
        self._canonical = canonical

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Compare focal lengths; see `ScaleSource.measure`."""
        if prediction.kind.inverse or not (self._canonical or prediction.kind.metric):
            raise UnmeasurableError(
                "the focal length makes metres only of depth that lacks nothing else"
            )
        if self._canonical:
            focal = mean_network_focal(prediction, frame)
            words = "of the canonical camera"
        else:
            focal = network_focal(prediction, frame)
            words = "in training"
        return Measurement(
            method=self.name,
            reason=f"focal length {focal:.1f} px, {words} {self._reference:.1f} px",
            scale=focal / self._reference,
        )

    def reset(self) -> None:
        """Nothing is remembered."""


def _make(settings: ScalerSettings, info: ModelInfo) -> FocalSource:
    if info.canonical_focal is not None:
        return FocalSource(info.canonical_focal, canonical=True)
    assert info.train_focal is not None
    return FocalSource(info.train_focal)


def _why_not(settings: ScalerSettings, info: ModelInfo) -> str | None:
    if info.canonical_focal is not None or (info.kind.metric and info.train_focal is not None):
        return None
    return (
        f"scaler is 'focal' but the focal length {info.name} was trained with is not known; use "
        "a metric Depth Anything V2 or 3 model, or another scaler"
    )


SCALE_SOURCES.register(
    SourceRecord(
        name="focal",
        rank=50,
        meaning="a metric model's metres, for this camera's focal length",
        make=_make,
        inputs=frozenset({FrameInput.CAMERA}),
        why_not=_why_not,
    )
)
