"""`depth_anything attack`: hostile messages against the depth node."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.benchmarks import finish, table_of
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option
from depth_anything_ros.errors import DepthAnythingError


@command("attack")
@option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="How long.  [default: 60, or as long as --messages take]",
)
@option("--messages", type=click.IntRange(min=1), help="End after so many hostile messages.")
@option("--seed", type=click.IntRange(min=0), default=0, help="Decides the messages.")
@option(
    "--rate",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Hostile messages per second; 0: as many as possible.",
)
@option(
    "--direct",
    is_flag=True,
    help="Call the node's callbacks in this process instead of sending over DDS: many times "
    "faster, and every hostile image is computed.",
)
@json_option
def attack(
    seconds: float | None,
    messages: int | None,
    seed: int,
    rate: float,
    direct: bool,
    json_file: Path | None,
) -> None:
    """Attack the depth node with hostile messages.

    Random messages go to every topic that the node listens to, a good frame after each ten. Exit
    code 1 says that a good frame was not answered, or with a wrong stamp or wrong metres, that the
    node ended or logged an error, or that its memory, threads, open files or log grew.
    """
    from depth_anything_ros.node.start import require_ros

    require_ros()

    from depth_anything_ros.benchmark.node.attack import Attack, local_node, remote_node
    from depth_anything_ros.benchmark.node.attack import attack as run
    from depth_anything_ros.cli.support.terminal import STDERR

    if seconds is None:
        seconds = 60.0 if messages is None else math.inf
    plan = Attack(seconds, messages, seed, rate)
    if direct:  # its standard error is the node's log
        with local_node() as target:
            report = run(target, plan)
    else:
        with STDERR.status("attacking"), remote_node() as target:
            report = run(target, plan)
    table = table_of("topic", "hostile messages")
    for topic, count in report["by_topic"].items():
        table.add_row(topic, str(count))
    words = _words(report)
    finish(table, json_file, {"command": "attack", "direct": direct, **report}, words)
    if report["findings"]:
        raise DepthAnythingError("; ".join(report["findings"]))


def _words(report: dict[str, Any]) -> list[str]:
    latency, held = report["latency_ms"], report["held"]
    lines = [
        f"{report['messages']} hostile messages in {report['seconds']:.0f} s, seed "
        f"{report['seed']}; {report['answered']} of {report['good_frames']} good frames answered, "
        f"{report['repeated']} sent again",
        f"good frames: p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f}, most "
        f"{latency['p100']:.1f} ms; log {report['log_bytes_per_second']:.0f} bytes/s",
    ]
    if held:
        lines.append(
            "after the warm-up and at the end: "
            + ", ".join(f"{name} {first:g} -> {last:g}" for name, (first, last) in held.items())
        )
    return lines


COMMANDS.register(Subcommand("attack", attack, 110))
