"""Options of the limits of depth; the node has parameters of the same names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.support.command_line import PATH, gathered, option

if TYPE_CHECKING:
    from depth_anything_ros.pipeline import DepthLimits

_LIMITS = "Limits"


@dataclass(frozen=True)
class LimitOptions:
    """Which depths are given out.

    Attributes:
        min_range: Metres.
        max_range: Metres; 0 for no limit.
        min_confidence: 0 keeps all.
        max_relative_sigma: 0 keeps all.
        mask: Picture that is black where the robot sees itself, or None.
    """

    min_range: float = 0.0
    max_range: float = 0.0
    min_confidence: float = 0.0
    max_relative_sigma: float = 0.0
    mask: Path | None = None

    def limits(self) -> DepthLimits:
        """Read the mask.

        Raises:
            InputError: The mask cannot be read.
            SettingError: The ranges are the wrong way round.
        """
        from depth_anything_ros.formats.media import read_mask
        from depth_anything_ros.pipeline import DepthLimits

        return DepthLimits(
            self.min_range,
            self.max_range or float("inf"),
            self.min_confidence,
            self.max_relative_sigma,
            None if self.mask is None else read_mask(self.mask),
        )


limit_options = gathered(
    "limit_options",
    LimitOptions,
    option(
        "--min-range",
        type=click.FloatRange(min=0),
        default=0.0,
        heading=_LIMITS,
        help="Metres; nearer depth becomes -inf.",
    ),
    option(
        "--max-range",
        type=click.FloatRange(min=0),
        default=0.0,
        heading=_LIMITS,
        help="Metres; further depth becomes +inf; 0 for no limit.",
    ),
    option(
        "--min-confidence",
        type=click.FloatRange(0, 1),
        default=0.0,
        heading=_LIMITS,
        help="Pixels of less confidence become NaN; costs further runs of the network.",
    ),
    option(
        "--max-relative-sigma",
        type=click.FloatRange(min=0),
        default=0.0,
        heading=_LIMITS,
        help="Pixels whose standard deviation is a larger share of their depth become NaN; "
        "0 keeps all.",
    ),
    option(
        "--mask",
        type=PATH,
        metavar="IMAGE",
        heading=_LIMITS,
        help="Depth is NaN where this image of the same size is black (the robot's own parts).",
    ),
)
"""Adds the options; the function gets them as `limit_options`."""
