"""Checkpoints of Video Depth Anything: recognised, read, and made a network.

A relative and a metric file hold tensors of the same names; which it is stands in the name
(metric_video_depth_anything_vits.pth) or in our own metadata.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.video_depth_anything.models import METRIC
from depth_anything_ros.network.family import CheckpointHints, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork

_TEMPORAL = "motion_modules.0.temporal_transformer.proj_in.weight"


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are of Video Depth Anything; see `NetworkFamily`."""
    return any(name.endswith(_TEMPORAL) for name in names)


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """Metadata in the name of a file; see `NetworkFamily`."""
    metric = METRIC in name.lower().replace("-", "_")
    kind = PredictionKind.METRIC_DEPTH if metric else PredictionKind.RELATIVE_DISPARITY
    return CheckpointHints("its name", kind, version="video")


def build(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    """The network of some tensors; see `NetworkFamily`."""
    # Late: the record of this family is read where torch is not needed.
    from depth_anything_ros.network.families.depth_anything.network import (
        HEAD_WIDTH,
        DepthAnythingConfig,
        default_taps,
    )
    from depth_anything_ros.network.families.video_depth_anything.network import VideoDepthAnything

    state = {
        f"depth_{name}" if name.startswith("head.") else name: tensor
        for name, tensor in state.items()
    }
    try:
        positions, width = state["pretrained.pos_embed"].shape[-2:]
        blocks = (name.split(".") for name in state if name.startswith("pretrained.blocks."))
        depth = 1 + max(int(parts[2]) for parts in blocks)
        first, second, third, fourth = (
            state[f"depth_head.projects.{level}.weight"].shape[0] for level in range(4)
        )
        config = DepthAnythingConfig(
            width=width,
            depth=depth,
            heads=width // HEAD_WIDTH,
            features=state["depth_head.scratch.layer1_rn.weight"].shape[0],
            out_channels=(first, second, third, fourth),
            taps=default_taps(depth),
            grid=math.isqrt(positions - 1),
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"'{path}' is not a complete Video Depth Anything checkpoint ({error}); download it "
            "again"
        ) from error
    metric = hints.kind is PredictionKind.METRIC_DEPTH
    return with_weights(
        lambda: VideoDepthAnything(config, metric),
        state,
        path,
        f"{config.encoder} network of Video Depth Anything",
    )
