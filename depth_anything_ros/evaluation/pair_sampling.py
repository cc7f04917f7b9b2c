"""Sampling of point pairs: over the whole picture and across depth edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import require
from depth_anything_ros.evaluation.pairs import Point
from depth_anything_ros.frames import FloatArray, RgbImage

_SUPERPIXELS = 150
_SUPERPIXEL_SIDE = 384
"""Longer side in pixels at which superpixels are found: enough for a point in each."""
_EDGE_SHARE = 0.03
_REACH = 0.02
_BLUR = 0.002

Pair = tuple[Point, Point]


def normalised(near: FloatArray) -> FloatArray:
    """Bring an expert's nearness to a common range: 0 at its 2nd and 1 at its 98th percentile.

    Args:
        near: HxW, larger is closer, NaN where unknown.

    Returns:
        HxW float64; all zero where the expert's depth is constant.
    """
    known = near[np.isfinite(near)]
    if not known.size:
        return near
    low, high = np.percentile(known, [2, 98])
    return (near - low) / (high - low) if high > low else np.zeros_like(near)


def sample_pairs(
    rgb: RgbImage, experts: Sequence[FloatArray], count: int, rng: np.random.Generator
) -> list[Pair]:
    """Draw point pairs of one image, half over superpixels, half across depth edges.

    DA-2K draws pairs of SAM's key pixels (Yang et al., Depth Anything V2, 2024, section 6), so that
    points lie on objects and not on their outlines. Here the innermost pixels of SLIC superpixels
    (Achanta et al. 2012) serve, which need no further network. Pairs across an edge lie close
    together where a picture's depth jumps: what blurred depth gets wrong.

    Args:
        rgb: HxWx3 uint8 RGB.
        experts: At least one HxW, normalised nearness.
        count: Number of pairs.
        rng: Random generator.

    Returns:
        Up to `count` different pairs, in no order of depth; a picture without depth edges has no
        pairs across them.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    over_edges = _edge_pairs(np.median(experts, axis=0), count // 2, rng)
    over_picture = _key_pairs(key_points(rgb), count - len(over_edges), rng)
    pairs = list(dict.fromkeys([*over_picture, *over_edges]))
    swap = rng.random(len(pairs)) < 0.5
    return [pair[::-1] if swapped else pair for pair, swapped in zip(pairs, swap, strict=True)]


def key_points(rgb: RgbImage) -> list[Point]:
    """The innermost pixel of each superpixel.

    Args:
        rgb: HxWx3 uint8 RGB.

    Returns:
        About 150 points, fewer in a tiny picture.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    segmentation = require("skimage.segmentation", "demo")
    height, width = rgb.shape[:2]
    shrink = min(1.0, _SUPERPIXEL_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    # SLICO, SLIC's form without a compactness to choose: noise and texture keep their superpixels.
    labels: npt.NDArray[np.int64] = segmentation.slic(
        small, n_segments=_SUPERPIXELS, sigma=1, slic_zero=True, start_label=1, channel_axis=-1
    )
    points = []
    for label in range(1, int(labels.max()) + 1):
        # A frame of zeros: the picture's border is an outline, too.
        inside = np.pad((labels == label).astype(np.uint8), 1)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        if depth[row, column] > 0:
            points.append((_enlarged(row, shrink, height), _enlarged(column, shrink, width)))
    return points


def _enlarged(index: np.intp, shrink: float, limit: int) -> int:
    return min(int((int(index) + 0.5) / shrink), limit - 1)


def _key_pairs(points: Sequence[Point], count: int, rng: np.random.Generator) -> list[Pair]:
    if len(points) < 2:
        return []
    pairs: set[tuple[int, int]] = set()
    possible = len(points) * (len(points) - 1) // 2
    while len(pairs) < min(count, possible):
        first, second = sorted(map(int, rng.choice(len(points), 2, replace=False)))
        pairs.add((first, second))
    return [(points[first], points[second]) for first, second in sorted(pairs)]


def _edge_pairs(near: FloatArray, count: int, rng: np.random.Generator) -> list[Pair]:
    """Points on both sides of the steepest depth, along its gradient."""
    height, width = near.shape
    diagonal = math.hypot(height, width)
    smooth = cv2.GaussianBlur(np.nan_to_num(near), (0, 0), max(_BLUR * diagonal, 0.5))
    across = cv2.Sobel(smooth, cv2.CV_64F, 1, 0)
    down = cv2.Sobel(smooth, cv2.CV_64F, 0, 1)
    steepness = np.hypot(across, down)
    reach = max(_REACH * diagonal, 2.0)
    margin = math.ceil(reach)
    inner = np.zeros_like(steepness)
    middle = (slice(margin, height - margin), slice(margin, width - margin))
    inner[middle] = steepness[middle]
    rows, columns = np.nonzero(inner > 0)
    if not len(rows):
        return []
    keep = max(count, int(_EDGE_SHARE * len(rows)))
    steepest = np.argsort(-inner[rows, columns], kind="stable")[:keep]
    pairs = []
    for edge in rng.permutation(steepest)[:count]:
        row, column = int(rows[edge]), int(columns[edge])
        step_row = reach * down[row, column] / steepness[row, column]
        step_column = reach * across[row, column] / steepness[row, column]
        ends = (
            (round(row + step_row), round(column + step_column)),
            (round(row - step_row), round(column - step_column)),
        )
        pairs.append(ends)
    return pairs
