"""Model names and files -> networks with weights, and networks -> files.

A relative, a metric, a V1 and a V2 file of one encoder hold tensors of the same names and shapes.
What the numbers mean is therefore told, in this order, by the metadata of a safetensors file (our
own have it), by the `config.json` beside a `-hf` file, by the file's name, by the caller.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import os
import pickle
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from depth_anything_ros.errors import CheckpointError, MissingExtraError, SettingError, require
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.catalogue import (
    CATALOGUE,
    DEFAULT_MODEL,
    EMBEDDED,
    EMBEDDED_FILE,
    INPUT_SIZE,
    UNKNOWN_LICENCE,
    ModelInfo,
)

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.families.depth_anything.network import (
        DepthAnything,
        DepthAnythingConfig,
    )

logger = logging.getLogger("depth_anything_ros")

SUFFIXES = (".pth", ".safetensors", ".onnx")
"""Kinds of model file, by name."""

_EXTRA = "demo"


@dataclass(frozen=True)
class ModelFile:
    """A model file on this machine.

    Attributes:
        path: Where it is.
        name: Catalogue name, else the file's stem.
        info: Its catalogue entry, None for a file the catalogue does not know.
    """

    path: Path
    name: str
    info: ModelInfo | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether it holds a graph for ONNX backends instead of torch weights."""
        return self.path.suffix == ".onnx"


def resolve(model: str | Path) -> ModelFile:
    """Find a model, downloading it when a catalogue name is not in the cache yet.

    Downloads go through huggingface_hub: progress bar, resumed when cut, kept in its cache
    (HF_HOME), never tried with HF_HUB_OFFLINE=1. Offline, the same weights in transformers'
    layout are taken where they are in the cache.

    Args:
        model: Catalogue name, path of a .pth, .safetensors or .onnx file, "embedded" for the small
            network of this package, or "auto" for Depth Anything V2 Small where it can be had,
            else the embedded one.

    Returns:
        The file.

    Raises:
        CheckpointError: The name is unknown, the file is missing or of another kind, or the
            download failed.
        MissingExtraError: huggingface_hub is needed and not installed.
    """
    name = str(model)
    if name == "auto":
        return _best_to_be_had()
    if name == EMBEDDED:
        return ModelFile(EMBEDDED_FILE, EMBEDDED)
    if name in CATALOGUE:
        return _download(CATALOGUE[name])
    path = Path(model).expanduser()
    if path.suffix not in SUFFIXES and not path.exists() and path.name == name:
        near = difflib.get_close_matches(name, [*CATALOGUE, EMBEDDED], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `depth_anything models`"
        raise CheckpointError(f"model '{name}' is not in the catalogue and not a file; {hint}")
    if not path.exists():
        raise CheckpointError(f"model file '{path}' does not exist; check parameter `model`")
    if not path.is_file() or path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"model '{path}' is not a {', '.join(SUFFIXES)} file; give the path of the file itself"
        )
    return ModelFile(path, path.stem, CATALOGUE.get(path.stem))


def _best_to_be_had() -> ModelFile:
    """The official default, or what is always there."""
    try:
        file = _download(CATALOGUE[DEFAULT_MODEL])
    except (CheckpointError, MissingExtraError) as error:
        logger.warning(
            "model auto takes the small embedded network, which is less accurate, for %s cannot be "
            "had: %s",
            DEFAULT_MODEL,
            error,
        )
        return ModelFile(EMBEDDED_FILE, EMBEDDED)
    logger.info("model auto takes the official %s", DEFAULT_MODEL)
    return file


def _download(info: ModelInfo) -> ModelFile:
    """The official file of a catalogue entry, from the cache or the network."""
    hub = require("huggingface_hub", _EXTRA)
    errors = require("huggingface_hub.errors", _EXTRA)
    where = f"https://huggingface.co/{'spaces/' if info.repo_type == 'space' else ''}{info.repo}"
    # Published weights do not change: a robot that has them needs no network to start.
    cached = hub.try_to_load_from_cache(info.repo, info.filename, repo_type=info.repo_type)
    if isinstance(cached, str):
        return ModelFile(Path(cached), info.name, info)
    try:
        if not _resolvable(hub.constants.ENDPOINT):
            raise errors.LocalEntryNotFoundError(f"{hub.constants.ENDPOINT} is not known here")
        path = hub.hf_hub_download(info.repo, info.filename, repo_type=info.repo_type)
    except errors.LocalEntryNotFoundError as error:
        twin = hub.try_to_load_from_cache(info.hf_repo, "model.safetensors")
        if isinstance(twin, str):
            return ModelFile(Path(twin), info.name, info)
        raise CheckpointError(
            f"model '{info.name}' is not in the cache and cannot be downloaded (offline, or "
            f"HF_HUB_OFFLINE is set); connect once and run `depth_anything models pull "
            f"{info.name}`, or copy {info.filename} from {where} and give its path"
        ) from error
    except (errors.HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"model '{info.name}' could not be downloaded from {where}: {reason}; try again, or "
            f"copy {info.filename} by hand and give its path"
        ) from error
    return ModelFile(Path(path), info.name, info)


