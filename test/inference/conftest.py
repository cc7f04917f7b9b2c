"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from small_network import make_small_network

from depth_anything_ros.frames import RgbImage

if TYPE_CHECKING:
    from depth_anything_ros.network.families.depth_anything.network import DepthAnything


@pytest.fixture(scope="session")
def small_network() -> Callable[..., DepthAnything]:
    """Makes the small network anew; takes `max_depth`."""
    return make_small_network


@pytest.fixture(scope="session")
def read_rgb() -> Callable[[Path], RgbImage]:
    """Reads an image file as HxWx3 uint8 RGB."""

    def read(path: Path) -> RgbImage:
        return np.ascontiguousarray(np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1])

    return read
