"""How far a depth image can be trusted: disagreement of experts, and distance to measurements.

Experts are several networks, or one network that is given several views of the same picture. Where
they differ, at least one is wrong. Depth Anything V2 finds difficult pixels so (Yang et al., 2024,
section 6: four networks order pairs of pixels, pairs on which all agree need no person); here the
vote is live and for every pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import (
    FloatArray,
    FloatImage,
    Prediction,
    RgbImage,
    SparsePoints,
)
from depth_anything_ros.inference.estimator import DepthEstimator

_VOTE_SIDE = 160
"""Longer side in pixels at which pixels are ordered; disagreement is smooth and votes cost time."""

_PARTNERS = 64
"""Partners of every pixel in the vote; one dissenting vote weighs 1.6 %."""

_INNER = (0.01, 0.99)
"""Quantiles of the first expert's values between which partners are drawn."""

_NEAREST_M = 1e-3
"""Depths below a millimetre are taken as that: some networks give 0, whose logarithm is none."""


@dataclass(frozen=True)
class View:
    """A further view of the same scene for a network, at the size of the first picture.

    Attributes:
        flip: Mirror left and right.
        zoom: Share of width and height around the middle that is shown, enlarged; 1 is all.
    """

    flip: bool = False
    zoom: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a zoom that shows nothing or more than there is.

        Raises:
            SettingError: `zoom` is not above 0 and at most 1.
        """
        if not 0 < self.zoom <= 1:
            raise SettingError(f"zoom is {self.zoom}; it must be above 0 and at most 1")

    def show(self, image: RgbImage) -> RgbImage:
        """The picture as this view shows it, HxWx3 uint8 like `image`, contiguous."""
        height, width = image.shape[:2]
        rows, columns = self._window(height, width)
        if self.flip:
            image = image[:, ::-1]
        seen = np.ascontiguousarray(image[rows, columns])
        if seen.shape == image.shape:
            return seen
        return np.asarray(cv2.resize(seen, (width, height)), np.uint8)

    def restore(self, prediction: Prediction) -> Prediction:
        """The prediction for this view, at the pixels of the first picture.

        Args:
            prediction: Its answer to `show(image)`.

        Returns:
            The same values, NaN at pixels that the view does not show.
        """
        height, width = prediction.values.shape
        rows, columns = self._window(height, width)
        values = np.full((height, width), np.nan, np.float32)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        values[rows, columns] = cv2.resize(prediction.values, size, interpolation=cv2.INTER_AREA)
        if self.flip:
            values = np.ascontiguousarray(values[:, ::-1])
        return replace(prediction, values=values)

    def _window(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns that are shown, of the mirrored picture where it is mirrored."""
        shown = (max(round(self.zoom * height), 1), max(round(self.zoom * width), 1))
        top, left = (height - shown[0]) // 2, (width - shown[1]) // 2
        return slice(top, top + shown[0]), slice(left, left + shown[1])


FLIP = (View(flip=True),)
"""The cheapest second prediction, one more picture in the batch; the one for relative networks.

With FastDepth's values taken as relative, the least certain tenth of the pixels of the NYU and TUM
frames of the test data has 2.2 times the relative error of the others on average (1.4 to 3.8).
Enlarged views find more in the vote on TUM and less on NYU.
"""

ZOOMS = (View(zoom=0.9), View(zoom=0.8))
"""The better one for metric networks: two more pictures.

On the NYU and TUM frames of the test data with FastDepth, the least certain tenth of the pixels has
2.2 to 6.9 times the relative error of the others; with `FLIP` 1.4 to 4.3 times.
"""


