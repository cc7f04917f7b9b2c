"""Array types used throughout the package."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
"""HxW float32: depth, disparity, confidence."""

RgbImage = npt.NDArray[np.uint8]
"""HxWx3 uint8, RGB order."""

FloatArray = npt.NDArray[np.float64]
"""Coordinates, transforms and other exact numbers."""
