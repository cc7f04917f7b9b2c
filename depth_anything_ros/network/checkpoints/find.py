"""Model names and paths -> files on this machine, downloaded where needed."""

from __future__ import annotations

import difflib
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from depth_anything_ros.errors import CheckpointError, MissingExtraError, require
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.network.catalogue import (
    DEFAULT_MODEL,
    EMBEDDED,
    EMBEDDED_FILE,
    EMBEDDED_FILES,
    catalogue,
)
from depth_anything_ros.network.model_info import ModelInfo

logger = logging.getLogger("depth_anything_ros")

SUFFIXES = (".pth", ".safetensors", ".onnx")
"""Kinds of model file, by name."""

_FILE_OF_A_FOLDER = "model.safetensors"  # as in a snapshot of a Hugging Face repository

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
        model: Catalogue name, Hugging Face id of a catalogue entry
            ("depth-anything/Depth-Anything-V2-Small-hf"), path of a .pth, .safetensors or .onnx
            file or of a folder with a model.safetensors in it, "embedded" or "embedded_metric" for
            the small networks of this package, or "auto" for Depth Anything V2 Small where it can
            be had, else the embedded one.

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
    if name in EMBEDDED_FILES:
        return ModelFile(EMBEDDED_FILES[name], name)
    known = catalogue()
    if name in known:
        return _download(known[name])
    of_id = _of_hugging_face_id(name)
    if of_id is not None and not Path(name).exists():
        return _download(of_id)
    path = Path(model).expanduser()
    if (path / _FILE_OF_A_FOLDER).is_file():
        return ModelFile(path / _FILE_OF_A_FOLDER, path.resolve().name)
    if path.suffix not in SUFFIXES and not path.exists() and path.name == name:
        near = difflib.get_close_matches(name, [*known, *EMBEDDED_FILES], n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"see `{own_command('models')}`"
        raise CheckpointError(f"model '{name}' is not in the catalogue and not a file; {hint}")
    if not path.exists():
        raise CheckpointError(f"model file '{path}' does not exist; check parameter `model`")
    if not path.is_file() or path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"model '{path}' is not a {', '.join(SUFFIXES)} file; give the path of the file itself"
        )
    return ModelFile(path, path.stem, known.get(path.stem))


def cached_file(info: ModelInfo) -> Path | None:
    """Where the file of a catalogue entry is in the Hugging Face cache.

    Args:
        info: The entry.

    Returns:
        The official file, else the same weights in transformers' layout; None where neither is
        there or huggingface_hub is not installed.
    """
    try:
        hub = require("huggingface_hub", _EXTRA)
    except MissingExtraError:
        return None
    for repo, filename, kind in (
        (info.repo, info.filename, info.repo_type),
        (info.hf_repo, _FILE_OF_A_FOLDER, "model"),
    ):
        found = hub.try_to_load_from_cache(repo, filename, repo_type=kind) if repo else None
        if isinstance(found, str):
            return Path(found)
    return None


def _of_hugging_face_id(name: str) -> ModelInfo | None:
    """The catalogue entry of a repository, official or in transformers' layout."""
    for info in catalogue().values():
        if name.lower() in (info.hf_repo.lower(), info.repo.lower()) and "/" in name:
            return info
    return None


def _best_to_be_had() -> ModelFile:
    """The official default, or what is always there."""
    try:
        file = _download(catalogue()[DEFAULT_MODEL])
    except (CheckpointError, MissingExtraError) as error:
        logger.warning(
            "model auto takes the small embedded network, which is less accurate: %s cannot be had "
            "here (`%s` says why)",
            DEFAULT_MODEL,
            own_command(f"models pull {DEFAULT_MODEL}"),
        )
        logger.debug("%s", error)
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
        twin = hub.try_to_load_from_cache(info.hf_repo, "model.safetensors") if info.hf_repo else ""
        if twin and isinstance(twin, str):
            return ModelFile(Path(twin), info.name, info)
        pull = own_command(f"models pull {info.name}")
        raise CheckpointError(
            f"model '{info.name}' is not in the cache and cannot be downloaded (offline, or "
            f"HF_HUB_OFFLINE is set); connect once and run `{pull}`, or copy {info.filename} from "
            f"{where} and give its path"
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
