"""A job on an NVIDIA GPU, recorded once and then replayed as a whole.

A forward of a small network is some hundred kernels of a few microseconds each, and Python takes
longer to start them than the GPU to run them. A CUDA graph starts them all at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger("depth_anything_ros")

Job = Callable[[], Tensor]
"""Reads tensors that stay where they are, and gives a tensor."""


class Recorder:
    """Records jobs of one GPU that run one after the other, each result used before the next.

    They share the memory of what they compute on the way: several sizes need little more of it than
    the largest one.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, job: Job, device: torch.device) -> Job | None:
        """Record a job: see `recorded`."""
        return recorded(job, device, self._pool)


def recorded(job: Job, device: torch.device, pool: Any = None) -> Job | None:
    """Record a job for a GPU.

    It runs once as it is, so that libraries choose their kernels, and once more to be recorded.
    This takes some tenths of a second and waits for all that the GPU has to do.

    Args:
        job: What to record: no decision in it may depend on values, and no memory of the host may
            be read or written. Every tensor it reads must live as long as the result is used.
        device: A CUDA device.
        pool: Memory of recorded jobs to share; None for some of its own.

    Returns:
        Runs the recorded work on the current stream and gives the same tensor every time, whose
        values the next call overwrites; None, with a warning, where the job cannot be recorded.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.device(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                job()
            torch.cuda.current_stream(device).wait_stream(side)
            # Other threads of the node may use the GPU meanwhile; that must not spoil the record.
            with torch.cuda.graph(graph, pool, side, capture_error_mode="thread_local"):
                result = job()
    except RuntimeError as error:  # raised for what CUDA cannot record
        first = str(error).strip().splitlines()[0]
        logger.warning(
            "the network cannot be recorded as a CUDA graph and runs without, slower: %s", first
        )
        return None

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
