"""Disparity as networks of any quality give it: real ones, worse ones, and better ones."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage

Number = TypeVar("Number", np.float32, np.uint8)

# Own choices. A network is better on the worlds it learned from than on what robots see, so most
# of its answers are spoilt.
_CELLS_OF_WARP = 8


def spoilt(rng: np.random.Generator, disparity: FloatImage) -> FloatImage:
    """Disparity as of a worse network: bent, curved, blurred, off by regions, beside the edges.

    Args:
        rng: Decides everything.
        disparity: HxW float32.

    Returns:
        HxW float32, 2nd to 98th percentile about 0 to 1.
    """
    low, high = np.percentile(disparity, [2, 98])
    surface = (disparity - low) / max(high - low, 1e-9)
    if rng.random() < 0.6:
        surface = surface + rng.uniform(0.02, 0.25) * _smooth(rng, surface.shape, 3, 14)
    if rng.random() < 0.4:
        surface = _curved(surface, np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        surface = cv2.GaussianBlur(surface.astype(np.float32), (0, 0), rng.uniform(0.7, 5))
    if rng.random() < 0.2:
        region = _smooth(rng, surface.shape, 3, 9) > rng.uniform(0.3, 1.2)
        surface = surface + region * rng.normal(0, 0.2)
    if rng.random() < 0.3:
        surface = warped(rng, surface.astype(np.float32), rng.uniform(0.3, 2.5))
    return np.asarray(surface, np.float32)


def coarse(rng: np.random.Generator, disparity: FloatImage) -> FloatImage:
    """Disparity as of a network that misses objects: all of them, or those in some places.

    Args:
        rng: Decides everything.
        disparity: HxW float32.

    Returns:
        HxW float32, 2nd to 98th percentile about 0 to 1.
    """
    low, high = np.percentile(disparity, [2, 98])
    surface = ((disparity - low) / max(high - low, 1e-9)).astype(np.float32)
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(surface, (0, 0), rng.uniform(4, 25)))
    blurred = cv2.GaussianBlur(surface, (0, 0), rng.uniform(8, 30))
    there = _smooth(rng, surface.shape, 3, 9) > rng.uniform(0, 1)
    share = cv2.GaussianBlur(there.astype(np.float32), (0, 0), 3)
    return np.asarray(surface * (1 - share) + blurred * share)


def nearly_right(rng: np.random.Generator, depth_m: FloatImage) -> FloatImage:
    """Disparity as of a network that is nearly right: AbsRel about 0.05 after the global fit.

    Args:
        rng: Decides everything.
        depth_m: HxW metres, infinite for sky, NaN where unknown.

    Returns:
        HxW float32.
    """
    known = np.isfinite(depth_m)
    inverse = np.where(known, 1 / np.maximum(depth_m, 0.05), 0).astype(np.float32)
    low, high = np.percentile(inverse, [2, 98])
    surface = np.clip((inverse - low) / max(high - low, 1e-9), -0.1, 3)
    surface = cv2.GaussianBlur(surface, (0, 0), rng.uniform(0.5, 3))
    surface = warped(rng, surface, rng.uniform(0.2, 1.5))
    surface = surface + rng.uniform(0.005, 0.06) * _smooth(rng, surface.shape, 3, 10)
    return np.asarray(_curved(surface, np.exp(rng.normal(0, 0.2))), np.float32)


def warped(
    rng: np.random.Generator,
    image: npt.NDArray[Number],
    amount: float,
    shift: tuple[float, float] = (0.0, 0.0),
) -> npt.NDArray[Number]:
    """Move the parts of an image by some pixels.

    Args:
        rng: Decides where to.
        image: HxW or HxWx3.
        amount: Standard deviation of the way, pixels.
        shift: Columns and rows by which all of it is moved.

    Returns:
        The image, of the same type.
    """
    height, width = image.shape[:2]
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    column += np.float32(shift[0])
    row += np.float32(shift[1])
    if amount:
        for axis in (column, row):
            axis += np.float32(amount) * _smooth(
                rng, (height, width), _CELLS_OF_WARP, _CELLS_OF_WARP + 1
            )
    edge = cv2.BORDER_REPLICATE
    moved = cv2.remap(image, column, row, cv2.INTER_LINEAR, borderMode=edge)
    return moved.astype(image.dtype, copy=False)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], fewest: int, most: int) -> FloatImage:
    """Smooth noise of deviation 1 with a random number of cells across."""
    across = int(rng.integers(fewest, most))
    cells = rng.standard_normal((max(2, across * 3 // 4), across)).astype(np.float32)
    return np.asarray(cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_CUBIC))


def _curved(surface: FloatImage, power: float) -> FloatImage:
    return np.asarray(np.sign(surface) * np.abs(surface) ** power)
