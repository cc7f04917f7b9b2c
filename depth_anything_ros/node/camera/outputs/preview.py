"""`~/depth/preview`: depth as a picture."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import Image

from depth_anything_ros.formats.preview import colorize_depth, colorize_disparity
from depth_anything_ros.frames import DepthFrame, RgbImage
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import rgb_to_image


def preview_of(answer: DepthFrame, grayscale: bool) -> RgbImage:
    """A picture of the best that is known: metres, else what the network says.

    Args:
        answer: Depth of one image.
        grayscale: Grey instead of colours.

    Returns:
        HxWx3 uint8 RGB; near is bright, black is unknown or out of range.
    """
    if answer.depth_m is not None:
        inside = np.isfinite(answer.depth_m)
        if inside.any():
            depth_m = np.where(inside, answer.depth_m, np.float32(np.nan))
            return colorize_depth(depth_m, grayscale)
    kind, values = answer.prediction.kind, answer.prediction.values
    if kind.metric:
        return colorize_depth(values, grayscale)
    return colorize_disparity(values if kind.inverse else -values, grayscale)


def _make(request: OutputRequest, last: Image) -> Image:
    picture = preview_of(request.answer, request.parameters.preview_grayscale)
    return rgb_to_image(picture, request.header, last)


OUTPUTS.register(
    Output(
        name="depth/preview",
        rank=70,
        message=Image,
        meaning="rgb8, near is warm",
        make=_make,
    )
)
