"""Engine ray: workers on all machines of a Ray cluster."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from depth_anything_ros.errors import DepthAnythingError, require


class _Worker:
    """An actor: it loads the network once and does the files that it is given."""

    def __init__(self, set_up: SetUp) -> None:
        self._error = ""
        try:
            self._work = set_up()
        except Exception as error:  # the caller has to say it
            known = isinstance(error, DepthAnythingError)
            self._error = str(error) if known else f"{type(error).__name__}: {error}"

    def error(self) -> str:
        """Why it cannot be set up; empty where it is ready."""
        return self._error

    def do(self, item: Any) -> Outcome:
        """Do one file."""
        return attempt(self._work, item)


def run(set_up: SetUp, items: Sequence[Any], workers: int) -> Iterator[Outcome]:
    """Do the work with actors of a Ray cluster, each with its own network.

    The cluster is the one that RAY_ADDRESS names, or that this process is connected to; without
    one, Ray starts on this machine alone. An actor takes a GPU where the cluster has any, else a
    CPU. A file whose actor or machine was lost goes to another actor.

    Args:
        set_up: Sets a worker up.
        items: The files; their paths must mean the same on every machine.
        workers: Number of actors; 0 takes one for every GPU, or CPU, of the cluster.

    Yields:
        An outcome per file, in the order they are done.

    Raises:
        MissingExtraError: Ray is not installed.
        DepthAnythingError: A worker cannot be set up.
    """
    ray: Any = require("ray", "cluster")
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS") or None, log_to_driver=False)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    count = min(workers or gpus or int(resources.get("CPU", 1)), len(items))
    actor = ray.remote(num_cpus=1, num_gpus=int(gpus > 0), max_restarts=0)(_Worker)
    waiting = deque((item, 1) for item in items)
    starting: dict[Any, Any] = {}
    idle: list[Any] = []
    running: dict[Any, tuple[Any, Any, int]] = {}
    lost_at_start = 0
    try:
        while waiting or running:
            # Only an actor that runs is given a file: another may wait for a machine for ever.
            while len(starting) + len(idle) + len(running) < min(
                count, len(waiting) + len(running)
            ):
                own = actor.remote(set_up)
                starting[own.error.remote()] = own
            while waiting and idle:
                item, attempts = waiting.popleft()
                own = idle.pop()
                running[own.do.remote(item)] = (own, item, attempts)
            (reference,), _ = ray.wait([*starting, *running], num_returns=1)
            if reference in starting:
                own = starting.pop(reference)
                try:
                    error = ray.get(reference)
                except ray.exceptions.RayActorError as lost_actor:
                    lost_at_start += 1
                    if lost_at_start > ATTEMPTS * count:
                        raise DepthAnythingError(
                            f"workers of the Ray cluster end at their start: {lost_actor}"
                        ) from lost_actor
                    continue
                if error:
                    raise DepthAnythingError(error)
                idle.append(own)
                continue
            own, item, attempts = running.pop(reference)
            try:
                outcome = replace(ray.get(reference), attempts=attempts)
            except ray.exceptions.RayActorError:
                if attempts == ATTEMPTS:
                    yield lost(item, attempts)
                else:
                    waiting.append((item, attempts + 1))
                continue
            idle.append(own)
            yield outcome
    finally:
        for own in (*starting.values(), *idle, *(each for each, *_ in running.values())):
            ray.kill(own)


ENGINES.register(Engine("ray", 20, "a Ray cluster (extra `cluster`)", run))
