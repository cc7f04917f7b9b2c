"""The motion of a camera between two images, and where each pixel goes by it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.geometry.arrays import FloatArray, FloatImage, RgbImage
from depth_anything_ros.geometry.camera import Camera, distort, ray_table

_STEP = 5  # every fifth row and column of the flow
_MIN_PIXELS = 60
_ROUNDS = 3
_ROUNDS_NEAR = 2  # from a motion near which the search starts
# Of the median length, which is 1.18 standard deviations of Gaussian noise (Rayleigh): 95 %
# efficiency would be 4.0 (Holland and Welsch 1977); people that walk ahead ask for less.
_TUKEY = 3.0
_LEAST_SPREAD = 0.05  # pixels; flow is not known better


def displacement(
    camera: Camera, inverse_m: FloatImage, motion: FloatArray
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """How far each pixel of an image lies from the same point in an earlier image of the camera.

    Args:
        camera: The camera of both images.
        inverse_m: HxW float32 1/m of the present image, NaN where unknown.
        motion: 4x4, optical frame of the present image -> optical frame of the earlier one.

    Returns:
        Columns and rows in pixels to add to a pixel's own, and the depth there divided by the
        pixel's own depth; each HxW float32, NaN where unknown or behind the earlier image.
    """
    x, y = ray_table(camera)
    if not camera.is_distorted:
        return _displaced(camera, x, y, inverse_m, motion)
    u, v, ratio = _displaced(camera, x, y, inverse_m, motion)
    back_u, back_v, _ = _displaced(camera, x, y, inverse_m, np.eye(4))
    return u - back_u, v - back_v, ratio


def _displaced(
    camera: Camera,
    x: FloatImage,
    y: FloatImage,
    inverse_m: FloatImage,
    motion: FloatArray,
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """As `displacement`, of any rays; with distortion the pixel itself in place of its change."""
    turn, shift = motion[:3, :3].astype(np.float32), motion[:3, 3].astype(np.float32)
    # (R (x, y, 1) Z + t) / Z
    ahead = [
        turn[k, 0] * x + (turn[k, 1] * y + turn[k, 2]) + shift[k] * inverse_m for k in range(3)
    ]
    ratio = np.where(ahead[2] > np.float32(1e-3), ahead[2], np.float32(np.nan))
    there_x, there_y = ahead[0] / ratio, ahead[1] / ratio
    if camera.is_distorted:
        u, v = (
            part.reshape(inverse_m.shape).astype(np.float32)
            for part in distort(
                camera, there_x.ravel().astype(np.float64), there_y.ravel().astype(np.float64)
            )
        )
        return u, v, ratio
    du = np.float32(camera.fx) * (there_x - x)
    dv = np.float32(camera.fy) * (there_y - y)
    return du, dv, ratio


def parallax(
    camera: Camera, moved: tuple[FloatImage, FloatImage, FloatImage], motion: FloatArray
) -> tuple[FloatImage, FloatImage]:
    """How a displacement changes with inverse depth: the direction of the epipolar lines.

    Args:
        camera: The camera; its distortion is small enough not to change the directions.
        moved: What `displacement` gave for it.
        motion: The motion it was given.

    Returns:
        Columns and rows in pixels per 1/m, each HxW float32.
    """
    du, dv, ratio = moved
    x, y = ray_table(camera)
    shift = motion[:3, 3].astype(np.float32)
    # d/dw of (R (x, y, 1) + t w) / its third number
    along_u = (shift[0] - (x + du / np.float32(camera.fx)) * shift[2]) / ratio
    along_v = (shift[1] - (y + dv / np.float32(camera.fy)) * shift[2]) / ratio
    return np.float32(camera.fx) * along_u, np.float32(camera.fy) * along_v


def sample_displaced(
    images: tuple[FloatImage, ...], du: FloatImage, dv: FloatImage
) -> tuple[FloatImage, ...]:
    """Each image at a displacement from every pixel.

    Args:
        images: One to four, HxW float32 each.
        du: HxW float32, columns to add to a pixel's own.
        dv: HxW float32, rows.

    Returns:
        HxW float32 each, interpolated; NaN outside the image.
    """
    height, width = du.shape
    u = du + np.arange(width, dtype=np.float32)
    v = dv + np.arange(height, dtype=np.float32)[:, None]
    nan = (float("nan"),) * len(images)
    together = images[0] if len(images) == 1 else cv2.merge(images)
    sampled = cv2.remap(together, u, v, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, nan)
    apart = (sampled,) if len(images) == 1 else cv2.split(sampled)
    return tuple(np.asarray(each, np.float32) for each in apart)


def motion_of_flow(
    camera: Camera, inverse_m: FloatImage, flow: FloatImage, start: FloatArray | None = None
) -> tuple[FloatArray, float] | None:
    """The camera's motion that explains most of the optical flow between two images.

    The motion field of a rigid scene is linear in a small motion (Longuet-Higgins and Prazdny
    1980); it is solved by weighted least squares with Tukey's weights, so what moves by itself
    does not count.

    Args:
        camera: The camera of both images; its distortion is small enough not to change the
            directions of flow.
        inverse_m: HxW float32 1/m of the present image, NaN where unknown.
        flow: HxWx2 float32, columns and rows from each pixel of the present image to the same
            point in the earlier one.
        start: 4x4, a motion near which the search starts, such as that of the images before.

    Returns:
        4x4, optical frame of the present image -> of the earlier one, in the unit of depth, and
        the median length in pixels of what is left of the flow; None where too little is known.
    """
    part = np.s_[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP]
    x, y = (ray[part].ravel() for ray in np.broadcast_arrays(*ray_table(camera)))
    w, target = inverse_m[part].ravel(), flow[part].reshape(-1, 2)
    known = np.isfinite(w) & np.isfinite(x) & np.isfinite(target).all(axis=1)
    if known.sum() < _MIN_PIXELS:
        return None
    x, y, w, target = x[known], y[known], w[known], target[known]
    zero, one = np.zeros_like(x), np.ones_like(x)
    across = camera.fx * np.stack([w, zero, -x * w, -x * y, one + x * x, -y])
    along = camera.fy * np.stack([zero, w, -y * w, -one - y * y, x * y, x])
    rows = np.concatenate([across, along], axis=1).astype(np.float32)
    still = _displaced(camera, x, y, w, np.eye(4)) if camera.is_distorted else None
    motion, length = np.eye(4) if start is None else start, 0.0
    for _ in range(_ROUNDS if start is None else _ROUNDS_NEAR):
        du, dv, _ = _displaced(camera, x, y, w, motion)
        if still is not None:
            du, dv = du - still[0], dv - still[1]
        off = np.stack([target[:, 0] - du, target[:, 1] - dv])
        size = np.sqrt(np.square(off[0]) + np.square(off[1]))
        sound = np.isfinite(size)
        middle = int(sound.sum()) // 2
        if 2 * middle < _MIN_PIXELS:
            return None
        length = float(np.partition(size[sound], middle)[middle])  # its median, without overhead
        gate = _TUKEY * max(length, _LEAST_SPREAD)
        weight = np.where(sound, np.maximum(1 - np.square(size / np.float32(gate)), 0), 0)
        weight *= weight
        weighted = rows * np.concatenate([weight, weight])
        right = (weighted @ np.where(sound, off, 0).ravel()).astype(np.float64)
        normal = (weighted @ rows.T).astype(np.float64)
        step = cv2.solve(normal, right, flags=cv2.DECOMP_SVD)[1].ravel()
        update = np.eye(4)
        update[:3, :3] = cv2.Rodrigues(step[3:])[0]
        update[:3, 3] = step[:3]
        motion = update @ motion
    return motion, length


def small_picture(rgb: RgbImage, size: tuple[int, int]) -> RgbImage:
    """A small picture, for optical flow and for comparing images.

    Args:
        rgb: HxWx3 uint8.
        size: Its columns and rows.

    Returns:
        uint8 of this size, three channels.
    """
    step = max(1, rgb.shape[1] // (2 * size[0]))
    if step > 1:
        double = (rgb.shape[1] // step, rgb.shape[0] // step)
        rgb = np.asarray(cv2.resize(rgb, double, interpolation=cv2.INTER_NEAREST), np.uint8)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def picture_changed(
    now: RgbImage, last: RgbImage, du: FloatImage, dv: FloatImage, levels: int
) -> npt.NDArray[np.bool_]:
    """Where a picture differs from an earlier one whose pixels have moved.

    A colour differs where it is none of those within one pixel of where it should be.

    Args:
        now: HxWx3 uint8, the picture.
        last: The earlier one.
        du: HxW float32, columns to add to a pixel's own to find it in the earlier picture.
        dv: HxW float32, rows.
        levels: By how much one of its colours must differ.

    Returns:
        HxW bool.
    """
    height, width = du.shape
    u = du + np.arange(width, dtype=np.float32)
    v = dv + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(last, u, v, cv2.INTER_LINEAR)
    around = np.ones((3, 3), np.uint8)
    below, above = cv2.erode(moved, around), cv2.dilate(moved, around)
    red, green, blue = cv2.split(cv2.max(cv2.subtract(below, now), cv2.subtract(now, above)))
    return np.asarray(cv2.max(cv2.max(red, green), blue) > levels)
