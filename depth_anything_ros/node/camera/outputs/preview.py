"""`~/depth/preview`: depth as a picture whose colours are steady from image to image."""

from __future__ import annotations

from sensor_msgs.msg import Image

from depth_anything_ros.formats.preview import DepthColors
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import rgb_to_image


def _make(request: OutputRequest, last: Image) -> Image:
    grayscale = request.parameters.preview_grayscale
    colors = request.kept(f"colours, grey {grayscale}", lambda: DepthColors(grayscale))
    return rgb_to_image(colors.answer(request.answer), request.header, last)


OUTPUTS.register(
    Output(
        name="depth/preview",
        rank=70,
        message=Image,
        meaning="rgb8, near is bright",
        make=_make,
    )
)
