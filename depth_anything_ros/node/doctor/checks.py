"""Why depth does not come: everything about a running graph that can be told from outside."""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSCompatibility, qos_check_compatible
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import PredictionKind, Quality
from depth_anything_ros.metric.selection import AUTO, inputs_of
from depth_anything_ros.metric.source import FrameInput
from depth_anything_ros.node.doctor.findings import Finding, Level, problem, warning
from depth_anything_ros.node.doctor.graph import (
    IMAGE_TYPES,
    INFO_TYPE,
    POINT_TYPES,
    DepthNodeView,
    GraphView,
    Link,
    full_name,
)
from depth_anything_ros.node.doctor.machine import has_gpu
from depth_anything_ros.node.messages import camera_from_info, image_to_rgb, nanoseconds
from depth_anything_ros.node.runtime.shared_memory import segment_size
from depth_anything_ros.node.runtime.statistics import DropReason
from depth_anything_ros.node.sensors.transforms import TransformError

_NEAR = 3
_OLD, _AHEAD = 1.0, 0.1
"""Seconds by which a stamp may lie behind and before its arrival: a slow camera, and NTP."""


@dataclass(frozen=True)
class Diagnosis:
    """What was seen of a graph.

    Attributes:
        nodes: One line for each depth node.
        findings: What is wrong.
    """

    nodes: list[str]
    findings: list[Finding]


@dataclass(frozen=True)
class _Camera:
    image: Link
    info: Link


def check_graph(namespace: str = "", seconds: float = 5.0) -> Diagnosis:
    """Look at the running depth nodes, listen to what they hear, and say what is wrong.

    Args:
        namespace: Only nodes in this namespace, or of this full name; empty for all.
        seconds: How long to listen at most.

    Returns:
        What was seen.
    """
    with GraphView() as graph:
        views = graph.depth_nodes(seconds)
        wanted = "/" + namespace.strip("/")
        chosen = [view for view in views if wanted == "/" or _is_below(view.name, wanted)]
        if not chosen:
            return Diagnosis([], [_no_node(graph, namespace, views)])
        findings: list[Finding] = []
        for view in chosen:
            named = list(_check_node(graph, view))
            if not any(finding.level is Level.PROBLEM for finding in named):
                named += _own_words(view)
            findings += named
        return Diagnosis([_describe(view) for view in chosen], list(dict.fromkeys(findings)))


def near_names(name: str, candidates: Sequence[str]) -> list[str]:
    """The most similar of some topic names, best first.

    Args:
        name: The name that is missing.
        candidates: Names that exist.

    Returns:
        At most three.
    """

    def likeness(candidate: str) -> float:
        return difflib.SequenceMatcher(None, name, candidate).ratio()

    return sorted(candidates, key=likeness, reverse=True)[:_NEAR]


def _is_below(name: str, namespace: str) -> bool:
    return name == namespace or name.startswith(f"{namespace}/")


def _no_node(graph: GraphView, namespace: str, others: list[DepthNodeView]) -> Finding:
    if others:
        return problem(
            f"no depth node is in namespace '{namespace}'",
            f"there is {', '.join(view.name for view in others)}",
        )
    seen = graph.names()
    return problem(
        f"no depth node answers in {graph.domain}; nodes seen: {', '.join(seen) or 'none'}",
        "start one (ros2 launch depth_anything_ros depth_anything.launch.py); if it runs, give "
        "this terminal its ROS_DOMAIN_ID, RMW_IMPLEMENTATION and ROS_AUTOMATIC_DISCOVERY_RANGE",
    )


def _describe(view: DepthNodeView) -> str:
    model = next((f"{v['model']} on {v['device']}" for v in view.figures if "model" in v), "none")
    rates = ", ".join(
        f"{v['rate_in_hz']} Hz in, {v['rate_out_hz']} Hz out"
        for v in view.figures
        if "rate_in_hz" in v
    )
    scaler = view.parameters["scaler"]
    return f"{view.name}: {view.state}, model {model}, scaler {scaler}, {rates or 'silent'}"


def _check_node(graph: GraphView, view: DepthNodeView) -> Iterator[Finding]:
    if view.simulated_time and not graph.has_clock:
        yield problem(
            f"{view.name} has use_sim_time, but nobody publishes /clock: its time stands still",
            "start the simulator or bag with its clock (ros2 bag play --clock), or set "
            "use_sim_time to false",
        )
    yield from _model_file(view)
    if view.state != "active":
        yield _not_active(view)
        return
    for link in view.inputs:
        yield from _mismatches(link, view)
        yield from _stamp(link, view)
    for camera in _cameras(view):
        yield from _image(graph, view, camera.image)
        yield from _info(graph, view, camera)
        yield from _large_images(graph, camera.image)
        yield from _positions(graph, view, camera.image)
    yield from _outputs(view)
    yield from _metres(graph, view)
    yield from _device(view)


