"""Video Depth Anything: Depth Anything V2 whose head looks back over the images before."""

from __future__ import annotations

from depth_anything_ros.network.families.video_depth_anything import checkpoint
from depth_anything_ros.network.families.video_depth_anything.models import MODELS
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="video_depth_anything",
        meaning="Video Depth Anything: depth of images that follow each other, steady over time",
        rank=25,
        models=MODELS,
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.build,
    )
)
