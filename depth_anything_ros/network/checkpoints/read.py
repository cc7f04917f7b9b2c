"""A checkpoint file -> its tensors and metadata; what is damaged or no checkpoint is refused."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import CheckpointError, require

if TYPE_CHECKING:
    from torch import Tensor

_EXTRA = "demo"


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a checkpoint without running code of it.

    Args:
        path: A .pth or .safetensors file.

    Returns:
        Tensors by the names the file gives them, and its metadata (empty for .pth).

    Raises:
        CheckpointError: It is no checkpoint, damaged, or holds code.
        MissingExtraError: safetensors is not installed.
    """
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
    except Exception as error:  # whatever torch's unpickler meets: IndexError, KeyError, ...
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
