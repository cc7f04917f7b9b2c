"""The published networks of Depth Anything V1 and V2."""

from __future__ import annotations

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import APACHE, NON_COMMERCIAL, ModelInfo

HYPERSIM_FOCAL = 886.81 * 518 / 768
"""Focal length in pixels of Hypersim (60 degrees over 1024 columns) at 518 rows: 598.1."""

VKITTI_FOCAL = 725.0087 * 518 / 375
"""Focal length in pixels of Virtual KITTI 2 (725.0087 at 375 rows) at 518 rows: 1001.5."""

_METRIC_NOTE = (
    "Apache-2.0 on its model card, while the Depth Anything V2 README puts Base and Large "
    "weights under CC-BY-NC-4.0 without naming the metric ones; ask the authors before "
    "commercial use"
)

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


MODELS = (
    *(_v2(encoder) for encoder in _SIZES),
    *(_metric(encoder, True) for encoder in _SIZES),
    *(_metric(encoder, False) for encoder in _SIZES),
    *(_v1(encoder) for encoder in _SIZES),
)
"""The catalogue entries of this family; the names are the stems of the official files."""
