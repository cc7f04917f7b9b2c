"""Checkpoints of Depth Anything 3: recognised, read, and made a network.

The files of the monocular and the metric network hold the same tensors; which it is stands in the
official config.json beside them (`model_name`), in our own metadata or in the name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.depth_anything_3.models import METRIC, MONO
from depth_anything_ros.network.family import CheckpointHints, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork
    from depth_anything_ros.network.families.depth_anything_3.network import SingleViewConfig

_ENCODER = "backbone.pretrained."
_HEAD = "head."
_SKY = "scratch.sky_output_conv2.2.weight"

_UNREAD = {
    "cam_dec.": "the any-view network",
    "da3_metric.": "the nested network",
    "gs_head.": "the Gaussian network",
}
"""Tensors of networks of this family that cannot be run here, by how their names start."""


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are of Depth Anything 3; see `NetworkFamily`."""
    plain = {name.removeprefix("model.") for name in names}
    single_view = {f"{_ENCODER}pos_embed", f"{_HEAD}{_SKY}"} <= plain
    own = {"pretrained.pos_embed", f"depth_head.{_SKY}"} <= plain
    return single_view or own or any(name.startswith(tuple(_UNREAD)) for name in plain)


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """What the name of a file and the config.json beside it say; see `NetworkFamily`."""
    said = config.get("model_name") if config else None
    source = "its config.json" if said else "its name"
    word = str(said or name).lower().replace("_", "-")
    network = METRIC if METRIC in word else MONO if MONO in word else ""
    return CheckpointHints(
        source,
        PredictionKind.RELATIVE_DEPTH if network else None,
        version="v3",
        details={"network": network} if network else None,
    )


def build(state: dict[str, Tensor], told: CheckpointHints, path: Path) -> DepthNetwork:
    """The network of some tensors; see `NetworkFamily`."""
    # Late: the record of this family is read where torch is not wanted.
    from depth_anything_ros.network.families.depth_anything_3.network import SingleView

    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    for start, what in _UNREAD.items():
        if any(name.startswith(start) for name in state):
            raise CheckpointError(
                f"'{path}' holds {what} of Depth Anything 3, which is not supported; use "
                f"{MONO.upper()} or {METRIC.upper()}"
            )
    if told.kind not in (None, PredictionKind.RELATIVE_DEPTH):
        raise CheckpointError(
            f"'{path}' is a Depth Anything 3 network, which gives relative depth, where "
            f"{told.kind.words} is asked for; {METRIC.upper()} gives metres with the focal length"
        )
    state = {
        name.replace(_ENCODER, "pretrained.").replace(_HEAD, "depth_head.", 1)
        if name.startswith((_ENCODER, _HEAD))
        else name: tensor
        for name, tensor in state.items()
    }
    config = _config_of(state, _metric(told, path), path)
    return with_weights(
        lambda: SingleView(config), state, path, f"{config.encoder} network of Depth Anything 3"
    )


def _metric(told: CheckpointHints, path: Path) -> bool:
    """Whether it is the metric network."""
    network = (told.details or {}).get("network") or path.stem.lower().replace("_", "-")
    if METRIC in network or MONO in network:
        return METRIC in network
    raise CheckpointError(
        f"'{path}' does not tell whether it is {MONO.upper()} or {METRIC.upper()}, which hold the "
        "same tensors; put its official config.json beside it, or give the file or its folder one "
        "of these names"
    )


def _config_of(state: Mapping[str, Tensor], metric: bool, path: Path) -> SingleViewConfig:
    """The architecture, read from the shapes of the tensors."""
    from depth_anything_ros.network.families.depth_anything.network import HEAD_WIDTH, default_taps
    from depth_anything_ros.network.families.depth_anything_3.network import SingleViewConfig

    try:
        positions, width = state["pretrained.pos_embed"].shape[-2:]
        blocks = (re.match(r"pretrained\.blocks\.(\d+)\.", name) for name in state)
        depth = 1 + max(int(block[1]) for block in blocks if block)
        first, second, third, fourth = (
            state[f"depth_head.projects.{level}.weight"].shape[0] for level in range(4)
        )
        return SingleViewConfig(
            width=width,
            depth=depth,
            heads=width // HEAD_WIDTH,
            features=state["depth_head.scratch.layer1_rn.weight"].shape[0],
            out_channels=(first, second, third, fourth),
            taps=default_taps(depth),
            metric=metric,
            grid=math.isqrt(positions - 1),
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' is not a complete Depth Anything 3 checkpoint ({error}); download it again"
        ) from error
