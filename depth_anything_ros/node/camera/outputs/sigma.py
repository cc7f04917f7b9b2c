"""`~/depth/sigma`: one standard deviation of the depth."""

from __future__ import annotations

from sensor_msgs.msg import Image

from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import floats_to_image


def _make(request: OutputRequest, last: Image) -> Image | None:
    sigma_m = request.answer.sigma_m
    return None if sigma_m is None else floats_to_image(sigma_m, request.header, last)


OUTPUTS.register(
    Output(
        name="depth/sigma",
        rank=25,
        message=Image,
        meaning="32FC1 metres, one standard deviation of the depth; NaN where that is unknown",
        make=_make,
    )
)
