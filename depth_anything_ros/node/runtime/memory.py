"""What glibc keeps of freed memory, which a node that runs for months must bound."""

from __future__ import annotations

import contextlib
import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_ARENAS = 1


def limit_arenas() -> None:
    """Let all threads share one arena; call it before there are threads.

    glibc gives threads up to eight arenas a core, each of which keeps what was freed in it: with
    every change of model or parameters another one is filled, and they fall into pieces.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def return_memory() -> None:
    """Give freed memory back to the system: glibc keeps what lies between blocks in use."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
