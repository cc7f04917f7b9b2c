"""Matcher sgm: OpenCV's semi-global block matching."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.inference.stereo import STEREO_MATCHERS, StereoMatcher

_BLOCK = 3
"""Side of the matched blocks in pixels; 3 to 11 are usual, the smallest keeps edges best."""

_FRACTIONS = 16
"""OpenCV gives disparity in sixteenths of a pixel."""


def match(left: RgbImage, right: RgbImage, lowest: int, count: int) -> FloatImage:
    """Disparity of the left image; see `StereoMatcher.match`.

    All eight directions (MODE_HH); the smoothness penalties P1 and P2 are those that OpenCV's
    documentation recommends: 8 and 32 * channels * block^2.
    """
    area = 3 * _BLOCK * _BLOCK
    matcher = cv2.StereoSGBM.create(
        minDisparity=lowest,
        numDisparities=count,
        blockSize=_BLOCK,
        P1=8 * area,
        P2=32 * area,
        disp12MaxDiff=-1,  # both ways are compared at sub-pixel resolution elsewhere
        preFilterCap=63,
        uniquenessRatio=5,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_HH,
    )
    # Columns without a partner in the other image are not matched; with a margin they are.
    margin = max(lowest + count, 0)
    padded = [
        cv2.copyMakeBorder(each, 0, 0, margin, 0, cv2.BORDER_REPLICATE) for each in (left, right)
    ]
    found = matcher.compute(*padded)[:, margin:].astype(np.float32) / _FRACTIONS
    return np.where(found >= lowest, found, np.float32(np.nan))


STEREO_MATCHERS.register(
    StereoMatcher("sgm", 10, "semi-global block matching of OpenCV", "Apache-2.0", match)
)
