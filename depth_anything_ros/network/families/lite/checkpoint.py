"""Checkpoints of the lite family: recognised, read, and made a network."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.family import CheckpointHints, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork
    from depth_anything_ros.network.families.lite.network import LiteConfig

_NAMES = ("backbone.stem.weight", "head.fusions.0.reduce.weight", "head.output.weight")


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are a lite network; see `NetworkFamily`."""
    return all(name in names for name in _NAMES)


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """What a file without metadata is taken for; see `NetworkFamily`."""
    return CheckpointHints("its family", PredictionKind.RELATIVE_DISPARITY)


def build(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    """The network of some tensors; see `NetworkFamily`."""
    # Late: the record of this family is read where torch is not needed.
    from depth_anything_ros.network.families.lite.network import LiteDepth

    if hints.kind is PredictionKind.METRIC_DEPTH:
        raise CheckpointError(
            f"'{path}' is asked for metres up to a maximum, which lite networks do not have; drop "
            "max_depth"
        )
    config = replace(_config_of(state, path), canonical_focal=_canonical_focal(hints, path))
    return with_weights(
        lambda: LiteDepth(config), state, path, f"{config.variant} network of the lite family"
    )


def _canonical_focal(hints: CheckpointHints, path: Path) -> float | None:
    """The canonical camera's focal length in pixels, where the file names one."""
    from depth_anything_ros.network.families.lite.network import CANONICAL_FOCAL

    text = (hints.details or {}).get(CANONICAL_FOCAL)
    if (hints.kind is PredictionKind.RELATIVE_DEPTH) != (text is not None):
        raise CheckpointError(
            f"'{path}' has metadata that contradict each other: kind {hints.kind} and "
            f"canonical_focal {text}; make it again"
        )
    if text is None:
        return None
    try:
        focal = float(text)
    except ValueError:
        focal = math.nan
    if not (math.isfinite(focal) and focal > 0):
        raise CheckpointError(
            f"'{path}' has canonical_focal {text}; it must be a positive number of pixels"
        )
    return focal


def _config_of(state: Mapping[str, Tensor], path: Path) -> LiteConfig:
    """The architecture, read from the shapes of the tensors."""
    from depth_anything_ros.network.families.lite.encoder import VARIANTS, variant_stages
    from depth_anything_ros.network.families.lite.network import LiteConfig

    widths = {
        name: tensor.shape[0]
        for name, tensor in state.items()
        if name.startswith("backbone.stages.") and name.endswith(".project.weight")
    }
    for variant in VARIANTS:
        wanted = {
            f"backbone.stages.{number}.{place}.project.weight": stage.channels
            for number, stage in enumerate(variant_stages(variant))
            for place in range(stage.repeats)
        }
        if widths == wanted:
            hidden = state["head.output.weight"].shape[1]
            return LiteConfig(
                variant,
                state["head.fusions.0.reduce.weight"].shape[0],
                hidden,
                specialist="specialist.output.weight" in state,
            )
    raise CheckpointError(
        f"'{path}' is no complete network of the lite family ({', '.join(VARIANTS)}); make it again"
    )
