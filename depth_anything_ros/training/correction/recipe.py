"""The recipe of the correction."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.errors import SettingError
from depth_anything_ros.training.sparse.recipe import SparseRecipe


@dataclass(frozen=True)
class CorrectionRecipe(SparseRecipe):
    """A training of the correction of kriged depth; its draws take 1.2 GB per 1000 pictures.

    Attributes:
        channels: Features at half, quarter and eighth of the lattice's resolution.
    """

    channels: tuple[int, ...] = (24, 32, 48)

    def __post_init__(self) -> None:
        """Refuse what cannot be run; see `SparseRecipe`."""
        super().__post_init__()
        if len(self.channels) != 3:
            raise SettingError(f"channels are {list(self.channels)}; it takes three numbers")
