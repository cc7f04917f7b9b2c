"""What of a depth image is scored, and how. Loads nothing, so that `--help` stays quick."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from depth_anything_ros.errors import SettingError


class Alignment(enum.Enum):
    """How a prediction is brought to the scale of the truth before it is scored."""

    NONE = "none"
    """The network's metres as they are; for metric networks only."""

    MEDIAN = "median"
    """Times the ratio of the medians (Zhou et al. 2017); disparity is taken to have no shift."""

    DISPARITY = "disparity"
    """Scale and shift by least squares on 1/Z (MiDaS, Ranftl et al. 2020)."""

    DEPTH = "depth"
    """Scale and shift by least squares on Z, for networks that give depth up to both."""


class Crop(enum.Enum):
    """Which part of an image is scored."""

    NONE = "none"
    NYU = "nyu"
    """Rows 45-470, columns 41-600 of 480x640 (Eigen et al. 2014): no white border, no edge of the
    projected depth."""
    EIGEN = "eigen"
    """KITTI as Eigen et al. 2014 scored it."""
    GARG = "garg"
    """KITTI as Garg et al. 2016 scored it."""


@dataclass(frozen=True)
class Protocol:
    """What is scored, and how.

    Attributes:
        alignment: How predictions are brought to the scale of the truth.
        crop: Which part of an image is scored.
        min_depth: Metres; nearer truth is left out, nearer predictions count as this.
        max_depth: Metres; truth from here on is left out, farther predictions count as this. The
            papers take 10 for NYU and 80 for KITTI.

    Raises:
        SettingError: The range is empty or does not start above zero.
    """

    alignment: Alignment = Alignment.NONE
    crop: Crop = Crop.NONE
    min_depth: float = 1e-3
    max_depth: float = 80.0

    def __post_init__(self) -> None:
        """Refuse a range without depths."""
        if not 0 < self.min_depth < self.max_depth:
            raise SettingError(
                f"depths from {self.min_depth:g} to {self.max_depth:g} m are no range above zero"
            )
