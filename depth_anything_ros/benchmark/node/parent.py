"""No process of a benchmark outlives the one that started it, however that ended."""

from __future__ import annotations

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """Interrupt this process once its standard input is closed.

    `runner.running` holds the other end, which the kernel closes when its process is killed, too.
    """
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)
