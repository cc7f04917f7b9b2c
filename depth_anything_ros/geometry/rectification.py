"""Undistortion: the picture as taken -> the rectified picture of CameraInfo's R and P."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.geometry.arrays import RgbImage
from depth_anything_ros.geometry.camera import Camera


@functools.lru_cache(maxsize=16)
def rectification_maps(camera: Camera) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """For every pixel of the rectified image, where it comes from in the picture as taken.

    Args:
        camera: Camera of the picture as taken.

    Returns:
        The two maps of cv2.remap in its fixed-point form (HxWx2 int16 and HxW uint16), read-only.
    """
    d = np.array(camera.distortion or (0.0, 0.0, 0.0, 0.0), np.float64)
    size = (camera.width, camera.height)
    matrix = camera.p[:, :3]
    if camera.distortion_model == "equidistant":
        maps = cv2.fisheye.initUndistortRectifyMap(
            camera.k, d, camera.r, matrix, size, cv2.CV_16SC2
        )
    else:
        maps = cv2.initUndistortRectifyMap(camera.k, d, camera.r, matrix, size, cv2.CV_16SC2)
    for part in maps:
        part.setflags(write=False)
    return maps[0], maps[1]


def rectify(image: RgbImage, camera: Camera) -> RgbImage:
    """Undistort and rectify a picture; the camera of the result is `camera.rectified()`.

    Args:
        image: HxWx3 uint8 as taken.
        camera: Its camera.

    Returns:
        HxWx3 uint8, black where the picture has nothing to show.

    Raises:
        InputError: Picture and camera differ in size.
    """
    if image.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"image is {image.shape[1]}x{image.shape[0]} but its camera is "
            f"{camera.width}x{camera.height}"
        )
    first, second = rectification_maps(camera)
    rectified = cv2.remap(image, first, second, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return rectified.astype(np.uint8, copy=False)
