"""The published networks of Depth Anything 3."""

from __future__ import annotations

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.model_info import APACHE, NON_COMMERCIAL, ModelInfo

INPUT_SIZE = 504
"""Longer side of the network's input in the official code, in pixels (api.py, process_res)."""

CANONICAL_FOCAL = 300.0
"""Focal length in pixels of the metric network's canonical camera (apply_metric_scaling)."""

MONO, METRIC = "da3mono-large", "da3metric-large"
"""Names of the networks in the official config.json (`model_name`)."""

_ANY_VIEW = {
    "da3-small": ("vits", 137.0, APACHE),
    "da3-base": ("vitb", 542.0, APACHE),
    "da3-large": ("vitl", 1644.0, NON_COMMERCIAL),
    "da3-giant": ("vitg", 5428.0, NON_COMMERCIAL),
}
"""Name in config.json -> encoder, MB of the tensors in float32, licence (README)."""


_RETRAINED = "-1.1"
"""The large networks were trained again after a mistake in their training, and the README asks to
prefer these."""


def _info(
    name: str, encoder: str, size_mb: float, licence: str, canonical_focal: float | None = None
) -> ModelInfo:
    return ModelInfo(
        name=name.replace("-", "_"),
        encoder=encoder,
        version="v3",
        kind=PredictionKind.RELATIVE_DEPTH,
        canonical_focal=canonical_focal,
        licence=licence,
        size_mb=size_mb,
        repo=f"depth-anything/{name.upper()}{_RETRAINED if licence == NON_COMMERCIAL else ''}",
        filename="model.safetensors",
        input_size=INPUT_SIZE,
    )


_NESTED = "da3nested-giant-large"

MODELS = (
    _info(MONO, "vitl", 1337.0, APACHE),
    _info(METRIC, "vitl", 1337.0, APACHE, CANONICAL_FOCAL),
    *(_info(name, *facts) for name, facts in _ANY_VIEW.items()),
    _info(_NESTED, "vitg", 6765.0, NON_COMMERCIAL, CANONICAL_FOCAL),
)
"""The catalogue entries of this family; sizes are those of the tensors (README: licences)."""
