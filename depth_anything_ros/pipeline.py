"""One Frame in, one DepthFrame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from depth_anything_ros.confidence.agreement import (
    View,
    estimate_views,
    expert_confidence,
    support_confidence,
)
from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import DepthFrame, Frame
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.apply import with_sky
from depth_anything_ros.metric.scaler import MetricScaler


class Pipeline:
    """A network and one camera's way to metres.

    Attributes:
        estimator: The network; several pipelines may share one.
        scaler: The way to metres; it remembers, so it belongs to this camera alone.
    """

    def __init__(self, estimator: DepthEstimator, scaler: MetricScaler) -> None:
        self.estimator = estimator
        self.scaler = scaler

    def process(self, frame: Frame) -> DepthFrame:
        """Estimate the depth of one frame.

        Args:
            frame: The image and what was measured with it.

        Returns:
            Its depth; `depth_m` is None where there is no way to metres.

        Raises:
            InputError: Image and camera of the frame differ in size, or the image is unusable.
        """
        return process_batch(self.estimator, [(frame, self.scaler)])[0]


@dataclass(frozen=True)
class Opinions:
    """Whom to ask besides the network itself, to know how far it can be trusted.

    Attributes:
        views: The same network on views of the same picture.
        experts: Other networks.
    """

    views: tuple[View, ...] = ()
    experts: tuple[DepthEstimator, ...] = ()


def process_batch(
    estimator: DepthEstimator,
    work: Sequence[tuple[Frame, MetricScaler]],
    opinions: Opinions | None = None,
) -> list[DepthFrame]:
    """Estimate the depth of frames of several cameras with one call of the network.

    Args:
        estimator: The network they share.
        work: Each frame with the scaler of its camera.
        opinions: Whom else to ask; the answers then have a confidence.

    Returns:
        One answer per frame, in order.

    Raises:
        InputError: Image and camera of a frame differ in size, or an image is unusable.
    """
    for frame, _ in work:
        height, width = frame.rgb.shape[:2]
        camera = frame.camera
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise InputError(
                f"image is {width}x{height} but camera_info says {camera.width}x{camera.height}; "
                "make the camera driver publish the camera_info of the images it sends"
            )
    images = [frame.rgb for frame, _ in work]
    asked = opinions or Opinions()
    voices = estimate_views(estimator, images, asked.views)
    for expert in asked.experts:
        for voice, prediction in zip(voices, expert.estimate(images), strict=True):
            voice.append(prediction)
    answers = []
    for (frame, scaler), voice in zip(work, voices, strict=True):
        confidence = None
        if len(voice) > 1:
            confidence = expert_confidence(voice)
            if frame.points is not None:
                confidence = confidence * support_confidence(confidence.shape, frame.points)
        scaled = scaler.scale(voice[0], frame)
        depth_m = None if scaled.depth_m is None else with_sky(scaled.depth_m, voice[0])
        answers.append(DepthFrame(frame, voice[0], depth_m, confidence, scaled.state))
    return answers
