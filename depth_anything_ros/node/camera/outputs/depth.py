"""`~/depth/image`: metres or millimetres as REP-118 has them."""

from __future__ import annotations

from sensor_msgs.msg import Image

from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import depth_to_image


def _make(request: OutputRequest, last: Image) -> Image | None:
    depth_m = request.answer.depth_m
    if depth_m is None:
        return None
    return depth_to_image(depth_m, request.parameters.depth_encoding, request.header, last)


OUTPUTS.register(
    Output(
        name="depth/image",
        rank=10,
        message=Image,
        meaning="32FC1 metres along the optical axis (REP-118), NaN unknown, ±inf out of range "
        "(REP-117); or 16UC1 millimetres, 0 unknown",
        make=_make,
    )
)
