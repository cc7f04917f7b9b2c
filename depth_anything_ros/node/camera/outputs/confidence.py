"""`~/confidence/image`: how far each pixel can be trusted."""

from __future__ import annotations

from sensor_msgs.msg import Image

from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import floats_to_image
from depth_anything_ros.node.parameters import NodeParameters


def _make(request: OutputRequest, last: Image) -> Image | None:
    confidence = request.answer.confidence
    return None if confidence is None else floats_to_image(confidence, request.header, last)


def _always(parameters: NodeParameters) -> bool:
    return True


OUTPUTS.register(
    Output(
        name="confidence/image",
        rank=60,
        message=Image,
        meaning="32FC1 from 0 (low) to 1 (high)",
        make=_make,
        needs_confidence=_always,
    )
)
