"""The data set Virtual KITTI 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.training.samples import Sample, read_labelled
from depth_anything_ros.training.sources import SOURCES, SourceKind


class VirtualKitti2:
    """Virtual KITTI 2 as it is unpacked.

    Layout (europe.naverlabs.com, README of the data set): `SceneXX/VARIATION/frames/` with
    `rgb/Camera_C/rgb_NNNNN.jpg` and `depth/Camera_C/depth_NNNNN.png`, 16 bit in centimetres along
    the optical axis; 65535 is the sky.

    Args:
        folder: Folder with the scenes.

    Raises:
        InputError: It holds no frames.
    """

    def __init__(self, folder: Path) -> None:
        self._images = sorted(folder.glob("Scene*/*/frames/rgb/Camera_*/rgb_*.jpg"))
        if not self._images:
            raise InputError(f"{folder} holds no Scene*/*/frames/rgb/Camera_*/rgb_*.jpg")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._images)

    def sample(self, number: int) -> Sample:
        """Get one frame with its depth."""
        image = self._images[number]
        frames = image.parents[2]
        name = image.stem.replace("rgb_", "depth_") + ".png"
        depth = read_depth(frames / "depth" / image.parent.name / name, 100.0)
        return read_labelled(image, np.where(depth >= 655.35, np.float32(np.inf), depth))


SOURCES.register(
    SourceKind(
        "vkitti2",
        "the data set Virtual KITTI 2",
        lambda recipe, seed: VirtualKitti2(recipe.folder),
        rank=30,
    )
)
