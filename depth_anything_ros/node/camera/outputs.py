"""What goes out for one camera: every topic below the node, made from one answer."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.formats.preview import colorize_depth, colorize_disparity
from depth_anything_ros.frames import (
    DepthFrame,
    FloatArray,
    FloatImage,
    PredictionKind,
    RgbImage,
)
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.geometry.cloud import Cloud, build_cloud
from depth_anything_ros.geometry.cloud_filters import downsample, flying_pixels, within_height
from depth_anything_ros.geometry.scan import ScanLayout, clearing_points, depth_to_scan
from depth_anything_ros.node.messages import (
    cloud_to_message,
    compressed_depth_message,
    depth_to_image,
    floats_to_image,
    info_from_camera,
    memory_of,
    rgb_to_image,
    scan_message,
)
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.runtime.diagnostics import scale_status
from depth_anything_ros.node.runtime.throttled_log import ThrottledLog
from depth_anything_ros.node.sensors.inputs import configured_extrinsics
from depth_anything_ros.node.sensors.transforms import TransformError, Transforms

_SCAN_RANGE = 30.0
"""Range of ~/scan in metres where max_range sets none."""


class Output(enum.Enum):
    """The topics of one camera, by name below the node (or below the camera's name)."""

    DEPTH = "depth/image"
    COMPRESSED_DEPTH = "depth/image/compressedDepth"
    CAMERA_INFO = "depth/camera_info"
    POINTS = "points"
    DISPARITY = "disparity/image"
    CONFIDENCE = "confidence/image"
    PREVIEW = "depth/preview"
    CLEARING_POINTS = "clearing_points"
    SCAN = "scan"
    SCALE_STATE = "scale_state"


OUTPUT_TYPES: dict[Output, type] = {
    Output.DEPTH: Image,
    Output.COMPRESSED_DEPTH: CompressedImage,
    Output.CAMERA_INFO: CameraInfo,
    Output.POINTS: PointCloud2,
    Output.DISPARITY: Image,
    Output.CONFIDENCE: Image,
    Output.PREVIEW: Image,
    Output.CLEARING_POINTS: PointCloud2,
    Output.SCAN: LaserScan,
    Output.SCALE_STATE: DiagnosticStatus,
}

OUTPUT_MEANINGS: dict[Output, str] = {
    Output.DEPTH: "32FC1 metres along the optical axis (REP-118), NaN unknown, ±inf out of range "
    "(REP-117); or 16UC1 millimetres, 0 unknown",
    Output.COMPRESSED_DEPTH: "the same for image_transport: PNG, 32FC1 up to 100 m",
    Output.CAMERA_INFO: "calibration of exactly the depth image",
    Output.POINTS: "x y z, rgb, confidence; organised or dense, limited, thinned",
    Output.DISPARITY: "32FC1, the numbers of a relative network as they are",
    Output.CONFIDENCE: "32FC1 from 0 (doubt) to 1",
    Output.PREVIEW: "rgb8, near is warm",
    Output.CLEARING_POINTS: "points at max_range where nothing is nearer, for Nav2 to clear",
    Output.SCAN: "nearest hits between two heights over scan_frame",
    Output.SCALE_STATE: "how the metres of each answer were made",
}


class CameraOutput:
    """The publishers of one camera. What nobody subscribes to is not computed."""

    def __init__(
        self, node: LifecycleNode, camera: str, transforms: Transforms, log: ThrottledLog
    ) -> None:
        """Make the publishers.

        Args:
            node: The node to publish with.
            camera: Name of the camera, empty for the only one.
            transforms: Where frames stand to each other.
            log: Says what is missing.
        """
        self._node = node
        self._camera = camera
        self._transforms = transforms
        self._log = log
        below = f"~/{camera}" if camera else "~"
        self._publishers: dict[Output, LifecyclePublisher] = {
            output: node.create_lifecycle_publisher(
                OUTPUT_TYPES[output],
                f"{below}/{output.value}",
                QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for output in Output
        }
        self._kept: dict[Output, Any] = {output: OUTPUT_TYPES[output]() for output in Output}
        self._status_name = f"{node.get_fully_qualified_name()}: {camera or 'camera'} scale"

    def wanted(self) -> set[Output]:
        """The outputs that somebody subscribes to."""
        return {
            output
            for output, publisher in self._publishers.items()
            if publisher.get_subscription_count() > 0
        }

    def publish(
        self,
        answer: DepthFrame,
        header: Header,
        parameters: NodeParameters,
        wanted: Collection[Output],
    ) -> int:
        """Publish what is wanted of one answer.

        Args:
            answer: Depth of one image.
            header: Header of that image; every output carries it unchanged.
            parameters: How the outputs should look.
            wanted: What somebody subscribes to.

        Returns:
            How many messages went out.
        """
        sent = 0
        for output in sorted(wanted, key=lambda each: each.value):
            message = self._message(output, answer, header, parameters)
            if message is not None:
                self._publishers[output].publish(message)
                sent += 1
        return sent

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def _message(
        self, output: Output, answer: DepthFrame, header: Header, parameters: NodeParameters
    ) -> Any:
        """The message of one output, or None when the answer has nothing for it."""
        camera, depth_m = answer.frame.camera, answer.depth_m
        kept = self._kept[output]
        if output is Output.SCALE_STATE:
            return scale_status(self._status_name, answer)
        if output is Output.DISPARITY:
            relative = answer.prediction.kind is PredictionKind.RELATIVE_DISPARITY
            return floats_to_image(answer.prediction.values, header, kept) if relative else None
        if output is Output.CONFIDENCE:
            known = answer.confidence
            return None if known is None else floats_to_image(known, header, kept)
        if output is Output.PREVIEW:
            return rgb_to_image(preview_of(answer, parameters.preview_grayscale), header, kept)
        if output is Output.CAMERA_INFO:
            return None if camera is None else info_from_camera(camera, header)
        if depth_m is None:
            return None
        if output is Output.DEPTH:
            limited = limit_range(depth_m, *parameters.range_limits)
            return depth_to_image(limited, parameters.depth_encoding, header, kept)
        if output is Output.COMPRESSED_DEPTH:
            return compressed_depth_message(depth_m, parameters.depth_encoding, header)
        if camera is None:
            return None
        try:
            if output is Output.CLEARING_POINTS:
                return self._clearing(depth_m, camera, header, parameters)
            if output is Output.SCAN:
                return self._scan(answer, depth_m, camera, header, parameters)
            return cloud_to_message(self._cloud(answer, parameters), header, kept)
        except TransformError as error:
            self._log.warn(f"~/{output.value} is not published: {error}")
            return None

    def _clearing(
        self, depth_m: FloatImage, camera: Camera, header: Header, parameters: NodeParameters
    ) -> PointCloud2 | None:
        """What Nav2 may clear: lines of sight that meet nothing up to max_range."""
        furthest = parameters.range_limits[1]
        if not np.isfinite(furthest):
            self._log.warn_once("~/clearing_points needs max_range: it is 0, without limit")
            return None
        cloud = clearing_points(depth_m, camera, furthest, max(parameters.cloud_stride, 4))
        return cloud_to_message(cloud, header)

    def _scan(
        self,
        answer: DepthFrame,
        depth_m: FloatImage,
        camera: Camera,
        header: Header,
        parameters: NodeParameters,
    ) -> LaserScan | None:
        """The nearest hits in a height band as a laser scan over the camera's field of view."""
        if not parameters.scan_frame:
            self._log.warn_once("~/scan needs scan_frame: name a frame with z up (base_link)")
            return None
        to_scan = self._to_frame(parameters.scan_frame, answer, parameters)
        low, high = seen_angles(camera, to_scan)
        nearest, furthest = parameters.range_limits
        layout = ScanLayout(
            low,
            high,
            math.radians(parameters.scan_increment_deg),
            max(nearest, 0.05),
            furthest if np.isfinite(furthest) else _SCAN_RANGE,
            parameters.scan_min_height,
            parameters.scan_max_height,
        )
        ranges = depth_to_scan(depth_m, camera, to_scan, layout)
        return scan_message(
            ranges, layout, Header(stamp=header.stamp, frame_id=parameters.scan_frame)
        )

    def _to_frame(self, target: str, answer: DepthFrame, parameters: NodeParameters) -> FloatArray:
        """The transform from the optical frame to another at the image's time."""
        given = configured_extrinsics(parameters, self._camera, target)
        if given is not None:
            return np.asarray(np.linalg.inv(given), np.float64)
        frame = answer.frame
        return self._transforms.lookup(target, frame.frame_id, frame.stamp, parameters.tf_timeout)

    def _cloud(self, answer: DepthFrame, parameters: NodeParameters) -> Cloud:
        """The cloud as the parameters want it."""
        frame, depth_m = answer.frame, answer.depth_m
        assert depth_m is not None and frame.camera is not None
        flying = None
        if parameters.edge_angle_deg:
            flying = flying_pixels(depth_m, frame.camera, parameters.edge_angle_deg)
        nearest, furthest = parameters.range_limits
        cloud = build_cloud(
            depth_m,
            frame.camera,
            frame.rgb if parameters.cloud_color else None,
            parameters.cloud_organized and not parameters.voxel_size,
            parameters.cloud_stride,
            nearest,
            furthest,
            answer.confidence if parameters.cloud_confidence else None,
            flying,
            partial(memory_of, self._kept[Output.POINTS]),
        )
        if parameters.cloud_frame:
            to_target = self._to_frame(parameters.cloud_frame, answer, parameters)
            cloud = within_height(cloud, to_target, parameters.min_height, parameters.max_height)
        if parameters.voxel_size and cloud.data.size:
            cloud = downsample(cloud, parameters.voxel_size)
        return cloud


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


def preview_of(answer: DepthFrame, grayscale: bool) -> RgbImage:
    """A picture of the best that is known: metres, else what the network says.

    Args:
        answer: Depth of one image.
        grayscale: Grey instead of colours.

    Returns:
        HxWx3 uint8 RGB; near is bright.
    """
    if answer.depth_m is not None:
        return colorize_depth(answer.depth_m, grayscale)
    if answer.prediction.kind is PredictionKind.METRIC_DEPTH:
        return colorize_depth(answer.prediction.values, grayscale)
    return colorize_disparity(answer.prediction.values, grayscale)


def limit_range(depth_m: FloatImage, nearest: float, furthest: float) -> FloatImage:
    """Mark depths outside a range as REP-117 asks: -inf is too near, +inf too far.

    Args:
        depth_m: HxW float32 metres, NaN where unknown.
        nearest: Metres; 0 for no limit.
        furthest: Metres; may be infinite.

    Returns:
        HxW float32; the same array when nothing is outside.
    """
    with np.errstate(invalid="ignore"):
        if nearest > 0:
            depth_m = np.where(depth_m < nearest, np.float32(-np.inf), depth_m)
        if np.isfinite(furthest):
            depth_m = np.where(depth_m > furthest, np.float32(np.inf), depth_m)
    return depth_m
