"""Every benchmark on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.command_line import (
    PATH,
    LateChoice,
    Subcommand,
    command,
    option,
)
from depth_anything_ros.formats.whole_file import write_whole


def _sections() -> Sequence[str]:
    from depth_anything_ros.benchmark.report import GPU_SECTIONS, SECTIONS

    return [section.name for section in (*SECTIONS, *GPU_SECTIONS)]


@command("report")
@click.argument("file", metavar="FILE.md", type=PATH)
@option(
    "--only",
    multiple=True,
    type=LateChoice(_sections),
    help="May be repeated.  [default: all, those on a GPU with --gpu]",
)
@option(
    "--against",
    multiple=True,
    metavar="official=PATH | transformers[:PRECISION]",
    help="As for `bench network`.",
)
@option("--gpu", is_flag=True, help="What an NVIDIA GPU does, in place of the others.")
def report(file: Path, only: tuple[str, ...], against: tuple[str, ...], gpu: bool) -> None:
    """Run every benchmark as it is by default and write one page: about ten minutes.

    FILE.md is the Markdown file to write.
    """
    from rich.progress import Progress

    from depth_anything_ros.benchmark.report import GPU_SECTIONS, SECTIONS
    from depth_anything_ros.benchmark.report import report as run_report
    from depth_anything_ros.cli.support.terminal import STDERR, say

    sections = GPU_SECTIONS if gpu else SECTIONS
    known = {section.name: section for section in sections}
    for name in only:
        if name not in known:
            raise click.BadParameter(
                f"'{name}' is not one of {', '.join(known)}", param_hint="--only"
            )
    chosen = [section for section in sections if not only or section.name in only]
    parts: list[str] = []
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("benchmarks", total=len(chosen) + 1)
        for part in run_report(chosen, against):
            parts.append(part)
            # Written as it grows: a run that is stopped leaves what it has measured.
            write_whole(file, "\n".join(parts))
            progress.advance(task)
    say(str(file))


BENCHMARKS.register(Subcommand("report", report, 90))