def estimate_views(
    estimator: DepthEstimator, images: Sequence[RgbImage], views: Sequence[View]
) -> list[list[Prediction]]:
    """Predict some pictures and views of them in one call.

    Args:
        estimator: The network.
        images: HxWx3 uint8 RGB each; sizes may differ.
        views: Further views of every picture.

    Returns:
        For every image its own prediction, then that of each view, brought back to its pixels.

    Raises:
        InputError: An image is not HxWx3 uint8 or has a side of zero.
    """
    shown = [[image, *(view.show(image) for view in views)] for image in images]
    predictions = iter(estimator.estimate([picture for group in shown for picture in group]))
    return [
        [next(predictions), *(view.restore(next(predictions)) for view in views)] for _ in images
    ]


def expert_confidence(predictions: Sequence[Prediction], seed: int = 0) -> FloatImage:
    """Confidence from the predictions of several experts for one picture.

    Experts that all give metres are compared in metres (`metric_confidence`, the sharper measure),
    any others by the order they give pixels (`ordering_confidence`).

    Args:
        predictions: One expert each, at the picture's size; NaN where unknown.
        seed: Fixes the partners of the vote.

    Returns:
        HxW float32 from 0 (low) to 1 (high).

    Raises:
        InputError: There are fewer than two, or they differ in size.
    """
    if all(prediction.kind.metric for prediction in predictions):
        return metric_confidence(predictions)
    return ordering_confidence(predictions, seed)


def metric_confidence(predictions: Sequence[Prediction]) -> FloatImage:
    """How closely metric experts agree on the depth of each pixel.

    The disagreement of a pixel is the root mean square over the other experts of
    log(depth / depth of the first). The confidence is exp(-(disagreement - typical)), at most 1,
    where typical is the picture's median: 0.9 is a pixel about which the experts differ by 10 %
    more than they usually do. What all pixels share carries no information, and an enlarged view
    shares a factor: the network takes it for a longer focal length. The factor is not taken
    out of the logarithms themselves: pixels that follow the enlargement most are those judged by
    their apparent size alone, and without them fewer errors are found (1.7 to 2.0 instead of 2.2 to
    2.6 times the error of the rest on the NYU frames of the test data).

    Args:
        predictions: Metric experts, the one that is used first.

    Returns:
        HxW float32 from 0 to 1. A pixel that an expert's view does not show has the disagreement
        of the nearest one it does.

    Raises:
        InputError: There are fewer than two, they differ in size, or one is not metric.
    """
    _check(predictions)
    if any(not prediction.kind.metric for prediction in predictions):
        raise InputError("only experts that give metres can be compared in metres")
    own, *others = (
        np.log(np.maximum(prediction.values, np.float32(_NEAREST_M))) for prediction in predictions
    )
    squares = sum(_filled((other - own) ** 2) for other in others)
    disagreement = np.sqrt(squares / np.float32(len(others)))
    typical = np.median(disagreement[::4, ::4])  # a sixteenth of the pixels knows it well enough
    return np.exp(np.minimum(typical - disagreement, 0)).astype(np.float32, copy=False)


