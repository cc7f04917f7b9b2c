"""Pictures that a teacher labelled."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.training.pseudo_labels import PseudoLabels
from depth_anything_ros.training.sources import SOURCES, Labels, SourceKind

SOURCES.register(
    SourceKind(
        "pseudo",
        "pictures with the labels of a teacher",
        lambda recipe, seed: PseudoLabels(
            recipe.folder, Path(recipe.labels).expanduser(), recipe.label_focal or None
        ),
        labels=Labels.PSEUDO,
        rank=60,
    )
)
