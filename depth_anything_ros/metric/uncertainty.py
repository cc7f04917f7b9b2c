"""How sure a depth is: one standard deviation in metres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, ScaleState

UNMEASURED = 0.15
"""Relative error of depth where no measurement shows it: own choice, between what metric networks
reach on data like their own (0.05 to 0.1) and what they do elsewhere (0.2 to 0.4)."""

MEASURED = 0.003
"""Relative error of a measured depth itself, which left-out points need not show: own choice,
3 cm at 10 m, as of LiDARs, and 3 mm at 1 m, as of depth cameras."""

# Own choices, made on real frames.
_LOCAL = 0.7  # share of the local error in the error of a place; the rest is the image's
_AT_POINT = 0.02  # reaches that are added to the distance to the nearest point
_OF_STEP = 0.3  # share of the step of log depth to the nearest point,
_OF_NEAREST = 0.13  # and of the error of the nearest point when it was left out
_MOST_STEP = 2.0
_EDGE = 0.25  # power of the step of log depth within a cell: errors are made at edges,
_COLOUR = 0.2  # of the step of colour to the nearest point: what it does not speak for,
_FAR = 0.25  # and of the depth: errors of inverse depth are more alike than relative ones
_LEAST_EDGE = 0.01
_LEAST_COLOUR = 0.01
_USUAL_EDGE = 0.05
_USUAL_COLOUR = 0.06
_MOST_CELLS = 30_000
_FEW = 20.0  # left-out points that weigh as much as what other images show
_USUAL = 1.6  # the factor that those show
_BETWEEN = 0.13  # by which pixels between points are better than points that were left out
_OF_FEW = 3.0  # by which pixels among fewer points are worse
_TAIL = 0.38  # weight of the 95 % of left-out points within two deviations, against 68 % within one

_AROUND = np.ones((3, 3), np.uint8)
_OF_MEDIAN = 1.4826  # standard deviation per median absolute deviation of a normal distribution


def sigma_of_state(depth_m: FloatImage, state: ScaleState, scale_sigma: float = 0.0) -> FloatImage:
    """Standard deviation of a depth whose scale and shift are the same everywhere.

    Args:
        depth_m: HxW float32 metres, NaN where unknown; not modified.
        state: How it was made.
        scale_sigma: Relative standard deviation of the scale itself, where it was measured.

    Returns:
        HxW float32 metres, NaN where the depth is unknown.
    """
    relative = UNMEASURED
    if state.residual > 0:
        relative = math.hypot(_OF_MEDIAN * state.residual, scale_sigma)
    return np.multiply(depth_m, np.float32(relative))


def sigma_of_error(depth_m: FloatImage, relative: FloatImage) -> FloatImage:
    """Standard deviation of a depth whose relative error differs from place to place.

    Args:
        depth_m: HxW float32 metres, NaN where unknown; not modified.
        relative: Rows x columns float32 over the whole image, the relative standard deviation.

    Returns:
        HxW float32 metres, NaN where the depth is unknown.
    """
    sigma = cv2.resize(relative, depth_m.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.multiply(sigma, depth_m, out=sigma)


@dataclass(frozen=True)
class LeftOut:
    """Measured points, each predicted from the others.

    Attributes:
        places: NxK float64, the first two are column and row in image widths.
        inverse: N float64 1/m, as measured.
        predicted: N float64 1/m, by the others.
        error: N float64, relative error of the predicted depth.
        cell: N, flat index of the node of each.
        judged: M, those whose nearest others are known.
        nearest: M, which other one is nearest to each of the judged.
        apart: M float64, distance to it in image widths.
        doubted_places: DxK float64, column and row of points that were not used.
        doubted_error: D float64, error there.
        doubted_cell: D, flat index of the node of each.
    """

    places: FloatArray
    inverse: FloatArray
    predicted: FloatArray
    error: FloatArray
    cell: npt.NDArray[np.intp]
    judged: npt.NDArray[np.intp]
    nearest: npt.NDArray[np.intp]
    apart: FloatArray
    doubted_places: FloatArray
    doubted_error: FloatArray
    doubted_cell: npt.NDArray[np.intp]


def error_between_points(
    left_out: LeftOut, inverse_m: FloatImage, colour: npt.NDArray[np.float32], reach: float
) -> FloatImage:
    """Standard deviation of the relative error between measured points, from left-out ones.

    Its shape is made of the mean error of the points around, which grows with the distance to the
    nearest one, of the step of depth to that one and of its own error; it is larger at edges of
    depth, where the colour is another than at that point, and far away. The factor on it is the one
    by which 68 % and 95 % of the left-out points lie within one and two deviations (split conformal
    prediction, Lei et al. 2018, section 5.2). Errors of depth have longer tails than a normal
    distribution, so no factor does both: it is a mean of the two.

    Args:
        left_out: The points.
        inverse_m: HxW float32 1/m, the depth given out.
        colour: C x rows x columns float32, of the nodes; C is 0 without an image.
        reach: Image widths within which points speak for what is around them.

    Returns:
        Rows x columns float32 over the whole image.
    """
    error = np.r_[left_out.error, left_out.doubted_error]
    cell = np.r_[left_out.cell, left_out.doubted_cell]
    local, around = local_mean(error, cell, colour.shape[1:])
    height, width = inverse_m.shape
    thinned = max(1.0, (height * width / _MOST_CELLS) ** 0.5)
    size = (round(width / thinned), round(height / thinned))
    here = cv2.resize(inverse_m, size, interpolation=cv2.INTER_NEAREST)
    nearest, apart = _nearest(left_out.places, here.shape)
    inverse = left_out.inverse.astype(np.float32)
    shape = _shape(
        cv2.resize(local, size, interpolation=cv2.INTER_LINEAR),
        apart * np.float32(1 / reach),
        here / inverse[nearest],
        left_out.error.astype(np.float32)[nearest],
    )
    middle = np.median(inverse)
    near = np.log(np.fmax(here, inverse.min() / 2) / middle)
    edge = cv2.dilate(near, _AROUND) - cv2.erode(near, _AROUND)
    shades = left_out.places[:, 3:].T.astype(np.float32)
    other = np.zeros_like(near)
    for whole, shade in zip(colour, shades, strict=False):
        other += np.square(cv2.resize(whole, size) - shade[nearest])
    shape *= _growth(edge, np.sqrt(other), near)
    judged, others = left_out.judged, left_out.nearest
    expected = _shape(
        around[judged],
        left_out.apart / reach,
        left_out.predicted[judged] / left_out.inverse[others],
        left_out.error[others],
    )
    expected *= _growth(
        edge[_cells(left_out.places[judged], here.shape)],
        np.linalg.norm(shades[:, judged] - shades[:, others], axis=0),
        np.log(np.fmax(left_out.predicted[judged], inverse.min() / 2) / middle),
    )
    around_doubted = shape[_cells(left_out.doubted_places, here.shape)]
    ratio = np.r_[left_out.error[judged] / expected, left_out.doubted_error / around_doubted]
    ratio = np.sort(ratio)
    one, two = (
        max(float(ratio[min(int(part * len(ratio)), len(ratio) - 1)]), 1e-3)
        for part in (0.683, 0.954)
    )
    known = len(ratio) / (len(ratio) + _FEW)
    factor = _USUAL * ((one ** (1 - _TAIL) * (two / 2) ** _TAIL) / _USUAL) ** known
    factor *= 1 - _BETWEEN * known
    factor *= 1 + _OF_FEW * max(1 / len(ratio) - 1 / _FEW, 0)
    return np.asarray(np.hypot(shape * np.float32(factor), np.float32(MEASURED)))


def _nearest(places: FloatArray, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], FloatImage]:
    """Which of some places is nearest to each cell of an image, and how far in image widths."""
    rows, columns = shape
    empty = np.ones((rows, columns), np.uint8)
    at = _cells(places, shape)
    empty[at] = 0
    apart, label = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    which = np.zeros(int(label.max()) + 1, np.intp)
    which[label[at]] = np.arange(len(places))
    return which[label], np.asarray(apart * np.float32(1 / columns))


def _cells(
    places: FloatArray, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Row and column of the cell that each place lies in."""
    rows, columns = shape
    column, row = (places[:, :2] * columns).astype(np.intp).T
    return np.minimum(row, rows - 1), np.minimum(column, columns - 1)


