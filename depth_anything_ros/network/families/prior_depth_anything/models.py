"""The published networks of Prior Depth Anything."""

from __future__ import annotations

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import APACHE, ModelInfo

_NOTE = (
    "Apache-2.0 is the licence of the code of Prior Depth Anything, whose README says nothing of "
    "the weights; ask the authors before commercial use"
)

_SIZES = {"vits": 99.0, "vitb": 390.0}
"""Encoder -> MB of the tensors in float32."""


def _info(encoder: str) -> ModelInfo:
    """The second stage in version 1.1, which is shown where points are (prior_depth_anything)."""
    name = f"prior_depth_anything_{encoder}_1_1"
    return ModelInfo(
        name=name,
        encoder=encoder,
        version="1.1",
        kind=PredictionKind.METRIC_DEPTH,
        licence=APACHE,
        licence_note=_NOTE,
        size_mb=_SIZES[encoder],
        repo="Rain729/Prior-Depth-Anything",
        filename=f"{name}.pth",
    )


MODELS = tuple(_info(encoder) for encoder in _SIZES)
"""The catalogue entries of this family; the names are the stems of the official files."""
