"""Robust global fit of scale and shift to measured depths.

The model is a line, `y = scale * x + shift`: y is 1/Z and x the disparity of a network, or y is Z
and x its depth. What is minimised is log(y_fit / y), the relative error,
which is the same for depth and inverse depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.frames import FloatArray, Prediction, PredictionKind, SparsePoints
from depth_anything_ros.metric import few_points
from depth_anything_ros.metric.few_points import Extent
from depth_anything_ros.metric.scan_line import are_in_line

_STREAM = 1  # apart from other users of the same seed
_PAIRS = 128  # with half the points wrong, some 30 pairs are right
_JUDGES = 256  # points on which pairs are scored
_PIXELS = 8_000  # that show an image's range
_MAX_POINTS = 2048  # more do not make the fit better than the network is
_ITERATIONS = 10
_TUKEY = 4.685  # 95 % efficiency for Gaussian noise (Holland and Welsch 1977)
_INLIER_SPREADS = 3.0
_FACTOR_OF_TWO = 0.693  # however bad the network, a point off by that does not agree
_SMALLEST_SPREAD = 1e-9
_SAME_VALUE = 1e-3  # relative range of values within which all count as one
_CONVERGED = 1e-7
_SPREAD_IN_LINE = 0.15  # relative error that a network may well have along one line
_SPREAD_OF_FEW = 0.15  # the same of few points, which do not show it
_AS_MANY_IN_LINE = 16  # independent points that those of one line count as; chosen on real frames
# In the simulated robot, a LiDAR turned upside down correlates at -0.5 in the median where no scale
# fits, one that is right never below 0.2, and the prediction for another picture at -0.26.
_OPPOSED = -0.3
_SURELY_OPPOSED = 2.6  # standard deviations of the rank correlation of unrelated values
# Of the measured depth, 90th percentile over 10th. In real images, points that are right oppose a
# network at ranges up to 1.8 (a table seen from above); of LiDARs turned upside down in real
# images, four in five of those that oppose it have more (by both measures of `_opposed`).
_SEEN_RANGE = 2.0
_EXTRINSICS = "likelier the extrinsics or the calibration are wrong than the network"
_NETWORK = "likelier the network misreads this scene than the extrinsics are wrong"


class UnmeasurableError(DepthAnythingError):
    """A frame from which no scale can be measured; the text is the reason.

    Attributes:
        points: Visible points that are no scale for the network, yet may be right; or None.
    """

    points: SparsePoints | None = None


class OpposedError(UnmeasurableError):
    """Points that get farther where the network says nearer: no positive scale fits.

    Attributes:
        correlation: Spearman's rank correlation of network and points.
        finding: What was seen, without a guess at the cause.
        is_strong: Whether the points are likelier wrong than the network.
    """

    def __init__(self, correlation: float, count: int, depth_range: float) -> None:
        """Say so, and which cause is likelier.

        Args:
            correlation: Spearman's rank correlation of network and points.
            count: Number of points.
            depth_range: Their 90th percentile of depth over the 10th; a network easily misreads
                depths that hardly differ.
        """
        self.correlation = correlation
        # Unrelated ranks correlate by 0 +- 1 / sqrt(count - 1).
        chance = _SURELY_OPPOSED / max(count - 1, 1) ** 0.5
        self.is_strong = correlation < min(_OPPOSED, -chance) and depth_range > _SEEN_RANGE
        self.finding = (
            "no positive scale fits: the points get farther where the network says nearer (rank "
            f"correlation {correlation:.2f} of {count} points)"
        )
        cause = _EXTRINSICS if self.is_strong else _NETWORK
        super().__init__(f"{self.finding}; {cause}")


@dataclass(frozen=True)
class FitSettings:
    """How scale and shift are fitted.

    Attributes:
        shift: Fit a shift beside the scale; None means for relative networks only.
        min_points: Fewest points that are trusted.
        min_inlier_share: Smallest share of points that must agree with the fit.
        seed: Of the random starts.
    """

    shift: bool | None = None
    min_points: int = 6
    min_inlier_share: float = 0.4
    seed: int = 0

    def with_shift(self, kind: PredictionKind) -> bool:
        """Whether a shift is fitted for a kind of network."""
        if self.shift is not None:
            return self.shift
        return kind in (PredictionKind.RELATIVE_DISPARITY, PredictionKind.RELATIVE_DEPTH)


@dataclass(frozen=True)
class Fit:
    """A fitted line.

    Attributes:
        scale: Factor on the network's values.
        shift: Added after the factor.
        inliers: N bool, the points that agree.
        residual: Median |relative error| of the inliers; of few points what is to be expected.
    """

    scale: float
    shift: float
    inliers: npt.NDArray[np.bool_]
    residual: float

    @property
    def inlier_share(self) -> float:
        """Share of the points that agree."""
        return float(np.mean(self.inliers))


def values_at(values: npt.NDArray[Any], points: SparsePoints) -> FloatArray:
    """The value of the pixel each point lies in.

    Args:
        values: HxW image.
        points: Points of that image.

    Returns:
        N float64.
    """
    height, width = values.shape
    pixel = np.clip(np.rint(points.v), 0, height - 1).astype(np.intp)
    pixel *= width
    pixel += np.clip(np.rint(points.u), 0, width - 1).astype(np.intp)
    return values.ravel().take(pixel).astype(np.float64)


def fit_points(prediction: Prediction, points: SparsePoints, settings: FitSettings) -> Fit:
    """Fit scale and shift of a prediction to measured depths.

    Args:
        prediction: The network's values.
        points: Measured depths in the same image.
        settings: How to fit.

    Returns:
        The fit; its mask is over `points`.

    Raises:
        UnmeasurableError: The points do not determine a scale; the message says why.
    """
    inverse = prediction.kind.inverse
    x = values_at(prediction.values, points)
    usable = np.isfinite(x) & np.isfinite(points.z) & (points.z > 0)
    with_shift = settings.with_shift(prediction.kind)
    if not (inverse and with_shift):
        usable &= x > 0
    if len(points) and not np.any(points.z > 0):
        raise UnmeasurableError(f"all {len(points)} points are behind the camera")
    y = 1 / points.z[usable] if inverse else points.z[usable]
    in_line = are_in_line(points.u[usable], points.v[usable])
    extent = Extent(*range_of(prediction.values), inverse) if with_shift else None
    fit = fit_line(x[usable], y, with_shift, settings, in_line, extent)
    inliers = np.zeros(len(points), bool)
    inliers[usable] = fit.inliers
    return Fit(fit.scale, fit.shift, inliers, fit.residual)


def range_of(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Range of an image's values without outliers: the 2nd and 98th percentile of some pixels.

    Args:
        values: HxW image, NaN where unknown.

    Returns:
        Least and greatest; 0 and 0 where nothing is known.
    """
    step = max(1, math.isqrt(values.size // _PIXELS))
    known = np.sort(values[::step, ::step], axis=None)  # NaN last; faster than np.percentile
    known = known[: np.count_nonzero(np.isfinite(known))]
    if not len(known):
        return 0.0, 0.0
    return float(known[len(known) // 50]), float(known[-1 - len(known) // 50])


def fit_line(
    x: FloatArray,
    y: FloatArray,
    with_shift: bool,
    settings: FitSettings,
    in_line: bool = False,
    extent: Extent | None = None,
) -> Fit:
    """Fit y = scale * x + shift so that the relative error of y is smallest, robustly.

    Random pairs of points give candidate lines, the one with the least median error starts
    (least median of squares, Rousseeuw 1984; stands up to half the points being wrong), then
    Gauss-Newton steps on log(y_fit / y) with Tukey's redescending weights. Where the points are few
    or in one line of the image, or this finds no positive scale for points that rise with the
    network, `few_points` fits them.

    Args:
        x: N values of the network.
        y: N positive measurements.
        with_shift: Whether there is a shift; else it is 0.
        settings: How to fit.
        in_line: Whether the points lie in one line of the image, as those of a laser scan.
        extent: What the network says of the whole image; None for the points alone.

    Returns:
        The fit.

    Raises:
        UnmeasurableError: The points do not determine a line; the message says why.
    """
    if len(x) < settings.min_points:
        raise UnmeasurableError(
            f"too few points: {len(x)} usable, at least {settings.min_points} are needed "
            "(min_points)"
        )
    rng = np.random.default_rng((settings.seed, _STREAM))
    order = rng.permutation(len(x))[:_MAX_POINTS]
    few_x, few_y = x[order], y[order]
    expected = 0.0
    # The errors of a network along a line are not independent: up to half of them may look like
    # outliers beside a part that a wrong scale explains.
    least_spread = _SPREAD_IN_LINE if in_line else _SMALLEST_SPREAD
    few = in_line or len(x) <= few_points.MOST
    if with_shift and extent is not None and few:
        fit = _few(few_x, few_y, extent, rng, least_spread)
        scale, shift, expected = fit.scale, fit.shift, fit.error
        least_spread = max(least_spread, _SPREAD_OF_FEW)
    else:
        try:
            scale, shift = _of_the_points(few_x, few_y, with_shift, rng, least_spread)
        except OpposedError as error:
            if extent is None or error.correlation <= 0:
                raise
            fit = few_points.fit_few(few_x, few_y, extent)
            scale, shift = fit.scale, fit.shift
    few_error = np.abs(_log_error(few_x, few_y, scale, shift))
    tolerance = min(_INLIER_SPREADS * max(_spread(few_error), least_spread), _FACTOR_OF_TWO)
    inliers = np.abs(_log_error(x, y, scale, shift)) <= tolerance
    if np.mean(inliers) < settings.min_inlier_share:
        raise UnmeasurableError(
            f"only {np.mean(inliers):.0%} of {len(x)} points agree on one scale; at least "
            f"{settings.min_inlier_share:.0%} must"
        )
    residual = float(np.expm1(_median(few_error[few_error <= tolerance])))
    if few and not with_shift:
        expected = few_points.error_of_scale(residual, min(len(x), _AS_MANY_IN_LINE))
    return Fit(scale, shift, inliers, max(residual, expected))


def _few(
    x: FloatArray,
    y: FloatArray,
    extent: Extent,
    rng: np.random.Generator,
    least_spread: float,
) -> few_points.FewFit:
    """Fit few points; raises UnmeasurableError where the network or the points say nothing."""
    _refuse_one_value(extent.low, extent.high, len(x))
    other = None
    if len(x) > 1:
        try:
            other = _of_the_points(x, y, True, rng, least_spread)
        except OpposedError as error:
            if error.is_strong:
                raise
        except UnmeasurableError:  # all at one value of the network
            pass
    return few_points.fit_few(x, y, extent, other, _AS_MANY_IN_LINE)


def _of_the_points(
    x: FloatArray, y: FloatArray, with_shift: bool, rng: np.random.Generator, least_spread: float
) -> tuple[float, float]:
    """Scale and shift that the points alone show.

    Raises:
        UnmeasurableError: They show none.
    """
    if with_shift:
        ordered = np.sort(x)
        _refuse_one_value(ordered[len(x) // 50], ordered[-1 - len(x) // 50], len(x))
        scale, shift = _best_pair(x, y, rng)
    else:
        scale, shift = float(np.exp(_median(np.log(y / x)))), 0.0
    scale, shift = _reweighted(x, y, scale, shift, with_shift, least_spread)
    if not scale > 0:
        raise _opposed(x, y)
    return scale, shift


def _refuse_one_value(least: float, greatest: float, count: int) -> None:
    """Raise UnmeasurableError where the network's values are all the same."""
    if greatest - least <= _SAME_VALUE * max(abs(least), abs(greatest)):
        raise UnmeasurableError(
            f"all {count} points lie at one network value ({greatest:.4g}): scale and shift cannot "
            "be told apart"
        )


def _opposed(x: FloatArray, y: FloatArray) -> OpposedError:
    ranks = np.argsort(np.argsort(np.stack([x, y])))
    least, low, high, most = np.quantile(y, (0.1, 0.25, 0.75, 0.9))
    depth_range = float(most / least)
    if len(x) > few_points.MOST:
        # Gross errors widen this one, not the quartiles, which say the same of a uniform logarithm.
        depth_range = min(depth_range, float(high / low) ** 1.6)
    return OpposedError(float(np.asarray(np.corrcoef(ranks))[0, 1]), len(x), depth_range)


def _log_error(x: FloatArray, y: FloatArray, scale: float, shift: float) -> FloatArray:
    """log(y_fit / y); a fit that is not positive counts as a thousandth of the measurement."""
    return np.log(np.maximum((scale * x + shift) / y, 1e-3))


def _median(values: FloatArray) -> FloatArray:
    """Median along the last axis; NumPy's sort is several times as fast as its selection here."""
    ordered = np.sort(values, axis=-1)
    count = values.shape[-1]
    return np.asarray((ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2)


def _spread(error: FloatArray) -> float:
    """Robust standard deviation, with Rousseeuw and Leroy's small-sample factor (1987)."""
    factor = 1.4826 * (1 + 5 / max(len(error) - 2, 1))
    return max(factor * float(_median(np.abs(error))), _SMALLEST_SPREAD)


def _best_pair(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """The line through two points that has the least median relative error over all."""
    by_value = np.argsort(x, kind="stable")
    half = len(x) // 2
    low = by_value[rng.integers(0, half, _PAIRS)]
    high = by_value[rng.integers(len(x) - half, len(x), _PAIRS)]
    apart = x[high] - x[low]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (y[high] - y[low]) / apart
        shift = y[low] - scale * x[low]
    sound = np.isfinite(scale) & (scale > 0)
    if not sound.any():
        raise _opposed(x, y)
    scale, shift = scale[sound], shift[sound]
    judges_x, judges_y = x[:_JUDGES], y[:_JUDGES]
    ratio = scale[:, None] * (judges_x / judges_y) + shift[:, None] * (1 / judges_y)
    # The factor between the two grows with the relative error and needs no logarithm.
    np.clip(ratio, 1e-3, 1e3, out=ratio)
    factor = np.maximum(ratio, 1 / ratio)
    best = int(np.argmin(_median(factor)))
    return float(scale[best]), float(shift[best])


def _reweighted(
    x: FloatArray,
    y: FloatArray,
    scale: float,
    shift: float,
    with_shift: bool,
    least_spread: float,
) -> tuple[float, float]:
    """Iteratively reweighted Gauss-Newton on log(scale * x + shift) - log(y)."""
    for _ in range(_ITERATIONS):
        error = _log_error(x, y, scale, shift)
        limit = _TUKEY * max(_spread(error), least_spread)
        weight = np.square(np.maximum(1 - np.square(error / limit), 0))
        fitted = np.maximum(scale * x + shift, 1e-3 * y)
        by_shift = 1 / fitted
        by_scale = x * by_shift
        weighed_scale, weighed_shift = weight * by_scale, weight * by_shift
        a = float(weighed_scale @ by_scale)
        b = float(weighed_scale @ by_shift)
        c = float(weighed_shift @ by_shift)
        p = -float(weighed_scale @ error)
        q = -float(weighed_shift @ error)
        if with_shift:
            determinant = a * c - b * b
            if determinant <= 1e-12 * a * c:
                break
            step = (c * p - b * q) / determinant, (a * q - b * p) / determinant
        else:
            step = p / a, 0.0
        scale, shift = scale + step[0], shift + step[1]
        if np.max(np.abs(step[0] * by_scale + step[1] * by_shift)) < _CONVERGED:
            break
    return scale, shift