# Files and state -----------------------------------------------------------------------------


def _model_file(view: DepthNodeView) -> Iterator[Finding]:
    for name in ("model", "scale_file"):
        path = Path(str(view.parameters.get(name, ""))).expanduser()
        if path.is_absolute() and not path.exists():
            yield problem(
                f"parameter {name} of {view.name} is '{path}', which is not on this machine",
                f"put the file there, or set {name} to one that exists",
            )


def _not_active(view: DepthNodeView) -> Finding:
    if view.state == "unconfigured":
        return problem(
            f"{view.name} is unconfigured: no model is loaded",
            "its log says why ('cannot configure: ...'); mend that, then `ros2 lifecycle set "
            f"{view.name} configure` and `... activate`",
        )
    return problem(
        f"{view.name} is {view.state}: it takes no images",
        f"`ros2 lifecycle set {view.name} activate`, or let its lifecycle manager do so",
    )


# What comes in -------------------------------------------------------------------------------


def _cameras(view: DepthNodeView) -> list[_Camera]:
    """Each camera_info with the image topic that shares most of its name, masks last."""
    infos = {link.topic: link for link in view.inputs if link.kind == INFO_TYPE}
    pictures = [link for link in view.inputs if link.kind in IMAGE_TYPES]
    images = [link for link in pictures if not _is_sensor(link.topic, view)]
    sensors = [link.topic for link in pictures if link not in images]
    beside = {f"{_folder(topic)}/camera_info" for topic in sensors}
    beside |= {f"{topic}_camera_info" for topic in sensors}
    cameras = []
    for info in [infos[topic] for topic in infos.keys() - beside] or list(infos.values()):
        parts = _folder(info.topic).split("/")

        def likeness(image: Link, parts: list[str] = parts) -> tuple[bool, int]:
            theirs = _folder(image.topic).split("/")
            shared = sum(a == b for a, b in zip(parts, theirs, strict=False))
            return not image.topic.endswith("/mask"), shared

        if images:
            cameras.append(_Camera(max(images, key=likeness), info))
    return sorted(cameras, key=lambda camera: camera.image.topic)


def _folder(topic: str) -> str:
    """All of a topic's name before the last part that is its own."""
    return topic.removesuffix("/compressed").rpartition("/")[0]


def _is_sensor(topic: str, view: DepthNodeView) -> bool:
    """Whether an image topic is a depth camera's, for scaler sparse."""
    named = [name for name in view.parameters.get("depth_topics", ()) if name]
    return any(topic == name or topic.endswith(f"/{name.lstrip('~/')}") for name in named)


def _image(graph: GraphView, view: DepthNodeView, link: Link) -> Iterator[Finding]:
    if not link.others:
        yield _nobody(graph, view, link, IMAGE_TYPES)
    elif link.heard is None:
        arriving = any(float(figures.get("rate_in_hz", 0)) > 0 for figures in view.figures)
        if not arriving and not any(_mismatches(link, view)):
            yield problem(
                f"{_who(link)} announces {link.topic}, but no image came",
                "see whether the driver sends (`ros2 topic hz`); large images get lost without "
                "shared memory or over a weak network",
            )
    elif isinstance(link.heard.message, Image):
        try:
            image_to_rgb(link.heard.message)
        except InputError as error:
            yield problem(f"images on {link.topic} cannot be used: {error}", "change the driver")


def _nobody(graph: GraphView, view: DepthNodeView, link: Link, kinds: Sequence[str]) -> Finding:
    others = [topic for topic in graph.published(*kinds) if not _is_below(topic, view.name)]
    there = [topic for topic in others if topic != link.topic]
    if link.topic in others:
        return problem(
            f"{link.topic} is published as {' and '.join(graph.types(link.topic))}, but "
            f"{view.name} reads {link.kind}",
            "remap to the topic of the right type",
        )
    base = link.topic.rpartition("/")[2]
    if not there:
        return problem(
            f"nobody publishes {link.topic}, nor any other {link.kind}",
            "start the camera's driver; if it runs, give it the same ROS_DOMAIN_ID",
        )
    near = near_names(link.topic, there)
    return problem(
        f"nobody publishes {link.topic}; there is {', '.join(near)}",
        f"start the node with --ros-args -r {base}:={near[0]} (launch files: {base}:={near[0]})",
    )


