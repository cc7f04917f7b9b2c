"""The depth papers' error metrics of a prediction against measured depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.evaluation.protocol import Alignment, Crop, Protocol
from depth_anything_ros.frames import FloatArray, FloatImage, Prediction, PredictionKind

_ASPECT_TOLERANCE = 0.02


# Top, bottom, left, right as shares of height and width, as KITTI evaluations have them since
# Monodepth (Godard et al. 2017).
_SHARES = {
    Crop.EIGEN: (0.3324324, 0.91351351, 0.0359477, 0.96405229),
    Crop.GARG: (0.40810811, 0.99189189, 0.03594771, 0.96405229),
}
_NYU_SIZE = (480, 640)


@dataclass(frozen=True)
class DepthErrors:
    """The papers' figures (Eigen et al. 2014), Z predicted and Z* true depth.

    Attributes:
        abs_rel: AbsRel, mean |Z - Z*| / Z*.
        sq_rel: SqRel, mean (Z - Z*)^2 / Z*, in metres.
        rmse: Root of the mean (Z - Z*)^2, in metres.
        rmse_log: Root of the mean (ln Z - ln Z*)^2.
        log10: Mean |log10 Z - log10 Z*|.
        silog: SILog, 100 times the standard deviation of ln Z - ln Z* (KITTI's benchmark). The
            metric code of Depth Anything V2 subtracts half the squared mean only, and has no 100.
        delta1: Share of pixels with max(Z / Z*, Z* / Z) < 1.25.
        delta2: The same for 1.25^2.
        delta3: The same for 1.25^3.
    """

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    log10: float
    silog: float
    delta1: float
    delta2: float
    delta3: float


def depth_errors(predicted: FloatArray, true: FloatArray) -> DepthErrors:
    """Compare depths.

    Args:
        predicted: N positive metres.
        true: N positive metres.

    Returns:
        The figures.

    Raises:
        InputError: There is nothing to compare.
    """
    if not len(true):
        raise InputError("no pixel has a true depth inside the crop and the depth range")
    difference = predicted - true
    log_difference = np.log(predicted) - np.log(true)
    ratio = np.maximum(predicted / true, true / predicted)
    return DepthErrors(
        abs_rel=float(np.mean(np.abs(difference) / true)),
        sq_rel=float(np.mean(difference**2 / true)),
        rmse=float(np.sqrt(np.mean(difference**2))),
        rmse_log=float(np.sqrt(np.mean(log_difference**2))),
        log10=float(np.mean(np.abs(log_difference)) / np.log(10)),
        silog=100 * float(np.std(log_difference)),
        delta1=float(np.mean(ratio < 1.25)),
        delta2=float(np.mean(ratio < 1.25**2)),
        delta3=float(np.mean(ratio < 1.25**3)),
    )


def mean_errors(errors: Sequence[DepthErrors]) -> DepthErrors:
    """Average figures over images, each image counting the same, as the papers do.

    Args:
        errors: The figures of at least one image.

    Returns:
        Their means.
    """
    rows = [asdict(each) for each in errors]
    return DepthErrors(**{name: float(np.mean([row[name] for row in rows])) for name in rows[0]})


def scored_pixels(truth: FloatImage, protocol: Protocol) -> npt.NDArray[np.bool_]:
    """The pixels that a protocol scores.

    Args:
        truth: HxW metres, NaN where unknown.
        protocol: Crop and range.

    Returns:
        HxW mask.

    Raises:
        SettingError: NYU's crop on an image of another size.
    """
    height, width = truth.shape
    inside = np.zeros(truth.shape, bool)
    if protocol.crop is Crop.NONE:
        inside[:] = True
    elif protocol.crop is Crop.NYU:
        if truth.shape != _NYU_SIZE:
            raise SettingError(f"crop 'nyu' is for 640x480, but the depth is {width}x{height}")
        inside[45:471, 41:601] = True
    else:
        top, bottom, left, right = _SHARES[protocol.crop]
        inside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = (
            True
        )
    # Unknown truth is NaN, which is in no range.
    return inside & (truth > protocol.min_depth) & (truth < protocol.max_depth)


def aligned_depth(prediction: Prediction, truth: FloatImage, protocol: Protocol) -> FloatImage:
    """Depth of a prediction at the size and scale of the truth.

    Args:
        prediction: Of the network.
        truth: HxW metres, NaN where unknown; of the same picture, at any size.
        protocol: How to align, on which pixels, and the range to keep to.

    Returns:
        HxW float32 metres within the protocol's range.

    Raises:
        InputError: Truth and prediction differ in shape, or no pixel can be used to align.
        SettingError: Relative depth without alignment.
    """
    values = _resized(prediction.values, truth.shape).astype(np.float64)
    inverse = prediction.kind.inverse
    low, high = protocol.min_depth, protocol.max_depth
    if protocol.alignment is Alignment.NONE:
        if not prediction.kind.metric:
            raise SettingError(
                f"alignment 'none' scores metres, but the network gives {prediction.kind.words}; "
                f"use alignment '{default_alignment(prediction.kind).value}'"
            )
        return _limited(values, low, high)
    usable = scored_pixels(truth, protocol) & np.isfinite(values)
    if not usable.any():
        raise InputError("no pixel has a true depth inside the crop and the depth range")
    true = truth[usable].astype(np.float64)
    # Disparity of zero or less is infinitely far; the range limits it.
    with np.errstate(divide="ignore"):
        if protocol.alignment is Alignment.MEDIAN:
            depth = 1 / np.maximum(values, 0) if inverse else values
            return _limited(depth * (np.median(true) / np.median(depth[usable])), low, high)
        if protocol.alignment is Alignment.DEPTH:
            depth = 1 / np.maximum(values, 0) if inverse else values
            scale, shift = fit_affine(depth[usable], true)
            return _limited(scale * depth + shift, low, high)
        disparity = values if inverse else 1 / _limited(values, low, high).astype(np.float64)
        scale, shift = fit_disparity(disparity[usable], true)
        return _limited(1 / np.maximum(scale * disparity + shift, 0), low, high)


def default_alignment(kind: PredictionKind) -> Alignment:
    """The alignment that the papers score a kind of network with.

    Args:
        kind: What the network gives.
    """
    return {
        PredictionKind.RELATIVE_DISPARITY: Alignment.DISPARITY,
        PredictionKind.RELATIVE_DEPTH: Alignment.DEPTH,
        PredictionKind.DEPTH_UP_TO_SCALE: Alignment.DEPTH,
        PredictionKind.METRIC_DEPTH: Alignment.NONE,
    }[kind]


def fit_disparity(disparity: FloatArray, depth: FloatArray) -> tuple[float, float]:
    """Fit `1/Z = scale * disparity + shift`; see `fit_affine`.

    Args:
        disparity: N values of a network.
        depth: N true depths in metres.

    Returns:
        Scale and shift; scale 0 where all values are the same.
    """
    return fit_affine(disparity, 1 / depth)


def fit_affine(values: FloatArray, target: FloatArray) -> tuple[float, float]:
    """Fit `target = scale * values + shift` by plain least squares, all pixels weighted equally.

    That is the papers' alignment for scoring, of disparity to 1/Z (Ranftl et al. 2020, section 5)
    or of depth to Z; `metric` has robust fits for live use.

    Args:
        values: N values of a network.
        target: N true values.

    Returns:
        Scale and shift; scale 0 where all values are the same.
    """
    centred = values - values.mean()
    spread = float(centred @ centred)
    scale = float(centred @ target) / spread if spread > 0 else 0.0
    return scale, float(target.mean() - scale * values.mean())


def _limited(depth: FloatArray, low: float, high: float) -> FloatImage:
    """Clip depth to a range; NaN becomes its lower limit."""
    return np.nan_to_num(np.clip(depth, low, high), nan=low).astype(np.float32)


def _resized(values: FloatImage, shape: tuple[int, ...]) -> FloatImage:
    height, width = shape
    rows, columns = values.shape
    if (rows, columns) == (height, width):
        return values
    if abs(columns / rows * height / width - 1) > _ASPECT_TOLERANCE:
        raise InputError(
            f"the image is {columns}x{rows} and its true depth {width}x{height}: they do not show "
            "the same picture"
        )
    return np.asarray(
        cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )
