"""Corners followed between two images of a camera, and their depth by the motion between them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.metric.exposure import exposed, exposure_at

GreyImage = npt.NDArray[np.uint8]

ROTATION_ERROR_DEG = 0.5
"""Standard deviation of the odometry's relative rotation, per axis."""
TRANSLATION_ERROR = 0.05
"""The same of its relative translation, as a share of the way."""
MIN_TRACKS = 20
"""Corners below which the motion is left as odometry says."""


def rays_of(camera: Camera, pixels: FloatArray) -> FloatArray:
    """Nx3 rays (z = 1) of Nx2 pixels, NaN where the camera has none."""
    x, y = rays_of_pixels(camera, pixels[:, 0], pixels[:, 1])
    return np.stack([x, y, np.ones_like(x)], axis=1)


def follow_both_ways(
    first: GreyImage,
    second: GreyImage,
    start: npt.NDArray[Any],
    guess: npt.NDArray[Any],
    window: int = 21,
    levels: int = 3,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """KLT (Lucas and Kanade 1981, Bouguet 2001) there and back.

    It takes an image that is brighter for one that has moved, so both are exposed alike first.

    Args:
        first: HxW uint8.
        second: HxW uint8.
        start: Nx2 float32 pixels in the first image.
        guess: Nx2 float32 pixels in the second one where they are looked for.
        window: Pixels across the patch that is compared.
        levels: Halvings of the images.

    Returns:
        Nx2 pixels in the second image, distance of the way back from the start (infinite where
        lost), and the mean grey difference of the patches.
    """
    options: dict[str, Any] = {
        "winSize": (window, window),
        "maxLevel": levels,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
    }
    first = exposed(first, *exposure_at(first, second, start, guess))
    forward, there, difference = cv2.calcOpticalFlowPyrLK(
        first, second, start, guess.copy(), **options
    )
    backward, here, _ = cv2.calcOpticalFlowPyrLK(second, first, forward, start.copy(), **options)
    off = np.linalg.norm(backward - start, axis=1)
    off[(there.ravel() == 0) | (here.ravel() == 0)] = np.inf
    return forward, off, difference.ravel()


def adjusted_motion(
    rays: FloatArray,
    pixels: FloatArray,
    camera: Camera,
    motion: FloatArray,
    rotation_error_deg: float = ROTATION_ERROR_DEG,
    translation_error: float = TRANSLATION_ERROR,
) -> FloatArray:
    """The motion that agrees best with followed corners and with odometry.

    Robust least squares over a small rotation and translation: distances to the epipolar lines
    in pixels, and the deviation from odometry in its standard deviations.

    Args:
        rays: Nx3 rays of the corners in one image, z = 1.
        pixels: Nx2, where they are in the other one.
        camera: The camera of that one.
        motion: 4x4, optical frame of the one -> optical frame of the other, as odometry says.
        rotation_error_deg: Standard deviation of its rotation, per axis.
        translation_error: The same of its translation, as a share of the way.

    Returns:
        4x4; `motion` itself where corners are few.
    """
    from scipy.optimize import least_squares

    way = float(np.linalg.norm(motion[:3, 3]))
    if len(rays) < MIN_TRACKS or way == 0:
        return motion
    sigmas = np.array([np.radians(rotation_error_deg)] * 3 + [translation_error * way] * 3)
    there = rays_of(camera, pixels)

    def moved(step: FloatArray) -> FloatArray:
        pose = motion.copy()
        pose[:3, :3] = cv2.Rodrigues(step[:3] * sigmas[:3])[0] @ motion[:3, :3]
        pose[:3, 3] += step[3:] * sigmas[3:]
        return pose

    def errors(step: FloatArray) -> FloatArray:
        distance = epipolar_distance(rays, there, moved(step)) * camera.fx
        # Cauchy's loss, applied here so that the prior stays quadratic.
        return np.concatenate([np.sign(distance) * np.sqrt(np.log1p(distance**2)), step])

    return moved(least_squares(errors, np.zeros(6), method="lm", max_nfev=100).x)


def epipolar_distance(rays: FloatArray, there: FloatArray, motion: FloatArray) -> FloatArray:
    """Signed distances of rays to the epipolar lines of the other image's rays, at z = 1.

    Args:
        rays: Nx3 rays in one image.
        there: Nx3 rays in the other one.
        motion: 4x4, the one -> the other.
    """
    tx, ty, tz = motion[:3, 3]
    essential = np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ motion[:3, :3]
    lines = rays @ essential.T
    return (there * lines).sum(axis=1) / np.maximum(np.hypot(lines[:, 0], lines[:, 1]), 1e-12)


def depths_along(
    rays: FloatArray, there: FloatArray, motion: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Depths of points along their rays in two images.

    With a the ray of the one image turned into the other, and b the ray there, the depths solve
    z_b * b = z_a * a + t in the least-squares sense (Hartley and Zisserman, "Multiple View
    Geometry", 2004, section 12.2).

    Args:
        rays: Nx3 rays in one image, z = 1.
        there: Nx3 rays in the other one, z = 1.
        motion: 4x4, the one -> the other.

    Returns:
        N depths in the one, N in the other, and the angle between the two rays in radians.
    """
    a, translation = rays @ motion[:3, :3].T, motion[:3, 3]
    aa, bb, ab = (a * a).sum(1), (there * there).sum(1), (a * there).sum(1)
    at, bt = a @ translation, there @ translation
    determinant = np.maximum(aa * bb - ab**2, 1e-18)
    angle = np.arccos(np.clip(ab / np.sqrt(aa * bb), -1, 1))
    return (ab * bt - bb * at) / determinant, (aa * bt - ab * at) / determinant, angle
