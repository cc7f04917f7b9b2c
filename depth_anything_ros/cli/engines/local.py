"""Engine local: processes of this machine."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from depth_anything_ros.cli.support.engine import (
    ATTEMPTS,
    ENGINES,
    Engine,
    Outcome,
    SetUp,
    attempt,
    lost,
)
from depth_anything_ros.errors import DepthAnythingError


class _Worker:
    """A process that sets itself up and then does one file after the other."""

    def __init__(self, set_up: SetUp) -> None:
        # Spawned, not forked: threads of the network's library do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(set_up, other), daemon=True)
        self._process.start()
        other.close()

    def begin(self, item: Any) -> None:
        """Hand a file over; where the process has died, its end is seen at `answer`."""
        try:
            self.connection.send(item)
        except OSError:
            return

    def answer(self) -> Outcome | None:
        """The outcome of the file; None where the process has died.

        Raises:
            DepthAnythingError: The process cannot be set up.
        """
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, str):
            raise DepthAnythingError(answer)
        assert isinstance(answer, Outcome)
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self.connection.close()


def run(set_up: SetUp, items: Sequence[Any], workers: int) -> Iterator[Outcome]:
    """Do the work in this process, or in several.

    Args:
        set_up: Sets a worker up.
        items: The files.
        workers: Number of processes; 0 and 1 use this process itself.

    Yields:
        An outcome per file, in the order they are done.

    Raises:
        DepthAnythingError: A worker cannot be set up.
    """
    if workers <= 1 or len(items) <= 1:
        work = set_up()
        for item in items:
            yield attempt(work, item)
        return
    waiting = deque((item, 1) for item in items)
    idle: list[_Worker] = []
    running: dict[Any, tuple[_Worker, Any, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                item, attempts = waiting.popleft()
                worker = idle.pop() if idle else _Worker(set_up)
                worker.begin(item)
                running[worker.connection] = (worker, item, attempts)
            for connection in wait(list(running)):
                worker, item, attempts = running.pop(connection)
                outcome = worker.answer()
                if outcome is not None:
                    idle.append(worker)
                    yield replace(outcome, attempts=attempts)
                    continue
                worker.stop()
                if attempts == ATTEMPTS:
                    yield lost(item, attempts)
                else:
                    waiting.append((item, attempts + 1))
    finally:
        for worker in (*idle, *(each for each, *_ in running.values())):
            worker.stop()


def _serve(set_up: SetUp, connection: Connection) -> None:
    """What a worker's process does."""
    try:
        try:
            work = set_up()
        except Exception as error:  # the first process has to say it
            known = isinstance(error, DepthAnythingError)
            connection.send(str(error) if known else f"{type(error).__name__}: {error}")
            return
        while True:
            connection.send(attempt(work, connection.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the first process has ended, or was told to


ENGINES.register(Engine("local", 10, "processes of this machine", run))
