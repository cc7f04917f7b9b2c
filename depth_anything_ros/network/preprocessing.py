"""How an image becomes a network's input: plain numbers, put to use by the inference."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.network.model_info import INPUT_SIZE

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue in 0..1 (official run.py)."""

STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue in 0..1 (official run.py)."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input.

    Attributes:
        input_size: Shorter side of the input in pixels, aspect kept.
        multiple_of: What both sides are multiples of.
        scale: Factor on 0..255 before mean and deviation.
        mean: Per channel (RGB), subtracted after `scale`.
        std: Per channel, divided by after `mean`.
        interpolation: How the image is resized: "cubic", "linear" or "area" (OpenCV).
    """

    input_size: int = INPUT_SIZE
    multiple_of: int = 14
    scale: float = 1 / 255
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    interpolation: str = "cubic"
