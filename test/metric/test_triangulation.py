"""Corners are followed however the two images are exposed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from metric_scenes import texture

from depth_anything_ros.metric.triangulation import GreyImage, follow_both_ways

SHIFT = np.array([3.4, -1.7], np.float32)


def moved(gain: float = 1.0, more: float = 0.0) -> tuple[GreyImage, GreyImage]:
    """An image and the same one moved by `SHIFT`, exposed in another way."""
    grey = texture(4)[:240, :320].astype(np.float32)
    grey = 40 + 0.5 * cv2.GaussianBlur(grey, (0, 0), 1.5)
    matrix = np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]])
    other = cv2.warpAffine(grey, matrix, grey.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    exposed = np.clip(gain * other + more, 0, 255)
    return np.rint(grey).astype(np.uint8), np.rint(exposed).astype(np.uint8)


@pytest.mark.parametrize(("gain", "more"), [(1.0, 0.0), (1.3, 0.0), (0.6, 0.0), (1.0, 40.0)])
def test_corners_are_followed_however_images_are_exposed(gain: float, more: float) -> None:
    first, second = moved(gain, more)
    corners = cv2.goodFeaturesToTrack(first, 200, 0.01, 10)[:, 0]
    inside = ((corners > 20) & (corners < np.array([300, 220]))).all(axis=1)
    corners = corners[inside]
    found, back, _ = follow_both_ways(first, second, corners, corners, 15, 3)
    off = np.linalg.norm(found - corners - SHIFT, axis=1)
    print(f"{len(off)} corners, off {np.percentile(off, [50, 95])}")
    assert len(off) > 80
    assert np.mean(back < 0.5) > 0.95
    assert np.percentile(off, 95) < 0.3
