"""Checkpoints of Depth Anything V1 and V2: recognised, read, and made a network.

A relative, a metric, a V1 and a V2 file of one encoder hold tensors of the same names and shapes;
which it is stands in the metadata, in the config.json of a `-hf` file, or in the name.
"""

from __future__ import annotations

import logging
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
    from depth_anything_ros.network.families.depth_anything.network import DepthAnythingConfig

logger = logging.getLogger("depth_anything_ros")

_OF_OTHERS = ("sky_output", "alpha_proj", "prompt_depth_layer")
"""Parts of names in Depth Anything 3, Prior and Prompt Depth Anything, which share the rest."""

_OFFICIAL = ("pretrained.pos_embed", "depth_head.projects.3.weight")
_HUGGING_FACE = (
    "backbone.embeddings.cls_token",
    "neck.reassemble_stage.layers.3.projection.weight",
)


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are a Depth Anything network; see `NetworkFamily`."""
    if any(part in name for name in names for part in _OF_OTHERS):
        return False
    return any(all(name in names for name in layout) for layout in (_OFFICIAL, _HUGGING_FACE))


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """Metadata in the name of a file and the config.json beside it; see `NetworkFamily`."""
    return _hints_of_name(name) if config is None else _hints_of_config(config)


def _hints_of_config(config: Mapping[str, Any]) -> CheckpointHints:
    """Metadata in the config.json of a transformers model."""
    try:
        if config.get("model_type") != "depth_anything":
            return CheckpointHints("")
        metric = config.get("depth_estimation_type", "relative") == "metric"
        backbone = config.get("backbone_config") or {}
        # transformers counts the embedding as stage 0, so its index is the block's plus one.
        stages = backbone.get("out_indices") or []
        taps = ",".join(str(int(stage) - 1) for stage in stages)
        return CheckpointHints(
            "its config.json",
            PredictionKind.METRIC_DEPTH if metric else PredictionKind.RELATIVE_DISPARITY,
            float(config.get("max_depth") or 1) if metric else None,
            details={"taps": taps} if taps else None,
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(
            f"the config.json beside the model cannot be read: {error}"
        ) from error


def _hints_of_name(name: str) -> CheckpointHints:
    """Metadata in a name like an official one ("my_depth_anything_v2_metric_vkitti_vits_2")."""
    for data, max_depth in (("hypersim", 20.0), ("vkitti", 80.0)):
        if "metric" in name and data in name:
            return CheckpointHints("its name", PredictionKind.METRIC_DEPTH, max_depth, version="v2")
    if re.search(r"depth_anything_vit[sbl]14", name):
        return CheckpointHints("its name", PredictionKind.RELATIVE_DISPARITY, version="v1")
    if re.search(r"depth_anything_v2_vit[sblg]", name):
        return CheckpointHints("its name", PredictionKind.RELATIVE_DISPARITY, version="v2")
    return CheckpointHints("its name", PredictionKind.METRIC_DEPTH if "metric" in name else None)


def build(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    """The network of some tensors; see `NetworkFamily`."""
    # Late: the record of this family is read where torch is not needed.
    from depth_anything_ros.network.families.depth_anything import hugging_face_keys
    from depth_anything_ros.network.families.depth_anything.network import DepthAnything

    if hugging_face_keys.is_hugging_face(state):
        state = hugging_face_keys.to_official(state)
    kind = hints.kind
    if kind is PredictionKind.METRIC_DEPTH and hints.max_depth is None:
        raise CheckpointError(
            f"'{path}' does not contain its maximum depth; give `max_depth` in metres (official: "
            "20 Hypersim, 80 Virtual KITTI), or choose a metric file"
        )
    if kind is None:
        logger.warning(
            "'%s' does not contain whether it is relative or metric: taken as relative; give "
            "`max_depth` if it is metric",
            path,
        )
    config = _config_of(state, hints, path)
    return with_weights(
        lambda: DepthAnything(config), state, path, f"{config.encoder} network of Depth Anything"
    )


def _config_of(
    state: Mapping[str, Tensor], hints: CheckpointHints, path: Path
) -> DepthAnythingConfig:
    """The architecture, read from the shapes of the tensors."""
    from depth_anything_ros.network.families.depth_anything import network as depth_anything

    head = "depth_head.scratch."
    try:
        positions, width = state["pretrained.pos_embed"].shape[-2:]
        depth = 1 + max(
            int(name.split(".")[2]) for name in state if name.startswith("pretrained.blocks.")
        )
        named = (hints.details or {}).get("taps")
        taps = (
            tuple(int(tap) for tap in named.split(","))
            if named
            else depth_anything.default_taps(depth, hints.version or "v2")
        )
        first, second, third, fourth = (
            state[f"depth_head.projects.{level}.weight"].shape[0] for level in range(4)
        )
        if len(taps) != 4 or not 0 <= taps[0] < taps[1] < taps[2] < taps[3] < depth:
            raise CheckpointError(f"'{path}' names blocks {taps} to read; there are {depth}")
        return depth_anything.DepthAnythingConfig(
            width=width,
            depth=depth,
            heads=width // depth_anything.HEAD_WIDTH,
            features=state[f"{head}layer1_rn.weight"].shape[0],
            out_channels=(first, second, third, fourth),
            taps=(taps[0], taps[1], taps[2], taps[3]),
            max_depth=hints.max_depth,
            swiglu="pretrained.blocks.0.mlp.w12.weight" in state,
            grid=math.isqrt(positions - 1),
            head_features=state[f"{head}output_conv2.0.weight"].shape[0],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"'{path}' is not a complete Depth Anything checkpoint ({error}); download it again"
        ) from error
