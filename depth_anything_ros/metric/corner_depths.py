"""Depths of an image's corners, from where they were in images of a moment ago.

The depth that is known already says where to look for each, so following them is cheap; and it is
no part of what they measure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, SparsePoints
from depth_anything_ros.geometry.camera import Camera, distort
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.ground_odometry import told_by_ground
from depth_anything_ros.metric.triangulation import (
    MIN_TRACKS,
    GreyImage,
    adjusted_motion,
    depths_along,
    epipolar_distance,
    follow_both_ways,
    rays_of,
)

_SOURCE = "camera motion"

# Own choices, compared on simulated drives at five images a second.
_COLUMNS = 640  # most, of the pictures that are compared
_CORNERS, _QUALITY, _SPACING = 500, 0.002, 80  # the last in spacings per width of the image
_BASELINES = (0.15, 0.35, 0.8)  # metres between the poses of the images, at least,
_LONGER = 2.0  # and times them at most
_APART = 0.06  # metres between pictures that are remembered
_SECONDS = 6.0
_REMEMBERED = 20
_WINDOW, _LEVELS = 15, 2
_BACK_PX = 0.7  # by which a corner may be off its start after following it there and back
_EPIPOLAR_PX = 1.5
_LEAST_ANGLE = np.radians(0.3)
_TRACK_PX = 0.5  # standard deviation of where a corner is found
_LEAST_SIGMA = 0.03  # of log depth: edges of things are not what is beside them, odometry errs
_OF_GROUNDS_WAY = 0.07  # the same where only the ground tells how far the images are apart
_ELSEWHERE_M = 5.0  # where a corner without depth is looked for
_MARGIN_PX = 2.0


@dataclass(frozen=True)
class CornerDepths:
    """Corners of an image whose depth is known.

    Attributes:
        points: N corners.
        sigma: N float64, one standard deviation of the log of their depth.
    """

    points: SparsePoints
    sigma: FloatArray


@dataclass(frozen=True)
class _Picture:
    stamp: int
    pose: FloatArray
    grey: GreyImage


class CornerTracks:
    """Remembers the pictures of one camera for a moment; one thread calls it."""

    def __init__(self) -> None:
        self._pictures: deque[_Picture] = deque(maxlen=_REMEMBERED)
        self._known: tuple[Camera, str] | None = None

    def measure(self, frame: Frame, depth_m: FloatImage) -> CornerDepths | None:
        """Depths of the corners of a frame.

        Args:
            frame: The frame; without camera and pose nothing is measured.
            depth_m: HxW float32 metres, about the depth of it, NaN where unknown.

        Returns:
            Its corners that were found in at least one image from elsewhere; None where the camera
            has not moved or nothing was found.
        """
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None:
            return None
        columns = min(_COLUMNS, frame.rgb.shape[1])
        size = (columns, max(1, round(columns * frame.rgb.shape[0] / frame.rgb.shape[1])))
        grey = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        now = _Picture(frame.stamp, np.array(pose), small)
        before = self._before(now, camera, frame.fixed_frame)
        if not before:
            return None
        found = cv2.goodFeaturesToTrack(small, _CORNERS, _QUALITY, max(3, columns // _SPACING))
        if found is None:
            return None
        pixels = found[:, 0].astype(np.float64)
        smaller = camera.resized(*size)
        shape = depth_m.shape
        there = (pixels + 0.5) * (shape[1] / size[0], shape[0] / size[1]) - 0.5
        guess = values_at(depth_m, SparsePoints(there[:, 0], there[:, 1], np.ones(len(there))))
        guess = np.where(np.isfinite(guess), guess, _ELSEWHERE_M)
        each = [_compared(picture, now, smaller, pixels, guess) for picture in before]
        of_way = _OF_GROUNDS_WAY if told_by_ground(frame) else 0.0
        log_z, variance = np.stack(each, axis=1)
        return _together(there, log_z, variance, of_way)

    def _before(self, now: _Picture, camera: Camera, fixed_frame: str) -> list[_Picture]:
        """The latest pictures from far enough away; remembers the present one."""
        known = (camera, fixed_frame)
        pictures = self._pictures
        if known != self._known or (pictures and now.stamp < pictures[-1].stamp):
            pictures.clear()
        self._known = known
        while pictures and now.stamp - pictures[0].stamp > _SECONDS * 1e9:
            pictures.popleft()
        apart = [float(np.linalg.norm(each.pose[:3, 3] - now.pose[:3, 3])) for each in pictures]
        chosen: dict[int, _Picture] = {}
        for baseline in _BASELINES:
            enough = [k for k, each in enumerate(apart) if baseline <= each <= _LONGER * baseline]
            if enough:
                chosen[enough[-1]] = pictures[enough[-1]]
        if not apart or apart[-1] > _APART:
            pictures.append(now)
        return list(chosen.values())


def _compared(
    before: _Picture, now: _Picture, camera: Camera, pixels: FloatArray, depth: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log depth of pixels as another picture shows it, and its variance: infinite where unknown."""
    log_z, variance = np.zeros(len(pixels)), np.full(len(pixels), np.inf)
    motion = np.linalg.inv(before.pose) @ now.pose
    rays = rays_of(camera, pixels)
    there = rays * depth[:, None] @ motion[:3, :3].T + motion[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = distort(camera, there[:, 0] / there[:, 2], there[:, 1] / there[:, 2])
    height, width = now.grey.shape
    seen = (there[:, 2] > 0) & (u > _MARGIN_PX) & (u < width - 1 - _MARGIN_PX)
    seen &= (v > _MARGIN_PX) & (v < height - 1 - _MARGIN_PX)
    which = np.flatnonzero(seen)
    if len(which) < MIN_TRACKS:
        return log_z, variance
    guess = np.stack([u[which], v[which]], axis=1).astype(np.float32)
    start = pixels[which].astype(np.float32)
    found, back, _ = follow_both_ways(now.grey, before.grey, start, guess, _WINDOW, _LEVELS)
    found, which = found[back < _BACK_PX].astype(np.float64), which[back < _BACK_PX]
    if len(which) < MIN_TRACKS:
        return log_z, variance
    rays, other = rays[which], rays_of(camera, found)
    motion = adjusted_motion(rays, found, camera, motion)
    z, z_other, angle = depths_along(rays, other, motion)
    off = np.abs(epipolar_distance(rays, other, motion)) * camera.fx
    kept = (z > 0) & (z_other > 0) & (angle > _LEAST_ANGLE) & (off < _EPIPOLAR_PX)
    log_z[which[kept]] = np.log(z[kept])
    variance[which[kept]] = np.square(_TRACK_PX / (camera.fx * angle[kept]))
    return log_z, variance


def _together(
    pixels: FloatArray, log_z: FloatArray, variance: FloatArray, of_way: float
) -> CornerDepths | None:
    """What several pictures say of the same corners, no surer than they agree.

    Args:
        pixels: Nx2.
        log_z: KxN of K pictures.
        variance: KxN, infinite where unknown.
        of_way: Standard deviation of the log of the distance between the images.
    """
    known = np.isfinite(variance).any(axis=0)
    if not known.any():
        return None
    weight = 1 / variance[:, known]
    total = weight.sum(axis=0)
    mean = (weight * log_z[:, known]).sum(axis=0) / total
    spread = (weight * np.square(log_z[:, known] - mean)).sum(axis=0) / total
    sigma = np.sqrt(1 / total + spread + _LEAST_SIGMA**2 + of_way**2)
    u, v = pixels[known].T
    return CornerDepths(SparsePoints(u, v, np.exp(mean), _SOURCE), sigma)
