"""Blocks of memory that are kept from one image to the next."""

from __future__ import annotations

import numpy as np

_LARGEST = 31 << 20  # bytes; glibc maps larger blocks anew each time, whatever was freed before


def keep_freed_blocks() -> None:
    """Let glibc keep freed blocks instead of mapping fresh, zeroed pages for every image.

    glibc takes blocks of the size of the largest mapped one that was ever freed from memory it
    keeps, up to twice that size (`mallopt(3)`, M_MMAP_THRESHOLD); a settled choice of the process
    or its environment stays. Elsewhere this does nothing.
    """
    np.empty(_LARGEST, np.uint8)  # freed at once, and no page of it was touched
