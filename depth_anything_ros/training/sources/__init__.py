"""Where training pictures come from: one file per data set, each a record of `SOURCES`."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.errors import SettingError
from depth_anything_ros.registry import Registry
from depth_anything_ros.training.mixture import Part
from depth_anything_ros.training.samples import Source


class Labels(enum.Enum):
    """What is known of the depth of a source's pictures."""

    MEASURED = "measured"
    """Metres."""
    PSEUDO = "pseudo"
    """Disparity that a teacher predicted."""
    NONE = "none"


@dataclass(frozen=True)
class SourceRecipe:
    """One source of pictures.

    Attributes:
        kind: Name of a registered kind (`SOURCES`).
        path: Folder, CSV file or recording; photographs for textures when synthetic.
        labels: Folder of the shards ("pseudo"), or of the extracted pictures ("bag").
        weight: How often it is drawn, relative to the others.
        width: Columns of synthetic pictures.
        height: Rows of synthetic pictures.
        worlds: Kinds of synthetic worlds; all when empty.
        seed: Seed of synthetic worlds; the recipe's when negative.
        device: Where synthetic rays are traced.
        pictures: How many synthetic pictures there are; 0 for no end.
        store: Folder where a number of synthetic pictures is kept for later epochs.
        image_topic: Topic of a recording's pictures; the only one when empty.
        cloud_topic: Topic of a recording's clouds; the only one when empty.
        label_focal: Focal length of the camera for which a metric teacher's labels are metres
            ("pseudo"), as a multiple of the picture's rows; 0 where they have no metres.
        start: First picture to use, as a share of a finite source.
        stop: End of the pictures to use, as a share of a finite source.
    """

    kind: str
    path: str = ""
    labels: str = ""
    weight: float = 1.0
    width: int = 256
    height: int = 192
    worlds: tuple[str, ...] = ()
    seed: int = -1
    device: str = "cpu"
    pictures: int = 0
    store: str = ""
    image_topic: str = ""
    cloud_topic: str = ""
    label_focal: float = 0.0
    start: float = 0.0
    stop: float = 1.0

    @property
    def folder(self) -> Path:
        """`path` with the home folder filled in."""
        return Path(self.path).expanduser()

    def open(self, seed: int) -> Source:
        """Open it.

        Args:
            seed: The recipe's seed.

        Returns:
            The source, or the part of it between `start` and `stop`.

        Raises:
            InputError: Its files cannot be used.
            SettingError: Its kind is unknown, or a setting does not fit the kind.
        """
        kind = SOURCES.get(self.kind)
        if kind.needs_path and not self.path:
            raise SettingError(f"a source of kind '{self.kind}' needs a path")
        source = kind.open(self, seed)
        if len(source) and (self.start, self.stop) != (0.0, 1.0):
            return Part(source, self.start, self.stop)
        return source


@dataclass(frozen=True)
class SourceKind:
    """A kind of source.

    Attributes:
        name: The word that selects it (`kind` in a recipe).
        summary: What it reads, in one line.
        open: Makes the source of a recipe's entry and the recipe's seed.
        labels: What is known of the depth of its pictures.
        needs_path: Whether `path` must be given.
        rank: Place in lists.
    """

    name: str
    summary: str
    open: Callable[[SourceRecipe, int], Source]
    labels: Labels = Labels.MEASURED
    needs_path: bool = True
    rank: int = 0


SOURCES: Registry[SourceKind] = Registry("kind of a source", "depth_anything_ros.training.sources")
