"""Artefacts of real cameras: exposure, colour cast, vignetting, blur, noise, JPEG."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

_GAMMA = 2.2
_CURVE = (np.linspace(0, 1, 4096) ** (1 / _GAMMA)).astype(np.float32)


def develop(rng: np.random.Generator, colour: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Turn linear light into the picture of a random camera.

    Args:
        rng: Random generator.
        colour: HxWx3 float32 linear RGB, 1 is white.

    Returns:
        HxWx3 uint8 sRGB.
    """
    image = np.ascontiguousarray(colour)
    image = image * _exposure(rng, image)
    if rng.uniform() < 0.4:
        image *= _vignette(rng, image.shape[0], image.shape[1])
    image = _blur(rng, image)
    image = _noise(rng, image)
    over = np.maximum(image - 0.8, 0)
    shown = np.minimum(image, 0.8) + 0.2 * (1 - np.exp(-5 * over))
    index = np.clip(shown * 4095, 0, 4095).astype(np.int32)
    encoded = _CURVE[index]
    if rng.uniform() < 0.5:
        encoded = 0.5 + (encoded - 0.5) * np.float32(rng.uniform(0.75, 1.25))
    picture = np.clip(encoded * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.uniform() < 0.25:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        picture = cv2.addWeighted(picture, 1.8, soft, -0.8, 0)
    if rng.uniform() < 0.6:
        picture = _jpeg(rng, picture)
    return picture


def _exposure(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Automatic exposure that is sometimes wrong, and a colour cast."""
    bright = float(np.quantile(image[::8, ::8].max(2), 0.9))
    gain = rng.uniform(0.45, 1.15) / max(bright, 0.05)
    cast = np.exp(rng.normal(0, 0.07, 3))
    return (gain * cast).astype(np.float32)


def _vignette(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    fall = np.float32(rng.uniform(0.05, 0.45))
    return (1 - fall * (x * x + y * y) / 2)[..., None]


def _blur(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    what = rng.uniform()
    if what < 0.45:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1)).astype(np.float32)
    if what < 0.55:
        length, angle = rng.uniform(2, 7), rng.uniform(0, math.pi)
        kernel = np.zeros((9, 9), np.float32)
        reach = length / 2 * np.array([math.cos(angle), math.sin(angle)])
        first, last = np.rint((4 - reach) * 16), np.rint((4 + reach) * 16)
        cv2.line(kernel, [int(v) for v in first], [int(v) for v in last], 1.0, 1, cv2.LINE_AA, 4)
        return cv2.filter2D(image, -1, kernel / kernel.sum()).astype(np.float32)
    return image


def _noise(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Shot noise grows with the root of the light, read noise does not."""
    if rng.uniform() < 0.3:
        return image
    level = 10 ** rng.uniform(-3.2, -1.3)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    if rng.uniform() < 0.4:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.6) * np.float32(1.5)
    grain *= np.sqrt(np.maximum(image, 0) * np.float32(level * 0.3) + np.float32(level**2))
    grain += image
    return grain


def _jpeg(rng: np.random.Generator, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    quality = int(rng.integers(25, 97))
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
