"""The published networks of all families by name, and those that stand for a choice.

Nothing here loads torch, so listing the catalogue is instant.
"""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.network.family import FAMILIES
from depth_anything_ros.network.model_info import ModelInfo

EMBEDDED = "embedded"
"""Name of the small network that comes with this package."""

EMBEDDED_FILE = Path(__file__).parent / "embedded" / "depth_anything_lite.safetensors"
"""Its weights; MODEL_CARD.md beside them describes how they were made."""

DEFAULT_MODEL = "depth_anything_v2_vits"
"""What `model: auto` takes where it can be had: the one V2 network whose licence allows any use."""


def catalogue() -> dict[str, ModelInfo]:
    """Every published network by name (the stem of the official file), family by family."""
    return {info.name: info for family in FAMILIES for info in family.models}
