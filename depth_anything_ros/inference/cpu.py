"""What the processors of this machine can do."""

from __future__ import annotations

import functools
import sys
from pathlib import Path


@functools.cache
def cpu_info() -> dict[str, str]:
    """Linux's description of the first processor, by name; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    return fields


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Names of the instruction sets, as Linux spells them ("avx512_bf16")."""
    info = cpu_info()  # x86 says flags, ARM says Features
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def computes_bf16() -> bool:
    """Whether bfloat16 is arithmetic of this processor; elsewhere it is slower than float32."""
    return not cpu_flags().isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def may_have_gpu() -> bool:
    """Whether asking torch for a GPU is worth its import: false only where there is none.

    Linux shows one as a device: NVIDIA's driver, Jetson's, WSL's, AMD's.
    """
    names = ("nvidiactl", "nvhost-gpu", "nvgpu", "nvmap", "dxg", "kfd")
    return sys.platform != "linux" or any((Path("/dev") / name).exists() for name in names)
