"""Cost of building a point cloud, compared with a straightforward implementation."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from depth_anything_ros.benchmark.straightforward import straightforward_cloud
from depth_anything_ros.benchmark.timing import Contender, stopwatch
from depth_anything_ros.frames import FloatImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud

STRAIGHTFORWARD = "straightforward"
"""Name of the reference: a mesh grid per frame, float64, a structured array."""


def cloud_contenders(height: int, width: int) -> dict[str, Contender]:
    """Variants of building the cloud of one image, ready to be measured.

    Args:
        height: Rows of the depth image.
        width: Columns of the depth image.

    Returns:
        Contenders for `timing.interleaved`, the reference among them.
    """
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 20.0, (height, width)).astype(np.float32)
    depth[rng.uniform(size=depth.shape) < 0.02] = np.nan
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pinhole = Camera.from_hfov(width, height, 60.0)
    distorted = Camera(
        *(width, height, pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy),
        distortion_model="plumb_bob",
        distortion=(-0.1, 0.01, 1e-3, -1e-3, 0.0),
    )
    buffers: dict[tuple[int, ...], FloatImage] = {}

    def memory(shape: tuple[int, ...]) -> FloatImage:
        """A buffer that is reused from frame to frame, as in the node."""
        if shape not in buffers:
            buffers[shape] = np.empty(shape, np.float32)
        return buffers[shape]

    build = functools.partial(build_cloud, depth, memory=memory)
    jobs: dict[str, Callable[[], object]] = {
        "xyz": lambda: build(pinhole),
        "xyzrgb": lambda: build(pinhole, rgb),
        "xyzrgb, distorted camera": lambda: build(distorted, rgb),
        "xyzrgb, known points only": lambda: build(pinhole, rgb, organized=False),
        "xyzrgb, every 2nd pixel": lambda: build(pinhole, rgb, stride=2),
        STRAIGHTFORWARD: lambda: straightforward_cloud(depth, pinhole, rgb),
    }
    return {name: stopwatch(job) for name, job in jobs.items()}
