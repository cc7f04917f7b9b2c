"""Output of the commands: results on standard output, everything else on standard error."""

from __future__ import annotations

import logging

from rich.console import Console

STDOUT = Console(highlight=False)
STDERR = Console(stderr=True, highlight=False)


DONE_OF_ALL = "{task.completed:.0f}/{task.total:.0f}"
"""Text of a progress bar's column; rich of Ubuntu 22.04 has no MofNCompleteColumn."""


def say(text: str) -> None:
    """Print a result as it is, without markup or line breaks of its own.

    Args:
        text: What to print.
    """
    STDOUT.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning as one yellow line.

    Args:
        text: The sentence.
    """
    STDERR.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def say_error(text: str) -> None:
    """Print an error as one red line.

    Args:
        text: The line.
    """
    STDERR.print(text, style="red", markup=False, soft_wrap=True)


class TerminalHandler(logging.Handler):
    """Prints log records where progress bars and errors are printed, so that they mix well."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; warnings and worse look like `warn`."""
        if record.levelno >= logging.WARNING:
            warn(record.getMessage())
        else:
            STDERR.print(record.getMessage(), markup=False, soft_wrap=True)
