"""The command `depth_anything` and how its errors look."""

from __future__ import annotations

import logging
import sys

import typer

from depth_anything_ros.cli.commands import (
    bench,
    calibrate,
    demo,
    doctor,
    evaluate,
    export,
    models,
    run,
    train,
    vote,
)
from depth_anything_ros.cli.support.terminal import STDERR, TerminalHandler
from depth_anything_ros.errors import DepthAnythingError

app = typer.Typer(
    name="depth_anything",
    help="Metric depth from any camera, with the Depth Anything networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("calibrate")(calibrate.calibrate)
app.add_typer(models.app, name="models")
app.command("export")(export.export)
app.command("demo")(demo.demo)
app.add_typer(evaluate.app, name="eval")
app.command("vote")(vote.vote)
app.command("doctor")(doctor.doctor)
app.add_typer(train.app, name="train")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line; errors meant for the user end as one line and exit code 1."""
    logger = logging.getLogger("depth_anything_ros")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(TerminalHandler())
    try:
        app(prog_name="depth_anything")
    except (DepthAnythingError, OSError) as error:
        STDERR.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
