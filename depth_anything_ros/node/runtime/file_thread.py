"""One thread that writes and reads files, so that nobody else waits for a slow disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from depth_anything_ros.errors import InputError

_MOST_WAITING = 4
"""Further requests while the disk is busy; each may hold the depth of an image."""


class FileThread:
    """Does what is asked of it in order, one after the other."""

    def __init__(self) -> None:
        """Prepare; the thread starts with the first request."""
        self._waiting: queue.Queue[tuple[Callable[[], Any], Callable[[Any], object]]] = queue.Queue(
            _MOST_WAITING
        )
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, action: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Do something with files.

        Args:
            action: Writes or reads them.
            done: Called with its result, or the exception that it raised; in the thread.

        Raises:
            InputError: The disk has not finished what was asked before.
        """
        try:
            self._waiting.put_nowait((action, done))
        except queue.Full:
            raise InputError("the disk has not finished what was asked of it before") from None
        with self._starting:
            if self._thread is None:  # a daemon: a disk that hangs does not keep the node
                self._thread = threading.Thread(target=self._work, name="files", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            action, done = self._waiting.get()
            try:
                result = action()
            except Exception as error:  # whoever asked gets it
                result = error
            done(result)
            del action, done, result  # they may hold an image
