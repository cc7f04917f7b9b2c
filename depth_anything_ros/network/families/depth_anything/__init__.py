"""Depth Anything V1 and V2: DINOv2 encoder and DPT head, relative and metric."""

from __future__ import annotations

from depth_anything_ros.network.families.depth_anything import checkpoint
from depth_anything_ros.network.families.depth_anything.models import MODELS
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="depth_anything",
        meaning="Depth Anything V1 and V2: DINOv2 encoder, DPT head; disparity or metres",
        rank=10,
        models=MODELS,
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.build,
    )
)
