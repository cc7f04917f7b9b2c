"""The depth node between a camera and a consumer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    PERCENTILES,
    finish,
    size_of,
    table_of,
)
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.errors import DepthAnythingError


@command("node")
@option(
    "--model",
    "-m",
    help="Catalogue name or file, scaled by constants unless --points or a parameter gives it "
    "metres.  [default: a constant after --network-ms]",
)
@option(
    "--network-ms",
    type=click.FloatRange(min=0),
    default=10.0,
    help="Time of the network that answers a constant.",
)
@option("--size", default="480x640", metavar="HxW", help="Size of the images.")
@option("--rate", type=click.FloatRange(min=0.1), default=30.0, help="Images per second.")
@option("--points", type=click.IntRange(min=0), default=0, help="LiDAR points with each image.")
@option(
    "--output",
    "outputs",
    multiple=True,
    metavar="TOPIC",
    help="What is subscribed to; may be repeated.  [default: depth/image, depth/camera_info, "
    "points]",
)
@option(
    "--parameter",
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME:=VALUE",
    help="Parameter of the depth node; may be repeated.",
)
@option("--seconds", type=click.FloatRange(min=1), default=30.0, help="How long is measured.")
@option(
    "--soak",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Measure so many seconds instead; memory must stay flat.",
)
@json_option
def node(
    model: str | None,
    network_ms: float,
    size: str,
    rate: float,
    points: int,
    outputs: tuple[str, ...],
    parameters: tuple[str, ...],
    seconds: float,
    soak: float,
    json_file: Path | None,
) -> None:
    """The depth node between a camera and a consumer, three processes on real DDS.

    Latency is from the stamp of an image to the arrival of its answer. With --soak, exit code 1
    says that memory has grown by more than 2 %.
    """
    from depth_anything_ros.node.start import require_ros

    height, width = size_of(size)
    require_ros()

    from rich.progress import Progress

    from depth_anything_ros.benchmark.node.runner import (
        MOST_DRIFT_PERCENT,
        OUTPUTS,
        NodeLoad,
        measure_node,
    )
    from depth_anything_ros.cli.support.terminal import STDERR

    given = list(parameters)
    if model is not None:
        given.append(f"model:={model}")
        if not points and not any(each.startswith("scaler:=") for each in given):
            # A relative network alone has no metres, and without metres there is no answer.
            given += ["scaler:=fixed", "scale:=0.3", "shift:=0.05"]
    load = NodeLoad(
        height=height,
        width=width,
        rate=rate,
        points=points,
        network_ms=network_ms if model is None else None,
        outputs=tuple(outputs or OUTPUTS),
        parameters=given,
    )
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("node", total=1.0)
        figures = measure_node(
            load, soak or seconds, lambda share: progress.update(task, completed=share)
        )
    latency = table_of("answer", "received", "p50 ms", "p95 ms", "p99 ms", "most ms")
    for output, row in figures["latency_ms"].items():
        shown = (f"{row[name]:.1f}" if name in row else "-" for name in PERCENTILES)
        latency.add_row(output, str(row["count"]), *shown)
    words = _words(figures, model)
    settings = {**dataclasses.asdict(load), "model": model}
    finish(latency, json_file, {"benchmark": "node", "load": settings, **figures}, words)
    if soak and figures["memory_drift_percent"] > MOST_DRIFT_PERCENT:
        raise DepthAnythingError(
            f"memory grew by {figures['memory_drift_percent']} % in {soak:g} s; "
            f"{MOST_DRIFT_PERCENT:g} % is flat"
        )


def _words(figures: dict[str, Any], model: str | None) -> list[str]:
    """What the node did besides its answers, line by line."""
    images, memory = figures["images"], figures["memory_mb"]
    why = ", ".join(f"{count} {reason}" for reason, count in images["why_dropped"].items())
    network = f"network {figures['network_ms']:.1f} ms" + ("" if model else " (a constant)")
    return [
        f"images: {images['sent']} sent, {images['in']} came in, {images['answered']} answered, "
        f"{images['dropped']} dropped" + (f" ({why})" if why else ""),
        f"{network}; oldest answer {figures['oldest_in_network_times']} network times old",
        f"CPU {figures['cpu_percent']} % of a core, {figures['cpu_ms_per_answer']} ms per answer",
        f"memory {memory['start']:.0f} MB, after "
        f"{figures['seconds']:.0f} s {memory['end']:.0f} MB "
        f"({figures['memory_drift_percent']:+.1f} %)",
        f"ready {figures['ready_s']:.1f} s after its start",
    ]


BENCHMARKS.register(Subcommand("node", node, 60))
