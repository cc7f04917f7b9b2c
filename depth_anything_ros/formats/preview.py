"""Depth as pictures for people: near is warm (or bright), far is cold (or dark)."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]

_SPECTRAL = (
    "5e4fa2 3288bd 66c2a5 abdda4 e6f598 ffffbf fee08b fdae61 f46d43 d53e4f 9e0142"  # far ... near
)
"""ColorBrewer's 11-class Spectral, turned round: the map of the official Depth Anything scripts."""

_MARGIN = 50
"""Columns of white between image and preview, as in the official Depth Anything scripts."""

_SAMPLES = 40_000
"""About how many pixels the range of a preview is taken from; enough for a percentile."""


def colorize_depth(depth_m: npt.NDArray[np.float32], grayscale: bool = False) -> RgbImage:
    """Picture metres; colours follow 1/Z, so that metric and relative previews look alike.

    Args:
        depth_m: HxW float32 metres; NaN where unknown.
        grayscale: Grey instead of colours.

    Returns:
        HxWx3 uint8 RGB, black where unknown.
    """
    with np.errstate(divide="ignore"):
        return colorize_disparity(np.float32(1) / depth_m, grayscale)


def colorize_disparity(disparity: npt.NDArray[np.float32], grayscale: bool = False) -> RgbImage:
    """Picture disparity, stretched between its 1st and 99th percentile.

    Args:
        disparity: HxW float32, larger is nearer; NaN or infinite where unknown.
        grayscale: Grey instead of colours.

    Returns:
        HxWx3 uint8 RGB, black where unknown.
    """
    low, high = _range(disparity)
    # A flat image has no near and far: all of it becomes the middle colour.
    gain, offset = (255 / (high - low), -low) if high > low else (0.0, 0.0)
    levels = (disparity + np.float32(offset)) * np.float32(gain)
    if gain == 0.0:
        levels += np.float32(127)
    known = np.isfinite(levels)
    all_known = bool(known.all())
    if not all_known:
        levels = np.where(known, levels, np.float32(0))
    grey = np.clip(levels, 0, 255).astype(np.uint8)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    if not grayscale:
        picture = cv2.applyColorMap(grey, _spectral_table())
    if not all_known:
        picture[~known] = 0
    return np.asarray(picture, np.uint8)


def side_by_side(rgb: RgbImage, preview: RgbImage) -> RgbImage:
    """Put image and preview beside each other.

    Args:
        rgb: HxWx3 uint8 RGB.
        preview: HxWx3 uint8 RGB.

    Returns:
        Hx(2W+50)x3 uint8 RGB with white between the two.
    """
    margin = np.full((rgb.shape[0], _MARGIN, 3), 255, np.uint8)
    return np.hstack([rgb, margin, preview])


def _range(disparity: npt.NDArray[np.float32]) -> tuple[float, float]:
    stride = max(1, round((disparity.size / _SAMPLES) ** 0.5))
    sample = disparity[::stride, ::stride]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 0.0
    low, high = np.percentile(sample, [1, 99])
    return float(low), float(high)


@functools.cache
def _spectral_table() -> RgbImage:
    """256x1x3 uint8 RGB, linear between the classes, as OpenCV's applyColorMap wants it."""
    anchors = np.array([list(bytes.fromhex(color)) for color in _SPECTRAL.split()], np.float64)
    places = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), places, anchors[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)[:, None, :]
