"""The strong perturbations of Depth Anything V1: colour jitter, blur, CutMix."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

RgbImage = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Strength:
    """How strongly pictures are perturbed.

    Attributes:
        jitter: Share of pictures whose colours are changed.
        brightness: Largest change of the brightness, as a share.
        contrast: Largest change of the contrast, as a share.
        saturation: Largest change of the saturation, as a share.
        hue: Largest turn of the hue, as a share of the circle.
        grey: Share of pictures made grey.
        blur: Share of pictures that are blurred.
        blur_sigma: Largest sigma of the blur in pixels of a 518-pixel picture.
        cutmix: Share of batches mixed by CutMix.
    """

    jitter: float = 0.8
    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.25
    grey: float = 0.1
    blur: float = 0.5
    blur_sigma: float = 2.0
    cutmix: float = 0.5


def perturb(rng: np.random.Generator, rgb: RgbImage, strength: Strength) -> RgbImage:
    """Change colours and sharpness; what is where stays.

    Args:
        rng: Random generator.
        rgb: HxWx3 uint8 RGB.
        strength: How strongly.

    Returns:
        HxWx3 uint8 RGB, a new array.
    """
    image = rgb
    if rng.uniform() < strength.jitter:
        image = _jitter(rng, image, strength)
    if rng.uniform() < strength.grey:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        image = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB).astype(np.uint8)
    if rng.uniform() < strength.blur:
        sigma = rng.uniform(0.1, strength.blur_sigma) * min(image.shape[:2]) / 518
        image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.05)).astype(np.uint8)
    return image.copy() if image is rgb else image


def _jitter(rng: np.random.Generator, rgb: RgbImage, strength: Strength) -> RgbImage:
    """Brightness, contrast, saturation and hue, as torchvision's ColorJitter defines them."""
    image = rgb.astype(np.float32) / 255
    for change in rng.permutation(3):
        if change == 0:
            image = image * np.float32(1 + rng.uniform(-1, 1) * strength.brightness)
        elif change == 1:
            middle = _luma(image).mean()
            factor = np.float32(1 + rng.uniform(-1, 1) * strength.contrast)
            image = middle + (image - middle) * factor
        else:
            grey = _luma(image)[..., None]
            factor = np.float32(1 + rng.uniform(-1, 1) * strength.saturation)
            image = grey + (image - grey) * factor
        image = np.clip(image, 0, 1)
    turn = rng.uniform(-1, 1) * strength.hue
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.clip(turned * 255 + 0.5, 0, 255).astype(np.uint8)


def _luma(image: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Luma of ITU-R BT.601."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(image @ weights, np.float32)


@dataclass(frozen=True)
class CutMix:
    """A rectangle each picture of a batch takes from the next one.

    Attributes:
        inside: H x W bool, true in the rectangle.
    """

    inside: Tensor

    def mix(self, images: Tensor) -> Tensor:
        """Put the rectangle of the next picture into each.

        Args:
            images: N x C x H x W.

        Returns:
            N x C x H x W.
        """
        return torch.where(self.inside, images.roll(-1, 0), images)

    def split(self, target: Tensor, valid: Tensor) -> list[tuple[Tensor, Tensor, float]]:
        """The two losses of a mixed batch (V1): outside and inside.

        Each part is compared with its own picture's label alone, for two pictures' disparities
        have scales and shifts of their own.

        Args:
            target: N x H x W labels of the unmixed pictures.
            valid: N x H x W bool.

        Returns:
            Per part the labels, where they are valid, and the part's share of the area.
        """
        share = float(self.inside.float().mean())
        return [
            (target, valid & ~self.inside, 1 - share),
            (target.roll(-1, 0), valid.roll(-1, 0) & self.inside, share),
        ]


def draw_cutmix(
    rng: np.random.Generator, height: int, width: int, device: torch.device | str = "cpu"
) -> CutMix:
    """Draw a rectangle of uniform area share and of aspect 1/3 to 3 (Yun et al. 2019).

    Args:
        rng: Random generator.
        height: Rows.
        width: Columns.
        device: Where the pictures are.

    Returns:
        The rectangle; it lies inside the picture.
    """
    area = rng.uniform(0.1, 0.6) * height * width
    aspect = np.exp(rng.uniform(np.log(1 / 3), np.log(3)))
    h = int(np.clip(np.sqrt(area / aspect), 1, height))
    w = int(np.clip(np.sqrt(area * aspect), 1, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    inside = torch.zeros(height, width, dtype=torch.bool, device=device)
    inside[y : y + h, x : x + w] = True
    return CutMix(inside)
