"""Memory allocation of tensors on a CPU."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of mapping fresh, zeroed pages for every tensor.

    Elementwise work on tensors of some megabytes is several times as fast after it. For processes
    whose only work is tensors (data workers, training); does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _BYTES)
    mallopt(_TRIM_THRESHOLD, _BYTES)
