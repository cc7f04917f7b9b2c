"""The published Depth Anything networks: what they are, their licences, where they live.

Nothing here loads torch, so listing the catalogue is instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.frames import PredictionKind

INPUT_SIZE = 518
"""Shorter side of the network's input in the official code, in pixels (37 patches)."""

HYPERSIM_FOCAL = 886.81 * 518 / 768
"""Focal length in pixels of Hypersim (60 degrees over 1024 columns) at 518 rows: 598.1."""

VKITTI_FOCAL = 725.0087 * 518 / 375
"""Focal length in pixels of Virtual KITTI 2 (725.0087 at 375 rows) at 518 rows: 1001.5."""

APACHE = "Apache-2.0"
NON_COMMERCIAL = "CC-BY-NC-4.0"
UNKNOWN_LICENCE = "unknown"

_METRIC_NOTE = (
    "Apache-2.0 on its model card, while the Depth Anything V2 README puts Base and Large "
    "weights under CC-BY-NC-4.0 without naming the metric ones; ask the authors before "
    "commercial use"
)


@dataclass(frozen=True)
class ModelInfo:
    """What is known about one network file.

    Attributes:
        name: Catalogue name (the official file's stem), else the stem of the user's file.
        encoder: "vits", "vitb", "vitl", "vitg" or "custom".
        version: "v1" or "v2".
        kind: What its numbers mean.
        max_depth: Metres at the top of a metric network, None for a relative one.
        train_focal: Focal length in pixels of its training images at 518 rows, None if mixed.
        train_hfov: Horizontal field of view of its training images in degrees, None if mixed.
        licence: SPDX name of the weights' licence, or "unknown".
        licence_note: What else there is to know about the licence.
        size_mb: Size of the file in MB (10^6 bytes).
        repo: Hugging Face repository of the official file, empty for a user's file.
        repo_type: "model" or "space", as Hugging Face calls it.
        filename: Path of the file in `repo`.
        hf_repo: Hugging Face repository of the same weights in transformers' layout.
        input_size: Shorter side of the input in pixels at which it is best.
    """

    name: str
    encoder: str
    version: str
    kind: PredictionKind
    max_depth: float | None = None
    train_focal: float | None = None
    train_hfov: float | None = None
    licence: str = UNKNOWN_LICENCE
    licence_note: str = ""
    size_mb: float = 0.0
    repo: str = ""
    repo_type: str = "model"
    filename: str = ""
    hf_repo: str = ""
    input_size: int = INPUT_SIZE

    @property
    def non_commercial(self) -> bool:
        """Whether the licence forbids commercial use."""
        return "-NC" in self.licence


_SIZES = {"vits": ("Small", 99.2), "vitb": ("Base", 390.0), "vitl": ("Large", 1341.3)}
"""Encoder -> the word in repository names, MB of the file (as Hugging Face lists them)."""


def _v1(encoder: str) -> ModelInfo:
    """V1 (weights Apache-2.0: the author in the V1 repository's issue 15)."""
    word, size = _SIZES[encoder]
    name = f"depth_anything_{encoder}14"
    return ModelInfo(
        name=name,
        encoder=encoder,
        version="v1",
        kind=PredictionKind.RELATIVE_DISPARITY,
        licence=APACHE,
        size_mb=size,
        repo="LiheYoung/Depth-Anything",
        repo_type="space",
        filename=f"checkpoints/{name}.pth",
        hf_repo=f"LiheYoung/depth-anything-{word.lower()}-hf",
    )


def _v2(encoder: str) -> ModelInfo:
    """V2 relative (licences: README of Depth Anything V2)."""
    word, size = _SIZES[encoder]
    name = f"depth_anything_v2_{encoder}"
    return ModelInfo(
        name=name,
        encoder=encoder,
        version="v2",
        kind=PredictionKind.RELATIVE_DISPARITY,
        licence=APACHE if encoder == "vits" else NON_COMMERCIAL,
        size_mb=size,
        repo=f"depth-anything/Depth-Anything-V2-{word}",
        filename=f"{name}.pth",
        hf_repo=f"depth-anything/Depth-Anything-V2-{word}-hf",
    )


def _metric(encoder: str, indoor: bool) -> ModelInfo:
    """V2 metric (maximum depths: metric_depth/README.md; licences: the model cards)."""
    word, size = _SIZES[encoder]
    data, place = ("Hypersim", "Indoor") if indoor else ("VKITTI", "Outdoor")
    name = f"depth_anything_v2_metric_{data.lower()}_{encoder}"
    return ModelInfo(
        name=name,
        encoder=encoder,
        version="v2",
        kind=PredictionKind.METRIC_DEPTH,
        max_depth=20.0 if indoor else 80.0,
        train_focal=HYPERSIM_FOCAL if indoor else VKITTI_FOCAL,
        train_hfov=60.0 if indoor else 81.2,
        licence=APACHE,
        licence_note="" if encoder == "vits" else _METRIC_NOTE,
        size_mb=size,
        repo=f"depth-anything/Depth-Anything-V2-Metric-{data}-{word}",
        filename=f"{name}.pth",
        hf_repo=f"depth-anything/Depth-Anything-V2-Metric-{place}-{word}-hf",
    )


CATALOGUE: dict[str, ModelInfo] = {
    info.name: info
    for info in (
        *(_v2(encoder) for encoder in _SIZES),
        *(_metric(encoder, True) for encoder in _SIZES),
        *(_metric(encoder, False) for encoder in _SIZES),
        *(_v1(encoder) for encoder in _SIZES),
    )
}
"""Name -> network; the names are the stems of the official files."""

EMBEDDED = "embedded"
"""Name of the small network that comes with this package."""

EMBEDDED_FILE = Path(__file__).parent / "embedded" / "depth_anything_tiny.safetensors"
"""Its weights; MODEL_CARD.md beside them tells how they were made."""

DEFAULT_MODEL = "depth_anything_v2_vits"
"""What `model: auto` takes where it can be had: the one V2 network whose licence allows any use."""
