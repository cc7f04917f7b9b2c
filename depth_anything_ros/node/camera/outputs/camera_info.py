"""`~/depth/camera_info`: the calibration of exactly the depth image."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import info_from_camera


def _make(request: OutputRequest, last: CameraInfo) -> CameraInfo | None:
    camera = request.answer.frame.camera
    return None if camera is None else info_from_camera(camera, request.header)


OUTPUTS.register(
    Output(
        name="depth/camera_info",
        rank=30,
        message=CameraInfo,
        meaning="calibration of exactly the depth image",
        make=_make,
    )
)
