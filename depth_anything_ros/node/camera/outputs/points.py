"""`~/points`: the cloud of the depth image."""

from __future__ import annotations

from functools import partial

from sensor_msgs.msg import PointCloud2

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Mask, build_cloud
from depth_anything_ros.geometry.cloud_filters import downsample, flying_pixels, within_height
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.messages import cloud_to_message, memory_of
from depth_anything_ros.node.parameters import NodeParameters


def flying_of(request: OutputRequest, depth_m: FloatImage, camera: Camera) -> Mask | None:
    """The pixels at depth edges that float between two surfaces, by edge_angle_deg."""
    angle = request.parameters.edge_angle_deg
    if not angle:
        return None
    return request.shared("flying pixels", lambda: flying_pixels(depth_m, camera, angle))


def _make(request: OutputRequest, last: PointCloud2) -> PointCloud2 | None:
    answer, parameters = request.answer, request.parameters
    frame, depth_m = answer.frame, answer.depth_m
    if depth_m is None or frame.camera is None:
        return None
    cloud = build_cloud(
        depth_m,
        frame.camera,
        frame.rgb if parameters.cloud_color else None,
        parameters.cloud_organized and not parameters.voxel_size,
        parameters.cloud_stride,
        confidence=answer.confidence if parameters.cloud_confidence else None,
        sigma_m=answer.sigma_m if parameters.cloud_sigma else None,
        hidden=flying_of(request, depth_m, frame.camera),
        memory=partial(memory_of, last),
    )
    if parameters.cloud_frame:
        to_target = request.placement.from_camera(parameters.cloud_frame, frame, request.camera)
        cloud = within_height(cloud, to_target, parameters.min_height, parameters.max_height)
    if parameters.voxel_size and cloud.data.size:
        cloud = downsample(cloud, parameters.voxel_size)
    return cloud_to_message(cloud, request.header, last)


def _with_confidence(parameters: NodeParameters) -> bool:
    return parameters.cloud_confidence


OUTPUTS.register(
    Output(
        name="points",
        rank=40,
        message=PointCloud2,
        meaning="x y z, rgb, confidence, sigma; organised or dense, limited, thinned",
        make=_make,
        needs_confidence=_with_confidence,
    )
)
