"""What to believe beyond measured points: the global fit, or what the nearest ones say.

A network that is right goes on being right away from the points, one that is wrong does not; and a
wall above the highest beam goes on as that beam says, a street does not. Both show in pairs of
points: how much the fit is off by at one tells less and less of how much it is off by at the other,
the farther apart they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.lattice import Lattice, resized
from depth_anything_ros.metric.samples import BEYOND, Samples

# Own choices, for cost.
_PAIRED = 96
_OCTAVES = 8  # of distance beyond the reach
# Own choices, made on real frames.
_FEWEST_PAIRS = 20
_MOST_OFF = 0.7  # logarithm of a factor, beyond which an error counts no more
_LEAST_OFF = 1e-6
_ABOVE = 0.01  # quantile of the points' rows, above which nothing is measured,
_LEAST_ABOVE = 1.0  # reaches that this is from the upper edge of the image at least
_TO_NEAREST = 0.35  # share, of log depth, of the nearest point above all
_TO_NEAREST_OF_LINE = 0.15  # the same above a laser scan
_BELOW = 0.98  # quantile of the points' rows, below which it is the ground that goes on


@dataclass(frozen=True)
class Extrapolation:
    """What to believe away from points.

    Attributes:
        share_of_fit: Rows x columns float32 in 0..1, of the global fit; the rest is the points'.
        error: Rows x columns float32, mean error of what the points say, of log depth.
    """

    share_of_fit: FloatImage
    error: FloatImage


def extrapolation(
    samples: Samples, distance: FloatImage, rows: npt.NDArray[np.float32], reach: float
) -> Extrapolation:
    """Learn from the points how far they speak.

    Weights are inverse squares of the errors to expect: of the fit its mean error at all points; of
    the points how much the fit's error differs between two of them that are that far apart. Below
    all points the ground goes on, of which the network knows more than points on what stands on it.

    Args:
        samples: The points, in random order.
        distance: Rows x columns float32, distance to the nearest point in reaches.
        rows: Rows float32, where each lies, in image widths.
        reach: Distance in image widths within which points speak for what is around them.

    Returns:
        Shares; all is the fit's where no points are that far apart.
    """
    fitted = np.maximum(samples.fitted, samples.inverse.min() / BEYOND)
    off = np.log(fitted / samples.inverse)
    of_fit = float(np.minimum(np.abs(off), _MOST_OFF).mean())
    places = samples.places[:, :2] / reach
    one, other = places[:_PAIRED], places[-_PAIRED:]
    apart = np.hypot(*(one[:, None] - other).transpose(2, 0, 1))
    differs = np.minimum(np.abs(off[:_PAIRED, None] - off[-_PAIRED:]), _MOST_OFF)
    # Octaves of distance, from one reach on: the exponent is 1 from there to two.
    octave = np.clip(np.frexp(apart)[1], 0, _OCTAVES).ravel()
    count = np.bincount(octave, minlength=_OCTAVES + 1)[1:]
    of_points = np.bincount(octave, differs.ravel(), _OCTAVES + 1)[1:] / np.maximum(count, 1)
    known = np.flatnonzero(count >= _FEWEST_PAIRS)
    if not len(known):
        return Extrapolation(np.ones_like(distance), np.zeros_like(distance))
    of_points = np.maximum(np.maximum.accumulate(of_points[known]), _LEAST_OFF)
    octaves = np.log2(np.maximum(distance, np.float32(1)))
    error = np.interp(octaves, known + 0.5, of_points).astype(np.float32)
    share = np.square(error)
    share /= share + np.float32(of_fit**2)
    share[rows > np.quantile(samples.places[:, 1], _BELOW)] = 1
    return Extrapolation(share, error)


def keep_to_the_highest_points(
    level: FloatImage,
    inverse_m: FloatImage,
    samples: Samples,
    lattice: Lattice,
    reach: float,
    nearly_right: float = 0.0,
    in_line: bool = False,
) -> None:
    """Bound inverse depth above all points by what the nearest one says, in place.

    Walls, trees and backgrounds go on above the highest beam of a LiDAR or above a laser scan.
    There a trend that the points show is no guide: depth stays between that of the nearest point,
    the global fit and the fit times what it is off by at that point, and nearer to the first, the
    less so the better the fit.

    Args:
        level: HxW float32 1/m, modified.
        inverse_m: HxW float32 1/m of the global fit.
        samples: The points.
        lattice: Nodes over the image.
        reach: Distance in image widths within which points speak for what is around them.
        nearly_right: 0 to 1, by how little the global fit is off at the points.
        in_line: Whether the points lie in one line of the image, as those of a laser scan.
    """
    highest = float(np.quantile(samples.places[:, 1], _ABOVE))
    above = int(highest * level.shape[1])
    if highest < _LEAST_ABOVE * reach or not above:
        return
    least, most = samples.inverse.min() / BEYOND, samples.inverse.max() * BEYOND
    off = samples.inverse / np.maximum(samples.fitted, least)
    nearest = lattice.nearest(samples.places).reshape(lattice.shape)
    nearest = nearest[: int(np.searchsorted(lattice.v, highest)) + 1]
    rows = round(len(nearest) * level.shape[0] / lattice.shape[0])
    point, times = (
        resized(each[nearest].astype(np.float32), (rows, level.shape[1]))[:above]
        for each in (samples.inverse, off)
    )
    own, fit = level[: len(point)], inverse_m[: len(point)]
    least, most = np.float32(least), np.float32(most)
    claims = point, np.clip(fit, least, most), np.clip(fit * times, least, most)
    bounded = np.clip(own, np.minimum.reduce(claims), np.maximum.reduce(claims))
    to_nearest = (_TO_NEAREST_OF_LINE if in_line else _TO_NEAREST) * (1 - nearly_right)
    own[:] = bounded ** np.float32(1 - to_nearest) * point ** np.float32(to_nearest)
