"""Depth Anything 3: one view with sky, metric depth of a canonical camera, any views."""

from __future__ import annotations

from depth_anything_ros.network.families.depth_anything_3 import checkpoint
from depth_anything_ros.network.families.depth_anything_3.models import MODELS
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="depth_anything_3",
        meaning="Depth Anything 3: depth with sky, metres by focal length, or depth of any views",
        rank=20,
        models=MODELS,
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.build,
    )
)
