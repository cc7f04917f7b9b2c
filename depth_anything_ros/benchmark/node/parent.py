"""No process of a benchmark outlives the one that started it, however that ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

_AGAIN = 2.0  # seconds between two interrupts


def end_with_parent() -> None:
    """Interrupt this process once its standard input is closed.

    `runner.running` holds the other end, which the kernel closes when its process is killed, too.
    """
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    while True:  # one that comes in the first moments of a start may get lost
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_AGAIN)
