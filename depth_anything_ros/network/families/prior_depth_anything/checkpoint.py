"""Checkpoints of Prior Depth Anything: recognised, and made a network for refinement."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.family import CheckpointHints, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork
    from depth_anything_ros.network.families.prior_depth_anything.network import PriorDepthAnything

_CONDITION = "pretrained.patch_embed.alpha_proj.weight"


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are of Prior Depth Anything; see `NetworkFamily`."""
    return _CONDITION in names


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """Its numbers are metres once it is shown some; see `NetworkFamily`."""
    return CheckpointHints("its tensors", PredictionKind.METRIC_DEPTH)


def refuse(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    """Say what it is for: it gives no depth of an image alone; see `NetworkFamily`."""
    raise CheckpointError(
        f"'{path}' is the second stage of Prior Depth Anything, which completes measured depth; "
        "choose another model, and give this one as prior_model with refinement prior"
    )


def build(state: dict[str, Tensor], path: Path) -> PriorDepthAnything:
    """The network of some tensors.

    Args:
        state: Tensors as the file names them; they become its weights.
        path: The file, for messages.

    Returns:
        The network in float32 and evaluation mode on the CPU.

    Raises:
        CheckpointError: They are not of such a network.
    """
    from depth_anything_ros.network.families.depth_anything.network import (
        HEAD_WIDTH,
        DepthAnythingConfig,
        default_taps,
    )
    from depth_anything_ros.network.families.prior_depth_anything.network import PriorDepthAnything

    if not recognises(state):
        raise CheckpointError(
            f"'{path}' is no network of Prior Depth Anything; prior_model takes an official file "
            "(prior_depth_anything_vits_1_1.pth)"
        )
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
            f"'{path}' is not a complete Prior Depth Anything checkpoint ({error}); download it "
            "again"
        ) from error
    return with_weights(
        lambda: PriorDepthAnything(config),
        state,
        path,
        f"{config.encoder} network of Prior Depth Anything",
    )
