"""`~/clearing_points`: ends of free lines of sight, for costmaps to clear."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

from depth_anything_ros.geometry.scan import clearing_points
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import cloud_to_message

_LEAST_STRIDE = 4


def _make(request: OutputRequest, last: PointCloud2) -> PointCloud2 | None:
    parameters, camera = request.parameters, request.answer.frame.camera
    if request.answer.depth_m is None or camera is None:
        return None
    furthest = parameters.range_limits[1]
    if not np.isfinite(furthest):
        request.log.warn_once("~/clearing_points needs max_range: it is 0, without limit")
        return None
    stride = max(parameters.cloud_stride, _LEAST_STRIDE)
    cloud = clearing_points(request.answer.depth_m, camera, furthest, stride)
    return cloud_to_message(cloud, request.header)


OUTPUTS.register(
    Output(
        name="clearing_points",
        rank=80,
        message=PointCloud2,
        meaning="points at max_range where nothing is nearer, for Nav2 to clear",
        make=_make,
    )
)
