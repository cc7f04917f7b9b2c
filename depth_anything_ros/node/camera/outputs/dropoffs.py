"""`~/dropoffs`: where the ground ends, for costmaps to mark."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.geometry.dropoffs import dropoff_depth
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import cloud_to_message

_FURTHEST = 10.0  # metres, where max_range sets no limit


def _make(request: OutputRequest, last: PointCloud2) -> PointCloud2 | None:
    answer, parameters = request.answer, request.parameters
    depth_m, camera, ground = answer.depth_m, answer.frame.camera, answer.ground
    if depth_m is None or camera is None:
        return None
    if ground is None:
        request.log.warn_once(
            "~/dropoffs needs the ground, which is not known yet: points of a LiDAR may show it; "
            "else give camera_height, or base_frame in tf2, and leave ground_fusion true"
        )
        return None
    furthest = parameters.range_limits[1]
    missing = dropoff_depth(
        depth_m,
        answer.sigma_m,
        camera,
        (ground.normal, ground.offset),
        parameters.dropoff_min_depth,
        furthest if np.isfinite(furthest) else _FURTHEST,
    )
    cloud = build_cloud(missing, camera, organized=False, stride=parameters.cloud_stride)
    return cloud_to_message(cloud, request.header)


OUTPUTS.register(
    Output(
        name="dropoffs",
        rank=82,
        message=PointCloud2,
        meaning="points on the ground plane where there is no ground: stairs down, pits, edges",
        make=_make,
    )
)
