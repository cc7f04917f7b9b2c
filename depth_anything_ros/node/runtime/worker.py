"""The one thread that does the heavy work, so that the executor never waits for a network."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Calls a step whenever it is woken, one at a time, until it is stopped."""

    def __init__(
        self, step: Callable[[], float | None], failed: Callable[[Exception], object]
    ) -> None:
        """Start the thread.

        Args:
            step: Does the pending work and returns the seconds after which it is to be
                called again without being woken, or None.
            failed: Called with what a step has raised; the thread goes on.
        """
        self._step = step
        self._failed = failed
        self._condition = threading.Condition()
        self._woken = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="depth_worker", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Wake the thread. Never blocks for long; any thread may call it."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def stop(self, patience: float) -> bool:
        """Let the step in progress finish, then end the thread.

        Args:
            patience: Seconds to wait for it.

        Returns:
            Whether it has ended.
        """
        with self._condition:
            self._stopped = True
            self._condition.notify()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        again: float | None = None
        while True:
            with self._condition:
                if not self._woken and not self._stopped:
                    self._condition.wait(again)
                if self._stopped:
                    return
                self._woken = False
            try:
                again = self._step()
            except Exception as error:
                again = None
                self._failed(error)
