"""The published networks of Prompt Depth Anything."""

from __future__ import annotations

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import APACHE, ModelInfo

_NOTE = (
    "Apache-2.0 is the licence of transformers' code of Prompt Depth Anything; see the card of the "
    "weights before commercial use"
)

MODELS = (
    ModelInfo(
        name="prompt_depth_anything_vits",
        encoder="vits",
        version="prompt",
        kind=PredictionKind.METRIC_DEPTH,
        licence=APACHE,
        licence_note=_NOTE,
        size_mb=100.0,
        repo="depth-anything/prompt-depth-anything-vits-hf",
        filename="model.safetensors",
    ),
)
"""The catalogue entry of this family, in transformers' layout."""
