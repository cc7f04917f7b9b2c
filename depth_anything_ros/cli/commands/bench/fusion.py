"""A network with measured points, beside simple ways to use them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import finish, scenes_of, table_of
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.files import check_writable, json_option
from depth_anything_ros.formats.whole_file import write_whole

if TYPE_CHECKING:
    from depth_anything_ros.benchmark.fusion import Row


@command("fusion")
@click.argument("index", metavar="[INDEX]", required=False, type=PATH)
@option("--model", default="embedded", help="Name or file of the network; for INDEX only.")
@option(
    "--points",
    "counts",
    multiple=True,
    type=click.IntRange(min=8),
    help="Points given; may be repeated.  [default: 20, 100, 1000, 5000]",
)
@option("--seeds", type=click.IntRange(min=1), default=1, help="Draws of the points.")
@option(
    "--patterns",
    is_flag=True,
    help="Points as sensors give them, too: LiDAR beams, corners, one range.",
)
@option("--plot", "picture", type=PATH, metavar="FILE.svg", help="Draw AbsRel and cost to a file.")
@json_option
def fusion(
    index: Path | None,
    model: str,
    counts: tuple[int, ...],
    seeds: int,
    patterns: bool,
    picture: Path | None,
    json_file: Path | None,
) -> None:
    """Fusion of a network with measured points, beside four classical ways.

    INDEX is a CSV or YAML file with the columns image and depth, as for `eval depth`; without it
    seeded synthetic rooms are taken. Some points of the true depth are given, all others are
    scored by AbsRel. glob: least squares of scale and shift; idw: eight neighbours by inverse
    distance; lin: Delaunay interpolation of inverse depth; knn: scale and shift over five
    neighbours.
    """
    check_writable(picture, json_file)

    from depth_anything_ros.benchmark.fusion import (
        COUNTS,
        PATTERNS,
        WAYS,
        compare,
        compare_pattern,
        costs,
        mean,
        means,
    )
    from depth_anything_ros.benchmark.fusion_plot import Panel, plot

    wanted = sorted(set(counts or COUNTS))
    rows: list[Row] = []
    of_patterns: list[Row] = []
    table = table_of("picture", "points", *WAYS, "ours / best")
    cost: dict[int, dict[str, float]] = {}
    for scene in scenes_of(index, model):
        for count in wanted:
            found = [compare(scene, count, seed) for seed in range(seeds)]
            rows += [row for row in found if row is not None]
            if picture is not None and count not in cost and count in {row.count for row in rows}:
                cost[count] = costs(scene, count)
        if patterns:
            found = [compare_pattern(scene, name) for name in PATTERNS]
            of_patterns += [row for row in found if row is not None]
    for row in rows + of_patterns:
        errors = [f"{row.absrel[way]:.4f}" for way in WAYS]
        table.add_row(row.scene, row.pattern or str(row.count), *errors, f"{row.ratio:.2f}")
    if not rows:
        raise click.UsageError("no picture has enough points of true depth for --points")
    of_counts = means(rows)
    summed = {f"{count} points": each for count, each in of_counts.items()}
    for name in PATTERNS:
        of_sensor = [row for row in of_patterns if row.pattern == name]
        if of_sensor:
            summed[name] = mean(of_sensor)
    words = [
        f"{what}: ours / best of four {each.ratio:.3f} on average, {each.worst:.3f} at most"
        for what, each in summed.items()
    ]
    if picture is not None:
        by_count = {way: [(n, each.absrel[way]) for n, each in of_counts.items()] for way in WAYS}
        by_cost = {
            way: [(cost[n][way], each.absrel[way]) for n, each in of_counts.items()] for way in WAYS
        }
        panels = [
            Panel("Error and points", "measured points", by_count),
            Panel("Error and cost", "CPU ms of the whole picture", by_cost),
        ]
        write_whole(picture, plot(panels, "AbsRel (geometric mean)"))
    report: dict[str, Any] = {
        "benchmark": "fusion",
        "network": "synthetic" if index is None else model,
        "rows": [vars(row) | {"ratio": row.ratio} for row in rows + of_patterns],
        "cpu_ms": {str(count): each for count, each in cost.items()},
    }
    finish(table, json_file, report, words)


BENCHMARKS.register(Subcommand("fusion", fusion, 45))
