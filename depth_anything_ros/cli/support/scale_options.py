"""Options about scale that several commands share. Loads nothing, so that `--help` stays quick."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class ScalerChoice(enum.Enum):
    """The ways to metres that files allow; motion and slam need poses, which only the node has."""

    AUTO = "auto"
    NONE = "none"
    NETWORK = "network"
    FIXED = "fixed"
    SPARSE = "sparse"
    GROUND_PLANE = "ground_plane"
    FOCAL = "focal"
    BASELINE = "baseline"


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
