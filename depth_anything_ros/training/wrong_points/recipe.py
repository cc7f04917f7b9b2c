"""The recipe of the network that finds wrong points."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.errors import SettingError
from depth_anything_ros.training.sparse.recipe import SparseRecipe


@dataclass(frozen=True)
class WrongPointsRecipe(SparseRecipe):
    """A training of the network that finds wrong points; draws take 1.2 GB per 1000 pictures.

    Attributes:
        features: Numbers that stand for a point.
        rounds: How often points hear from their neighbours.
        points: Points of one step.
    """

    features: int = 48
    rounds: int = 4
    points: int = 36_000

    def __post_init__(self) -> None:
        """Refuse what cannot be run; see `SparseRecipe`."""
        super().__post_init__()
        for name in ("features", "rounds", "points"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; it must be 1 or more")
