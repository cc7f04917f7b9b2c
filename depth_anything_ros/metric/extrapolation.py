"""How far beyond measured points what they say is still better than the global fit.

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
from depth_anything_ros.metric.samples import BEYOND, Samples

# Own choices, for cost.
_PAIRED = 128
_OCTAVES = 8  # of distance beyond the reach
# Own choices, made on real frames.
_FEWEST_PAIRS = 20
_MOST_OFF = 0.7  # logarithm of a factor, beyond which an error counts no more
_LEAST_OFF = 1e-6
_TREND = (0.02, 0.98)  # quantiles of the fit's error at points that bound it away from them
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


def draw_no_trend_on(
    level: FloatImage, inverse_m: FloatImage, samples: Samples, apart: FloatImage
) -> None:
    """Bound inverse depth by what the fit is off by at the points, in place.

    Args:
        level: HxW float32 1/m, modified.
        inverse_m: HxW float32 1/m of the global fit.
        samples: The points.
        apart: HxW float32 in 0..1, how much: 0 beside points.
    """
    at_points = np.sort(
        samples.inverse / np.maximum(samples.fitted, samples.inverse.min() / BEYOND)
    )
    least, most = (at_points[int(share * len(samples))] for share in _TREND)
    there = np.flatnonzero(apart)
    own, fit = level.ravel()[there], inverse_m.ravel()[there]
    bound = np.clip(own, fit * np.float32(least), fit * np.float32(most))
    level.ravel()[there] = own + apart.ravel()[there] * (bound - own)
