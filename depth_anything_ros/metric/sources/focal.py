"""Scale from the focal length alone: metric checkpoints and the stereo formula."""

from __future__ import annotations

import math

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.source import Measurement

HYPERSIM_FOCAL = 886.81 * 518 / 768
"""Focal length in pixels at the network's input of the Hypersim checkpoints: 886.81 px in images of
768 rows (Roberts et al. 2021: 60 degrees over 1024 columns), resized to 518 rows."""

VIRTUAL_KITTI_FOCAL = 725.0087 * 518 / 375
"""The same of the Virtual KITTI 2 checkpoints: 725.0087 px in images of 375 rows."""


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


class BaselineSource:
    """The stereo formula for a relative network: `Z = f * B / (d * pixel_size)`.

    With f in metres as f_net * pixel_size the pixel size cancels: `1/Z = d / (f_net * B)`.

    Args:
        baseline: B, the calibrated virtual baseline in metres.

    Raises:
        SettingError: The baseline is not positive.
    """

    name = "baseline"

    def __init__(self, baseline: float) -> None:
        if not (math.isfinite(baseline) and baseline > 0):
            raise SettingError(f"baseline is {baseline:g}; it must be above 0 m")
        self._baseline = baseline

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        """Apply the formula; see `ScaleSource.measure`."""
        if prediction.kind is not PredictionKind.RELATIVE_DISPARITY:
            raise UnmeasurableError("a virtual baseline is for relative networks only")
        focal = network_focal(prediction, frame)
        return Measurement(
            method=self.name,
            reason=f"virtual baseline {self._baseline:g} m at focal length {focal:.1f} px",
            scale=1 / (focal * self._baseline),
        )

    def reset(self) -> None:
        """Nothing is remembered."""
