"""Measured points as samples of inverse depth, shared out and left out in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.metric.kriging import Kriging, Variogram, relative_error
from depth_anything_ros.metric.tiling import Floats, Indices, Tiling, tiling

FEW = 300
"""Points up to which there is time for more: own choice, for cost."""

MANY = 2_000
"""Points from which on the lattice is finer and one variogram is kept: own choice, for cost."""

JUDGING_TILES = 150
"""Tiles in which points are left out to judge all: own choice, for cost."""

BEYOND = 1.5
"""Factor by which depth may leave the range of points and global fit: own choice, on frames."""

LARGEST_ERROR = 0.5
"""Relative error of a left-out point beyond which it counts no more: own choice, on real frames."""

PLAIN = Variogram(0.5, 1.0, 1e-2)
"""A variogram that suits most scenes, where there is no time to choose."""

FEWEST_ALONE = 8
"""Fewer points than this cannot tell a trend from chance."""

# Own choices, made on real frames.
_FEWEST_IN_LINES = 120  # points that show whether they lie in lines
_NEAREST_IN_LINE = 9
_IN_BAND = 4_000  # points that show the same as many more, for cost
_THIN = 0.2  # width of such neighbours against their length; lines have 0.01, scattered points 0.6
_CROWDED = 9.0  # mean area of a point over the square of the distance to the next; by chance 4.5
_SAME_PLACE = 1e-5  # image widths: nearer points are one that was given twice, not a line


@dataclass(frozen=True)
class Samples:
    """Points in random order.

    Attributes:
        places: NxD float64: column and row in image widths, surface coordinate, colour (`kriging`).
        inverse: N float64 1/m, as measured.
        fitted: N float64 1/m, by the global fit.
    """

    places: Floats
    inverse: Floats
    fitted: Floats

    def __len__(self) -> int:
        return len(self.inverse)

    def chosen(self, which: npt.NDArray[Any]) -> Samples:
        """Some of the samples, by mask or indices."""
        return Samples(self.places[which], self.inverse[which], self.fitted[which])


def spread_out(places: Floats) -> Indices:
    """Which points to take where they crowd: all neighbours would be in one line or one corner.

    Of those in lines, as beams draw them, one is taken in every square of a third of the lines'
    distance; of those that crowd otherwise, as corners and broken lines do, one in every square of
    their mean distance.

    Args:
        places: Nx4.

    Returns:
        Indices, in order.
    """
    from scipy.spatial import cKDTree

    everyone = np.arange(len(places))
    if len(places) < _FEWEST_IN_LINES:
        return everyone
    where = places[:, :2]
    among, some = _middle(where)
    tree = cKDTree(among, compact_nodes=False, balanced_tree=False)
    distance, near = tree.query(some, k=_NEAREST_IN_LINE)
    across, down = (values[near] for values in among.T)
    across -= across.mean(axis=1)[:, None]
    down -= down.mean(axis=1)[:, None]
    wide, high = (np.einsum("tk,tk->t", values, values) for values in (across, down))
    # Eigenvalues of the moments of inertia.
    middle, turned = (wide + high) / 2, np.einsum("tk,tk->t", across, down)
    apart = np.hypot((wide - high) / 2, turned)
    along = float(np.median(distance[:, 1]))
    if along < _SAME_PLACE:
        return everyone
    between = float(np.prod(np.ptp(where, axis=0))) / (len(places) * along)
    thin = np.maximum(middle - apart, 0) / np.maximum(middle + apart, 1e-12)
    if np.median(thin) > _THIN**2:
        if between < _CROWDED * along:
            return everyone
        between = 3 * (between * along) ** 0.5
    elif between < 3 * along:
        return everyone
    square = np.floor(where * (3 / between)).astype(np.int64)
    _, first = np.unique(square[:, 1] * (1 << 32) + square[:, 0], return_index=True)
    return np.sort(first) if len(first) >= 2 * FEWEST_ALONE else everyone


def _middle(where: Floats) -> tuple[Floats, Floats]:
    """Places in a band down the middle of very many, and some of them with others on all sides."""
    across = where[:, 0]
    if len(where) <= 2 * _IN_BAND:
        return where, where[:_FEWEST_IN_LINES]
    share = _IN_BAND / len(where) / 2
    left, inner_left, inner_right, right = np.quantile(
        across[:_IN_BAND], [0.5 - share, 0.5 - share / 2, 0.5 + share / 2, 0.5 + share]
    )
    among = where[(across >= left) & (across <= right)]
    inner = (among[:, 0] >= inner_left) & (among[:, 0] <= inner_right)
    return among, among[inner][:_FEWEST_IN_LINES]


def kriging_of(samples: Samples, tiles: Tiling) -> Kriging:
    """The equations of the tiles of some samples."""
    return Kriging(samples.places[tiles.members], samples.inverse[tiles.members])


def left_out_error(samples: Samples, most_tiles: int) -> tuple[float, Floats]:
    """Mean relative error of left-out points, each at most LARGEST_ERROR, and log error of each.

    The latter is 0 for points that were not left out.

    Args:
        samples: The points, each left out among its neighbours.
        most_tiles: Tiles in which points are left out.
    """
    tiles = tiling(samples.places).chosen(most_tiles)
    left_out = kriging_of(samples, tiles).solve([PLAIN])[0].left_out[tiles.own]
    known = tiles.members[tiles.own]
    inverse = samples.inverse[known]
    error = np.minimum(relative_error(left_out, inverse), LARGEST_ERROR)
    off = np.zeros(len(samples))
    off[known] = np.log(np.maximum(left_out / inverse, 1e-3))
    return float(error.mean()), off


def predicted_at(samples: Samples, places: Floats) -> Floats:
    """Inverse depth that samples predict at other places.

    Args:
        samples: They.
        places: NxK, as theirs.

    Returns:
        N in 1/m; may be 0 or less.
    """
    from scipy.spatial import cKDTree

    tiles = tiling(samples.places)
    tile = cKDTree(tiles.centre).query(places[:, :2])[1]
    there = np.ascontiguousarray(places.T, np.float32)
    return kriging_of(samples, tiles).at([(PLAIN, 1.0)], there, tile).astype(np.float64)


def off_by_others(samples: Samples, kept: npt.NDArray[np.bool_]) -> Floats:
    """Log error of the inverse depth that the kept points predict for each, without itself.

    Args:
        samples: N points.
        kept: N bool; FEWEST_ALONE at least.

    Returns:
        N.
    """
    among, dropped = samples.chosen(kept), samples.chosen(~kept)
    off = np.empty(len(samples))
    _, off[kept] = left_out_error(among, len(among))
    if len(dropped):
        guess = predicted_at(among, dropped.places)
        off[~kept] = np.log(np.maximum(guess / dropped.inverse, 1e-3))
    return off
