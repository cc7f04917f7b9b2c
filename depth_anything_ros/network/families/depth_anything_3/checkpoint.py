"""Checkpoints of Depth Anything 3: recognised, read, and made a network.

An any-view network has a camera decoder; a nested one is such a network and the metric one in one
file. The files of the monocular and the metric network hold the
same tensors; which it is stands in the official config.json beside them (`model_name`), in our own
metadata or in the name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.depth_anything_3.models import METRIC, MODELS, MONO
from depth_anything_ros.network.family import CheckpointHints, with_weights

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork
    from depth_anything_ros.network.families.depth_anything_3.any_view import AnyViewConfig
    from depth_anything_ros.network.families.depth_anything_3.single_view import SingleViewConfig

_BLOCK = re.compile(r"pretrained\.blocks\.(\d+)\.")
_QUERY_NORM = re.compile(r"pretrained\.blocks\.(\d+)\.attn\.q_norm\.")
_ENCODER = "backbone.pretrained."
_HEAD = "head."
_SKY = "scratch.sky_output_conv2.2.weight"

_ANY_VIEW = "cam_dec.fc_t.weight"
_VIEWS, _NESTED = "da3.", "da3_metric."
_UNUSED = ("gs_head.", "gs_adapter.")  # Gaussian splats of the giant network


def recognises(names: Collection[str]) -> bool:
    """Whether tensors of these names are of Depth Anything 3; see `NetworkFamily`."""
    plain = {name.removeprefix("model.") for name in names}
    return bool(
        {f"{_HEAD}{_SKY}", f"depth_head.{_SKY}", _ANY_VIEW} & plain
        or any(name.startswith(_NESTED) for name in plain)
    )


def hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    """Metadata in the name of a file and the config.json beside it; see `NetworkFamily`."""
    named = config.get("model_name") if config else None
    source = "its config.json" if named else "its name"
    word = str(named or name).lower().replace("_", "-")
    network = METRIC if METRIC in word else MONO if MONO in word else ""
    published = [info.name for info in MODELS if info.name.replace("_", "-") in word]
    return CheckpointHints(
        source,
        PredictionKind.RELATIVE_DEPTH if network else None,
        version="v3",
        details={"network": network} if network else None,
        published=published[0] if published else "",
    )


def build(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    """The network of some tensors; see `NetworkFamily`."""
    # Late: the record of this family is read where torch is not needed.
    from depth_anything_ros.network.families.depth_anything_3.any_view import AnyView
    from depth_anything_ros.network.families.depth_anything_3.nested import Nested
    from depth_anything_ros.network.families.depth_anything_3.single_view import SingleView

    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    if hints.kind not in (None, PredictionKind.RELATIVE_DEPTH):
        raise CheckpointError(
            f"'{path}' is a Depth Anything 3 network, which gives relative depth, where "
            f"{hints.kind.words} is asked for; {METRIC.upper()} gives metres with the focal length"
        )
    if any(name.startswith(_NESTED) for name in state):
        inner, metric_state = _under(_VIEWS, state), _under(_NESTED, state)
        _fill_shared_norms(inner)
        views = _any_view_config(inner, hints, path)
        metric = _config_of(metric_state, True, path)
        parts = {_VIEWS: inner, _NESTED: metric_state}
        joined = {part + name: t for part, each in parts.items() for name, t in each.items()}
        return with_weights(
            lambda: Nested(views, metric), joined, path, f"{views.encoder} nested network"
        )
    state = _under("", state)
    if _ANY_VIEW in state:
        _fill_shared_norms(state)
        views = _any_view_config(state, hints, path)
        return with_weights(
            lambda: AnyView(views), state, path, f"{views.encoder} any-view network"
        )
    config = _config_of(state, _metric(hints, path), path)
    return with_weights(
        lambda: SingleView(config), state, path, f"{config.encoder} network of Depth Anything 3"
    )


def _under(part: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one network of a file, with our names."""
    names = {name: name.removeprefix(part) for name in state if name.startswith(part)}
    return {
        name.replace(_ENCODER, "pretrained.").replace(_HEAD, "depth_head.", 1)
        if name.startswith((_ENCODER, _HEAD))
        else name: state[full]
        for full, name in names.items()
        if not name.startswith(_UNUSED)
    }


def _fill_shared_norms(state: dict[str, Tensor]) -> None:
    """Give every level of the rays its normalisation: official files hold the shared one once."""
    for part in ("weight", "bias"):
        names = [f"depth_head.scratch.output_conv2_aux.{level}.2.{part}" for level in range(4)]
        there = [state[name] for name in names if name in state]
        for name in names:
            if there and name not in state:
                state[name] = there[0].clone()


def _metric(hints: CheckpointHints, path: Path) -> bool:
    """Whether it is the metric network."""
    network = (hints.details or {}).get("network") or path.stem.lower().replace("_", "-")
    if METRIC in network or MONO in network:
        return METRIC in network
    raise CheckpointError(
        f"'{path}' does not tell whether it is {MONO.upper()} or {METRIC.upper()}, which hold the "
        "same tensors; put its official config.json beside it, or give the file or its folder one "
        "of these names"
    )


def _config_of(state: Mapping[str, Tensor], metric: bool, path: Path) -> SingleViewConfig:
    """The architecture, read from the shapes of the tensors."""
    from depth_anything_ros.network.families.depth_anything.network import default_taps
    from depth_anything_ros.network.families.depth_anything_3.single_view import SingleViewConfig

    sizes = _sizes(state, path)
    return SingleViewConfig(**sizes, taps=default_taps(sizes["depth"]), metric=metric)


def _any_view_config(
    state: Mapping[str, Tensor], hints: CheckpointHints, path: Path
) -> AnyViewConfig:
    """The architecture, read from the shapes of the tensors."""
    from depth_anything_ros.network.families.depth_anything_3.any_view import AnyViewConfig

    sizes = _sizes(state, path)
    normalised = [int(found[1]) for name in state if (found := _QUERY_NORM.match(name))]
    if not normalised:
        raise CheckpointError(
            f"'{path}' is not a complete Depth Anything 3 checkpoint (no queries are normalised); "
            "download it again"
        )
    named = (hints.details or {}).get("taps")
    taps = tuple(int(tap) for tap in named.split(",")) if named else None
    for encoder in ("vits", "vitb", "vitl", "vitg"):
        official = AnyViewConfig.official(encoder)
        if taps is None and official.depth == sizes["depth"]:
            taps = official.taps
    if taps is None or len(taps) != 4 or max(taps) >= sizes["depth"]:
        raise CheckpointError(
            f"'{path}' does not tell which blocks its head reads; use an official file"
        )
    return AnyViewConfig(
        **sizes,
        taps=(taps[0], taps[1], taps[2], taps[3]),
        start=min(normalised),
        swiglu="pretrained.blocks.0.mlp.w12.weight" in state,
    )


def _sizes(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """What both architectures have."""
    from depth_anything_ros.network.families.depth_anything.network import HEAD_WIDTH

    try:
        positions, width = state["pretrained.pos_embed"].shape[-2:]
        blocks = (_BLOCK.match(name) for name in state)
        levels = tuple(state[f"depth_head.projects.{level}.weight"].shape[0] for level in range(4))
        return {
            "width": width,
            "depth": 1 + max(int(block[1]) for block in blocks if block),
            "heads": width // HEAD_WIDTH,
            "features": state["depth_head.scratch.layer1_rn.weight"].shape[0],
            "out_channels": levels,
            "grid": math.isqrt(positions - 1),
        }
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"'{path}' is not a complete Depth Anything 3 checkpoint ({error}); download it again"
        ) from error
