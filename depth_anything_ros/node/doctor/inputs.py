"""What comes in: images, calibrations, stamps, quality of service, transforms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from rclpy.qos import QoSCompatibility, qos_check_compatible
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.errors import InputError
from depth_anything_ros.installed_commands import ros2_command
from depth_anything_ros.metric.selection import AUTO, inputs_of
from depth_anything_ros.metric.source import FrameInput
from depth_anything_ros.node.doctor.findings import Finding, problem, warning
from depth_anything_ros.node.doctor.graph import (
    IMAGE_TYPES,
    INFO_TYPE,
    POINT_TYPES,
    DepthNodeView,
    GraphView,
    Link,
    full_name,
)
from depth_anything_ros.node.doctor.topics import (
    folder_of,
    is_below,
    is_sensor,
    near_names,
    who_is_there,
)
from depth_anything_ros.node.messages import camera_from_info, image_to_rgb, nanoseconds
from depth_anything_ros.node.runtime.shared_memory import segment_size
from depth_anything_ros.node.sensors.transforms import TransformError

_OLD, _AHEAD = 1.0, 0.1
"""Seconds by which a stamp may lie behind and before its arrival: a slow camera, and NTP."""


@dataclass(frozen=True)
class CameraLinks:
    """A camera's two topics."""

    image: Link
    info: Link


def cameras_of(view: DepthNodeView) -> list[CameraLinks]:
    """Each camera_info with the image topic that shares most of its name, masks last."""
    infos = {link.topic: link for link in view.inputs if link.kind == INFO_TYPE}
    pictures = [link for link in view.inputs if link.kind in IMAGE_TYPES]
    images = [link for link in pictures if not is_sensor(link.topic, view)]
    sensors = [link.topic for link in pictures if link not in images]
    beside = {f"{folder_of(topic)}/camera_info" for topic in sensors}
    beside |= {f"{topic}_camera_info" for topic in sensors}
    cameras = []
    for info in [infos[topic] for topic in infos.keys() - beside] or list(infos.values()):
        parts = folder_of(info.topic).split("/")

        def likeness(image: Link, parts: list[str] = parts) -> tuple[bool, int]:
            theirs = folder_of(image.topic).split("/")
            shared = sum(a == b for a, b in zip(parts, theirs, strict=False))
            return not image.topic.endswith("/mask"), shared

        if images:
            cameras.append(CameraLinks(max(images, key=likeness), info))
    return sorted(cameras, key=lambda camera: camera.image.topic)


def check_image(graph: GraphView, view: DepthNodeView, link: Link) -> Iterator[Finding]:
    """Whether images come, and can be read."""
    if not link.others:
        yield _nobody(graph, view, link, IMAGE_TYPES)
    elif link.heard is None:
        arriving = any(float(figures.get("rate_in_hz", 0)) > 0 for figures in view.figures)
        if not arriving and not any(check_qos(link, view)):
            yield problem(
                f"{who_is_there(link)} announces {link.topic}, but no image came",
                f"see whether the driver sends ({ros2_command('topic hz', 'its log')}); large "
                "images get lost without shared memory or over a weak network",
            )
    elif isinstance(link.heard.message, Image):
        try:
            image_to_rgb(link.heard.message)
        except InputError as error:
            yield problem(f"images on {link.topic} cannot be used: {error}", "change the driver")


def _nobody(graph: GraphView, view: DepthNodeView, link: Link, kinds: Sequence[str]) -> Finding:
    others = [topic for topic in graph.published(*kinds) if not is_below(topic, view.name)]
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


def check_info(graph: GraphView, view: DepthNodeView, camera: CameraLinks) -> Iterator[Finding]:
    """Whether a usable camera_info comes with the images."""
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
                f"{who_is_there(link)} announces it: points are not published",
                "make the driver publish one with every image",
            )
        return
    info = link.heard.message
    if not any(info.k):
        tool = "run camera_calibration cameracalibrator"
        yield problem(
            f"camera_info on {link.topic} has K = 0: the camera is not calibrated, so points are "
            "not published and nothing can be measured",
            f"calibrate it ({ros2_command(tool, 'with camera_calibration of ROS 2')}) and "
            "give the driver the file (camera_info_url)",
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


def check_qos(link: Link, view: DepthNodeView, incoming: bool = True) -> Iterator[Finding]:
    """Endpoints that cannot match the depth node's."""
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


def check_stamps(link: Link, view: DepthNodeView) -> Iterator[Finding]:
    """Stamps that are missing, or of another clock."""
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


def check_large_images(graph: GraphView, link: Link) -> Iterator[Finding]:
    """Images that do not fit the shared memory of their publisher."""
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


def check_positions(graph: GraphView, view: DepthNodeView, image: Link) -> Iterator[Finding]:
    """The transforms that the chosen scaler needs at the time of an image."""
    if image.heard is None or view.parameters.get("sensor_extrinsics"):
        return
    header = image.heard.message.header
    needed = {
        link.heard.message.header.frame_id: f"points of {link.topic}"
        for link in view.inputs
        if link.heard and (link.kind in POINT_TYPES or is_sensor(link.topic, view))
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
                f"publish where {header.frame_id} stands (robot_state_publisher, or "
                "static_transform_publisher of tf2_ros), or set sensor_extrinsics",
            )
            continue
        try:
            graph.transforms.lookup(header.frame_id, frame, nanoseconds(header.stamp), 0.0)
        except TransformError as error:
            yield problem(
                f"{purpose} cannot be used, the transform is stale: {error}".rstrip(". "),
                "see that its publisher still runs and uses the same clock "
                f"({ros2_command('run tf2_ros tf2_monitor', 'tf2_monitor of tf2_ros shows it')})",
            )
