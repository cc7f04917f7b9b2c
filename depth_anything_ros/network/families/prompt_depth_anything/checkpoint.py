"""Checkpoints of Prompt Depth Anything in transformers' layout: recognised, made a network."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.family import CheckpointHints, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork
    from depth_anything_ros.network.families.prompt_depth_anything.network import (
        PromptDepthAnything,
    )

_PROMPT = re.compile(r"\.prompt_depth_layer\.convolution([123])\.")


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are of Prompt Depth Anything; see `NetworkFamily`."""
    return any(_PROMPT.search(name) for name in names)


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """Its numbers are metres as those it is prompted with; see `NetworkFamily`."""
    return CheckpointHints("its tensors", PredictionKind.METRIC_DEPTH)


def refuse(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    """Say what it is for: it gives no metres of an image alone; see `NetworkFamily`."""
    raise CheckpointError(
        f"'{path}' is Prompt Depth Anything, which adds detail to measured depth; choose another "
        "model, and give this one as prior_model with refinement prior"
    )


def build(state: dict[str, Tensor], path: Path) -> PromptDepthAnything:
    """The network of some tensors.

    Args:
        state: Tensors as the file names them; they become its weights.
        path: The file, for messages.

    Returns:
        The network in float32 and evaluation mode on the CPU.

    Raises:
        CheckpointError: They are not of such a network.
    """
    from depth_anything_ros.network.families.depth_anything import hugging_face_keys
    from depth_anything_ros.network.families.depth_anything.network import (
        HEAD_WIDTH,
        DepthAnythingConfig,
        default_taps,
    )
    from depth_anything_ros.network.families.prompt_depth_anything.network import (
        PromptDepthAnything,
    )

    try:
        state = {
            _PROMPT.sub(lambda match: f".resConfUnit_depth.{2 * int(match[1]) - 2}.", name): tensor
            for name, tensor in hugging_face_keys.to_official(state).items()
        }
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
            f"'{path}' is not a complete Prompt Depth Anything checkpoint ({error}); download it "
            "again"
        ) from error
    return with_weights(
        lambda: PromptDepthAnything(config),
        state,
        path,
        f"{config.encoder} network of Prompt Depth Anything",
    )
