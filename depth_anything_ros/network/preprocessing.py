"""How an image becomes a network's input: plain numbers, put to use by the inference."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.network.model_info import INPUT_SIZE

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue in 0..1 (official run.py)."""

STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's red, green and blue in 0..1 (official run.py)."""

SIDES = ("shorter", "longer")
"""Which side of the input has the given size."""

AREA_OR_CUBIC = "area_or_cubic"
"""OpenCV's INTER_AREA to shrink and INTER_CUBIC to enlarge, in 8 bits: first to the given size,
then each side to its multiple (input_processor.py of Depth Anything 3)."""

INTERPOLATIONS = ("cubic", "linear", "area", AREA_OR_CUBIC)
"""Ways to resize an image; all but the last are OpenCV's, on floating point numbers."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input.

    Attributes:
        input_size: Pixels of one side of the input, aspect kept.
        side: Which side that is, one of `SIDES`. "shorter" rounds both sides to multiples and
            never below `input_size` (V1, V2), "longer" to the nearest multiples (Depth Anything 3).
        multiple_of: What both sides are multiples of.
        scale: Factor on 0..255 before mean and deviation.
        mean: Per channel (RGB), subtracted after `scale`.
        std: Per channel, divided by after `mean`.
        interpolation: How the image is resized, one of `INTERPOLATIONS`.
    """

    input_size: int = INPUT_SIZE
    side: str = "shorter"
    multiple_of: int = 14
    scale: float = 1 / 255
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    interpolation: str = "cubic"
