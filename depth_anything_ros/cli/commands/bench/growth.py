"""How the cost grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    figures,
    finish,
    measure,
    rounds_option,
    table_of,
    threads_option,
)
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.formats.whole_file import write_whole


@command("growth")
@option("--model", default="embedded", help="Name or file of the network.")
@rounds_option(7)
@threads_option
@option("--markdown", type=PATH, help="Write the curves to this file as Mermaid charts.")
@json_option
def growth(
    model: str, rounds: int, threads: int, markdown: Path | None, json_file: Path | None
) -> None:
    """How the cost grows with the network's input, the image, the cameras and the points."""
    from depth_anything_ros.benchmark.growth import chart, growths
    from depth_anything_ros.benchmark.timing import usable_cores

    table = table_of("what", "where", "median ms", "best ms", "CPU ms")
    charts: list[str] = []
    rows: list[dict[str, Any]] = []
    for curve in growths(model, threads or usable_cores()):
        timings = measure(curve.contenders, rounds)
        charts.append(chart(curve, timings))
        for label, timing in timings.items():
            table.add_row(curve.title, f"{label} ({curve.axis})", *figures(timing))
            rows.append({"what": curve.title, "axis": curve.axis, "at": label, **timing.as_dict()})
    if markdown is not None:
        write_whole(markdown, "\n\n".join(charts) + "\n")
    finish(table, json_file, {"benchmark": "growth", "network": model, "rows": rows})


BENCHMARKS.register(Subcommand("growth", growth, 80))
