"""Confidence that a network itself gives for its depth."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.frames import FloatImage, Prediction


def network_confidence(prediction: Prediction) -> FloatImage | None:
    """The network's own confidence as a number from 0 (low) to 1 (high).

    Depth Anything 3 (Lin et al. 2025, after DUSt3R, Wang et al. 2024) learns c > 1 with the loss
    `c * error - weight * log(c)`, which is least where 1 / c is the expected error in units of the
    weight: 1 - 1 / c falls from 1 as that grows.

    Args:
        prediction: The network's answer.

    Returns:
        HxW float32; None where the network has no confidence of its own.
    """
    if prediction.confidence is None:
        return None
    return 1 - 1 / np.maximum(prediction.confidence, np.float32(1))
