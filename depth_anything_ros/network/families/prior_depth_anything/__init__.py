"""Prior Depth Anything: Depth Anything V2 that is shown measured depth beside the image."""

from __future__ import annotations

from depth_anything_ros.network.families.prior_depth_anything import checkpoint
from depth_anything_ros.network.families.prior_depth_anything.models import MODELS
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="prior_depth_anything",
        meaning="Prior Depth Anything: its second stage, for refinement by measured points",
        rank=40,
        models=MODELS,
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.refuse,
    )
)
