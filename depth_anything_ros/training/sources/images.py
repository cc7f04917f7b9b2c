"""Pictures of a folder, without labels."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import IMAGE_SUFFIXES, read_image
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
        self.paths = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES
        )
        if not self.paths:
            raise InputError(f"{folder} holds no images")

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def sample(self, number: int) -> Sample:
        """Get one picture, without a label."""
        return Sample(read_image(self.paths[number]))


SOURCES.register(
    SourceKind(
        "images",
        "pictures without labels, to be labelled",
        lambda recipe, seed: ImageFolder(recipe.folder),
        labels=Labels.NONE,
        rank=70,
    )
)