def _resolvable(endpoint: str) -> bool:
    """Whether the address is known here: asked first, for the hub retries for half a minute."""
    if any(name.lower() in ("https_proxy", "all_proxy") for name in os.environ):
        return True
    try:
        socket.getaddrinfo(urlparse(endpoint).hostname, 443)
    except OSError:
        return False
    return True


def load_network(
    model: ModelFile | str | Path,
    *,
    encoder: str | None = None,
    version: str | None = None,
    kind: PredictionKind | None = None,
    max_depth: float | None = None,
) -> tuple[DepthAnything, ModelInfo]:
    """Build the network a file holds and load its weights, on the CPU in float32.

    The licence is logged once, as a warning when it forbids commercial use.

    Args:
        model: What `resolve` gives or takes.
        encoder: The encoder the file must hold ("vits", ...), None for any.
        version: "v1" or "v2" for a file that does not tell.
        kind: The kind the file must have, or has when the file does not tell.
        max_depth: Metres at the top of a metric network whose file does not tell.

    Returns:
        The network in evaluation mode, and what is known about it.

    Raises:
        CheckpointError: The file is damaged, not a Depth Anything network, or not what was asked.
        SettingError: `version` or `max_depth` has no sense.
    """
    file = model if isinstance(model, ModelFile) else resolve(model)
    if file.is_onnx:
        raise CheckpointError(f"'{file.path}' is an ONNX graph; it needs an ONNX backend")
    if max_depth is not None and not (math.isfinite(max_depth) and max_depth > 0):
        raise SettingError(f"max_depth is {max_depth}; it must be a positive number of metres")
    state, metadata = _read(file.path)
    told = _told(file, metadata)
    told = _agree(file, told, version, kind, max_depth)
    config = _config_of(state, told, file.path)
    expected = encoder or (file.info.encoder if file.info else None)
    if expected not in (None, config.encoder):
        raise CheckpointError(
            f"'{file.path}' holds {config.encoder} weights (width {config.width}, {config.depth} "
            f"blocks) where {expected} is expected; choose the matching file or encoder"
        )
    network = _build(config, state, file.path)
    info = file.info or ModelInfo(
        name=file.name,
        encoder=config.encoder,
        version=config.version,
        kind=config.kind,
        licence=metadata.get("licence", UNKNOWN_LICENCE),
        size_mb=file.path.stat().st_size / 1e6,
        input_size=told.input_size,
    )
    info = replace(info, kind=config.kind, max_depth=config.max_depth)
    log_licence(info)
    return network, info


def save_network(
    network: DepthAnything,
    path: str | Path,
    licence: str = UNKNOWN_LICENCE,
    input_size: int = INPUT_SIZE,
) -> None:
    """Write a network as safetensors, with metadata that tells kind and architecture.

    Args:
        network: The network; its weights are stored in their present dtype.
        path: File to write, ending in .safetensors.
        licence: SPDX name of the weights' licence.
        input_size: Shorter side of the input in pixels at which it is best.

    Raises:
        CheckpointError: The path does not end in .safetensors.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"'{path}' must end in .safetensors")
    config = network.config
    metadata = {
        "format": "pt",
        "encoder": config.encoder,
        "kind": config.kind.value,
        "taps": ",".join(str(tap) for tap in config.taps),
        "licence": licence,
        "input_size": str(input_size),
    }
    if config.max_depth is not None:
        metadata["max_depth"] = str(config.max_depth)
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    require("safetensors.torch", _EXTRA).save_file(state, path, metadata=metadata)


# --- reading a file -------------------------------------------------------------------------


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors under official names, and the metadata of the file."""
    with open(path, "rb") as stream:
        head = stream.read(512)
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(
            f"'{path}' is a web page, not a model: the link led to a page instead of the file; "
            "download it again through its `resolve` link"
        )
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"'{path}' is a Git LFS pointer, not a model; fetch the file with `git lfs pull`"
        )
    metadata: dict[str, str] = {}
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
    else:
        state = _read_pth(path)
    from depth_anything_ros.network.families.depth_anything import hugging_face_keys

    if hugging_face_keys.is_hugging_face(state):
        state = hugging_face_keys.to_official(state)
    if "pretrained.pos_embed" not in state or "depth_head.projects.3.weight" not in state:
        some = ", ".join(list(state)[:3]) or "nothing"
        raise CheckpointError(
            f"'{path}' is not a Depth Anything checkpoint (it holds {some} ...); give an official "
            "or -hf file"
        )
    return state, metadata


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    safetensors = require("safetensors", _EXTRA)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise CheckpointError(_damaged(path, str(error))) from error


