"""What is known about one network file: meaning, licence, where it lives."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.frames import PredictionKind

INPUT_SIZE = 518
"""Shorter side of the network's input in the official V1 and V2 code, in pixels (37 patches)."""

APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC-BY-NC-4.0"
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True)
class ModelInfo:
    """What is known about one network file.

    Attributes:
        name: Catalogue name (the official file's stem), else the stem of the user's file.
        encoder: Size of the encoder as its family names it ("vits", ...), else "custom".
        version: Version of its family ("v1", "v2", ...).
        kind: What its numbers mean.
        max_depth: Metres at the top of a metric network, None for a relative one.
        train_focal: Focal length in pixels of its training images at 518 rows, None if mixed.
        canonical_focal: Focal length in pixels at the network's input for which its depth is in
            metres: Z = depth * focal / canonical_focal; None where there is none.
        train_hfov: Horizontal field of view of its training images in degrees, None if mixed.
        licence: SPDX name of the weights' licence, or "unknown".
        licence_note: What else there is to know about the licence.
        size_mb: Size of the file in MB (10^6 bytes).
        repo: Hugging Face repository of the official file, empty for a user's file.
        repo_type: "model" or "space", as Hugging Face calls it.
        filename: Path of the file in `repo`.
        hf_repo: Hugging Face repository of the same weights in transformers' layout.
        input_size: Side of the input in pixels at which it is best, as its family measures it.
        window: Images of one camera that it sees together as it is loaded.
    """

    name: str
    encoder: str
    version: str
    kind: PredictionKind
    max_depth: float | None = None
    train_focal: float | None = None
    canonical_focal: float | None = None
    train_hfov: float | None = None
    licence: str = UNKNOWN_LICENCE
    licence_note: str = ""
    size_mb: float = 0.0
    repo: str = ""
    repo_type: str = "model"
    filename: str = ""
    hf_repo: str = ""
    input_size: int = INPUT_SIZE
    window: int = 1

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "-NC" in self.licence
