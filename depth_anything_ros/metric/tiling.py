"""Samples scattered over an image, shared out among tiles of about equal numbers.

A tile's equation is over the samples nearest to its centre, its own and some of its neighbours'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

# Own choices, made on real frames.
_ONE_TILE = 100  # samples up to which all are in one equation
_TILE_SAMPLES = 4  # about so many belong to a tile,
_TILE_REACH = 24  # and so many nearest ones are in its equation
_MANY = 2_000  # samples from which on the latter are fewer, for cost
_TILE_REACH_OF_MANY = 16


@dataclass(frozen=True)
class Tiling:
    """Samples shared out among tiles.

    Attributes:
        centre: Tx2 mean column and row of each tile's own samples.
        owner: N, tile of every sample.
        members: TxK indices of the samples in each tile's equation.
        own: TxK bool, the members that belong to the tile.
    """

    centre: Floats
    owner: Indices
    members: Indices
    own: npt.NDArray[np.bool_]

    def chosen(self, most: int) -> Tiling:
        """Some tiles, evenly among all (neighbours in space have neighbouring numbers)."""
        count = len(self.members)
        if count <= most:
            return self
        some = np.linspace(0, count - 1, most).astype(np.intp)
        return Tiling(self.centre[some], self.owner, self.members[some], self.own[some])

    def judging(self, most: int) -> Tiling:
        """Some tiles whose inner members, also those of other tiles, count as their own.

        They are surrounded by the other members, so what is left out there is between samples.

        Args:
            most: Tiles.

        Returns:
            The tiles, whose own members come last.
        """
        some = self.chosen(most)
        if len(self.members) == 1:
            return some
        own = np.zeros_like(some.own)
        own[:, -(own.shape[1] // 2) :] = True
        return Tiling(some.centre, some.owner, some.members[:, ::-1], own)

    def nearest(self, places: Floats) -> tuple[Indices, Indices, Floats]:
        """Which other member is nearest to each of the tiles' own samples.

        Args:
            places: NxD places that were shared out.

        Returns:
            The samples, the nearest other of each, and their distance in image widths.
        """
        at = places[self.members, :2]
        tile, place = np.nonzero(self.own)
        square = np.square(at[tile] - at[tile, place][:, None]).sum(axis=2)
        square[np.arange(len(tile)), place] = np.inf
        nearest = square.argmin(axis=1)
        apart = np.sqrt(square[np.arange(len(tile)), nearest])
        return self.members[tile, place], self.members[tile, nearest], apart

    def reach(self, places: Floats) -> float:
        """Distance in image widths within which samples speak for what is around them.

        Args:
            places: NxD places that were shared out.

        Returns:
            The upper quartile of the distance to the ninth neighbour.
        """
        count = min(9, len(places) - 1)
        if len(self.members) == 1:
            off = places[:, None, :2] - places[None, :, :2]
            square = np.partition(np.square(off).sum(axis=2), count, axis=1)[:, count]
        else:
            off = places[self.members[:, count - 1], :2] - self.centre
            square = np.square(off).sum(axis=1)
        return float(np.sort(np.sqrt(square))[3 * len(square) // 4])


def tiling(places: Floats) -> Tiling:
    """Share samples out among tiles: columns of equal numbers, cut into rows of equal numbers.

    Sort-tile-recursive packing (Leutenegger, Lopez and Edgington 1997).

    Args:
        places: NxD places.

    Returns:
        The tiles.
    """
    from scipy.spatial import cKDTree

    count = len(places)
    if count <= _ONE_TILE:
        everyone = np.arange(count)[None]
        centre = places[:, :2].mean(axis=0)[None]
        return Tiling(centre, np.zeros(count, np.intp), everyone, np.ones((1, count), bool))
    wide, high = np.ptp(places[:, :2], axis=0) + 1e-9
    tiles = count / _TILE_SAMPLES
    columns = int(np.clip(round((tiles * wide / high) ** 0.5), 1, tiles))
    rows = max(1, round(tiles / columns))
    rank = np.empty(count, np.intp)
    rank[np.argsort(places[:, 0])] = np.arange(count)
    column = rank * columns // count
    order = np.lexsort((places[:, 1], column))
    first = np.searchsorted(column[order], np.arange(columns))
    inside = np.arange(count) - first[column[order]]
    size = np.bincount(column, minlength=columns)[column[order]]
    owner = np.empty(count, np.intp)
    owner[order] = column[order] * rows + inside * rows // size
    number = np.bincount(owner, minlength=columns * rows)
    sums = [np.bincount(owner, places[:, axis], columns * rows) for axis in (0, 1)]
    centre = np.stack(sums, axis=1) / number[:, None]
    reach = _TILE_REACH if count <= _MANY else _TILE_REACH_OF_MANY
    tree = cKDTree(places[:, :2], compact_nodes=False, balanced_tree=False)  # faster to build
    members = tree.query(centre, k=reach)[1]
    own = owner[members] == np.arange(len(members))[:, None]
    return Tiling(centre, owner, members, own)
