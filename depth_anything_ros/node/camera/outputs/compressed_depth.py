"""`~/depth/image/compressedDepth`: the depth image as image_transport's compressedDepth."""

from __future__ import annotations

from sensor_msgs.msg import CompressedImage

from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import compressed_depth_message


def _make(request: OutputRequest, last: CompressedImage) -> CompressedImage | None:
    depth_m = request.answer.depth_m
    if depth_m is None:
        return None
    return compressed_depth_message(depth_m, request.parameters.depth_encoding, request.header)


OUTPUTS.register(
    Output(
        name="depth/image/compressedDepth",
        rank=20,
        message=CompressedImage,
        meaning="the same for image_transport: PNG, 32FC1 up to 100 m; out of range is unknown",
        make=_make,
    )
)
