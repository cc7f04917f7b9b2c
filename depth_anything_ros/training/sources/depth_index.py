"""Pictures with depth files, as an index lists them."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.depth_index import read_index
from depth_anything_ros.training.samples import Sample, read_labelled
from depth_anything_ros.training.sources import SOURCES, SourceKind


class DepthIndex:
    """Pictures with depth files; the format of the list is that of `formats.depth_index`.

    Args:
        index: The index.

    Raises:
        InputError: The index cannot be read, or lists what does not exist.
    """

    def __init__(self, index: Path) -> None:
        self._entries = read_index(index)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._entries)

    def sample(self, number: int) -> Sample:
        """Get one picture with its depth."""
        entry = self._entries[number]
        return read_labelled(entry.image, read_depth(entry.depth, entry.png_scale), entry.sparse)


SOURCES.register(
    SourceKind(
        "index",
        "an index of pictures and depth files (CSV or YAML)",
        lambda recipe, seed: DepthIndex(recipe.folder),
        rank=40,
    )
)
