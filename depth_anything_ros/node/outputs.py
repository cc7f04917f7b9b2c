"""What goes out for one camera: depth, camera_info, cloud, disparity, preview, scale state."""

from __future__ import annotations

import enum

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.formats.preview import colorize_depth, colorize_disparity
from depth_anything_ros.frames import DepthFrame, FloatImage, PredictionKind, RgbImage
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.node.diagnostics import scale_status
from depth_anything_ros.node.messages import (
    cloud_to_message,
    depth_to_image,
    floats_to_image,
    info_from_camera,
    rgb_to_image,
)
from depth_anything_ros.node.parameters import NodeParameters


class Output(enum.Enum):
    """The topics of one camera, by name below the node."""

    DEPTH = "depth/image"
    CAMERA_INFO = "depth/camera_info"
    POINTS = "points"
    DISPARITY = "disparity/image"
    PREVIEW = "depth/preview"
    SCALE_STATE = "scale_state"


_TYPES = {
    Output.DEPTH: Image,
    Output.CAMERA_INFO: CameraInfo,
    Output.POINTS: PointCloud2,
    Output.DISPARITY: Image,
    Output.PREVIEW: Image,
    Output.SCALE_STATE: DiagnosticStatus,
}


class CameraOutput:
    """The publishers of one camera. What nobody subscribes to is not computed."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publishers: dict[Output, LifecyclePublisher] = {
            output: node.create_lifecycle_publisher(
                _TYPES[output],
                f"~/{output.value}",
                QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for output in Output
        }

    def wanted(self) -> set[Output]:
        """The outputs that somebody subscribes to."""
        return {
            output
            for output, publisher in self._publishers.items()
            if publisher.get_subscription_count() > 0
        }

    def publish(self, answer: DepthFrame, header: Header, parameters: NodeParameters) -> int:
        """Publish what is wanted of one answer.

        Args:
            answer: Depth of one image.
            header: Header of that image; every output carries it unchanged.
            parameters: How the outputs should look.

        Returns:
            How many messages went out.
        """
        messages = {
            output: self._message(output, answer, header, parameters) for output in self.wanted()
        }
        ready = {output: message for output, message in messages.items() if message is not None}
        for output, message in ready.items():
            self._publishers[output].publish(message)
        return len(ready)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()

    def _message(
        self, output: Output, answer: DepthFrame, header: Header, parameters: NodeParameters
    ) -> Image | CameraInfo | PointCloud2 | DiagnosticStatus | None:
        if output is Output.SCALE_STATE:
            return scale_status(f"{self._node.get_fully_qualified_name()}: scale", answer)
        frame, depth_m = answer.frame, answer.depth_m
        relative = answer.prediction.kind is PredictionKind.RELATIVE_DISPARITY
        if output is Output.DISPARITY:
            return floats_to_image(answer.prediction.values, header) if relative else None
        if output is Output.PREVIEW:
            return rgb_to_image(preview_of(answer, parameters.preview_grayscale), header)
        if output is Output.CAMERA_INFO:
            return None if frame.camera is None else info_from_camera(frame.camera, header)
        if depth_m is None:
            return None
        nearest, furthest = parameters.range_limits
        if output is Output.DEPTH:
            limited = limit_range(depth_m, nearest, furthest)
            return depth_to_image(limited, parameters.depth_encoding, header)
        if frame.camera is None:
            return None
        cloud = build_cloud(
            depth_m,
            frame.camera,
            frame.rgb if parameters.cloud_color else None,
            parameters.cloud_organized,
            parameters.cloud_stride,
            nearest,
            furthest,
        )
        return cloud_to_message(cloud, header)


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
