"""Depth Anything 3: monocular depth with sky, and metric depth of a canonical camera."""

from __future__ import annotations

from depth_anything_ros.network.families.depth_anything_3 import checkpoint
from depth_anything_ros.network.families.depth_anything_3.models import MODELS
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="depth_anything_3",
        meaning="Depth Anything 3: DINOv2 encoder, DPT head; depth and sky, or metres by focal "
        "length",
        rank=20,
        models=MODELS,
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.build,
    )
)
