"""One Frame in, one DepthFrame out; everything that changes metres happens here, once.

The node, the command line and Python use the same functions, so they give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from depth_anything_ros.confidence.agreement import (
    View,
    estimate_views,
    expert_confidence,
    support_confidence,
)
from depth_anything_ros.confidence.network import network_confidence
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import DepthFrame, FloatImage, Frame, Prediction
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.frame_context import predict_in_context
from depth_anything_ros.inference.preprocess import check_image
from depth_anything_ros.metric.apply import with_sky
from depth_anything_ros.metric.ground_fusion import GroundFusion
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.sky import sky_seen
from depth_anything_ros.metric.temporal_filter import TemporalFilter


@dataclass(frozen=True)
class DepthLimits:
    """Which depths are published, and the values of the others (REP-117, REP-118).

    Attributes:
        min_range: Metres along Z; nearer depths become -inf (too near); 0 for no limit.
        max_range: Metres along Z; further depths become +inf (too far); may be infinite.
        min_confidence: Pixels of less confidence become NaN (unknown); 0 keeps all.
        max_relative_sigma: Pixels whose standard deviation is a larger share of their depth become
            NaN; 0 keeps all.
        hidden: HxW bool of the image's size, True on the robot's own body: NaN there; or None.
        fill_invalid: Where a frame has no metres, give NaN everywhere in place of no depth.
    """

    min_range: float = 0.0
    max_range: float = math.inf
    min_confidence: float = 0.0
    max_relative_sigma: float = 0.0
    hidden: npt.NDArray[np.bool_] | None = None
    fill_invalid: bool = False

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing.

        Raises:
            SettingError: A limit is out of its range or the two ranges are the wrong way round.
        """
        if not 0 <= self.min_range < self.max_range:
            raise SettingError(
                f"max_range is {self.max_range:g} m but min_range is {self.min_range:g} m; "
                "max_range must be larger, and min_range not negative"
            )
        if not 0 <= self.min_confidence <= 1:
            raise SettingError(f"min_confidence is {self.min_confidence:g}; use 0 to 1")
        if not self.max_relative_sigma >= 0:
            raise SettingError(
                f"max_relative_sigma is {self.max_relative_sigma:g}; use 0 (keep all) or more"
            )


@dataclass(frozen=True)
class ConfidenceSources:
    """Views and networks whose predictions are compared for confidence.

    Attributes:
        views: Views of the same picture, shown to the same network.
        experts: Other networks.
    """

    views: tuple[View, ...] = ()
    experts: tuple[DepthEstimator, ...] = ()


@dataclass(frozen=True)
class DepthRequest:
    """A frame and what its depth should be like.

    Attributes:
        frame: The frame.
        scaler: Scaler of its camera.
        limits: Which depths are given out.
        confidence: Whether to compute a confidence; it costs further runs of the network.
        ground_fusion: What makes depth and ground of its camera one; None leaves depth as it is.
        temporal_filter: Steadies the depth of its camera over time; None for each image alone.
    """

    frame: Frame
    scaler: MetricScaler
    limits: DepthLimits = field(default_factory=DepthLimits)
    confidence: bool = False
    ground_fusion: GroundFusion | None = None
    temporal_filter: TemporalFilter | None = None


