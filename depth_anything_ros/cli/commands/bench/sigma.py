"""How often the error of depth lies within its sigma."""

from __future__ import annotations

from pathlib import Path

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import finish, scenes_of, table_of
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.files import check_writable, json_option
from depth_anything_ros.formats.whole_file import write_whole


@command("sigma")
@click.argument("index", metavar="[INDEX]", required=False, type=PATH)
@option(
    "--model",
    "models",
    multiple=True,
    help="Name or file of a network; may be repeated; for INDEX only.  [default: embedded]",
)
@option(
    "--points",
    "counts",
    multiple=True,
    type=click.IntRange(min=8),
    help="Points given; may be repeated.  [default: 20, 100, 1000, 5000]",
)
@option("--seeds", type=click.IntRange(min=1), default=1, help="Draws of the points.")
@option("--plot", "picture", type=PATH, metavar="FILE.svg", help="Draw a reliability diagram.")
@json_option
def sigma(
    index: Path | None,
    models: tuple[str, ...],
    counts: tuple[int, ...],
    seeds: int,
    picture: Path | None,
    json_file: Path | None,
) -> None:
    """How often depth from measured points is as wrong as its sigma says.

    INDEX is a CSV or YAML file with the columns image and depth, as for `eval depth`; without it
    seeded synthetic rooms are taken. Some points of the true depth are given; at others |error| is
    compared with sigma. A normal distribution has 68 % within one sigma and 95 % within two.
    """
    check_writable(picture, json_file)

    from depth_anything_ros.benchmark.fusion import COUNTS
    from depth_anything_ros.benchmark.fusion_plot import Panel, plot
    from depth_anything_ros.benchmark.reliability import (
        LEVELS,
        Reliability,
        normal_within,
        reliability,
        within,
    )

    wanted = sorted(set(counts or COUNTS))
    networks = models or ("embedded",)
    found: list[tuple[str, Reliability]] = []
    for network in networks if index is not None else ("synthetic",):
        for scene in scenes_of(index, network):
            for count in wanted:
                each = [reliability(scene, count, seed) for seed in range(seeds)]
                found += [(network, one) for one in each if one is not None and len(one.errors)]
    if not found:
        raise click.UsageError("no picture has enough points of true depth for --points")
    every = [one for _, one in found]
    by_count = {count: [one for one in every if one.count == count] for count in wanted}
    table = table_of("picture", "points", "1 sigma %", "2 sigma %")
    for name in dict.fromkeys(one.scene for one in every):
        for count in wanted:
            some = [one for one in by_count[count] if one.scene == name]
            if some:
                shares = (f"{100 * within(some, times):.1f}" for times in (1, 2))
                table.add_row(name, str(count), *shares)
    summed = {f"{count} points": some for count, some in by_count.items() if some}
    words = [
        f"{what}: {within(some, 1):.1%} within one sigma, {within(some, 2):.1%} within two"
        for what, some in {**summed, "all": every}.items()
    ]
    if picture is not None:
        curves = {
            str(count): [
                (100 * normal_within(level), 100 * within(some, level)) for level in LEVELS
            ]
            for count, some in by_count.items()
            if some
        }
        curves["right"] = [(0.0, 0.0), (100.0, 100.0)]
        panel = Panel(
            "Errors within k sigma, by points", "of a normal distribution, %", curves, False
        )
        write_whole(picture, plot([panel], "of left-out pixels, %"))
    rows = [
        {
            "network": network,
            "scene": one.scene,
            "points": one.count,
            "seed": one.seed,
            "pixels": len(one.errors),
            "within": {f"{level:g}": within([one], level) for level in LEVELS},
        }
        for network, one in found
    ]
    finish(table, json_file, {"benchmark": "sigma", "rows": rows}, words)


BENCHMARKS.register(Subcommand("sigma", sigma, 46))
