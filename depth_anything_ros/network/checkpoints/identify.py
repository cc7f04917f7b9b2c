"""A checkpoint -> the network of its family, and a network -> a checkpoint.

Files of one architecture may hold tensors of the same names and shapes and yet mean different
numbers. What they mean is therefore taken, in this order, from the metadata of a safetensors file
(our own have it), by the catalogue, by the `config.json` beside the file, by the file's name, by
the caller.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from depth_anything_ros.errors import CheckpointError, SettingError, require, writing
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints.find import ModelFile, resolve
from depth_anything_ros.network.checkpoints.read import read_checkpoint
from depth_anything_ros.network.family import FAMILIES, CheckpointHints, NetworkFamily
from depth_anything_ros.network.model_info import UNKNOWN_LICENCE, ModelInfo

if TYPE_CHECKING:
    from depth_anything_ros.network.depth_network import DepthNetwork

NetworkT = TypeVar("NetworkT", bound="DepthNetwork")

logger = logging.getLogger("depth_anything_ros")


def load_network(
    model: ModelFile | str | Path,
    *,
    encoder: str | None = None,
    version: str | None = None,
    kind: PredictionKind | None = None,
    max_depth: float | None = None,
) -> tuple[DepthNetwork, ModelInfo]:
    """Build the network a file holds and load its weights, on the CPU in float32.

    The licence is logged once, as a warning when it forbids commercial use.

    Args:
        model: What `resolve` gives or takes.
        encoder: The encoder the file must hold ("vits", ...), None for any.
        version: Version of the family ("v1", "v2") for a file without metadata.
        kind: The kind the file must have, or has when the file has no metadata.
        max_depth: Metres at the top of a metric network whose file has no metadata.

    Returns:
        The network in evaluation mode, and what is known about it.

    Raises:
        CheckpointError: The file is damaged, not a network of any family, or of another kind.
        SettingError: `version` or `max_depth` is out of range.
    """
    file = model if isinstance(model, ModelFile) else resolve(model)
    if file.is_onnx:
        raise CheckpointError(f"'{file.path}' is an ONNX graph; it needs an ONNX backend")
    if max_depth is not None and not (math.isfinite(max_depth) and max_depth > 0):
        raise SettingError(f"max_depth is {max_depth}; it must be a positive number of metres")
    state, metadata = read_checkpoint(file.path)
    family = _family_of(state, metadata, file.path)
    hints = _agree(file, _hints(file, family, metadata), version, kind, max_depth)
    network = family.build(state, hints, file.path)
    expected = encoder or (file.info.encoder if file.info else None)
    if expected not in (None, network.encoder):
        raise CheckpointError(
            f"'{file.path}' holds {network.encoder} weights of {family.name} where {expected} is "
            "expected; choose the matching file or encoder"
        )
    info = file.info or ModelInfo(
        name=file.name,
        encoder=network.encoder,
        version=network.version,
        kind=network.kind,
        licence=metadata.get("licence") or _published_licence(hints),
        size_mb=file.path.stat().st_size / 1e6,
        input_size=hints.input_size or network.preprocessing.input_size,
    )
    info = replace(
        info,
        kind=network.kind,
        max_depth=network.max_depth,
        canonical_focal=network.canonical_focal,
    )
    log_licence(info)
    return network, info


def load_as(
    architecture: type[NetworkT], model: ModelFile | str | Path
) -> tuple[NetworkT, ModelInfo]:
    """Load a network that must be of one architecture; see `load_network`.

    Args:
        architecture: The class of the network.
        model: What `resolve` gives or takes.

    Returns:
        The network in evaluation mode, and what is known about it.

    Raises:
        CheckpointError: The file cannot be used, or holds a network of another family.
    """
    network, info = load_network(model)
    if not isinstance(network, architecture):
        raise CheckpointError(
            f"model {info.name} is of family {network.family} where {architecture.family} is "
            "needed; choose a file of that family"
        )
    return network, info


def save_network(
    network: DepthNetwork,
    path: str | Path,
    licence: str = UNKNOWN_LICENCE,
    input_size: int | None = None,
) -> None:
    """Write a network as safetensors, with metadata of family, kind and architecture.

    Args:
        network: The network; its weights are stored in their present dtype.
        path: File to write, ending in .safetensors.
        licence: SPDX name of the weights' licence.
        input_size: Side of the input in pixels at which it is best; None for the network's own.

    Raises:
        CheckpointError: The path does not end in .safetensors.
        InputError: The file cannot be written; an older one stays as it was.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"'{path}' must end in .safetensors")
    metadata = {
        "format": "pt",
        "family": network.family,
        "encoder": network.encoder,
        "kind": network.kind.value,
        "licence": licence,
        "input_size": str(input_size or network.preprocessing.input_size),
        **network.metadata(),
    }
    if network.max_depth is not None:
        metadata["max_depth"] = str(network.max_depth)
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with writing(path), whole_file(path, durable=True) as part:
        require("safetensors.torch", "demo").save_file(state, part, metadata=metadata)


