"""Devices and precisions of PyTorch by name."""

from __future__ import annotations

import torch

from depth_anything_ros.errors import SettingError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Precisions by name."""


def choose_device(device: str = "auto") -> torch.device:
    """The device a name stands for, checked to be there.

    Args:
        device: "auto" (cuda, else mps, else cpu), "cpu", "mps", "cuda" or "cuda:N".

    Returns:
        The device, a CUDA one with its index.

    Raises:
        SettingError: The name is not valid or the device is not there.
    """
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda:0" if cuda else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda", "mps"):
        raise SettingError(f"device is '{device}'; use auto, cpu, mps, cuda or cuda:N")
    if chosen.type == "cuda":
        chosen = torch.device("cuda", chosen.index or 0)
        if chosen.index >= cuda:
            have = f"only {cuda} CUDA device(s) are here" if cuda else "PyTorch sees no CUDA device"
            raise SettingError(
                f"device is '{device}' but {have}; use device auto or cpu, or install the driver "
                "and a CUDA build of PyTorch"
            )
    if chosen.type == "mps" and not mps:
        raise SettingError("device is 'mps' but PyTorch sees no Apple GPU; use device auto or cpu")
    return chosen


def choose_precision(precision: str, device: torch.device) -> str:
    """The precision a name stands for on a device.

    Args:
        precision: "auto" (fp16 on CUDA, else fp32), "fp32", "fp16" or "bf16".
        device: Where the network runs.

    Returns:
        "fp32", "fp16" or "bf16".

    Raises:
        SettingError: The name is not valid, or is fp16 on a CPU (slower and coarser than fp32).
    """
    if precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if precision not in DTYPES:
        raise SettingError(f"precision is '{precision}'; use auto, {', '.join(DTYPES)}")
    if precision == "fp16" and device.type == "cpu":
        raise SettingError("precision is 'fp16' on the CPU, which has no use for it; use bf16")
    return precision
