"""Output of a network for one image, by name -> a prediction."""

from __future__ import annotations

from collections.abc import Mapping

from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind
from depth_anything_ros.network.outputs import CONFIDENCE, DEPTH, SKY, SKY_THRESHOLD


def to_prediction(
    outputs: Mapping[str, FloatImage], kind: PredictionKind, input_size: tuple[int, int]
) -> Prediction:
    """Read the outputs of a network.

    Args:
        outputs: HxW float32 each at the image's size, by the names of `network.outputs`.
        kind: What depth means.
        input_size: (height, width) at which the network saw the image.

    Returns:
        The prediction; its arrays are those given.
    """
    sky = outputs.get(SKY)
    return Prediction(
        outputs[DEPTH],
        kind,
        input_size,
        None if sky is None else sky >= SKY_THRESHOLD,
        outputs.get(CONFIDENCE),
    )
