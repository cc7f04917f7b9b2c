"""From a prediction to metres."""

from __future__ import annotations

from pathlib import Path

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    figures,
    finish,
    measure,
    random_estimator,
    rounds_option,
    size_of,
    table_of,
    threads_option,
)
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.cli.support.model_options import DEVICE


@command("scaling")
@option("--size", default="480x640", metavar="HxW", help="Size of the images.")
@option("--points", type=click.IntRange(min=0), default=20_000, help="LiDAR points per image.")
@option("--method", "names", multiple=True, help="May be repeated.  [default: all]")
@option(
    "--encoder",
    default="vits",
    help="Network to measure beside it, or none: vits, vitb, vitl, none.",
)
@rounds_option(15)
@threads_option
@DEVICE
@json_option
def scaling(
    size: str,
    points: int,
    names: tuple[str, ...],
    encoder: str,
    rounds: int,
    threads: int,
    device: str,
    json_file: Path | None,
) -> None:
    """From a prediction and its frame to metres, for every method, beside the network."""
    height, width = size_of(size)

    from depth_anything_ros.benchmark.scaling import (
        Size,
        methods,
        network_contender,
        scaling_contenders,
    )
    from depth_anything_ros.benchmark.timing import usable_cores

    shape = Size(height, width, points)
    contenders = scaling_contenders(shape, list(names or methods()))
    forward = f"one forward of {encoder}"
    if encoder != "none":
        estimator = random_estimator(encoder, device, threads or usable_cores())
        contenders[forward] = network_contender(estimator, shape)
    timings = measure(contenders, rounds)
    share = timings[forward].median_ms if encoder != "none" else None
    table = table_of("method", "median ms", "best ms", "CPU ms", "share of the network")
    for name, timing in timings.items():
        table.add_row(
            name,
            *figures(timing),
            "-" if share is None else f"{100 * timing.median_ms / share:.1f} %",
        )
    finish(
        table,
        json_file,
        {
            "benchmark": "scaling",
            "image": size,
            "points": points,
            "threads": threads or usable_cores(),
            "rows": [{"method": name, **timing.as_dict()} for name, timing in timings.items()],
        },
    )


BENCHMARKS.register(Subcommand("scaling", scaling, 30))
