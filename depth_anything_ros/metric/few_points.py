"""Scale and shift of a relative network from few points, with what such networks usually need.

Two points fix a line, but not one to trust: a wrong shift puts half of the image behind the horizon
or in front of the camera. So the line is a mean over many, weighted by how well they fit and by how
usual their shift is. The shift is described by the share theta of the image's nearest inverse depth
that its farthest one has: a third in rooms, more over a table, which is all at about one depth,
less outdoors, where the image reaches to infinity. How far the points are tells one from the other.
A single point then gives a scale, and the more points the less the usual counts. Where two or three
points lie near both ends of the image's range and their own line is usual, it is taken: whoever
gives them expects their metres there. Errors of a network along one line of the image are alike, so
that the many points of a laser scan count as few ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.frames import FloatArray

MOST = 15
"""More points than this speak for themselves: own choice, by comparison on real frames."""

# Own choices: theta of two networks on 58 real frames has mean 0.29 and deviation 0.24. The mean
# line lies farther than its theta, since of lines through a far point the far ones rise most, and
# relative error is larger beyond the true depth than before it: so what is usual is a little more.
# Over tables theta is about 0.7, outdoors 0.1; in between it follows the logarithm of depth.
_USUAL, _DEVIATION = (0.7, 0.37, 0.37, 0.15), 0.25
_USUAL_AT = (1.0, 2.0, 5.0, 12.0)  # metres of the median point
_THETAS = np.linspace(-0.1, 0.95, 43)
_LEAST = 0.02  # of a pixel's value, relative to the nearest: what is at the horizon or behind it
_EVIDENCE = 0.5  # of a point: errors of a network at some places are alike
_EXACT = 1e-3  # sum of relative errors that are none
_UNSEEN = 0.1  # errors of the two points that a line can always meet, added up
_BELIEVED = 3  # points that nothing corrects later: a line through so few is taken as it is
_BETWEEN = 0.5  # where they span this share of the image's range, and theta is usual
_USUAL_ERROR = 0.1  # median |relative error| of a metric network: a deviation of 15 %
_USUAL_COUNTS = 3.0  # as so many points
_PLACES = np.linspace(0.05, 0.95, 7)  # between the farthest and the nearest value of the image


@dataclass(frozen=True)
class Extent:
    """What a network says of a whole image.

    Attributes:
        low: Its least value, without outliers.
        high: Its greatest one.
        inverse: Whether values and measurements are inverse depth, else depth.
    """

    low: float
    high: float
    inverse: bool = True


@dataclass(frozen=True)
class FewFit:
    """A line through few points.

    Attributes:
        scale: Factor on the network's values.
        shift: Added after the factor.
        error: Median |relative error| to be expected all over the image.
    """

    scale: float
    shift: float
    error: float


def fit_few(
    x: FloatArray,
    y: FloatArray,
    extent: Extent,
    other: tuple[float, float] | None = None,
    most: int | None = None,
) -> FewFit:
    """Fit y = scale * x + shift to few points, or to many that say no more than few.

    Args:
        x: N values of the network, at least one.
        y: N positive measurements.
        extent: What the network says of the whole image.
        other: Scale and shift of one more line to weigh, which fits the points alone.
        most: As how many the points count at most; None for as many as they are.

    Returns:
        The mean line.
    """
    low, high = extent.low, extent.high
    theta = _THETAS
    usual = _usual(1 / y if extent.inverse else y)
    believed = False
    place = (x - low) / (high - low)
    if other is not None:
        far, near = (other[0] * value + other[1] for value in (low, high))
        if near > max(far, 0.0):
            theta = np.append(theta, far / near)
            is_usual = abs(far / near - usual) < 2 * _DEVIATION and far > 0
            believed = len(x) <= _BELIEVED and is_usual and bool(np.ptp(place) > _BETWEEN)
    off = np.log(y) - _log_shape(theta, place)
    level = np.median(off, axis=1)
    count = len(x) if most is None else min(len(x), most)
    error = np.abs(off - level[:, None]).mean(axis=1) * count
    # Laplacian errors of unknown size, of which two points leave nothing to judge by.
    power = _EVIDENCE * (max(count - 2, 0) + 1)
    likelihood = -power * np.log(error + _EXACT) - 0.5 * np.square((theta - usual) / _DEVIATION)
    weight = np.exp(likelihood - likelihood.max())
    weight /= weight.sum()
    taken = np.append(np.zeros(len(_THETAS)), 1.0) if believed else weight
    nearest = np.exp(level)
    far, rise = float(taken @ (nearest * theta)), float(taken @ (nearest * (1 - theta)))
    scale = rise / (high - low)
    everywhere = _log_shape(theta, _PLACES) + level[:, None]
    apart = np.abs(everywhere - taken @ everywhere)
    own = (float(weight @ error) + _UNSEEN) / count
    expected = own + float((weight @ apart).mean())
    return FewFit(scale, far - scale * low, float(np.expm1(np.log(2) * expected)))


def error_of_scale(residual: float, count: int) -> float:
    """Error of a metric network that is scaled by few points, which fit better than what is around.

    Args:
        residual: Median |relative error| at the points.
        count: How many there are, at least one.

    Returns:
        Median |relative error| to be expected all over the image.
    """
    mean_square = (count - 1) * residual**2 + _USUAL_COUNTS * _USUAL_ERROR**2
    return max(residual, math.sqrt(mean_square / (count - 1 + _USUAL_COUNTS)))


def _usual(z: FloatArray) -> float:
    """Theta to be expected where points at these metres are."""
    return float(np.interp(np.log(np.median(z)), np.log(_USUAL_AT), _USUAL))


def _log_shape(theta: FloatArray, place: FloatArray) -> FloatArray:
    """Log of the value at places between the farthest (0) and the nearest (1), relative to that."""
    line = theta[:, None] + (1 - theta)[:, None] * place
    return np.asarray(np.log(np.maximum(line, _LEAST)))
