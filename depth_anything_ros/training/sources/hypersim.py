"""The data set Hypersim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, require
from depth_anything_ros.training.samples import Sample, read_labelled
from depth_anything_ros.training.sources import SOURCES, SourceKind


class Hypersim:
    """Hypersim as it is unpacked.

    Layout (github.com/apple/ml-hypersim, README): `ai_VVV_NNN/images/` with
    `scene_cam_XX_final_preview/frame.IIII.tonemap.jpg` and
    `scene_cam_XX_geometry_hdf5/frame.IIII.depth_meters.hdf5`, whose `dataset` is the distance
    from the camera's centre along the ray; NaN where nothing is. The focal length is
    886.81 pixels at 1024x768.

    Args:
        folder: Folder with the scenes.

    Raises:
        InputError: It holds no frames.
        MissingExtraError: h5py is not installed.
    """

    FOCAL = 886.81
    """Focal length in pixels of a picture of 1024 columns (60 degrees)."""

    def __init__(self, folder: Path) -> None:
        require("h5py", "train")
        pattern = "ai_*/images/scene_cam_*_final_preview/frame.*.tonemap.jpg"
        self._images = sorted(folder.glob(pattern))
        if not self._images:
            raise InputError(f"{folder} holds no {pattern}")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._images)

    def sample(self, number: int) -> Sample:
        """Get one frame with its depth along the optical axis."""
        image = self._images[number]
        camera = image.parent.name.replace("_final_preview", "_geometry_hdf5")
        frame = image.name.replace(".tonemap.jpg", ".depth_meters.hdf5")
        path = image.parents[1] / camera / frame
        try:
            with require("h5py", "train").File(path, "r") as file:
                distance = np.asarray(file["dataset"], np.float32)
        except (OSError, KeyError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return read_labelled(image, distance * self._share_of_axis(*distance.shape))

    def _share_of_axis(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Depth along the axis per distance along the ray."""
        focal = self.FOCAL * width / 1024
        x = np.arange(width) - (width - 1) / 2
        y = np.arange(height) - (height - 1) / 2
        return (focal / np.sqrt(x**2 + y[:, None] ** 2 + focal**2)).astype(np.float32)


SOURCES.register(
    SourceKind(
        "hypersim",
        "the data set Hypersim",
        lambda recipe, seed: Hypersim(recipe.folder),
        rank=20,
    )
)