def _shape(
    local: npt.NDArray[Any],
    apart: npt.NDArray[Any],
    step: npt.NDArray[Any],
    nearest: npt.NDArray[Any],
) -> npt.NDArray[Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.abs(np.log(step))
    step = np.nan_to_num(np.minimum(step, _MOST_STEP), nan=_MOST_STEP)
    grown = local * (apart + _AT_POINT)
    return np.maximum(grown + _OF_STEP * step + _OF_NEAREST * nearest, 1e-6)


def _growth(
    edge: npt.NDArray[Any], colour: npt.NDArray[Any], near: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Factor on the error by steps of log depth and of colour, and by log of inverse depth."""
    power = _EDGE * np.log(edge / _USUAL_EDGE + _LEAST_EDGE / _USUAL_EDGE)
    power += _COLOUR * np.log(colour / _USUAL_COLOUR + _LEAST_COLOUR / _USUAL_COLOUR)
    power -= _FAR * near
    return np.asarray(np.exp(power))


def local_mean(
    values: FloatArray, cell: npt.NDArray[np.intp], shape: tuple[int, ...]
) -> tuple[FloatImage, FloatArray]:
    """Mean of the values around every node, drawn towards the mean of all; and around each value.

    Args:
        values: N.
        cell: N, flat index of the node of each.
        shape: Rows and columns of the nodes.

    Returns:
        Rows x columns float32; and N, without the value itself.
    """
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size).reshape(shape).astype(np.float32)
    total = np.bincount(cell, values, size).reshape(shape).astype(np.float32)
    mean = float(values.mean())
    # About eight points within one deviation.
    reach = max(1.0, (8 * size / (6.3 * len(values))) ** 0.5)
    few = np.float32(1e-3)
    total, count = (
        cv2.GaussianBlur(part, (0, 0), reach, borderType=cv2.BORDER_REPLICATE)
        for part in (total + few * np.float32(mean), count + few)
    )
    local = np.float32(_LOCAL) * total / count + np.float32((1 - _LOCAL) * mean)
    own = 1 / (2 * np.pi * reach**2)
    others = (total.ravel()[cell] - own * values) / np.maximum(count.ravel()[cell] - own, few)
    mean_of_others = (mean * len(values) - values) / max(len(values) - 1, 1)
    around = _LOCAL * np.maximum(others, 0) + (1 - _LOCAL) * mean_of_others
    return local.astype(np.float32), around
