"""How sure a depth is: one standard deviation in metres."""

from __future__ import annotations

import math

import cv2
import numpy as np

from depth_anything_ros.frames import FloatImage, ScaleState

UNMEASURED = 0.15
"""Relative error of depth where no measurement shows it: own choice, between what metric networks
reach on data like their own (0.05 to 0.1) and what they do elsewhere (0.2 to 0.4)."""

_OF_MEDIAN = 1.4826  # standard deviation per median absolute deviation of a normal distribution


def sigma_of_state(depth_m: FloatImage, state: ScaleState, scale_sigma: float = 0.0) -> FloatImage:
    """Standard deviation of a depth whose scale and shift are the same everywhere.

    Args:
        depth_m: HxW float32 metres, NaN where unknown; not modified.
        state: How it was made.
        scale_sigma: Relative standard deviation of the scale itself, where it was measured.

    Returns:
        HxW float32 metres, NaN where the depth is unknown.
    """
    relative = UNMEASURED
    if state.residual > 0:
        relative = math.hypot(_OF_MEDIAN * state.residual, scale_sigma)
    return np.multiply(depth_m, np.float32(relative))


def sigma_of_error(depth_m: FloatImage, relative: FloatImage) -> FloatImage:
    """Standard deviation of a depth whose relative error differs from place to place.

    Args:
        depth_m: HxW float32 metres, NaN where unknown; not modified.
        relative: Rows x columns float32 over the whole image, the relative standard deviation.

    Returns:
        HxW float32 metres, NaN where the depth is unknown.
    """
    sigma = cv2.resize(relative, depth_m.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.multiply(sigma, depth_m, out=sigma)
