"""Detection of scene cuts."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.frames import FloatImage, RgbImage

CUT_CORRELATION = 0.5
"""Correlation of two thumbnails below which they do not show the same scene (own choice)."""

_SIZE = (16, 12)


class SceneCut:
    """Compares each image with the one before, as blurred grey thumbnails."""

    def __init__(self) -> None:
        self._last: FloatImage | None = None

    def reset(self) -> None:
        """Reset."""
        self._last = None

    def happened(self, rgb: RgbImage) -> bool:
        """Whether this image shows another scene than the last one.

        Args:
            rgb: HxWx3 uint8 image.

        Returns:
            True where the images hardly resemble each other; False for the first image and for
            images without any contrast.
        """
        step = max(1, min(rgb.shape[:2]) // 96)
        small = cv2.resize(
            rgb[::step, ::step, 1].astype(np.float32), _SIZE, interpolation=cv2.INTER_AREA
        )
        small = (small - small.mean()).astype(np.float32)
        last, self._last = self._last, small
        if last is None:
            return False
        contrast = float(np.sqrt((small**2).sum() * (last**2).sum()))
        return contrast > 0 and float((small * last).sum()) < CUT_CORRELATION * contrast
