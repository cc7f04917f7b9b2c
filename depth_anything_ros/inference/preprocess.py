"""From an image to what the network wants, and from its output back to the image's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.network.model_info import INPUT_SIZE
from depth_anything_ros.network.preprocessing import MEAN, STD

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_ASPECT = 32
"""Longest over shortest side beyond which an image is refused: the input would fill the memory."""


def check_image(image: RgbImage) -> None:
    """Refuse what is not an image.

    Args:
        image: Anything.

    Raises:
        InputError: It is not an HxWx3 uint8 array with at least one pixel.
    """
    shape = getattr(image, "shape", None)
    dtype = getattr(image, "dtype", type(image).__name__)
    if not isinstance(image, np.ndarray) or dtype != np.uint8 or image.ndim != 3:
        raise InputError(f"image is {dtype} of shape {shape}; it must be HxWx3 uint8 RGB")
    if image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"image has shape {shape}; it must be HxWx3 with no side of zero")


def check_input_size(input_size: int) -> None:
    """Refuse an input size no network can take.

    Args:
        input_size: Shorter side in pixels.

    Raises:
        SettingError: It is smaller than one patch or absurdly large.
    """
    if not 14 <= input_size <= 4200:
        raise SettingError(f"input_size is {input_size}; it must be from 14 to 4200 pixels")


def network_size(
    height: int, width: int, input_size: int = INPUT_SIZE, multiple_of: int = 14
) -> tuple[int, int]:
    """The size at which the network sees an image: the official "lower_bound" rule.

    The image is scaled, aspect kept, until its shorter side is `input_size`; both sides go to the
    nearest multiple of `multiple_of`, upwards where that would be below `input_size` (official
    util/transform.py, Resize).

    Args:
        height: Rows of the image.
        width: Columns of the image.
        input_size: Least length of the shorter side in pixels.
        multiple_of: What both sides must be multiples of.

    Returns:
        (height, width) in pixels.

    Raises:
        InputError: The image is longer than MAX_ASPECT times its shorter side.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise InputError(
            f"image is {width}x{height}: one side is more than {MAX_ASPECT} times the other; "
            "crop it"
        )
    scale = max(input_size / height, input_size / width)

    def fit(side: int) -> int:
        fitted = round(scale * side / multiple_of) * multiple_of
        if fitted < input_size:
            fitted = math.ceil(scale * side / multiple_of) * multiple_of
        return fitted

    return fit(height), fit(width)


class Normaliser:
    """Resizes and normalises images of one size on the CPU into buffers it keeps.

    Equal to the official preprocessing (float64 in 0..1, cubic, mean and deviation) within 1e-3
    even on white noise, at a fraction of its cost: the resize runs in float32 on 0..255, and
    scale, mean and deviation are one multiplication and one addition on the result.

    Args:
        size: (height, width) of the network's input.
        scale: Factor on 0..255 before mean and deviation.
        mean: Per channel, subtracted after `scale`.
        std: Per channel, divided by after `mean`.
        interpolation: OpenCV's flag of the resize.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scale: float = 1 / 255,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        interpolation: int = cv2.INTER_CUBIC,
    ) -> None:
        self.size = size
        self.interpolation = interpolation
        # One row long, so that NumPy's inner loop is the row and not the three channels.
        deviation = np.array(std, np.float64)
        self._factor = np.tile((scale / deviation).astype(np.float32), size[1])
        self._offset = np.tile((-np.array(mean) / deviation).astype(np.float32), size[1])
        self._float = np.empty((0, 0, 3), np.float32)

    def into(self, image: RgbImage, out: npt.NDArray[np.float32]) -> None:
        """Fill the input of one image.

        Args:
            image: HxWx3 uint8 RGB.
            out: h x w x 3 float32, C-contiguous, at the network's size.
        """
        if self._float.shape != image.shape:
            self._float = np.empty(image.shape, np.float32)
        np.copyto(self._float, image)
        height, width = self.size
        if image.shape[:2] == self.size:
            np.copyto(out, self._float)
        else:
            cv2.resize(self._float, (width, height), dst=out, interpolation=self.interpolation)
        rows = out.reshape(height, width * 3)
        np.multiply(rows, self._factor, out=rows)
        np.add(rows, self._offset, out=rows)


class DeviceNormaliser:
    """Resizes and normalises images where they are (GPU), equal to the official code to 1e-3.

    PyTorch's bicubic kernel and border are OpenCV's: a = -0.75, no antialiasing, edge repeated.

    Args:
        size: (height, width) of the network's input.
        device: Where the images are.
    """

    def __init__(self, size: tuple[int, int], device: torch.device) -> None:
        import torch

        self.size = size
        # Kept: to bring them there for each image would be two waits, and no CUDA graph could.
        self._mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=device).view(1, 3, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Make the network's input.

        Args:
            images: N x H x W x 3 uint8 RGB.

        Returns:
            N x 3 x h x w float32, channels last.
        """
        import torch.nn.functional as F

        floats = images.permute(0, 3, 1, 2).float()
        if floats.shape[-2:] != self.size:
            floats = F.interpolate(floats, self.size, mode="bicubic", align_corners=False)
        return (floats / 255 - self._mean) / self._std


def resize_aligned(values: FloatImage, height: int, width: int) -> FloatImage:
    """Bilinear resize with aligned corners, as the official code enlarges its output.

    OpenCV has no such mode (its remap rounds to 1/32 pixel), so this is done in NumPy.

    Args:
        values: hxw float32.
        height: Rows wanted.
        width: Columns wanted.

    Returns:
        height x width float32, a fresh array.
    """
    top, bottom, down = _aligned(values.shape[0], height)
    left, right, across = _aligned(values.shape[1], width)
    rows = values[top]
    rows += (values[bottom] - rows) * down[:, None]
    out = rows[:, left]
    out += (rows[:, right] - out) * across
    return out


def _aligned(
    count: int, wanted: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Both neighbours of every wanted position, and the share of the second."""
    step = (count - 1) / (wanted - 1) if wanted > 1 else 0.0
    position = np.arange(wanted) * step
    first = np.minimum(position.astype(np.intp), count - 1)
    second = np.minimum(first + 1, count - 1)
    return first, second, (position - first).astype(np.float32)
