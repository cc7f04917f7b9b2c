"""The network: every backend and precision, and other implementations."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    encoder_option,
    finish,
    measure,
    rounds_option,
    size_of,
    sizes_option,
    table_of,
    threads_option,
)
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.cli.support.model_options import DEVICE
from depth_anything_ros.errors import SettingError

if TYPE_CHECKING:
    from depth_anything_ros.benchmark.implementations import Implementation

_SIZES = ("518x518", "480x640")


@command("network")
@encoder_option
@option("--model", "-m", help="Catalogue name or file.  [default: random weights of --encoder]")
@sizes_option
@option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME[:PRECISION]",
    help="A backend, in all its precisions or one; may be repeated.  [default: all]",
)
@option(
    "--against",
    multiple=True,
    metavar="official=PATH | transformers[:PRECISION]",
    help="Further contenders: the official V2 code in a folder, Hugging Face's network.",
)
@option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    help="Images at once; may be repeated.  [default: 1]",
)
@rounds_option(7)
@threads_option
@DEVICE
@json_option
def network(
    encoder: str,
    model: str | None,
    sizes: tuple[str, ...],
    backends: tuple[str, ...],
    against: tuple[str, ...],
    batches: tuple[int, ...],
    rounds: int,
    threads: int,
    device: str,
    json_file: Path | None,
) -> None:
    """One image (uint8) to its depth (float32), for every backend and precision.

    Each contender is a process of its own; times are per image. The difference is the largest one
    to the first contender's output on a smooth image, as a share of that output's standard
    deviation. MB is the most memory the process held, GPU MB the most that PyTorch held there.
    """
    shapes = [size_of(text) for text in sizes or _SIZES]

    from depth_anything_ros.benchmark.implementations import NetworkSettings
    from depth_anything_ros.benchmark.network import PAUSE_S, compare
    from depth_anything_ros.benchmark.network_process import network_processes
    from depth_anything_ros.benchmark.random_network import write_random_network
    from depth_anything_ros.benchmark.timing import usable_cores
    from depth_anything_ros.cli.support.terminal import warn
    from depth_anything_ros.network.checkpoints import resolve

    implementations = _implementations(backends, against, device)
    with tempfile.TemporaryDirectory(prefix="depth_anything_bench_") as scratch:
        if model is None:
            path = Path(scratch) / f"random_{encoder}.safetensors"
            write_random_network(encoder, path)
        else:
            path = resolve(model).path
        # Exports of random weights are of no use to anybody later.
        cache = Path(scratch) if model is None else None
        settings = NetworkSettings(path, device, threads or usable_cores(), cache)
        with network_processes(implementations, settings) as (ready, missing):
            rows = [
                row
                for shape in shapes
                for batch in batches or (1,)
                for row in compare(ready, shape, batch, lambda runs: measure(runs, rounds, PAUSE_S))
            ]
            memory = {process.name: round(process.peak_memory_mb()) for process in ready}
            gpu_memory = {
                process.name: round(megabytes)
                for process in ready
                if (megabytes := process.peak_gpu_memory_mb()) is not None
            }
    for name, reason in missing.items():
        warn(f"{name} does not take part: {reason}")
    table = table_of(
        *("contender", "image", "median ms", "best ms", "CPU ms"),
        *("faster", "differs", "MB"),
        *(["GPU MB"] if gpu_memory else []),
    )
    for row in rows:
        timing = row.timing
        table.add_row(
            row.contender,
            (f"{row.batch} x " if row.batch > 1 else "") + row.image,
            *(f"{ms:.1f}" for ms in (timing.median_ms, timing.best_ms, timing.cpu_ms)),
            *(f"{row.speed:.2f}", "-" if row.difference is None else f"{row.difference:.1e}"),
            str(memory[row.contender]),
            *([str(gpu_memory.get(row.contender, "-"))] if gpu_memory else []),
        )
    finish(
        table,
        json_file,
        {
            "benchmark": "network",
            "network": model or f"{encoder}, random weights",
            "threads": settings.threads,
            "rows": [row.as_dict() for row in rows],
            "peak_memory_mb": memory,
            "peak_gpu_memory_mb": gpu_memory,
            "missing": missing,
        },
    )


def _implementations(
    backends: Sequence[str], against: Sequence[str], device: str
) -> list[Implementation]:
    """What is compared, the reference first."""
    from depth_anything_ros.benchmark.network import backend_implementations, rival

    try:
        rivals = [rival(text) for text in against]
    except SettingError as error:
        raise click.BadParameter(str(error), param_hint="--against") from error
    try:
        return rivals + backend_implementations(backends, device)
    except SettingError as error:
        raise click.BadParameter(str(error), param_hint="--backend") from error


BENCHMARKS.register(Subcommand("network", network, 10))
