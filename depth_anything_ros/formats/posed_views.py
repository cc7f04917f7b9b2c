"""Images with metric depth and poses: of a recording, or of a COLMAP model with depth files.

What is exported to 3D (`depth_anything export3d`) is read here.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import (
    CAMERA_INFO_TYPE,
    TRANSFORM_TYPE,
    Bag,
    camera_of,
    image_of,
    logger,
    stamp_of,
    transforms_of,
)
from depth_anything_ros.formats.colmap import ColmapImage, ColmapModel, read_colmap
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.encodings import DEPTH_ENCODINGS, decode_depth
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.formats.recording import (
    camera_info_beside,
    camera_of_topic,
    choose_camera_info_topic,
    choose_image_topic,
)
from depth_anything_ros.frames import FloatArray, FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.rectification import rectify
from depth_anything_ros.geometry.transform_tree import TransformTree

_IMAGE_TYPE = "sensor_msgs/msg/Image"
_ODOMETRY_TYPE = "nav_msgs/msg/Odometry"
_KEPT = 200
_SLOP_NS = 20_000_000
_FIXED = ("map", "odom", "world")
_LEAST_POINTS = 20
"""Triangulated points with depth from which a COLMAP model gets its metres."""


@dataclass(frozen=True)
class PosedView:
    """One image with depth, seen from a known place.

    Attributes:
        name: What its files are called.
        rgb: HxWx3 uint8 RGB, without distortion.
        depth_m: HxW float32 metres along the optical Z axis, NaN where unknown.
        camera: The pinhole camera of both.
        pose: 4x4 float64, optical frame -> the fixed frame, metres.
        stamp: Time in nanoseconds, 0 where it is not known.
    """

    name: str
    rgb: RgbImage
    depth_m: FloatImage
    camera: Camera
    pose: FloatArray
    stamp: int = 0


@dataclass(frozen=True)
class PoseTopics:
    """What of a recording holds images, depth and poses; empty names are chosen.

    Attributes:
        image: Pictures.
        depth: Depth images with the stamps of the pictures and a camera_info beside them.
        odometry: nav_msgs/Odometry in place of /tf.
        fixed_frame: Frame that does not move; by default map, odom or world, else the topmost.
    """

    image: str = ""
    depth: str = ""
    odometry: str = ""
    fixed_frame: str = ""


def recorded_views(
    path: Path,
    topics: PoseTopics | None = None,
    every: int = 1,
    report: Callable[[str], None] = logger.warning,
) -> Iterator[PosedView]:
    """Read the views of a recording that has depth (`depth_anything convert` adds it).

    Args:
        path: As `Bag` takes it.
        topics: What the user names.
        every: Take every n-th depth image.
        report: Called with what is passed over.

    Yields:
        The images that have depth, and a pose at their time.

    Raises:
        InputError: There is no depth, calibration or pose.
    """
    given = topics or PoseTopics()
    with Bag(path, report) as bag:
        image_topic = choose_image_topic(bag, given.image)
        depth_topic = _choose_depth_topic(bag, given.depth)
        info_topic = camera_info_beside(depth_topic)
        if info_topic not in bag.topics_of(CAMERA_INFO_TYPE):
            raise InputError(f"{path} has no {info_topic}, the calibration of {depth_topic}")
        own_info = choose_camera_info_topic(bag, image_topic)
        own_camera = next((camera_of(each.content) for each in _first(bag, own_info)), None)
        tree = _recorded_tree(bag, given.odometry)
        seen = 0
        pairs = _with_depth(bag, image_topic, depth_topic, info_topic)
        for number, (image, depth, info) in enumerate(pairs):
            if number % every:
                continue
            try:
                camera = camera_of(info)
                depth_m = decode_depth(
                    np.asarray(depth.data, np.uint8),
                    depth.height,
                    depth.width,
                    depth.step,
                    depth.encoding,
                    bool(depth.is_bigendian),
                )
                optical = depth.header.frame_id
                fixed = given.fixed_frame or _fixed_frame(tree, optical)
                pose = tree.lookup(fixed, optical, stamp_of(depth))
                rgb = _as_depth_sees(image_of(image), own_camera, camera, image_topic)
            except InputError as error:
                bag.skip(depth_topic, number, str(error))
                continue
            seen += 1
            yield PosedView(
                f"{path.stem}_{number:06d}", rgb, depth_m, camera, pose, stamp_of(depth)
            )
        if not seen:
            reason = bag.summary() or f"no image of {image_topic} has the stamp of one of them"
            raise InputError(f"{path}: no depth image of {depth_topic} can be used: {reason}")


def colmap_views(
    folder: Path, images: Path, depths: Path, report: Callable[[str], None] = logger.warning
) -> Iterator[PosedView]:
    """Read the views of a COLMAP model, brought to metres by the depth of its own points.

    Args:
        folder: Text model: cameras.txt, images.txt, points3D.txt.
        images: Folder of the pictures.
        depths: Folder with NAME_depth.npy or NAME_depth.png of each (`depth_anything run`).
        report: Called with what is passed over, and with the scale that was found.

    Yields:
        The images that have depth.

    Raises:
        InputError: The model or a file cannot be read, or too few points have depth.
    """
    model = read_colmap(folder)
    found: list[tuple[ColmapImage, FloatImage]] = []
    for image in model.images:
        path = _depth_file(depths, image.name)
        if path is None:
            report(f"{image.name} has no depth in {depths}; left out")
        else:
            found.append((image, read_depth(path)))
    scale = _metric_scale(model, found, folder)
    report(f"{folder}: one unit of the model is {scale:.4g} m")
    for image, depth_m in found:
        rgb = read_image(images / image.name)
        camera = model.cameras[image.camera].fitted(rgb.shape[1], rgb.shape[0])
        if depth_m.shape != rgb.shape[:2]:
            raise InputError(
                f"the depth of {image.name} is {depth_m.shape[1]}x{depth_m.shape[0]}, the picture "
                f"{rgb.shape[1]}x{rgb.shape[0]}"
            )
        pose = image.pose.copy()
        pose[:3, 3] *= scale
        name = str(Path(image.name).with_suffix("")).replace("/", "_")
        yield PosedView(name, rgb, depth_m, camera, pose)


def _choose_depth_topic(bag: Bag, given: str) -> str:
    """The depth image's topic: the one named, that of the depth node, or the only one."""
    found = [
        topic
        for topic in bag.topics_of(_IMAGE_TYPE)
        if not topic.endswith(("sigma", "confidence/image", "disparity/image"))
        and any(each.content.encoding in DEPTH_ENCODINGS for each in _first(bag, topic))
    ]
    if given:
        if given not in bag.topics_of(_IMAGE_TYPE):
            raise InputError(f"{bag.path} has no topic {given}; depth is on {', '.join(found)}")
        return given
    own = [topic for topic in found if topic.endswith("/depth/image")]
    best = own or found
    if len(best) == 1:
        return best[0]
    if best:
        raise InputError(f"there are several depth topics: {', '.join(best)}; name one of them")
    raise InputError(
        f"{bag.path} has no depth images; `depth_anything convert {bag.path} -o OUT` adds them"
    )


