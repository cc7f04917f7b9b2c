"""The published networks of Depth Anything 3 for single images."""

from __future__ import annotations

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import APACHE, ModelInfo

INPUT_SIZE = 504
"""Longer side of the network's input in the official code, in pixels (api.py, process_res)."""

CANONICAL_FOCAL = 300.0
"""Focal length in pixels of the metric network's canonical camera (apply_metric_scaling)."""

MONO, METRIC = "da3mono-large", "da3metric-large"
"""Names of the networks in the official config.json (`model_name`)."""


def _single_view(name: str, canonical_focal: float | None) -> ModelInfo:
    """A network for single images (licences and sizes: the model cards on Hugging Face)."""
    return ModelInfo(
        name=name.replace("-", "_"),
        encoder="vitl",
        version="v3",
        kind=PredictionKind.RELATIVE_DEPTH,
        canonical_focal=canonical_focal,
        licence=APACHE,
        size_mb=1337.0,
        repo=f"depth-anything/{name.upper()}",
        filename="model.safetensors",
        input_size=INPUT_SIZE,
    )


MODELS = (_single_view(MONO, None), _single_view(METRIC, CANONICAL_FOCAL))
"""The catalogue entries of this family."""