def _info(graph: GraphView, view: DepthNodeView, camera: _Camera) -> Iterator[Finding]:
    link = camera.info
    if view.parameters.get("camera_info_url"):
        return
    if not link.others:
        if camera.image.others:
            missing = _nobody(graph, view, link, (INFO_TYPE,))
            yield warning(f"{missing.sentence}: points are not published", missing.remedy)
        return
    image = camera.image.heard
    if link.heard is None:
        if image is not None:
            yield problem(
                f"images come on {camera.image.topic}, but no camera_info on {link.topic}, though "
                f"{_who(link)} announces it: points are not published",
                "make the driver publish one with every image",
            )
        return
    info = link.heard.message
    if not any(info.k):
        yield problem(
            f"camera_info on {link.topic} has K = 0: the camera is not calibrated, so points are "
            "not published and nothing can be measured",
            "calibrate it (ros2 run camera_calibration cameracalibrator) and give the driver the "
            "file (camera_info_url)",
        )
        return
    try:
        calibrated = camera_from_info(info)
    except InputError as error:
        yield problem(f"camera_info on {link.topic} cannot be used: {error}", "calibrate anew")
        return
    size = None if image is None else _size(image.message)
    if size is not None and size != (calibrated.width, calibrated.height):
        yield problem(
            f"{link.topic} is for {calibrated.width}x{calibrated.height} but images on "
            f"{camera.image.topic} are {size[0]}x{size[1]}: points are not published",
            "calibrate at the size the driver sends, or let image_proc resize both",
        )
    frames = info.header.frame_id, image.message.header.frame_id if image else ""
    if image and frames[0] != frames[1]:
        yield warning(
            f"{link.topic} has frame_id '{frames[0]}' but {camera.image.topic} has '{frames[1]}': "
            "they are paired only where their stamps agree",
            "make the driver use one frame_id",
        )


def _size(message: Image | CompressedImage) -> tuple[int, int] | None:
    """Width and height of a picture; None where it cannot be decoded."""
    if isinstance(message, Image):
        return int(message.width), int(message.height)
    decoded = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if decoded is None else (decoded.shape[1], decoded.shape[0])


def _mismatches(link: Link, view: DepthNodeView, incoming: bool = True) -> Iterator[Finding]:
    for other in link.others:
        pair = (other, link.own) if incoming else (link.own, other)
        compatible, reason = qos_check_compatible(pair[0].qos_profile, pair[1].qos_profile)
        if compatible == QoSCompatibility.ERROR:
            there = full_name(other.node_namespace, other.node_name)
            remedy = f"let {there} ask for less (reliability best_effort, durability volatile)"
            if incoming:
                remedy = f"set image_reliability of {view.name} to auto, or change {there}"
            words = reason.removeprefix("ERROR: ").rstrip(";").lower()
            yield problem(f"{there} and {view.name} do not match on {link.topic}: {words}", remedy)


def _stamp(link: Link, view: DepthNodeView) -> Iterator[Finding]:
    if link.heard is None or link.kind == INFO_TYPE:
        return
    stamp = nanoseconds(link.heard.message.header.stamp)
    age = (link.heard.arrival - stamp) * 1e-9
    clock = "/clock" if view.simulated_time else "the clock of this machine"
    if stamp == 0:
        yield warning(
            f"messages on {link.topic} have no stamp: they fit no transform and no other sensor",
            "make the driver stamp them",
        )
    elif not -_AHEAD <= age <= _OLD:
        side = f"{age:.1f} s behind" if age > 0 else f"{-age:.1f} s ahead of"
        yield warning(
            f"stamps on {link.topic} are {side} {clock}",
            "synchronise the clocks (chrony, PTP); for a bag use --clock and use_sim_time, or "
            "restamp; a driver that queues needs a shorter queue",
        )


def _large_images(graph: GraphView, link: Link) -> Iterator[Finding]:
    if link.heard is None:
        return
    size = len(link.heard.message.data)
    for publisher in link.others:
        segment = segment_size(publisher.endpoint_gid, graph.own_gid)
        if segment is not None and size > segment:
            yield warning(
                f"images on {link.topic} have {size / 1e6:.1f} MB, but the shared memory of "
                f"{full_name(publisher.node_namespace, publisher.node_name)} holds "
                f"{segment / 1e6:.1f} MB: Fast DDS cuts them up, and best-effort ones get lost",
                "start the publisher with FASTRTPS_DEFAULT_PROFILES_FILE (from Kilted on "
                "FASTDDS_DEFAULT_PROFILES_FILE) set to this package's "
                "node/runtime/fastdds_profile.xml",
            )


# Where things stand --------------------------------------------------------------------------


