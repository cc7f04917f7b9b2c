"""The published networks of Video Depth Anything."""

from __future__ import annotations

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import APACHE, NON_COMMERCIAL, ModelInfo

METRIC = "metric_video_depth_anything"
"""Start of the names of the files whose depth is in metres (run.py, --metric)."""

_SIZES = {"vits": ("Small", 28.4), "vitb": ("Base", 113.1), "vitl": ("Large", 381.8)}
"""Encoder -> the word in repository names, millions of parameters (README)."""


def _info(encoder: str, metric: bool) -> ModelInfo:
    """One network (licences: README, which does not name the metric ones apart)."""
    word, millions = _SIZES[encoder]
    name = f"{METRIC if metric else 'video_depth_anything'}_{encoder}"
    start = "Metric-" if metric else ""
    return ModelInfo(
        name=name,
        encoder=encoder,
        version="video",
        kind=PredictionKind.METRIC_DEPTH if metric else PredictionKind.RELATIVE_DISPARITY,
        licence=APACHE if encoder == "vits" else NON_COMMERCIAL,
        size_mb=4 * millions,
        repo=f"depth-anything/{start}Video-Depth-Anything-{word}",
        filename=f"{name}.pth",
    )


MODELS = tuple(_info(encoder, metric) for metric in (False, True) for encoder in _SIZES)
"""The catalogue entries of this family; the names are the stems of the official files."""
