"""The depth node over hours, while everything around it changes."""

from __future__ import annotations

from pathlib import Path

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import finish, table_of
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.errors import DepthAnythingError


@command("soak")
@option("--hours", type=click.FloatRange(min=0.001), default=1.0, help="How long.")
@option("--model", "-m", help="Catalogue name or file.  [default: a constant]")
@option("--rate", type=click.FloatRange(min=0.1), default=5.0, help="Images per second and camera.")
@option("--pause", type=click.FloatRange(min=0), default=1.0, help="Seconds between two changes.")
@option("--seed", type=click.IntRange(min=0), default=0, help="Decides the changes.")
@json_option
def soak(
    hours: float, model: str | None, rate: float, pause: float, seed: int, json_file: Path | None
) -> None:
    """The depth node over hours, while everything around it changes.

    Two cameras, LiDAR and odometry of a simulated robot; sensors die and return, time jumps,
    services are called, models loaded, parameters changed, the lifecycle gone through. Exit code 1
    says that the node ended or fell silent, or that memory, threads, files or subscriptions grew.
    """
    from depth_anything_ros.node.start import require_ros

    require_ros()

    from rich.progress import Progress

    from depth_anything_ros.benchmark.node.soak import Soak
    from depth_anything_ros.benchmark.node.soak import soak as run
    from depth_anything_ros.cli.support.terminal import STDERR

    plan = Soak(3600 * hours, model=model, rate=rate, pause=pause, seed=seed)
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("soak", total=1.0)
        report = run(plan, lambda share: progress.update(task, completed=share))
    table = table_of("what happened", "times")
    for name, count in report["changes"].items():
        table.add_row(name, str(count))
    answers = ", ".join(f"{count} of {name}" for name, count in report["answers"].items())
    words = [
        f"{report['seconds'] / 3600:.2f} hours; answers: {answers}; after a change at most "
        f"{report['longest_silence_s']:.1f} s of silence"
    ]
    if "memory_mb" in report:
        first, last, most = report["memory_mb"]
        words.append(
            f"memory {first:.0f} MB, at the end {last:.0f} MB, most {most:.0f} MB: "
            f"{report['memory_drift_percent_per_hour']:+.2f} % per hour; threads "
            f"{report['threads']}, files {report['files']}, subscriptions "
            f"{report['subscriptions']} in {report['looks']} looks"
        )
    finish(table, json_file, {"benchmark": "soak", **report}, words)
    if report["findings"]:
        raise DepthAnythingError("; ".join(report["findings"]))


BENCHMARKS.register(Subcommand("soak", soak, 65))