def _positions(graph: GraphView, view: DepthNodeView, image: Link) -> Iterator[Finding]:
    """The transforms that the chosen scaler needs at the time of an image."""
    if image.heard is None or view.parameters.get("sensor_extrinsics"):
        return
    header = image.heard.message.header
    needed = {
        link.heard.message.header.frame_id: f"points of {link.topic}"
        for link in view.inputs
        if link.heard and (link.kind in POINT_TYPES or _is_sensor(link.topic, view))
    }
    scaler = str(view.parameters["scaler"])
    grounded = scaler != AUTO and FrameInput.GROUND in inputs_of(scaler)
    if grounded and not view.parameters.get("camera_height"):
        needed[str(view.parameters.get("base_frame"))] = "the height of the camera"
    if view.parameters.get("fixed_frame"):
        needed[str(view.parameters["fixed_frame"])] = "the motion of the camera"
    for frame, purpose in needed.items():
        try:
            graph.transforms.lookup(header.frame_id, frame, 0, 0.0)
        except TransformError as error:
            yield problem(
                f"{purpose} cannot be used: {error}".rstrip(". "),
                f"publish where {header.frame_id} stands (robot_state_publisher, or ros2 run "
                "tf2_ros static_transform_publisher), or set sensor_extrinsics",
            )
            continue
        try:
            graph.transforms.lookup(header.frame_id, frame, nanoseconds(header.stamp), 0.0)
        except TransformError as error:
            yield problem(
                f"{purpose} cannot be used, the transform is stale: {error}".rstrip(". "),
                "see that its publisher still runs and uses the same clock (ros2 run tf2_ros "
                "tf2_monitor)",
            )


# What goes out -------------------------------------------------------------------------------


def _outputs(view: DepthNodeView) -> Iterator[Finding]:
    for link in view.outputs:
        yield from _mismatches(link, view, incoming=False)
    if not any(link.others for link in view.outputs):
        yield warning(
            f"nobody subscribes to an output of {view.name}, so it computes nothing",
            f"subscribe, for example to {view.name}/depth/image",
        )


def _metres(graph: GraphView, view: DepthNodeView) -> Iterator[Finding]:
    """Relative disparity or depth that nothing makes metres of."""
    scaler = view.parameters["scaler"]
    silent = [link.topic for link in view.inputs if link.kind in POINT_TYPES and not link.others]
    there = [t for t in graph.published(*POINT_TYPES) if not _is_below(t, view.name)]
    sources = f"; nobody publishes {', '.join(silent)}" if silent else ""
    sources += f"; there is {', '.join(near_names(silent[0], there))}" if silent and there else ""
    for figures in view.figures:
        # Before the first answer, only a scaler that never measures is known to fail.
        measures = bool(inputs_of(str(scaler)))
        quality = figures.get("scale_quality", "" if measures else Quality.INVALID.value)
        kind = PredictionKind(figures.get("kind", PredictionKind.METRIC_DEPTH.value))
        if not kind.metric and quality == Quality.INVALID.value:
            yield problem(
                f"model {figures['model']} gives {kind.words} and scaler {scaler} makes no "
                f"metres of it ({figures.get('scale_reason', 'it never measures')}), so the depth "
                f"of {view.name} stays empty{sources}",
                "take a metric model, or give it a measure: a LiDAR or range sensor (cloud_topics, "
                "scan_topics, range_topics), camera_height above flat ground, odometry, or scaler "
                "fixed with scale and shift",
            )


def _device(view: DepthNodeView) -> Iterator[Finding]:
    figures = next(iter(view.figures), {})
    if not figures.get("device", "").startswith("cpu") or not has_gpu():
        return
    if view.parameters.get("device") == "cpu":
        remedy = "set device to auto and configure the node again"
    elif figures["backend"].startswith("onnx"):
        remedy = "install onnxruntime-gpu in place of onnxruntime"
    else:
        remedy = (
            f"torch {importlib.metadata.version('torch')} finds no GPU: install a build with CUDA "
            "that fits the driver (nvidia-smi)"
        )
    yield warning(f"{view.name} runs on the CPU, but this machine has an NVIDIA GPU", remedy)


def _own_words(view: DepthNodeView) -> Iterator[Finding]:
    """What the node itself complains about."""
    for status, figures in zip(view.statuses.values(), view.figures, strict=True):
        dropped = [
            f"{reason.key} {figures[reason.key]}"
            for reason in DropReason
            if reason.is_failure and reason.key in figures
        ]
        if dropped and figures.get("frames_out") == "0":
            yield problem(
                f"{status.name}: no image was answered ({', '.join(dropped)})",
                "its log says more about each",
            )
        if status.level != DiagnosticStatus.OK:
            make = warning if status.level == DiagnosticStatus.WARN else problem
            yield make(f"{status.name} says: {status.message}", "its log says more")


def _who(link: Link) -> str:
    return " and ".join(full_name(o.node_namespace, o.node_name) for o in link.others)
