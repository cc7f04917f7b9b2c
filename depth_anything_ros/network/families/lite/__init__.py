"""Small networks for CPUs: EfficientNet-Lite encoder and DPT head; the embedded one is of them."""

from __future__ import annotations

from depth_anything_ros.network.families.lite import checkpoint
from depth_anything_ros.network.family import FAMILIES, NetworkFamily

FAMILIES.register(
    NetworkFamily(
        name="lite",
        meaning="small networks for CPUs: EfficientNet-Lite encoder, DPT head; disparity",
        rank=30,
        models=(),
        recognises=checkpoint.recognises,
        hints=checkpoint.hints,
        build=checkpoint.build,
    )
)
