"""Pictures of a folder, without labels."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.training.samples import Sample
from depth_anything_ros.training.sources import SOURCES, Labels, SourceKind


class ImageFolder:
    """Pictures without labels.

    Args:
        folder: Folder, searched through.

    Raises:
        InputError: It holds no picture.
    """

    def __init__(self, folder: Path) -> None:
        self._pictures = PictureFolder(str(folder))

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._pictures.names)

    def sample(self, number: int) -> Sample:
        """Get one picture, without a label."""
        return Sample(self._pictures.read(self._pictures.names[number]))


SOURCES.register(
    SourceKind(
        "images",
        "pictures without labels, to be labelled",
        lambda recipe, seed: ImageFolder(recipe.folder),
        labels=Labels.NONE,
        rank=70,
    )
)
