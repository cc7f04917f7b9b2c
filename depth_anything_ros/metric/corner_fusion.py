"""Depth of what stands on the ground drawn to its corners, whose depths the camera's motion shows.

Each corner tells by how much the depth of its surface is off. Pixels around it that are as far away
are off by about as much (a bilateral grid; Chen, Paris and Durand 2007, section 3, splatted from
corners): the more corners agree and the nearer they are, the surer.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from depth_anything_ros.frames import FloatArray, FloatImage, Plane
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.corner_depths import CornerDepths
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.independent_motion import Mask
from depth_anything_ros.metric.sources.ground import inverse_ground_depth

# Own choices, compared on simulated drives at five images a second.
_NEAR = 1 / 40  # of the image's width: standard deviation of the distance to a corner that tells,
_ALIKE = 0.06  # and of the difference of log depth to it
_RANGE = 8.0  # metres up to which corners tell
_RAISED = 0.04  # metres above the ground from which on a corner stands on it
_FLOOR = 0.03  # of log depth from the ground: that is floor, which stays on it
_BESIDE = 1 / 160  # of the width around a corner: at an edge it may be on either surface
_AGREE = 2.0  # standard deviations by which a corner may differ; else one of both is wrong,
_SURE = 0.1  # perhaps the depth, against corners that are as sure in log depth:
_MOST_OFF = 0.5  # by as much as they differ, at most
_COMMON = 0.03  # of log depth by which all corners around may be off together
_EACH = 2.0  # of a pixel's own depth that is left after a corner just there, as exp(-_EACH)
_COLUMNS = 160  # least, of the coarse image that is drawn
_KERNEL = np.exp(-0.5 * np.square(np.arange(-2.0, 3.0))).astype(np.float32)


def drawn_to_corners(
    depth_m: FloatImage,
    sigma_m: FloatImage,
    corners: CornerDepths,
    camera: Camera,
    ground: Plane,
    moving: Mask,
    untouched: FloatImage | None = None,
) -> tuple[FloatImage, FloatImage]:
    """Draw depth to the corners around.

    Args:
        depth_m: HxW float32 metres, NaN where unknown; not modified.
        sigma_m: HxW float32 metres, one standard deviation of it; not modified.
        corners: Corners of the image.
        camera: Its camera.
        ground: The ground plane in the optical frame.
        moving: HxW bool, what moves by itself: its corners tell nothing.
        untouched: HxW float32 from 0, where measured points tell, to 1 far from them; None without
            any.

    Returns:
        Depth and its standard deviation; floor stays as it is.
    """
    plane = inverse_ground_depth(camera, ground).astype(np.float32)
    points = corners.points
    with np.errstate(divide="ignore", invalid="ignore"):
        log_depth, relative = np.log(depth_m), sigma_m / depth_m
        floor = np.abs(log_depth + np.log(plane)) < _FLOOR
    own, own_sigma = _on_own_surface(log_depth, relative, corners)
    off = np.log(points.z) - own
    tell = np.isfinite(off) & np.isfinite(own_sigma)
    tell &= (values_at(moving, points) < 1) & (points.z < _RANGE)
    tell &= ground.offset * (1 - values_at(plane, points) * points.z) > _RAISED
    agree = tell & (np.abs(off) < _AGREE * np.hypot(own_sigma, corners.sigma))
    against = tell & ~agree & (corners.sigma < _SURE)
    variance = np.square(relative)
    if against.any():
        most_off = np.minimum(np.abs(off), _MOST_OFF)
        nearness, mean, _ = _around(against, corners, own, most_off, log_depth)
        if untouched is not None:
            nearness *= untouched
        variance += np.where(floor, np.float32(0), nearness * np.square(mean))
    if not agree.any():
        return depth_m, _in_metres(variance, depth_m, sigma_m)
    nearness, mean, of_mean = _around(agree, corners, own, off, log_depth)
    if untouched is not None:
        nearness *= untouched
    with np.errstate(invalid="ignore"):
        weight = nearness * variance / (variance + of_mean)
    weight = np.where(floor | ~np.isfinite(weight), np.float32(0), weight)
    drawn = depth_m * np.exp(weight * mean)
    return drawn, _in_metres((1 - weight) * variance, drawn, sigma_m)


def _in_metres(variance: FloatImage, depth_m: FloatImage, sigma_m: FloatImage) -> FloatImage:
    """Standard deviation in metres, as it was where depth has none in its log (sky)."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(variance), np.sqrt(variance) * depth_m, sigma_m)


def _on_own_surface(
    log_depth: FloatImage, relative: FloatImage, corners: CornerDepths
) -> tuple[FloatArray, FloatArray]:
    """Of the pixels close to each corner the log depth that is likest to its own, and its sigma."""
    height, width = log_depth.shape
    beside = max(1, round(width * _BESIDE))
    offsets = np.array([(dv, du) for dv in (-beside, 0, beside) for du in (-beside, 0, beside)])
    v = np.clip(np.rint(corners.points.v).astype(np.intp) + offsets[:, :1], 0, height - 1)
    u = np.clip(np.rint(corners.points.u).astype(np.intp) + offsets[:, 1:], 0, width - 1)
    there = log_depth[v, u]
    off = np.abs(there - np.log(corners.points.z))
    likest = np.argmin(np.where(np.isnan(off), np.inf, off), axis=0)
    each = np.arange(len(likest))
    return (
        there[likest, each].astype(np.float64),
        relative[v, u][likest, each].astype(np.float64),
    )