def log_licence(info: ModelInfo) -> None:
    """Log the licence of weights; a warning when it forbids commercial use.

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


def _published_licence(hints: CheckpointHints) -> str:
    """The licence of the network that a file says it is."""
    info = catalogue().get(hints.published)
    return UNKNOWN_LICENCE if info is None else info.licence


def _family_of(names: Collection[str], metadata: Mapping[str, str], path: Path) -> NetworkFamily:
    """The family a file names, else the first that recognises its tensors."""
    if "family" in metadata:
        try:
            return FAMILIES.get(metadata["family"])
        except SettingError as error:
            raise CheckpointError(f"'{path}' cannot be used here: its {error}") from error
    for family in FAMILIES:
        if family.recognises(names):
            return family
    some = ", ".join(list(names)[:3]) or "nothing"
    raise CheckpointError(
        f"'{path}' is not a Depth Anything checkpoint (it holds {some} ...); give an official or "
        "-hf file"
    )


def _hints(file: ModelFile, family: NetworkFamily, metadata: Mapping[str, str]) -> CheckpointHints:
    """What is known about the file without the caller's word."""
    if "kind" in metadata:
        try:
            return CheckpointHints(
                "its metadata",
                PredictionKind(metadata["kind"]),
                float(metadata["max_depth"]) if "max_depth" in metadata else None,
                metadata.get("version"),
                int(metadata.get("input_size", 0)),
                metadata,
            )
        except ValueError as error:
            raise CheckpointError(f"'{file.path}' has metadata out of range: {error}") from error
    if file.info is not None:
        info = file.info
        return CheckpointHints("its name", info.kind, info.max_depth, info.version, info.input_size)
    return family.hints(file.name, _config_beside(file.path))


def _config_beside(path: Path) -> Mapping[str, Any] | None:
    """The config.json beside a safetensors file, where there is one."""
    config = path.with_name("config.json")
    if path.suffix != ".safetensors" or not config.is_file():
        return None
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"'{config}' beside the model cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"'{config}' beside the model cannot be read: it holds no table")
    return content


def _agree(
    file: ModelFile,
    hints: CheckpointHints,
    version: str | None,
    kind: PredictionKind | None,
    max_depth: float | None,
) -> CheckpointHints:
    """Merge the file's metadata with the caller's; they must not contradict."""
    if max_depth is not None:
        if kind not in (None, PredictionKind.METRIC_DEPTH):
            raise SettingError(f"max_depth is {max_depth:g} but kind is relative; drop one")
        kind = PredictionKind.METRIC_DEPTH
    if kind is not None and hints.kind not in (None, kind):
        raise CheckpointError(
            f"'{file.path}' is a {_word(hints.kind)} network (from {hints.source}) where a "
            f"{_word(kind)} one is required; choose a {_word(kind)} file (a fine-tuned file "
            "needs a name of its own)"
        )
    if None not in (hints.max_depth, max_depth) and hints.max_depth != max_depth:
        raise CheckpointError(
            f"'{file.path}' was trained for {hints.max_depth:g} m (from {hints.source}) but "
            f"max_depth is {max_depth:g}; drop the parameter, or rename a fine-tuned file"
        )
    if version is not None:
        hints = replace(hints, version=version, details=None)
    return replace(hints, kind=kind or hints.kind, max_depth=max_depth or hints.max_depth)


def _word(kind: PredictionKind | None) -> str:
    return "metric" if kind is PredictionKind.METRIC_DEPTH else "relative"
