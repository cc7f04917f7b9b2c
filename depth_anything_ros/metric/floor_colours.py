"""Floor told from what stands on it by colour, once depth has told where most of it is.

The colours of the floor in one image are learnt from the image itself, as robots without depth do
(Ulrich and Nourbakhsh, Appearance-based obstacle detection with monocular color vision, 2000).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from depth_anything_ros.frames import FloatArray, FloatImage, RgbImage

# Own choices, made on simulated rooms 0 to 2.
_BINS = 24
_FROM, _STEP = (
    np.array([0, 68, 68], np.float32),
    np.array([10.7, 5, 5], np.float32),
)  # of L*, a* and b* in 8 bits
_UNSEEN = 1e-4  # density of a colour that is not seen
_SURE = 2.0  # log likelihood ratio that counts fully
_LEAST_CONTRAST = 8.0  # of colour in 8 bits, between two rows
_TYPICAL = 3.0  # medians of the contrasts of an image that make an edge

Lab = npt.NDArray[np.uint8]


def coarse_lab(rgb: RgbImage, shape: tuple[int, ...], step: int) -> Lab:
    """Mean colours of square cells of an image.

    Args:
        rgb: HxWx3 uint8.
        shape: Rows and columns of cells.
        step: Pixels along the side of a cell.

    Returns:
        Rows x columns x 3 uint8, CIE L*a*b* as OpenCV has it in 8 bits.
    """
    whole = rgb[: step * shape[0], : step * shape[1]]
    small = cv2.resize(whole, shape[1::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)


def vertical_contrast(lab: Lab) -> FloatImage:
    """How clearly colour changes from each row to the one below.

    Args:
        lab: Rows x columns x 3 uint8.

    Returns:
        Rows x columns float32, from 0 for no change to 1 for an edge.
    """
    smooth = cv2.blur(lab.astype(np.float32), (3, 1))
    change = np.linalg.norm(np.diff(smooth, axis=0, append=smooth[-1:]), axis=2)
    edge = max(_LEAST_CONTRAST, _TYPICAL * float(np.median(change)))
    return np.asarray(1 - np.exp(-0.5 * np.square(change / edge)), np.float32)


def unlike_floor(lab: Lab, floor: npt.NDArray[np.bool_]) -> FloatImage:
    """Whether colours are rather those of what is no floor.

    Args:
        lab: Rows x columns x 3 uint8.
        floor: Rows x columns, True on most of the floor.

    Returns:
        Rows x columns float32 from -1, colours of the floor, to 1, colours of the rest: the log
        likelihood ratio, limited.
    """
    bins = np.clip((lab.astype(np.float32) - _FROM) / _STEP, 0, _BINS - 1).astype(np.intp)
    cell = (bins @ (_BINS**2, _BINS, 1)).ravel()
    on = floor.ravel()
    ratio = np.log(_density(cell[~on]) / _density(cell[on]))[cell].reshape(floor.shape)
    return np.asarray(np.clip(cv2.blur(ratio, (3, 3)) / _SURE, -1, 1), np.float32)


def _density(cells: npt.NDArray[np.intp]) -> FloatArray:
    """Smoothed histogram of colours, flat."""
    count = np.bincount(cells, minlength=_BINS**3).astype(np.float32).reshape((_BINS,) * 3)
    smooth = ndimage.gaussian_filter(count, 1.0, mode="nearest") / max(len(cells), 1)
    return np.asarray(smooth + _UNSEEN).ravel()
