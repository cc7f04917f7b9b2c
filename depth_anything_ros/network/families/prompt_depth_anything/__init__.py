"""Prompt Depth Anything: Depth Anything V2 that is prompted with depth of few pixels."""

from __future__ import annotations

from depth_anything_ros.network.families.prompt_depth_anything import checkpoint
from depth_anything_ros.network.families.prompt_depth_anything.models import MODELS
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="prompt_depth_anything",
        meaning="Prompt Depth Anything: detail for depth of few pixels, for refinement by points",
        rank=45,
        models=MODELS,
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.refuse,
    )
)