def _around(
    which: Mask, corners: CornerDepths, own: FloatArray, off: FloatArray, log_depth: FloatImage
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """What some of the corners say around each pixel.

    Args:
        which: N bool.
        corners: N corners.
        own: N log depths of their surfaces.
        off: N, by how much those are off.
        log_depth: HxW float32, NaN where unknown.

    Returns:
        How near they are, from 0 to 1, by how much log depth is off there, and the variance of
        that, HxW float32 each.
    """
    points = corners.points
    places = np.stack([points.v, points.u, own])[:, which]
    grid = _Grid(log_depth.shape, (float(places[2].min()), float(places[2].max())))
    step = max(1, log_depth.shape[1] // _COLUMNS)
    coarse = log_depth[step // 2 :: step, step // 2 :: step]
    size = log_depth.shape[::-1]
    nearness, mean, variance = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_LINEAR), np.float32)
        for each in grid.around(places, off[which], corners.sigma[which], coarse, step)
    )
    return nearness, mean, variance


class _Grid:
    """Cells over rows, columns and log depth of an image, one standard deviation wide each.

    Args:
        shape: Rows and columns of the image.
        span: Least and largest log depth of the corners.
    """

    _BORDER = 3  # cells around, to which the kernel reaches

    def __init__(self, shape: tuple[int, ...], span: tuple[float, float]) -> None:
        cell = max(1.0, shape[1] * _NEAR)
        self._size = np.array([cell, cell, _ALIKE])
        self._first = np.array([0, 0, span[0]]) - self._BORDER * self._size
        last = np.array([shape[0], shape[1], span[1]]) + self._BORDER * self._size
        self._cells = np.ceil((last - self._first) / self._size).astype(np.intp) + 1

    def around(
        self,
        places: FloatArray,
        off: FloatArray,
        sigma: FloatArray,
        log_depth: FloatImage,
        step: int,
    ) -> tuple[FloatImage, FloatImage, FloatImage]:
        """What corners say around each pixel of a coarse image.

        Args:
            places: 3xN rows, columns and log depths of corners.
            off: N, by how much their log depth is off.
            sigma: N, standard deviation of that.
            log_depth: Rows x columns float32, every `step`-th pixel of the image.
            step: Rows and columns of the image per one of those.

        Returns:
            How near corners are, from 0 to 1, by how much log depth is off there, and the variance
            of that, in the shape of `log_depth`.
        """
        weight = 1 / np.square(sigma)
        values = np.stack([np.ones_like(off), weight, weight * off, weight * np.square(off)])
        cells = self._blurred(self._splatted(self._coordinates(places), values))
        rows, columns = log_depth.shape
        first = step // 2
        at = np.empty((3, rows, columns))
        at[0] = np.arange(first, first + rows * step, step)[:, None]
        at[1] = np.arange(first, first + columns * step, step)
        at[2] = np.where(np.isfinite(log_depth), log_depth, np.inf)
        at = np.clip(self._coordinates(at.reshape(3, -1)), 0, self._cells[:, None] - 1)
        number, total, once, twice = (
            ndimage.map_coordinates(each, at, order=1).reshape(rows, columns) for each in cells
        )
        total = np.maximum(total, np.float32(1e-6))
        mean = once / total
        spread = np.maximum(twice / total - np.square(mean), 0)
        nearness = -np.expm1(-np.float32(_EACH) * np.maximum(number, 0))
        return nearness, mean, 1 / total + spread + np.float32(_COMMON**2)

    def _coordinates(self, places: FloatArray) -> FloatArray:
        return (places - self._first[:, None]) / self._size[:, None]

    def _splatted(self, at: FloatArray, values: FloatArray) -> npt.NDArray[np.float32]:
        """Values shared among the eight cells around each place, by nearness."""
        cells = np.zeros((len(values), int(self._cells.prod())))
        low = np.floor(at).astype(np.intp)
        part = at - low
        for corner in np.ndindex(2, 2, 2):
            share = np.prod([part[k] if c else 1 - part[k] for k, c in enumerate(corner)], axis=0)
            index = np.ravel_multi_index(tuple(low + np.array(corner)[:, None]), self._cells)
            for each, value in zip(cells, values, strict=True):
                each += np.bincount(index, share * value, len(each))
        return cells.reshape(len(values), *self._cells).astype(np.float32)

    @staticmethod
    def _blurred(cells: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        for axis in (1, 2, 3):
            cells = ndimage.convolve1d(cells, _KERNEL, axis=axis, mode="constant")
        return cells