def _first(bag: Bag, topic: str | None) -> Iterator[Any]:
    """The first message of a topic, if there is one."""
    if topic is not None:
        for message in bag.messages([topic]):
            yield message
            return


def _recorded_tree(bag: Bag, odometry: str) -> TransformTree:
    """All transforms of a recording, and its odometry where that is named."""
    tree = TransformTree(math.inf)
    for message in bag.messages(bag.topics_of(TRANSFORM_TYPE)):
        static = message.topic.rsplit("/", 1)[-1] == "tf_static"
        for each in transforms_of(message.content):
            tree.add(each.parent, each.child, each.matrix, None if static else each.stamp)
    if odometry:
        if odometry not in bag.topics_of(_ODOMETRY_TYPE):
            raise InputError(
                f"{bag.path} has no topic {odometry} of type Odometry; it has "
                f"{', '.join(bag.topics_of(_ODOMETRY_TYPE)) or 'none'}"
            )
        for message in bag.messages([odometry]):
            pose = message.content.pose.pose
            place, turn = pose.position, pose.orientation
            matrix = extrinsics_of(
                (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w), "a pose"
            )
            content = message.content
            tree.add(content.header.frame_id, content.child_frame_id, matrix, stamp_of(content))
    return tree


def _fixed_frame(tree: TransformTree, optical: str) -> str:
    root = tree.root(optical)
    if root in _FIXED or root != optical:
        return root
    raise InputError(
        f"nothing says where '{optical}' is: the recording has no /tf above it; name odometry, "
        "and see that /tf_static connects its child frame with the camera"
    )


