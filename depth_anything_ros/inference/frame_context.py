"""What a network sees an image with: keyframes, the images before, or nothing."""

from __future__ import annotations

from typing import Protocol

from depth_anything_ros.frames import Frame, Prediction
from depth_anything_ros.inference.estimator import (
    DepthEstimator,
    SequenceEstimator,
    ViewsEstimator,
)
from depth_anything_ros.inference.image_sequence import SequenceBreaks
from depth_anything_ros.inference.view_window import ViewWindow


class FrameContext(Protocol):
    """Adds to the frames of one camera what its network sees them with; it has state."""

    def complete(self, frame: Frame) -> Frame:
        """Add it to the next frame."""
        ...

    def reset(self) -> None:
        """Drop all that is kept."""
        ...


def context_of(estimator: DepthEstimator) -> FrameContext | None:
    """What a camera keeps for a network.

    Args:
        estimator: The network.

    Returns:
        A new one, for one camera; None where the network sees every image alone.
    """
    if isinstance(estimator, ViewsEstimator) and estimator.window > 1:
        return ViewWindow(estimator.window)
    if isinstance(estimator, SequenceEstimator) and estimator.follows:
        return SequenceBreaks()
    return None


def predict_in_context(estimator: DepthEstimator, frame: Frame) -> Prediction | None:
    """Predict the depth of an image with what it is seen with.

    Args:
        estimator: The network.
        frame: A frame as `FrameContext.complete` gives it.

    Returns:
        The prediction; None where the image is seen alone.
    """
    if frame.keyframes and isinstance(estimator, ViewsEstimator) and estimator.window > 1:
        return estimator.estimate_views(frame)
    if frame.sequence is None:
        return None
    if isinstance(estimator, SequenceEstimator) and estimator.follows:
        return estimator.estimate_next(frame)
    return None
