"""Several sources as one, and parts of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import SettingError
from depth_anything_ros.training.samples import Sample, Source

BLOCK = 8
"""Pictures in a row that sources without end make together."""

_ROUND = 100  # blocks after which every source of a mixture has had its share exactly


@dataclass(frozen=True)
class Part:
    """Some of the pictures of a finite source, as for holding out the rest.

    Attributes:
        source: The source.
        start: First picture, as a share of all.
        stop: End, as a share of all.
    """

    source: Source
    start: float
    stop: float

    def __post_init__(self) -> None:
        """Refuse an empty part.

        Raises:
            SettingError: There is no picture between start and stop.
        """
        if not 0 <= self.start < self.stop <= 1 or not len(self):
            raise SettingError(
                f"start {self.start:g} to stop {self.stop:g} holds none of {len(self.source)} "
                "pictures; they are shares from 0 to 1"
            )

    def __len__(self) -> int:
        """Number of pictures."""
        return self._first(self.stop) - self._first(self.start)

    def _first(self, share: float) -> int:
        return round(share * len(self.source))

    def sample(self, number: int) -> Sample:
        """Get one picture."""
        return self.source.sample(self._first(self.start) + number)


class Mixture:
    """Several sources drawn by weight; every number gives the same picture of the same source.

    Args:
        sources: The sources.
        weights: How often each is drawn, relative to the others.
        seed: Decides the draw.

    Attributes:
        block: So many numbers in a row are of one source.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float], seed: int = 0) -> None:
        self.sources = tuple(sources)
        self._shares = np.cumsum(weights) / sum(weights)
        self._seed = seed
        # Sources without end are made in blocks; all others are best mixed within a batch.
        self.block = 1 if all(len(source) for source in sources) else BLOCK
        self._orders: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    def place(self, number: int) -> tuple[int, int]:
        """Which picture a number stands for.

        Finite sources are gone through in a new order each time, none twice before all once.

        Args:
            number: 0 or more.

        Returns:
            The source, and the picture's number in it.
        """
        block, rest = divmod(number, self.block)
        # In each round of blocks every source has its share, to the nearest block.
        cycle, turn = divmod(block, _ROUND)
        drawn = self._order(-1, cycle, _ROUND)
        counts = np.diff(np.rint(self._shares * _ROUND).astype(int), prepend=0)
        slots = np.repeat(np.arange(len(self.sources)), counts)[drawn]
        source = int(slots[turn])
        size = len(self.sources[source])
        if size == 0:
            return source, number
        before = cycle * int(counts[source]) + int(np.count_nonzero(slots[:turn] == source))
        epoch, index = divmod(before * self.block + rest, size)
        return source, int(self._order(source, epoch, size)[index])

    def _order(self, source: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
        """A shuffled order; the latest ones are kept."""
        key = (source, epoch)
        if key not in self._orders:
            if len(self._orders) > 2 * len(self.sources) + 2:
                self._orders.clear()
            rng = np.random.default_rng([self._seed, 3, source + 1, epoch])
            self._orders[key] = rng.permutation(size)
        return self._orders[key]