class Pipeline:
    """A network, one camera's scaler, and the limits of its depth.

    Attributes:
        estimator: The network; several pipelines may share one.
        scaler: Scaler; it has state, so it belongs to this camera alone.
        limits: Which depths are given out.
        confidence_sources: What confidence is computed from.
        ground_fusion: What makes depth and a known ground plane one, or None.
        temporal_filter: Steadies depth over time; None for each image alone.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        scaler: MetricScaler,
        limits: DepthLimits | None = None,
        confidence_sources: ConfidenceSources | None = None,
        ground_fusion: bool = True,
        temporal_filter: TemporalFilter | None = None,
    ) -> None:
        self.estimator = estimator
        self.scaler = scaler
        self.limits = limits or DepthLimits()
        self.confidence_sources = confidence_sources or ConfidenceSources()
        self.ground_fusion = GroundFusion() if ground_fusion else None
        self.temporal_filter = temporal_filter

    def process(self, frame: Frame, confidence: bool = False) -> DepthFrame:
        """Estimate the depth of one frame.

        Args:
            frame: The image and what was measured with it.
            confidence: Whether to compute a confidence.

        Returns:
            Its depth; `depth_m` is None where metres cannot be had.

        Raises:
            InputError: Image and camera of the frame differ in size, or the image is unusable.
        """
        request = DepthRequest(
            frame,
            self.scaler,
            self.limits,
            confidence,
            self.ground_fusion,
            self.temporal_filter,
        )
        return process_batch(self.estimator, [request], self.confidence_sources)[0]


def process_batch(
    estimator: DepthEstimator,
    requests: Sequence[DepthRequest],
    confidence_sources: ConfidenceSources | None = None,
) -> list[DepthFrame]:
    """Estimate the depth of frames of several cameras with one call of the network.

    Frames without and with a confidence go through the network apart: further views cost time.

    Args:
        estimator: The network they share.
        requests: The frames, each with its camera's scaler and limits.
        confidence_sources: What confidence is computed from, where it is requested.

    Returns:
        One answer per frame, in order.

    Raises:
        InputError: Image and camera of a frame differ in size, or an image is unusable.
    """
    for request in requests:
        _check_size(request.frame)
    answers: dict[int, DepthFrame] = {}
    for confidence in (False, True):
        chosen = [i for i, each in enumerate(requests) if each.confidence is confidence]
        frames = [requests[i].frame for i in chosen]
        predictions = _estimate(estimator, frames, confidence_sources if confidence else None)
        for i, of_image in zip(chosen, predictions, strict=True):
            answers[i] = _answer(requests[i], of_image)
    return [answers[i] for i in range(len(requests))]


def limit_depth(
    depth_m: FloatImage,
    limits: DepthLimits,
    confidence: FloatImage | None = None,
    sigma_m: FloatImage | None = None,
) -> FloatImage:
    """Put what REP-117 asks for in place of depths that are not given out.

    Args:
        depth_m: HxW float32 metres, NaN where unknown.
        limits: Which depths are given out.
        confidence: HxW float32 from 0 to 1, or None.
        sigma_m: HxW float32 metres, one standard deviation of the depth, or None.

    Returns:
        HxW float32: NaN unknown, -inf too near, +inf too far; the same array when nothing changes.

    Raises:
        InputError: The mask has another size than the image.
    """
    unknown = limits.hidden
    if unknown is not None and unknown.shape != depth_m.shape:
        raise InputError(
            f"the mask is {unknown.shape[1]}x{unknown.shape[0]} but the image is "
            f"{depth_m.shape[1]}x{depth_m.shape[0]}; make it the size of the image"
        )
    if limits.min_confidence and confidence is not None:
        doubtful = confidence < limits.min_confidence
        unknown = doubtful if unknown is None else unknown | doubtful
    if limits.max_relative_sigma and sigma_m is not None:
        doubtful = sigma_m > np.float32(limits.max_relative_sigma) * depth_m
        unknown = doubtful if unknown is None else unknown | doubtful
    with np.errstate(invalid="ignore"):
        if limits.min_range > 0:
            depth_m = np.where(depth_m < limits.min_range, np.float32(-np.inf), depth_m)
        if math.isfinite(limits.max_range):
            depth_m = np.where(depth_m > limits.max_range, np.float32(np.inf), depth_m)
    return depth_m if unknown is None else np.where(unknown, np.float32(np.nan), depth_m)


def _check_size(frame: Frame) -> None:
    check_image(frame.rgb)
    height, width = frame.rgb.shape[:2]
    camera = frame.camera
    if camera is not None and (camera.width, camera.height) != (width, height):
        raise InputError(
            f"image is {width}x{height} but camera_info says {camera.width}x{camera.height}; "
            "make the camera driver publish the camera_info of the images it sends"
        )


def _estimate(
    estimator: DepthEstimator,
    frames: Sequence[Frame],
    confidence_sources: ConfidenceSources | None,
) -> list[list[Prediction]]:
    """For each image the network's own prediction, then those of the confidence sources."""
    if not frames:
        return []
    sources = confidence_sources or ConfidenceSources()
    images = [frame.rgb for frame in frames]
    # Further views of a picture alone are not compared with one that was seen with others.
    in_context = [predict_in_context(estimator, frame) for frame in frames]
    alone = [rgb for rgb, seen in zip(images, in_context, strict=True) if seen is None]
    answers = iter(estimate_views(estimator, alone, sources.views) if alone else ())
    predictions = [[seen] if seen is not None else next(answers) for seen in in_context]
    for expert in sources.experts:
        for of_image, prediction in zip(predictions, expert.estimate(images), strict=True):
            of_image.append(prediction)
    return predictions


def _confidence(frame: Frame, predictions: list[Prediction]) -> FloatImage | None:
    """Confidence from the predictions and measured points; None without any."""
    own = network_confidence(predictions[0])
    others = expert_confidence(predictions) if len(predictions) > 1 else None
    judges = [each for each in (own, others) if each is not None]
    if not judges:
        return None
    if frame.points is not None:
        judges.append(support_confidence(judges[0].shape, frame.points))
    return np.asarray(math.prod(judges, start=np.float32(1)), np.float32)


def _answer(request: DepthRequest, predictions: list[Prediction]) -> DepthFrame:
    """Scale the first prediction, judge it by the others, and limit what is given out."""
    frame, limits = request.frame, request.limits
    confidence = _confidence(frame, predictions) if request.confidence else None
    if request.ground_fusion is None:
        scaled = request.scaler.scale(predictions[0], frame)
    else:
        scaled = request.ground_fusion.scale(request.scaler, predictions[0], frame)
    ground = frame.ground if scaled.ground is None else scaled.ground
    if request.temporal_filter is not None:
        scaled = request.temporal_filter.steady(scaled, frame)
    answer = DepthFrame(
        frame,
        predictions[0],
        None,
        confidence,
        scaled.state,
        ground=ground,
        wrong_points=scaled.wrong_points,
    )
    if scaled.depth_m is not None:
        sky = sky_seen(predictions[0], frame, scaled.state)
        depth_m = with_sky(scaled.depth_m, sky)
    elif limits.fill_invalid:
        depth_m = np.full(predictions[0].values.shape, np.nan, np.float32)
    else:
        return answer
    limited = limit_depth(depth_m, limits, confidence, scaled.sigma_m)
    if scaled.sigma_m is None:
        sigma_m = np.full(depth_m.shape, np.nan, np.float32)
    else:
        sigma_m = np.where(np.isfinite(limited), scaled.sigma_m, np.float32(np.nan))
    return replace(answer, depth_m=limited, sigma_m=sigma_m)
