"""From metres to a point cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    IMAGES,
    figures,
    finish,
    measure,
    rounds_option,
    size_of,
    sizes_option,
    table_of,
)
from depth_anything_ros.cli.support.command_line import Subcommand, command
from depth_anything_ros.cli.support.files import json_option


@command("cloud")
@sizes_option
@rounds_option(15)
@json_option
def cloud(sizes: tuple[str, ...], rounds: int, json_file: Path | None) -> None:
    """From metres to a point cloud, beside the straightforward way to do it."""
    shapes = [size_of(text) for text in sizes or IMAGES]

    from depth_anything_ros.benchmark.cloud import STRAIGHTFORWARD, cloud_contenders

    table = table_of("cloud", "image", "median ms", "best ms", "CPU ms", "times faster")
    rows: list[dict[str, Any]] = []
    for height, width in shapes:
        timings = measure(cloud_contenders(height, width), rounds)
        reference = timings[STRAIGHTFORWARD].median_ms
        for name, timing in timings.items():
            row = {
                "cloud": name,
                "image": f"{height}x{width}",
                **timing.as_dict(),
                "speed": reference / timing.median_ms,
            }
            rows.append(row)
            table.add_row(*(name, f"{height}x{width}", *figures(timing), f"{row['speed']:.1f}"))
    finish(table, json_file, {"benchmark": "cloud", "rows": rows})


BENCHMARKS.register(Subcommand("cloud", cloud, 40))
