"""Straightforward NumPy implementations of the steps around the network, as a reference.

Preprocessing is what the official code does (util/transform.py and dpt.py of Depth Anything V2).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.network.preprocessing import MEAN, STD


def straightforward_input(bgr: npt.NDArray[np.uint8], size: tuple[int, int]) -> FloatImage:
    """Preprocessing in float64.

    Args:
        bgr: HxWx3 uint8, OpenCV's order of colours.
        size: (height, width) of the network's input.

    Returns:
        1 x 3 x height x width float32.
    """
    image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) / 255.0, np.float64)
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    normal = (resized - np.array(MEAN)) / np.array(STD)
    return np.ascontiguousarray(np.transpose(normal, (2, 0, 1))).astype(np.float32)[None]


def straightforward_metres(disparity: FloatImage, scale: float, shift: float) -> FloatImage:
    """Metres of a disparity, unbounded.

    Args:
        disparity: HxW float32.
        scale: Factor on the disparity.
        shift: Added after the factor, 1/m.

    Returns:
        HxW float32.
    """
    return (1.0 / (scale * disparity + shift)).astype(np.float32)


def straightforward_cloud(
    depth_m: FloatImage, camera: Camera, rgb: RgbImage
) -> npt.NDArray[np.void]:
    """An organised xyzrgb cloud, computed with a mesh grid per frame.

    Args:
        depth_m: HxW float32 metres.
        camera: A camera without distortion.
        rgb: HxWx3 uint8.

    Returns:
        HxW records of x, y, z and packed rgb, float32 each.
    """
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    cloud = np.zeros(depth_m.shape, dtype=[(name, np.float32) for name in ("x", "y", "z", "rgb")])
    cloud["x"] = (u - camera.cx) * depth_m / camera.fx
    cloud["y"] = (v - camera.cy) * depth_m / camera.fy
    cloud["z"] = depth_m
    channels = rgb.astype(np.uint32)
    packed = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
    cloud["rgb"] = packed.view(np.float32)
    return cloud