def _read_pth(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch says "Unsupported global" or "Unsupported class" when a pickle wants to run code.
        if "nsupported" in str(error) and path.stat().st_size:
            raise CheckpointError(
                f"'{path}' holds Python code besides tensors and is not loaded, for it could do "
                "anything; save only its state dict, best as .safetensors"
            ) from error
        raise CheckpointError(_damaged(path, str(error))) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(_damaged(path, str(error))) from error
    for wrapper in ("model", "state_dict"):  # training scripts keep the optimizer beside it
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(tensor, torch.Tensor) for tensor in content.values()
    ):
        raise CheckpointError(f"'{path}' does not hold a state dict; save `model.state_dict()`")
    # DistributedDataParallel puts "module." before every name.
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _damaged(path: Path, reason: str) -> str:
    first = reason.strip().splitlines()[0] if reason.strip() else "it ends early"
    return (
        f"'{path}' ({path.stat().st_size / 1e6:.1f} MB) is damaged or cut short: {first}; "
        "download it again"
    )


# --- what the numbers mean ------------------------------------------------------------------


@dataclass(frozen=True)
class CheckpointHints:
    """What a file or its name says about itself; None where it says nothing."""

    source: str
    kind: PredictionKind | None = None
    max_depth: float | None = None
    taps: tuple[int, ...] | None = None
    version: str | None = None
    input_size: int = INPUT_SIZE


def _told(file: ModelFile, metadata: Mapping[str, str]) -> CheckpointHints:
    """What is known about the file without the caller's word."""
    if "kind" in metadata:
        try:
            taps = metadata.get("taps")
            return CheckpointHints(
                "its metadata",
                PredictionKind(metadata["kind"]),
                float(metadata["max_depth"]) if "max_depth" in metadata else None,
                tuple(int(tap) for tap in taps.split(",")) if taps else None,
                metadata.get("version"),
                int(metadata.get("input_size", INPUT_SIZE)),
            )
        except ValueError as error:
            raise CheckpointError(f"'{file.path}' has metadata with no sense: {error}") from error
    if file.info is not None:
        info = file.info
        return CheckpointHints("its name", info.kind, info.max_depth, None, info.version)
    config = file.path.with_name("config.json")
    if file.path.suffix == ".safetensors" and config.is_file():
        return _told_by_config(config)
    return _told_by_name(file.name)


