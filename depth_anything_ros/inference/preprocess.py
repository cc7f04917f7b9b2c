"""From an image to the network's input, and from its output back to the image's size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.network.model_info import INPUT_SIZE
from depth_anything_ros.network.preprocessing import AREA_OR_CUBIC, Preprocessing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MAX_ASPECT = 32
"""Longest over shortest side beyond which an image is refused: the input would fill the memory."""


_OFFICIAL = Preprocessing()
_FLAGS = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
_TORCH_MODES = {"cubic": "bicubic", "linear": "bilinear"}


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
    height: int,
    width: int,
    input_size: int = INPUT_SIZE,
    multiple_of: int = 14,
    side: str = "shorter",
) -> tuple[int, int]:
    """The size at which a network sees an image, aspect kept.

    With the shorter side given: the image is scaled until it has that length, and both sides go to
    the nearest multiple, upwards where that would be below `input_size` (official util/transform.py
    of V1 and V2, Resize with "lower_bound"). With the longer side given: each side goes to the
    nearest multiple of the scaled and rounded length (input_processor.py of Depth Anything 3,
    "upper_bound_resize").

    Args:
        height: Rows of the image.
        width: Columns of the image.
        input_size: Length of that side in pixels.
        multiple_of: What both sides must be multiples of.
        side: "shorter" or "longer".

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
    if side == "longer":
        rows, columns = _bounded(height, width, input_size)
        return _nearest(rows, multiple_of), _nearest(columns, multiple_of)
    scale = max(input_size / height, input_size / width)

    def fit(length: int) -> int:
        fitted = round(scale * length / multiple_of) * multiple_of
        if fitted < input_size:
            fitted = math.ceil(scale * length / multiple_of) * multiple_of
        return fitted

    return fit(height), fit(width)


def _bounded(height: int, width: int, longest: int) -> tuple[int, int]:
    """The size of an image whose longer side is scaled to a length."""
    scale = longest / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def _nearest(length: int, multiple_of: int) -> int:
    """The nearest multiple, the larger of two, and at least one."""
    return max((length + multiple_of // 2) // multiple_of, 1) * multiple_of


class Normaliser:
    """Resizes and normalises images of one size on the CPU into buffers it keeps.

    Equal to the official preprocessing of V1 and V2 (float64 in 0..1, cubic, mean and deviation)
    within 1e-3 even on white noise, at a fraction of its cost: the resize runs in float32 on
    0..255, and scale, mean and deviation are one multiplication and one addition on the result.

    Args:
        size: (height, width) of the network's input.
        rule: How an image becomes the input; its own sizes are not used but for "area_or_cubic".
    """

    def __init__(self, size: tuple[int, int], rule: Preprocessing = _OFFICIAL) -> None:
        self.size = size
        self._rule = rule
        # One row long, so that NumPy's inner loop is the row and not the three channels.
        deviation = np.array(rule.std, np.float64)
        self._factor = np.tile((rule.scale / deviation).astype(np.float32), size[1])
        self._offset = np.tile((-np.array(rule.mean) / deviation).astype(np.float32), size[1])
        self._float = np.empty((0, 0, 3), np.float32)

    def into(self, image: RgbImage, out: npt.NDArray[np.float32]) -> None:
        """Fill the input of one image.

        Args:
            image: HxWx3 uint8 RGB.
            out: h x w x 3 float32, C-contiguous, at the network's size.
        """
        height, width = self.size
        if image.shape[:2] == self.size:
            np.copyto(out, image)
        elif self._rule.interpolation == AREA_OR_CUBIC:
            np.copyto(out, resize_in_8_bits(image, self.size, self._rule.input_size))
        else:
            if self._float.shape != image.shape:
                self._float = np.empty(image.shape, np.float32)
            np.copyto(self._float, image)
            flag = _FLAGS[self._rule.interpolation]
            cv2.resize(self._float, (width, height), dst=out, interpolation=flag)
        rows = out.reshape(height, width * 3)
        np.multiply(rows, self._factor, out=rows)
        np.add(rows, self._offset, out=rows)


def resize_in_8_bits(image: RgbImage, size: tuple[int, int], longest: int) -> RgbImage:
    """Resize as Depth Anything 3 does: to a longest side, then each side to its multiple.

    Both steps in 8 bits; shrunk by area, enlarged by cubic interpolation (input_processor.py,
    _resize_longest_side and _make_divisible_by_resize).

    Args:
        image: HxWx3 uint8.
        size: (height, width) wanted.
        longest: Longest side after the first step.

    Returns:
        height x width x 3 uint8.
    """
    height, width = image.shape[:2]
    bounded = _bounded(height, width, longest)
    if max(height, width) != longest:
        flag = cv2.INTER_CUBIC if longest > max(height, width) else cv2.INTER_AREA
        image = np.asarray(cv2.resize(image, bounded[::-1], interpolation=flag), np.uint8)
    if bounded != size:
        larger = size[0] > bounded[0] or size[1] > bounded[1]
        flag = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
        image = np.asarray(cv2.resize(image, size[::-1], interpolation=flag), np.uint8)
    return image


class DeviceNormaliser:
    """Resizes and normalises images where they are (GPU), equal to the official code to 1e-3.

    PyTorch's kernels and borders are OpenCV's: bicubic with a = -0.75, bilinear, no antialiasing,
    edge repeated. It has none for the other interpolations: such images come resized.

    Args:
        size: (height, width) of the network's input.
        device: Where the images are.
        rule: How an image becomes the input.
    """

    def __init__(
        self, size: tuple[int, int], device: torch.device, rule: Preprocessing = _OFFICIAL
    ) -> None:
        import torch

        self.size = size
        self._mode = _TORCH_MODES.get(rule.interpolation, "bicubic")
        self._scale = rule.scale
        # Kept: to bring them there for each image would be two waits, and no CUDA graph could.
        self._mean = torch.tensor(rule.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(rule.std, device=device).view(1, 3, 1, 1)

    @staticmethod
    def resizes(rule: Preprocessing) -> bool:
        """Whether images of a rule may come in their own size."""
        return rule.interpolation in _TORCH_MODES

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
            floats = F.interpolate(floats, self.size, mode=self._mode, align_corners=False)
        return (floats * self._scale - self._mean) / self._std


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
