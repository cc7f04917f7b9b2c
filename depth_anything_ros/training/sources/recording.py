"""A recording of a camera and a LiDAR as pictures with sparse depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.depth_index import DepthSample, write_index
from depth_anything_ros.formats.media import write_image
from depth_anything_ros.formats.recording import SLOP, Recording, Topics
from depth_anything_ros.formats.whole_file import whole_file
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

    Every cloud gets the picture nearest in time and is projected through K and D.

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
    samples = []
    with Recording(bag, Topics(image_topic, "", cloud_topic), extrinsics, slop) as recording:
        for number, (rgb, points) in enumerate(recording.pairs()):
            if not number:
                folder.mkdir(parents=True, exist_ok=True)
            depth = np.zeros(rgb.shape[:2], np.float32)
            order = np.argsort(-points.z)  # the nearest is written last
            rows, columns = np.rint(points.v[order]), np.rint(points.u[order])
            depth[rows.astype(int), columns.astype(int)] = points.z[order]
            name = f"{number:06d}"
            write_image(folder / f"{name}.png", rgb)
            with whole_file(folder / f"{name}.npy") as part:
                np.save(part, depth)
            sample = DepthSample(folder / f"{name}.png", folder / f"{name}.npy", sparse=True)
            samples.append(sample)
    if not samples:
        raise InputError(f"{bag}: no image has a cloud within {slop:g} s; raise slop")
    index = folder / "index.csv"
    write_index(index, samples)
    return index


def _open(recipe: SourceRecipe, seed: int) -> Source:
    folder = Path(recipe.labels or f"{recipe.folder}_frames").expanduser()
    index = folder / "index.csv"
    if not index.exists():
        topics = (recipe.image_topic, recipe.cloud_topic)
        index = extract_recording(recipe.folder, folder, *topics)
    return DepthIndex(index)


SOURCES.register(SourceKind("bag", "a rosbag2 recording of a camera and a LiDAR", _open, rank=50))
