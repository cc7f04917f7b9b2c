"""The command `depth_anything` and how its errors look."""

from __future__ import annotations

import logging
import signal
import sys

import click

from depth_anything_ros import __version__
from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import RegistryGroup
from depth_anything_ros.errors import DepthAnythingError

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it (128 + SIGINT)."""

app = RegistryGroup(
    COMMANDS,
    name="depth_anything",
    help="Metric depth from any camera, with the Depth Anything networks.",
)
click.version_option(__version__, prog_name="depth_anything")(app)


def main() -> None:
    """Run the command line.

    Ends with 1 and one line for errors meant for the user, 2 for wrong usage and 130 for Ctrl-C and
    SIGTERM, which both leave no files and no processes behind.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run()
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _run() -> None:
    from depth_anything_ros.cli.support.terminal import TerminalHandler, say_error

    logger = logging.getLogger("depth_anything_ros")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(TerminalHandler())
    try:
        # Not standalone: click would make 1 of Ctrl-C and of errors unknown to it.
        code = app.main(prog_name="depth_anything", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        say_error("stopped")
        sys.exit(STOPPED)
    except (DepthAnythingError, OSError) as error:
        say_error(f"error: {error}")
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
