"""Every topic, service and parameter of the depth node, as Markdown tables (docs/node.md)."""

from __future__ import annotations

import dataclasses
import json

from depth_anything_ros.node.camera.output import OUTPUTS
from depth_anything_ros.node.parameter import ParameterInfo
from depth_anything_ros.node.parameters import NodeParameters

INPUTS: tuple[tuple[str, str, str], ...] = (
    (
        "image",
        "sensor_msgs/Image",
        "rgb8 bgr8 rgba8 bgra8 mono8 mono16 8UC1 8UC3 16UC1 yuv422 yuv422_yuy2 nv12 nv21 and the "
        "bayer patterns in 8 and 16 bit; or `image/compressed` (CompressedImage)",
    ),
    ("camera_info", "sensor_msgs/CameraInfo", "paired by stamp, else the newest of the frame_id"),
    ("points", "sensor_msgs/PointCloud2", "scaler sparse; more by cloud_topics, scan_topics, ..."),
    ("odom", "nav_msgs/Odometry", "scalers motion and slam"),
    ("slam/pose", "geometry_msgs/PoseStamped", "scaler slam; or Odometry, Path"),
    ("slam/points", "sensor_msgs/PointCloud2", "scaler slam: map points"),
)
"""Topics the node listens to with its default parameters: name, type, meaning."""

OTHER_OUTPUTS: tuple[tuple[str, str, str], ...] = (
    ("/diagnostics", "diagnostic_msgs/DiagnosticArray", "1 Hz: rates, latency, drops, health"),
)
"""Topics that belong to no camera."""

SERVICES: tuple[tuple[str, str, str], ...] = (
    ("~/enable", "std_srvs/SetBool", "false ignores images"),
    ("~/load_model", "std_srvs/Trigger", "load parameter model beside the one in use, then swap"),
    ("~/snapshot", "std_srvs/Trigger", "write the next frame to snapshot_folder"),
    ("~/scale/freeze", "std_srvs/SetBool", "keep the present scale, or follow measurements again"),
    ("~/scale/reset", "std_srvs/Trigger", "reset the scale"),
    ("~/scale/save", "std_srvs/Trigger", "write the scale to scale_file"),
    ("~/scale/load", "std_srvs/Trigger", "take the scale of scale_file and freeze it"),
)
"""Services of the node, beside those every lifecycle node has: name, type, meaning."""


def type_name(kind: type) -> str:
    """A message class as people write it: sensor_msgs/Image."""
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def inputs() -> list[tuple[str, str, str]]:
    """Topics the node listens to with its default parameters: name, type, meaning."""
    companions = dict.fromkeys(each.companion for each in OUTPUTS if each.companion)
    return [
        *INPUTS,
        *((each.topic, type_name(each.message), each.meaning) for each in companions if each),
    ]


def outputs() -> list[tuple[str, str, str]]:
    """Topics the node publishes: name, type, meaning."""
    own = [(f"~/{each.name}", type_name(each.message), each.meaning) for each in OUTPUTS]
    return [*own, *OTHER_OUTPUTS]


def reference() -> str:
    """The reference as Markdown tables.

    Returns:
        Tables of inputs, outputs, services and parameters.
    """
    lines: list[str] = []
    for title, rows in (("in", inputs()), ("out", outputs()), ("service", list(SERVICES))):
        lines += [f"| {title} | type | meaning |", "|---|---|---|"]
        lines += [f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in rows]
        lines.append("")
    lines += ["| parameter | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(NodeParameters):
        text = ParameterInfo.of(field)
        meaning = text.describe().replace("|", "\\|")
        if text.choices():
            meaning += f" One of {', '.join(text.choices())}."
        if text.read_only:
            meaning += " Read-only."
        default = json.dumps(field.default).replace("1000000000.0", "1e9")
        lines.append(f"| `{field.name}` | `{default}` | {meaning} |")
    return "\n".join(lines)
