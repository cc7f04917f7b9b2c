"""`~/disparity/image`: the values of a relative network."""

from __future__ import annotations

from sensor_msgs.msg import Image

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import floats_to_image


def _make(request: OutputRequest, last: Image) -> Image | None:
    prediction = request.answer.prediction
    if prediction.kind is not PredictionKind.RELATIVE_DISPARITY:
        return None
    return floats_to_image(prediction.values, request.header, last)


OUTPUTS.register(
    Output(
        name="disparity/image",
        rank=50,
        message=Image,
        meaning="32FC1, the numbers of a relative network as they are",
        make=_make,
    )
)
