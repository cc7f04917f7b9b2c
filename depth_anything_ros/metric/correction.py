"""What kriged inverse depth gets wrong, as a small network has learned it in synthetic worlds.

Kriging knows how values differ with distance, not what a scene looks like: that depth steps where
image and network both have an edge, that a floor goes on behind a chair, that a group of points
beside nothing is an error. The network sees at every node what kriging, global fit and image say
and how well left-out points were predicted there, and answers by what factor the kriged value is
off. It has four times the scales of a U-Net (Ronneberger et al. 2015) with 0.13 M weights, and
learned from the exact depth of `synthetic` worlds alone (`training.correction`).
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage
from depth_anything_ros.metric.lattice import Lattice
from depth_anything_ros.metric.samples import BEYOND, FEW, Samples
from depth_anything_ros.metric.uncertainty import LeftOut

EVIDENCE = (
    "kriged",
    "fit against kriged",
    "surface",
    "L*",
    "a*",
    "b*",
    "distance to the nearest point",
    "distance between points",
    "error of left-out points",
    "error of the fit",
    "left-out points against measured",
    "measured against kriged",
    "measured",
    "row",
)
"""What the network sees at every node, in this order; all but the last as numbers around 0."""

LARGEST = 0.8
"""Logarithm of the largest correction it can answer."""

SIDE = 8
"""Rows and columns it sees are multiples of this: it halves them three times."""

_ERROR = EVIDENCE.index("error of left-out points")
_WEIGHTS = Path(__file__).with_name("correction.onnx")
# Own choices. What is limited is limited for the network's sake: it never saw more.
_OF_FEW = 0.7  # share of the answer that is taken where points are few; chosen on real frames
_PER_ERROR = 1.5  # times the error of left-out points around, the largest correction there
_FARTHEST = 5.0  # logarithm of the factor beyond the median depth
_AROUND = 4.0
_DIFFERENT = 1.5
_REACHES = 4.0
_PER_CELLS = 0.3
_PER_DEVIATION = 8 / 6.3  # about eight points within one deviation of the mean around a node
_LEAST = 1e-3

_of_thread = threading.local()  # a network of OpenCV serves one thread at a time


def correction(
    samples: Samples, lattice: Lattice, value: FloatImage, left_out: LeftOut, reach: float
) -> FloatImage:
    """Factor by which inverse depth at the nodes of a lattice is off.

    Args:
        samples: The points.
        lattice: Over the image.
        value: Rows x columns float32 1/m, as kriged.
        left_out: The points, each predicted from the others.
        reach: Distance in image widths within which points speak for what is around them.

    Returns:
        Rows x columns float32, within exp(-LARGEST) and exp(LARGEST); 1 without an image, of which
        it has learned too little.
    """
    if not len(lattice.colour):
        return np.ones(lattice.shape, np.float32)
    seen = evidence(samples, lattice, value, left_out, reach)
    channels, rows, columns = seen.shape
    high, wide = (side + -side % SIDE for side in (rows, columns))
    padded = np.zeros((channels, high, wide), np.float32)
    padded[:, :rows, :columns] = seen
    # Squares of two by two nodes become channels: the network works at half the resolution.
    squares = padded.reshape(channels, high // 2, 2, wide // 2, 2).transpose(0, 2, 4, 1, 3)
    network = _network()
    network.setInput(squares.reshape(1, 4 * channels, high // 2, wide // 2))
    answer = np.asarray(network.forward()).reshape(2, 2, high // 2, wide // 2)
    answer = answer.transpose(2, 0, 3, 1).reshape(high, wide)[:rows, :columns]
    share = LARGEST * (_OF_FEW if len(samples) <= FEW else 1.0)
    answer = np.float32(share) * np.tanh(answer)
    # Where left-out points are met, kriging is right.
    most = np.maximum(np.float32(_PER_ERROR) * seen[_ERROR], np.float32(1e-6))
    return np.exp(most * np.tanh(answer / most))


def evidence(
    samples: Samples, lattice: Lattice, value: FloatImage, left_out: LeftOut, reach: float
) -> npt.NDArray[np.float32]:
    """What the network sees (see `correction`).

    Returns:
        len(EVIDENCE) x rows x columns float32.
    """
    shape = lattice.shape
    inverse = samples.inverse
    middle = float(np.median(np.log(inverse)))
    least = np.float32(inverse.min() / BEYOND)
    kriged = np.log(np.maximum(value, np.float32(math.exp(middle - _FARTHEST))))
    fitted = lattice.surface * np.float32(lattice.span) + np.float32(lattice.low)
    seen = np.zeros((len(EVIDENCE), *shape), np.float32)
    seen[0] = np.clip(kriged - np.float32(middle), -_AROUND, _AROUND)
    seen[1] = np.clip(np.log(np.maximum(fitted, least)) - kriged, -_DIFFERENT, _DIFFERENT)
    seen[2] = np.clip(lattice.surface, -1, 2)
    seen[3:6] = lattice.colour
    seen[6] = np.clip(lattice.distance(samples) * np.float32(1 / reach), 0, _REACHES)
    seen[7] = _PER_CELLS * math.log(max(reach * shape[1], 0.5))
    cell = left_out.cell
    off = np.clip(np.log(np.maximum(left_out.predicted / inverse, _LEAST)), -1, 1)
    off_fit = np.clip(np.log(np.maximum(samples.fitted, least) / inverse), -1, 1)
    seen[8:11] = _around(np.stack([np.abs(off), np.abs(off_fit), off]), cell, shape)
    count = np.bincount(cell, minlength=value.size)
    measured = np.bincount(cell, np.log(inverse), value.size) / np.maximum(count, 1)
    known = count.reshape(shape) > 0
    seen[11] = np.where(known, np.clip(measured.reshape(shape) - kriged, -1, 1), 0)
    seen[12] = known
    seen[13] = ((np.arange(shape[0], dtype=np.float32) + 0.5) / shape[0])[:, None]
    return seen


def _around(
    values: npt.NDArray[Any], cell: npt.NDArray[np.intp], shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Means of values around every node, drawn a little towards those of all."""
    size = shape[0] * shape[1]
    deviation = max(1.0, (_PER_DEVIATION * size / values.shape[1]) ** 0.5)

    def blurred(weight: npt.NDArray[Any], start: float) -> npt.NDArray[np.float32]:
        total = np.bincount(cell, weight, size).reshape(shape).astype(np.float32)
        total += np.float32(_LEAST * start)
        return np.asarray(
            cv2.GaussianBlur(total, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE)
        )

    count = blurred(np.ones(len(cell)), 1.0)
    return np.stack([blurred(each, float(each.mean())) / count for each in values])


def _network() -> Any:
    network = getattr(_of_thread, "network", None)
    if network is None:
        network = _of_thread.network = cv2.dnn.readNetFromONNX(str(_WEIGHTS))
    return network
