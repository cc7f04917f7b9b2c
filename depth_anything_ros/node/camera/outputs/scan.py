"""`~/scan`: the nearest hits of a height band as a laser scan."""

from __future__ import annotations

import math

import numpy as np
from sensor_msgs.msg import LaserScan
from std_msgs.msg import Header

from depth_anything_ros.frames import FloatArray
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.geometry.scan import ScanLayout, depth_to_scan
from depth_anything_ros.node.camera.output import OUTPUTS, Output, OutputRequest
from depth_anything_ros.node.camera.outputs.points import flying_of
from depth_anything_ros.node.messages import scan_message

_SCAN_RANGE = 30.0
"""Range in metres where max_range sets none."""

_NEAREST = 0.05


def _make(request: OutputRequest, last: LaserScan) -> LaserScan | None:
    parameters, frame, depth_m = request.parameters, request.answer.frame, request.answer.depth_m
    camera = frame.camera
    if depth_m is None or camera is None:
        return None
    if not parameters.scan_frame:
        request.log.warn_once("~/scan needs scan_frame: name a frame with z up (base_link)")
        return None
    to_scan = request.placement.from_camera(parameters.scan_frame, frame, request.camera)
    low, high = seen_angles(camera, to_scan)
    nearest, furthest = parameters.range_limits
    layout = ScanLayout(
        low,
        high,
        math.radians(parameters.scan_increment_deg),
        max(nearest, _NEAREST),
        furthest if np.isfinite(furthest) else _SCAN_RANGE,
        parameters.scan_min_height,
        parameters.scan_max_height,
    )
    flying = flying_of(request, depth_m, camera)
    if flying is not None:
        depth_m = np.where(flying, np.float32(np.nan), depth_m)
    ranges = depth_to_scan(depth_m, camera, to_scan, layout)
    header = Header(stamp=request.header.stamp, frame_id=parameters.scan_frame)
    return scan_message(ranges, layout, header)


def seen_angles(camera: Camera, to_scan: FloatArray) -> tuple[float, float]:
    """The horizontal field of view of a camera, as angles in a levelled frame.

    Args:
        camera: The camera.
        to_scan: 4x4, optical frame -> the levelled frame (x forward, y left, z up).

    Returns:
        Smallest and largest angle of its edge rays in radians, counter-clockwise from x.
    """
    rows = np.linspace(0, camera.height - 1, 9)
    edges = [rays_of_pixels(camera, np.full(9, column), rows) for column in (0, camera.width - 1)]
    x, y = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    rays = np.stack([x, y, np.ones_like(x)], axis=1)[np.isfinite(x)] @ to_scan[:3, :3].T
    middle = to_scan[:3, 2]
    ahead = math.atan2(middle[1], middle[0])
    turn = np.arctan2(rays[:, 1], rays[:, 0]) - ahead
    turn = (turn + math.pi) % (2 * math.pi) - math.pi
    return ahead + float(turn.min()), ahead + float(turn.max())


OUTPUTS.register(
    Output(
        name="scan",
        rank=90,
        message=LaserScan,
        meaning="nearest hits between two heights over scan_frame",
        make=_make,
    )
)
