"""Checkpoints of the lite family: recognised, read, and made a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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

    if hints.kind not in (None, PredictionKind.RELATIVE_DISPARITY):
        raise CheckpointError(
            f"'{path}' is asked for metres, but lite networks give disparity; drop max_depth"
        )
    config = _config_of(state, path)
    return with_weights(
        lambda: LiteDepth(config), state, path, f"{config.variant} network of the lite family"
    )


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
            return LiteConfig(variant, state["head.fusions.0.reduce.weight"].shape[0], hidden)
    raise CheckpointError(
        f"'{path}' is no complete network of the lite family ({', '.join(VARIANTS)}); make it again"
    )