def ordering_confidence(predictions: Sequence[Prediction], seed: int = 0) -> FloatImage:
    """How unanimously experts order each pixel against partner pixels.

    The confidence is the share of 64 partners for which no two experts contradict each other on
    which of the two is nearer. It needs no common scale, so it compares any experts. Partners are
    spread evenly over the first expert's range of values, not over the picture: else whatever
    covers most of the picture would judge all of it, mostly itself. They are drawn where every
    expert has a value.

    Args:
        predictions: Experts of any kind.
        seed: Fixes the partners.

    Returns:
        HxW float32 from 0 to 1, resolved to 160 pixels along the longer side. A pixel that only one
        expert knows has confidence 1; no other contradicts it.

    Raises:
        InputError: There are fewer than two, they differ in size, or share no pixel.
    """
    _check(predictions)
    height, width = predictions[0].values.shape
    shrink = min(1.0, _VOTE_SIDE / max(height, width))
    size = (max(round(shrink * width), 1), max(round(shrink * height), 1))
    near = [
        np.asarray(
            cv2.resize(_nearness(prediction), size, interpolation=cv2.INTER_NEAREST), np.float32
        ).ravel()
        for prediction in predictions
    ]
    partners = _partners(near, np.random.default_rng(seed))
    # One comparison per expert and side: a pixel is disputed where one expert has it nearer and
    # another further. Comparisons with NaN are neither.
    nearer = np.zeros((len(partners), size[0] * size[1]), np.bool_)
    further = np.zeros_like(nearer)
    for values in near:
        reference = values[partners][:, None]
        nearer |= values > reference
        further |= values < reference
    agreed = 1 - np.count_nonzero(nearer & further, axis=0) / np.float32(len(partners))
    small = agreed.reshape(size[::-1]).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def support_confidence(
    shape: tuple[int, int], points: SparsePoints | None, reach: float = 0.25
) -> FloatImage:
    """Confidence that falls with the distance to the nearest measured point.

    It is 0.5 + 0.5 exp(-distance / (reach * diagonal)): scale and shift hold for the whole picture,
    so a pixel far from all points has low confidence, not none.

    Args:
        shape: (height, width) in pixels.
        points: Measured points of this picture; None or no points give 1 everywhere, since then
            metres do not come from points.
        reach: Distance at which the support has fallen to 1/e, as a share of the diagonal.

    Returns:
        HxW float32 from 0.5 to 1; multiply it with the experts' confidence.

    Raises:
        SettingError: `reach` is not positive.
    """
    if not reach > 0:
        raise SettingError(f"reach is {reach}; it must be above 0")
    if points is None or not len(points):
        return np.ones(shape, np.float32)
    height, width = shape
    empty = np.ones(shape, np.uint8)
    rows = np.clip(np.rint(points.v), 0, height - 1).astype(np.intp)
    columns = np.clip(np.rint(points.u), 0, width - 1).astype(np.intp)
    empty[rows, columns] = 0
    distance = cv2.distanceTransform(empty, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away = distance * np.float32(-1 / (reach * np.hypot(height, width)))
    return np.asarray(np.float32(0.5) + np.float32(0.5) * np.exp(away), np.float32)


def _check(predictions: Sequence[Prediction]) -> None:
    if len(predictions) < 2:
        raise InputError(f"{len(predictions)} expert cannot disagree; give two or more")
    shapes = {prediction.values.shape for prediction in predictions}
    if len(shapes) > 1:
        raise InputError(f"experts of one picture differ in size: {sorted(shapes)}")


def _nearness(prediction: Prediction) -> FloatImage:
    """Larger is nearer; evenly spaced in the ratio of depths where it is depth."""
    if prediction.kind.inverse:
        return prediction.values
    return -np.log(np.maximum(prediction.values, np.float32(_NEAREST_M)))


def _partners(near: Sequence[FloatImage], rng: np.random.Generator) -> FloatArray:
    """Indices of pixels that all experts know, evenly spread over the first one's values."""
    known = np.flatnonzero(np.isfinite(np.sum(near, axis=0)))
    if not len(known):
        raise InputError("the experts share no pixel that all of them have a value for")
    known = known[near[0][known].argsort(kind="stable")]
    values = near[0][known]
    low, high = np.quantile(values, _INNER)
    wanted = low + (high - low) * (np.arange(_PARTNERS) + rng.random(_PARTNERS)) / _PARTNERS
    return known[np.searchsorted(values, wanted).clip(max=len(values) - 1)]


def _filled(values: FloatImage) -> FloatImage:
    """Continue the rectangle of known values outwards; NaN inside it counts as 0."""
    known = np.isfinite(values)
    if known.all():
        return values
    x, y, width, height = cv2.boundingRect(known.view(np.uint8))
    inner = np.nan_to_num(values[y : y + height, x : x + width], nan=0.0)
    if not inner.size:
        return np.zeros_like(values)
    right, bottom = values.shape[1] - x - width, values.shape[0] - y - height
    border = cv2.copyMakeBorder(inner, y, bottom, x, right, cv2.BORDER_REPLICATE)
    return np.asarray(border, np.float32)
