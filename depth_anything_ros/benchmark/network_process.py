"""One process per implementation of a network.

Processes keep thread pools apart and make memory attributable.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from depth_anything_ros.benchmark.implementations import Implementation, NetworkSettings, load
from depth_anything_ros.benchmark.timing import Cost, peak_memory_mb, stopwatch
from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.inference.backend import BACKENDS


class NetworkProcess:
    """A process that runs one implementation.

    Args:
        implementation: What it runs.
        settings: How.

    Raises:
        DepthAnythingError: The implementation cannot run here; the message says why.
    """

    def __init__(self, implementation: Implementation, settings: NetworkSettings) -> None:
        self.name = implementation.name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, implementation, settings), daemon=True
        )
        self._process.start()
        theirs.close()
        self._receive()

    def set_images(self, image: RgbImage, batch: int = 1) -> FloatImage:
        """Set the images of the following runs.

        Args:
            image: HxWx3 uint8 RGB.
            batch: How many copies of it make a batch.

        Returns:
            Its depth, HxW float32.
        """
        return np.asarray(self._request("set images", (image, batch)))

    def run(self) -> Cost:
        """Cost from image to depth; of a batch the share of one image."""
        return Cost(*self._request("run"))

    def peak_memory_mb(self) -> float:
        """Peak memory of the process in MB."""
        return float(self._request("memory"))

    def peak_gpu_memory_mb(self) -> float | None:
        """Peak memory of PyTorch on the GPU in MB; None without a GPU."""
        answer: float | None = self._request("gpu memory")
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _request(self, command: str, value: object = None) -> Any:
        self._pipe.send((command, value))
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise DepthAnythingError(
                f"the process of {self.name} ended with code {self._process.exitcode}"
            ) from error
        if isinstance(answer, Exception):
            self.close()
            raise answer
        return answer


@contextlib.contextmanager
def network_processes(
    implementations: list[Implementation], settings: NetworkSettings
) -> Iterator[tuple[list[NetworkProcess], dict[str, str]]]:
    """Run each implementation in its own process until the block ends.

    Args:
        implementations: To be compared.
        settings: Shared by all.

    Yields:
        The processes that are ready, and by name why others are not.
    """
    ready: list[NetworkProcess] = []
    missing: dict[str, str] = {}
    try:
        for implementation in implementations:
            started = _start(implementation, settings)
            if isinstance(started, NetworkProcess):
                ready.append(started)
            else:
                missing[implementation.name] = started
        yield ready, missing
    finally:
        for process in ready:
            process.close()


def _start(implementation: Implementation, settings: NetworkSettings) -> NetworkProcess | str:
    """The process of an implementation, or why it cannot run."""
    try:
        backends = {each.name: each for each in BACKENDS}
        if implementation.backend in backends and backends[implementation.backend].runs_graphs:
            # What a first start exports is cached; its memory is not that of later starts.
            NetworkProcess(implementation, settings).close()
        return NetworkProcess(implementation, settings)
    except DepthAnythingError as error:
        return str(error)


def _serve(pipe: Connection, implementation: Implementation, settings: NetworkSettings) -> None:
    """Main loop of the process, until the pipe is closed."""
    try:
        infer = load(implementation, settings)
    except DepthAnythingError as error:
        pipe.send(error)
        return
    pipe.send("ready")
    images: list[RgbImage] = []
    while True:
        try:
            command, value = pipe.recv()
        except EOFError:
            return
        if command == "set images":
            image, batch = value
            images = [image] * batch
            pipe.send(infer(images)[0])
        elif command == "run":
            cost = stopwatch(functools.partial(infer, images))()
            pipe.send(Cost(*(seconds / len(images) for seconds in cost)))
        elif command == "gpu memory":
            pipe.send(_peak_gpu_memory_mb())
        else:
            pipe.send(peak_memory_mb())


def _peak_gpu_memory_mb() -> float | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_reserved()) / 1e6
