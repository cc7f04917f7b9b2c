"""The alignment monitor of one camera, in a thread of its own: no frame waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from depth_anything_ros.frames import Frame
from depth_anything_ros.metric.alignment_monitor import AlignmentMonitor


class AlignmentWatch:
    """Feeds the newest frame to an `AlignmentMonitor`; any thread may read what it found."""

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        """Prepare; nothing runs before the first frame with points.

        Args:
            failed: Called with what went wrong, in the thread.
        """
        self._failed = failed
        self._monitor = AlignmentMonitor()
        self._lock = threading.Lock()
        self._waiting: Frame | None = None
        self._thread: threading.Thread | None = None

    @property
    def finding(self) -> str:
        """What is wrong, as a sentence; empty while nothing is."""
        return self._monitor.finding

    @property
    def values(self) -> dict[str, float]:
        """What is known, by name."""
        return self._monitor.values

    def offer(self, frame: Frame) -> None:
        """Look at a frame as soon as the one before is done with; it replaces one that waits.

        Args:
            frame: The frame; one without points and camera is passed over.
        """
        if frame.points is None or frame.camera is None:
            return
        with self._lock:
            self._waiting = frame
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="alignment", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Wait until no frame is being looked at."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                frame, self._waiting = self._waiting, None
                if frame is None:
                    self._thread = None
                    return
            try:
                self._monitor.add(frame)
            except Exception as error:  # it only watches: depth goes on without it
                self._failed(error)
