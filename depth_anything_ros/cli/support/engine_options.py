"""Options that spread work over processes or machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from depth_anything_ros.cli.support.command_line import LateChoice, gathered, option

_HEADING = "Many files"


@dataclass(frozen=True)
class EngineOptions:
    """Who does the work.

    Attributes:
        engine: Name of the engine.
        workers: Number of workers; 0 leaves it to the engine.
    """

    engine: str = "local"
    workers: int = 0


def _engines() -> Sequence[str]:
    from depth_anything_ros.cli.support.engine import ENGINES

    return ENGINES.names()


engine_options = gathered(
    "engine_options",
    EngineOptions,
    option(
        "--engine",
        type=LateChoice(_engines),
        default="local",
        heading=_HEADING,
        help="local: processes of this machine; ray: a Ray cluster (RAY_ADDRESS), the work is "
        "split by file.",
    ),
    option(
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        heading=_HEADING,
        help="Workers, each with its own network; 0: one on this machine, all of a cluster.",
    ),
)
"""Adds the options; the function gets them as `engine_options`."""
