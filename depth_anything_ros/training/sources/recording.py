"""A recording of a camera and a LiDAR as pictures with sparse depth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import bags
from depth_anything_ros.formats.depth_index import DepthSample, write_index
from depth_anything_ros.formats.recorded_points import SLOP, chained, static_transforms
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.training.samples import Source
from depth_anything_ros.training.sources import SOURCES, SourceKind, SourceRecipe
from depth_anything_ros.training.sources.depth_index import DepthIndex


def extract_recording(
    bag: Path,
    folder: Path,
    image_topic: str = "",
    cloud_topic: str = "",
    extrinsics: npt.NDArray[np.float64] | None = None,
    slop: float = SLOP,
) -> Path:
    """Turn a rosbag2 recording of a camera and a LiDAR into pictures with sparse depth.

    Every picture gets the cloud nearest in time, projected through K and D.

    Args:
        bag: The recording.
        folder: Where to write pictures (PNG), depth (`.npy`, metres, 0 = unknown) and `index.csv`,
            which `DepthIndex` reads.
        image_topic: Topic of the pictures; the only one when empty.
        cloud_topic: Topic of the PointCloud2; the only one when empty.
        extrinsics: 4x4 float64, LiDAR -> optical frame; from the recording's /tf_static when None.
        slop: Largest difference of the stamps in seconds.

    Returns:
        The index.

    Raises:
        InputError: The recording lacks something, or no picture has a cloud.
        MissingExtraError: `rosbags` is not installed.
    """
    with bags.Bag(bag) as recording:
        images = _only(recording.topics_of(*bags.IMAGE_TYPES), image_topic, "image", bag)
        clouds = _only(recording.topics_of(bags.POINT_CLOUD_TYPE), cloud_topic, "PointCloud2", bag)
        infos = recording.topics_of(bags.CAMERA_INFO_TYPE)
        near = [topic for topic in infos if topic.rsplit("/", 1)[0] == images.rsplit("/", 1)[0]]
        info = _only(near or infos, "", "CameraInfo", bag)
        camera: Camera | None = None
        frames: tuple[str, str] = ("", "")
        transforms = static_transforms(recording)
        points: list[tuple[int, npt.NDArray[np.floating]]] = []
        for message in recording.messages([info, clouds]):
            if message.topic == info and camera is None:
                camera = bags.camera_of(message.content)
                frames = (frames[0], message.content.header.frame_id.lstrip("/"))
            elif message.topic == clouds:
                points.append((bags.stamp_of(message.content), bags.points_of(message.content)))
                frames = (message.content.header.frame_id.lstrip("/"), frames[1])
        if camera is None or not points:
            raise InputError(f"{bag} has no message on {info if camera is None else clouds}")
        if extrinsics is None:
            extrinsics = chained(transforms, frames[1], frames[0])
        stamps = np.array([stamp for stamp, _ in points])
        folder.mkdir(parents=True, exist_ok=True)
        samples = []
        for number, message in enumerate(recording.messages([images])):
            offset = np.abs(stamps - bags.stamp_of(message.content))
            best = int(offset.argmin())
            if offset[best] > slop * 1e9:
                continue
            rgb = bags.image_of(message.content)
            seen = camera.resized(rgb.shape[1], rgb.shape[0])
            local = points[best][1] @ extrinsics[:3, :3].T + extrinsics[:3, 3]
            u, v, z = project(seen, local)
            depth = np.zeros(rgb.shape[:2], np.float32)
            order = np.argsort(-z)  # the nearest is written last
            depth[np.rint(v[order]).astype(int), np.rint(u[order]).astype(int)] = z[order]
            name = f"{number:06d}"
            cv2.imwrite(str(folder / f"{name}.png"), rgb[..., ::-1])
            np.save(folder / f"{name}.npy", depth)
            samples.append(DepthSample(folder / f"{name}.png", folder / f"{name}.npy", sparse=True))
    if not samples:
        raise InputError(f"{bag}: no image has a cloud within {slop:g} s; raise slop")
    index = folder / "index.csv"
    write_index(index, samples)
    return index


def _only(topics: Sequence[str], wanted: str, what: str, bag: Path) -> str:
    if wanted:
        return wanted
    if len(topics) != 1:
        found = ", ".join(topics) or "none"
        raise InputError(f"{bag} has {what} topics: {found}; name the one to use")
    return topics[0]


def _open(recipe: SourceRecipe, seed: int) -> Source:
    folder = Path(recipe.labels or f"{recipe.folder}_frames").expanduser()
    index = folder / "index.csv"
    if not index.exists():
        topics = (recipe.image_topic, recipe.cloud_topic)
        index = extract_recording(recipe.folder, folder, *topics)
    return DepthIndex(index)


SOURCES.register(SourceKind("bag", "a rosbag2 recording of a camera and a LiDAR", _open, rank=50))