def _with_depth(
    bag: Bag, image_topic: str, depth_topic: str, info_topic: str
) -> Iterator[tuple[Any, Any, Any]]:
    """Every depth image with its picture and camera_info: of one stamp, or nearly so."""
    pictures: OrderedDict[int, Any] = OrderedDict()
    depths: OrderedDict[int, Any] = OrderedDict()
    info: Any = None
    for message in bag.messages({image_topic, depth_topic, info_topic}):
        if message.topic == info_topic:
            info = message.content
            continue
        kept = pictures if message.topic == image_topic else depths
        kept[stamp_of(message.content)] = message.content
        while len(kept) > _KEPT:
            kept.popitem(last=False)
        for stamp in [each for each in depths if info is not None]:
            near = min(pictures, key=lambda each: abs(each - stamp), default=None)
            if near is not None and abs(near - stamp) <= _SLOP_NS:
                yield pictures[near], depths.pop(stamp), info


def _as_depth_sees(rgb: RgbImage, own: Camera | None, camera: Camera, image_topic: str) -> RgbImage:
    """The picture with the camera of its depth: rectified where the node rectified it."""
    if own is not None and not camera.is_distorted:
        fitted = camera_of_topic(own, image_topic).fitted(rgb.shape[1], rgb.shape[0])
        if fitted.is_distorted:
            rgb = rectify(rgb, fitted)
    if camera.is_distorted:
        raise InputError("depth has the lens's distortion; make it without `rectify: off`")
    if rgb.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"the picture is {rgb.shape[1]}x{rgb.shape[0]} but its depth "
            f"{camera.width}x{camera.height}"
        )
    return rgb


def _depth_file(folder: Path, image: str) -> Path | None:
    stem = Path(image).stem
    names = (f"{stem}_depth.npy", f"{stem}_depth.png", f"{stem}.npy", f"{stem}.png")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _metric_scale(
    model: ColmapModel, found: list[tuple[ColmapImage, FloatImage]], folder: Path
) -> float:
    """Metres per unit: median over the model's points of depth in metres by depth in units."""
    ratios = []
    for image, depth_m in found:
        camera = model.cameras[image.camera]
        height, width = depth_m.shape
        inverse = np.linalg.inv(image.pose)
        for point, (u, v) in image.points.items():
            if point not in model.points:
                continue
            z = float((inverse[:3, :3] @ model.points[point] + inverse[:3, 3])[2])
            column = round(u * width / camera.width)
            row = round(v * height / camera.height)
            if z > 0 and 0 <= column < width and 0 <= row < height:
                ratios.append(float(depth_m[row, column]) / z)
    known = [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 0]
    if len(known) < _LEAST_POINTS:
        raise InputError(
            f"{folder} has {len(known)} points with depth in metres; {_LEAST_POINTS} are needed "
            "to know its scale (is the depth that of a metric model?)"
        )
    return float(np.median(known))
