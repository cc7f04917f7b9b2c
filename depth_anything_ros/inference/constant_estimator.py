"""A stand-in for a network: constant depth after a given time.

It shows what everything around a network costs, and how a node behaves that waits for one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from depth_anything_ros.frames import Prediction, PredictionKind, RgbImage
from depth_anything_ros.inference.preprocess import check_image


class ConstantEstimator:
    """A DepthEstimator that sleeps, as if for a GPU, and gives constant depth.

    Args:
        seconds: How long one image takes.
        value: What it answers.
        kind: What that means.
    """

    device = "cpu"
    precision = "fp32"
    backend = "constant"

    def __init__(
        self,
        seconds: float,
        value: float = 5.0,
        kind: PredictionKind = PredictionKind.METRIC_DEPTH,
    ) -> None:
        self.kind = kind
        self._seconds = seconds
        self._value = np.float32(value)

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """Wait, then answer; see `DepthEstimator.estimate`."""
        for image in images:
            check_image(image)
        time.sleep(self._seconds * len(images))
        return [
            Prediction(np.full(image.shape[:2], self._value), self.kind, image.shape[:2])
            for image in images
        ]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """There is nothing to warm."""