def _told_by_config(path: Path) -> CheckpointHints:
    """What the config.json of a transformers model says."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.get("model_type") != "depth_anything":
            return CheckpointHints("")
        metric = config.get("depth_estimation_type", "relative") == "metric"
        backbone = config.get("backbone_config") or {}
        # transformers counts the embedding as stage 0, so its index is the block's plus one.
        stages = backbone.get("out_indices") or []
        return CheckpointHints(
            "its config.json",
            PredictionKind.METRIC_DEPTH if metric else PredictionKind.RELATIVE_DISPARITY,
            float(config.get("max_depth") or 1) if metric else None,
            tuple(int(stage) - 1 for stage in stages) or None,
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"'{path}' beside the model cannot be read: {error}") from error


def _told_by_name(name: str) -> CheckpointHints:
    """What a name like an official one says ("my_depth_anything_v2_metric_vkitti_vits_2")."""
    for data, max_depth in (("hypersim", 20.0), ("vkitti", 80.0)):
        if "metric" in name and data in name:
            return CheckpointHints("its name", PredictionKind.METRIC_DEPTH, max_depth, version="v2")
    if re.search(r"depth_anything_vit[sbl]14", name):
        return CheckpointHints("its name", PredictionKind.RELATIVE_DISPARITY, version="v1")
    if re.search(r"depth_anything_v2_vit[sblg]", name):
        return CheckpointHints("its name", PredictionKind.RELATIVE_DISPARITY, version="v2")
    return CheckpointHints("its name", PredictionKind.METRIC_DEPTH if "metric" in name else None)


def _agree(
    file: ModelFile,
    told: CheckpointHints,
    version: str | None,
    kind: PredictionKind | None,
    max_depth: float | None,
) -> CheckpointHints:
    """Join what the file says with what the caller says; they must not contradict."""
    if max_depth is not None:
        if kind is PredictionKind.RELATIVE_DISPARITY:
            raise SettingError(f"max_depth is {max_depth:g} but kind is relative; drop one")
        kind = PredictionKind.METRIC_DEPTH
    if kind is not None and told.kind not in (None, kind):
        raise CheckpointError(
            f"'{file.path}' is a {_word(told.kind)} network ({told.source} says so) where a "
            f"{_word(kind)} one is asked for; choose a {_word(kind)} file (a fine-tuned file "
            "needs a name of its own)"
        )
    if None not in (told.max_depth, max_depth) and told.max_depth != max_depth:
        raise CheckpointError(
            f"'{file.path}' was trained for {told.max_depth:g} m ({told.source} says so) but "
            f"max_depth is {max_depth:g}; drop the parameter, or rename a fine-tuned file"
        )
    kind = kind or told.kind
    max_depth = max_depth or told.max_depth
    if kind is PredictionKind.METRIC_DEPTH and max_depth is None:
        raise CheckpointError(
            f"'{file.path}' does not tell its maximum depth; give `max_depth` in metres (official: "
            "20 Hypersim, 80 Virtual KITTI), or choose a metric file"
        )
    if kind is None:
        logger.warning(
            "'%s' does not tell whether it is relative or metric: taken as relative; give "
            "`max_depth` if it is metric",
            file.path,
        )
        kind = PredictionKind.RELATIVE_DISPARITY
    taps = told.taps if version is None else None
    version = version or told.version or "v2"
    return CheckpointHints(told.source, kind, max_depth, taps, version, told.input_size)


def _word(kind: PredictionKind | None) -> str:
    return "metric" if kind is PredictionKind.METRIC_DEPTH else "relative"


# --- building -------------------------------------------------------------------------------


def _config_of(
    state: Mapping[str, Tensor], told: CheckpointHints, path: Path
) -> DepthAnythingConfig:
    """The architecture, read from the shapes of the tensors."""
    from depth_anything_ros.network.families.depth_anything import network as depth_anything

    head = "depth_head.scratch."
    try:
        positions, width = state["pretrained.pos_embed"].shape[-2:]
        depth = 1 + max(
            int(name.split(".")[2]) for name in state if name.startswith("pretrained.blocks.")
        )
        taps = told.taps or depth_anything.default_taps(depth, told.version or "v2")
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
            max_depth=told.max_depth,
            swiglu="pretrained.blocks.0.mlp.w12.weight" in state,
            grid=math.isqrt(positions - 1),
            head_features=state[f"{head}output_conv2.0.weight"].shape[0],
            **_stem_of(state),
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            f"'{path}' is not a complete Depth Anything checkpoint ({error}); download it again"
        ) from error


def _stem_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The settings of the convolutional stem, where there is one."""
    stem = "pretrained.patch_embed."
    if f"{stem}first.weight" not in state:
        return {}
    units = {name.split(".")[3] for name in state if name.startswith(f"{stem}fine.")}
    layers = ("first.weight", "fine.0.conv1.weight", "middle.0.conv1.weight")
    widths = tuple(state[stem + layer].shape[0] for layer in layers)
    return {"stem": widths, "stem_units": len(units)}


def _build(config: DepthAnythingConfig, state: dict[str, Tensor], path: Path) -> DepthAnything:
    """A network of this architecture that holds these very tensors."""
    import torch

    from depth_anything_ros.network.families.depth_anything.network import DepthAnything

    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
        network = DepthAnything(config)
    state = {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        first = "; ".join(line.strip() for line in str(error).splitlines()[1:3])
        raise CheckpointError(
            f"'{path}' does not fit the {config.encoder} network of Depth Anything: {first}"
        ) from error
    return network.requires_grad_(True).eval()


def log_licence(info: ModelInfo) -> None:
    """Say under which licence weights are; a warning when it forbids commercial use.

    `load_network` does so itself; whoever loads an ONNX file calls it once.

    Args:
        info: What is known about the network.
    """
    note = f" ({info.licence_note})" if info.licence_note else ""
    if info.non_commercial:
        logger.warning(
            "weights of %s are licensed %s: not for commercial use%s", info.name, info.licence, note
        )
    else:
        logger.info("weights of %s: licence %s%s", info.name, info.licence, note)
