"""The network alone, beside a large matrix product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    figures,
    finish,
    measure,
    rounds_option,
    size_of,
    table_of,
    threads_option,
)
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.cli.support.model_options import DEVICE


@command("compute")
@option("--encoder", "encoders", multiple=True, help="May be repeated.  [default: vits, vitl]")
@option(
    "--precision",
    default="",
    help="fp32, fp16 or bf16.  [default: bf16 where there is, else fp32]",
)
@option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    help="Images at once; may be repeated.  [default: 1, 8]",
)
@option("--size", default="518x686", metavar="HxW", help="Size of the input.")
@option(
    "--peak",
    type=click.FloatRange(min=0),
    default=0.0,
    help="TFLOP/s in the data sheet, for its share, too.",
)
@rounds_option(7)
@threads_option
@DEVICE
@json_option
def compute(
    encoders: tuple[str, ...],
    precision: str,
    batches: tuple[int, ...],
    size: str,
    peak: float,
    rounds: int,
    threads: int,
    device: str,
    json_file: Path | None,
) -> None:
    """The network alone, beside the fastest the processor gets: a large matrix product."""
    height, width = size_of(size)
    if height % 14 or width % 14:
        raise click.BadParameter(f"'{size}' is no input: both sides must be multiples of 14")

    import torch

    from depth_anything_ros.benchmark.compute import PRECISIONS, PRODUCT, workloads
    from depth_anything_ros.benchmark.timing import usable_cores
    from depth_anything_ros.inference.backends.torch.devices import choose_device
    from depth_anything_ros.inference.cpu import computes_bf16

    place = choose_device(device)
    precision = precision or ("bf16" if place.type == "cuda" or computes_bf16() else "fp32")
    if precision not in PRECISIONS:
        raise click.BadParameter(f"'{precision}' is not one of {', '.join(PRECISIONS)}")
    torch.set_num_threads(threads or usable_cores())
    jobs = dict(
        workloads(
            list(encoders or ("vits", "vitl")),
            precision,
            list(batches or (1, 8)),
            (height, width),
            place,
        )
    )
    timings = measure({name: work.run for name, work in jobs.items()}, rounds)
    rates = {name: jobs[name].gflop / timing.median_ms for name, timing in timings.items()}
    shares = ["of the product"] + (["of the peak"] if peak else [])
    table = table_of("forward", "GFLOP", "median ms", "best ms", "CPU ms", "TFLOP/s", *shares)
    rows: list[dict[str, Any]] = []
    for name, timing in timings.items():
        row = {
            "forward": name,
            "gflop": round(jobs[name].gflop, 3),
            **timing.as_dict(),
            "tflop_per_s": rates[name],
            "share_of_product": rates[name] / rates[PRODUCT],
            "share_of_peak": rates[name] / peak if peak else None,
        }
        rows.append(row)
        parts = [
            rates[name] / each for each in ([rates[PRODUCT], peak] if peak else [rates[PRODUCT]])
        ]
        table.add_row(
            *(name, f"{row['gflop']:.1f}", *figures(timing), f"{rates[name]:.2f}"),
            *(f"{100 * part:.0f} %" for part in parts),
        )
    finish(
        table,
        json_file,
        {
            "benchmark": "compute",
            "input": size,
            "precision": precision,
            "device": str(place),
            "rows": rows,
        },
    )


BENCHMARKS.register(Subcommand("compute", compute, 20))
