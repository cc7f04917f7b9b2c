"""The published networks of all families by name, and those that stand for a choice.

Nothing here loads torch, so listing the catalogue is instant.
"""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.family import FAMILIES
from depth_anything_ros.network.model_info import APACHE, ModelInfo

EMBEDDED = "embedded"
"""Name of the small network that comes with this package."""

EMBEDDED_METRIC = "embedded_metric"
"""Name of the small network that comes with this package and gives metres by the focal length."""

EMBEDDED_FILES = {
    name: Path(__file__).parent / "embedded" / f"{stem}.safetensors"
    for name, stem in (
        (EMBEDDED, "depth_anything_lite"),
        (EMBEDDED_METRIC, "depth_anything_lite_metric"),
    )
}
"""Weights that come with this package, by name; MODEL_CARD.md says how they were made."""

EMBEDDED_FILE = EMBEDDED_FILES[EMBEDDED]
"""Weights of the network `embedded`."""

DEFAULT_MODEL = "depth_anything_v2_vits"
"""What `model: auto` takes where it can be had: the one V2 network whose licence allows any use."""


def embedded_models() -> dict[str, ModelInfo]:
    """The networks that come with this package, by name."""
    return {
        name: ModelInfo(
            name=name,
            encoder="lite0",
            version="v1",
            kind=kind,
            canonical_focal=canonical_focal,
            licence=f"{APACHE} AND MIT",  # FastDepth, which runs in it, is under MIT
            size_mb=EMBEDDED_FILES[name].stat().st_size / 1e6,
            input_size=input_size,
        )
        for name, kind, canonical_focal, input_size in (
            (EMBEDDED, PredictionKind.RELATIVE_DISPARITY, None, 128),
            (EMBEDDED_METRIC, PredictionKind.RELATIVE_DEPTH, 173.0, 160),
        )
    }


def catalogue() -> dict[str, ModelInfo]:
    """Every published network by name (the stem of the official file), family by family."""
    return {info.name: info for family in FAMILIES for info in family.models}
