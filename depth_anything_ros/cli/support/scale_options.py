"""Options about scale that several commands share. Loads nothing, so that `--help` stays quick."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


def scaler_name(text: str) -> str:
    """Take the name of a scaler that files allow: those that need poses are left to the node.

    Args:
        text: What the user gave.

    Returns:
        The same.

    Raises:
        typer.BadParameter: No such scaler has this name; the text lists those that have.
    """
    from depth_anything_ros.metric.selection import AUTO, NONE
    from depth_anything_ros.metric.source import SCALE_SOURCES, FrameInput

    poses = {FrameInput.POSE, FrameInput.SLAM}
    names = [AUTO, NONE, *(each.name for each in SCALE_SOURCES if not each.inputs & poses)]
    if text not in names:
        raise typer.BadParameter(f"'{text}' is not one of {', '.join(names)}")
    return text


class Refinement(enum.Enum):
    """What measured points do to the depth around them."""

    LOCAL = "local"
    NONE = "none"


class FitShift(enum.Enum):
    """Whether a shift is fitted beside the scale."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"

    @property
    def flag(self) -> bool | None:
        """The same as `ScalerSettings.fit_shift` has it."""
        return {FitShift.AUTO: None, FitShift.ALWAYS: True, FitShift.NEVER: False}[self]


METRES = "Metres"
"""Heading of the options about scale in `--help`."""

FitShiftOption = Annotated[
    FitShift,
    typer.Option(
        help="Fit a shift beside the scale; auto: for relative models only.",
        rich_help_panel=METRES,
    ),
]
MinPointsOption = Annotated[
    int,
    typer.Option(min=1, help="Fewest measured points that are trusted.", rich_help_panel=METRES),
]
