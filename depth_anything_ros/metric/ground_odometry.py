"""Where a camera is, by how the ground moves past it: odometry for robots that publish none.

Corners of the image are followed from a picture of a moment ago. All of them tell which way the
camera went, by their epipolar lines; those on the ground, whose distance is known, how far
(planar motion over a known plane, Scaramuzza and Fraundorfer, Visual Odometry, 2011). What stands
on the ground does not fit as ground, nor what moves by itself at all: both have little say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from depth_anything_ros.frames import FloatArray, Frame, Plane
from depth_anything_ros.geometry.camera import Camera, distort, rays_of_pixels
from depth_anything_ros.metric.triangulation import (
    GreyImage,
    follow_both_ways,
)

_FIXED_FRAME = "where the ground was first seen"  # a number follows, another where it was lost

# Own choices, made on simulated rooms and streets 0 to 4.
_COLUMNS = 640  # most, of the pictures that are compared
_CORNERS, _QUALITY, _SPACING = 200, 0.001, 60  # the last in spacings per width of the image
_RANGE = 4.0  # heights of the camera up to which a corner may be on the ground
_ELSEWHERE = 4.0  # heights of the camera where other corners are looked for
_WINDOW, _LEVELS = 15, 3
_BACK_PX = 0.7  # by which a corner may be off its start after following it there and back
_LIMITS_PX = (12.0, 3.0, 0.6)  # of what agrees, from round to round
_LEAST = 12  # corners
_SURE_SHARE, _SURE_M, _SURE_DEG = 0.06, 0.01, 0.5  # most standard deviation of the way
_FASTER, _TURNS = 1.0, math.radians(90)  # per second squared, by which the velocity may change,
_SPEED, _TURNING = 1.0, math.radians(60)  # and how large it may be where it is not known
_SUDDEN = 3.0  # times them at most
_NEAREST = 0.4  # heights of the camera along Z from which on things are seen
_LOWEST = 0.85  # of the ground's inverse depth: no corner is seen through it, but for errors
_FITS_PX = 0.8  # by which corners are off their epipolar line, or their place on the ground,
_SHARE_FITS_LINE = 0.7  # share of them that is no farther off it
_LEAST_FITS, _SHARE_FITS = 4, 0.45  # how many, and which share of those that may be there
_UNSEEN = 1.0  # seconds without, for which the robot is as fast as it was
# Metres and angle by which the way may be off from image to image.
_TRACKED = np.array([0.01, 0.01, math.radians(0.5)])
_STEADY_S = 0.2  # seconds over which the velocity is a mean
_STEPS = np.array([1e-3, 1e-3, 1e-4])  # metres and angle from which slopes are computed
_NEW_MOVED, _NEW_TURNED = 0.5, math.radians(12)  # heights and angle from which on corners are new
_NEW_SHARE = 0.5  # of the corners that were followed at first
_GAP = 2.0  # seconds without an image after which nothing is followed


@dataclass(frozen=True)
class _Start:
    """A picture from which corners are followed.

    Attributes:
        grey: The picture.
        view: How it sees the ground.
        pixels: Nx2 corners.
        rays: Nx3, z = 1 in the optical frame.
        depth: N metres along Z, were they on the ground; NaN for those that are not or far away.
        at: 3x3, from below the camera to the fixed frame.
    """

    grey: GreyImage
    view: _View
    pixels: FloatArray
    rays: FloatArray
    depth: FloatArray
    at: FloatArray


def told_by_ground(frame: Frame) -> bool:
    """Whether the pose of a frame is from `GroundOdometry`."""
    return frame.fixed_frame.startswith(_FIXED_FRAME)


class GroundOdometry:
    """Follows the images of one camera; one thread calls it."""

    def __init__(self) -> None:
        self._start: _Start | None = None
        self._last: tuple[GreyImage, _View] | None = None
        self._camera: Camera | None = None
        self._at = np.eye(3)
        self._velocity = np.zeros(3)
        self._steady = False
        self._unseen = 0.0
        self._stamp = 0
        self._lost = 0

    def locate(self, frame: Frame, ground: Plane) -> Frame:
        """A frame with the pose of its camera.

        Args:
            frame: The frame; without camera it stays as it is.
            ground: The ground plane in its optical frame.

        Returns:
            The frame with pose and fixed frame, whose z is up and 0 on the ground.
        """
        camera = frame.camera
        if camera is None or not ground.offset > 0:
            return frame
        columns = min(_COLUMNS, frame.rgb.shape[1])
        size = (columns, max(1, round(columns * frame.rgb.shape[0] / frame.rgb.shape[1])))
        gray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        grey = np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8)
        view = _View(camera.resized(*size), ground)
        seconds = (frame.stamp - self._stamp) * 1e-9
        if camera != self._camera or not 0 <= seconds < _GAP:
            self._start, self._velocity = None, np.zeros(3)
        self._camera, self._stamp = camera, frame.stamp
        if not self._followed(grey, view, seconds):
            self._lost += 1
            self._at, self._steady = np.eye(3), False  # it may well go on as before
            self._unseen = 0.0
            self._start = self._started(grey, view)
        self._last = grey, view
        name = f"{_FIXED_FRAME} {self._lost}"
        return replace(frame, pose=_lifted(self._at) @ view.mounted, fixed_frame=name)

    def _followed(self, grey: GreyImage, view: _View, seconds: float) -> bool:
        """Whether the way is known from where corners were first seen, or from the last picture."""
        if self._start is None or self._last is None:
            return False
        start, seen = self._start, self._follow(self._start, grey, view, seconds, by_ground=True)
        if not seen and start.grey is not self._last[0]:
            start = self._started(*self._last)
            seen = self._follow(start, grey, view, seconds, by_ground=True)
        if seen:
            self._unseen = 0.0
            return True
        self._unseen += seconds
        if not self._steady or self._unseen > _UNSEEN:
            return False
        return self._follow(start, grey, view, seconds, by_ground=False)

    def _started(self, grey: GreyImage, view: _View) -> _Start:
        """The newest picture as one to follow corners from."""
        ground = view.ground_mask(grey.shape)
        pixels = np.concatenate([_corners(grey, ground), _corners(grey, ~ground)])
        rays = view.rays(pixels)
        return _Start(grey, view, pixels, rays, view.depths(rays), self._at)

    def _follow(
        self, start: _Start, grey: GreyImage, view: _View, seconds: float, by_ground: bool
    ) -> bool:
        """Follow the corners; whether they tell the way, without ground as fast as before."""
        if len(start.pixels) < _LEAST:
            return False
        expected = np.linalg.inv(start.at) @ self._at @ _motion(self._velocity * seconds)
        depth = np.where(np.isnan(start.depth), _ELSEWHERE * view.height, start.depth)
        points = start.rays * depth[:, None]
        guess = view.pixels(_carried(_between(start.view, view, expected), points))
        inside = np.isfinite(guess[:, 0])
        guess = np.where(inside[:, None], guess, start.pixels)
        first, there = start.pixels.astype(np.float32), guess.astype(np.float32)
        found, back, _ = follow_both_ways(start.grey, grey, first, there, _WINDOW, _LEVELS)
        kept = np.flatnonzero(np.where(inside, back, np.inf) < _BACK_PX)
        if len(kept) < _LEAST:
            return False
        pair = _Pair(start, view, kept, found[kept].astype(np.float64))
        before = _parameters(expected)
        change = np.array([_FASTER, _FASTER, _TURNS]) * seconds**2
        if not self._steady:
            change = np.array([_SPEED, _SPEED, _TURNING]) * seconds
        free = np.hypot(change, _TRACKED)
        way = pair.way(before, free, _LIMITS_PX[self._steady :], by_ground)
        if way is None or (by_ground and not pair.shows_ground(way)):
            return False
        if not by_ground:
            way[:2] *= np.linalg.norm(before[:2]) / max(np.linalg.norm(way[:2]), 1e-9)
        moved = _motion(way)
        now = start.at @ moved
        if seconds > 0:
            velocity = _parameters(np.linalg.inv(self._at) @ now) / seconds
            newest = min(1.0, seconds / _STEADY_S) if self._steady else 1.0
            self._velocity = self._velocity + newest * (velocity - self._velocity)
            self._steady = True
        self._at = now
        far = math.hypot(way[0], way[1]) > _NEW_MOVED * view.height or abs(way[2]) > _NEW_TURNED
        ground = np.count_nonzero(np.isfinite(start.depth))
        few = np.count_nonzero(pair.low) < _NEW_SHARE * ground
        if far or few or len(kept) < _NEW_SHARE * len(start.pixels):
            start = self._started(grey, view)
        self._start = start
        return True


class _Pair:
    """Corners of a picture that were found in another one."""

    def __init__(
        self, start: _Start, view: _View, kept: npt.NDArray[np.intp], pixels: FloatArray
    ) -> None:
        self._first, self._second, self._pixels = start.view, view, pixels
        self._rays, self._rays_there = start.rays[kept], view.rays(pixels)
        self.low = np.isfinite(start.depth[kept])
        self._ground = (self._rays * start.depth[kept, None])[self.low]
        self._farthest = _LOWEST / np.where(self.low, start.depth[kept], np.inf)

    def way(
        self, expected: FloatArray, free: FloatArray, limits: tuple[float, ...], by_ground: bool
    ) -> FloatArray | None:
        """The motion along the ground that fits best; None where it is not sure.

        Args:
            expected: Metres ahead and left and the angle that are likely,
            free: and standard deviations of each.
            limits: Pixels up to which corners agree, from round to round.
            by_ground: Whether corners that may be on the ground are taken to be on it.
        """

        def off(way: FloatArray, limit: float) -> FloatArray:
            seen = self._off(way, by_ground) / limit
            robust = np.sign(seen) * np.sqrt(np.log1p(np.square(seen)))  # Cauchy's
            return np.concatenate([robust, (way - expected) / free])

        def slopes(way: FloatArray, limit: float) -> FloatArray:
            steps = np.diag(_STEPS)
            ways = [off(way + step, limit) - off(way - step, limit) for step in steps]
            return np.stack(ways, axis=1) / (2 * _STEPS)

        way = expected
        for limit in limits:
            found = least_squares(
                off, way, slopes, method="lm", xtol=1e-4, ftol=1e-4, args=(limit,)
            )
            way = found.x
        each = max(1.0, 2 * found.cost / len(self._rays))
        sigma = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * each)
        sure = sigma[2] < math.radians(_SURE_DEG)
        if by_ground:
            sure &= sigma[:2].max() < _SURE_SHARE * math.hypot(way[0], way[1]) + _SURE_M
        off_line = np.linalg.norm(self._off(way, by_ground=False).reshape(-1, 2), axis=1)
        sure &= np.mean(off_line < _FITS_PX) > _SHARE_FITS_LINE
        return way if sure and (np.abs(way - expected) < _SUDDEN * free).all() else None

    def _off(self, way: FloatArray, by_ground: bool) -> FloatArray:
        """Pixels by which corners are off."""
        between = _between(self._first, self._second, _motion(way))
        beside = _beside_line(
            between, self._rays, self._farthest, self._rays_there, self._second.height
        )
        parts = [self._second.focal * beside]
        if by_ground:
            parts.append(self._off_ground(between))
        return np.nan_to_num(np.concatenate(parts).ravel(), nan=1e3)

    def _off_ground(self, between: FloatArray) -> FloatArray:
        return self._second.pixels(_carried(between, self._ground)) - self._pixels[self.low]

    def shows_ground(self, way: FloatArray) -> bool:
        """Whether enough of the corners that may be on the ground are on it."""
        off = self._off_ground(_between(self._first, self._second, _motion(way)))
        with np.errstate(invalid="ignore"):
            fits = int(np.count_nonzero(np.linalg.norm(off, axis=1) < _FITS_PX))
        return fits >= _LEAST_FITS and fits >= _SHARE_FITS * len(off)


class _View:
    """How a camera sees its ground.

    Attributes:
        height: Metres of the camera above it.
        focal: Pixels.
        mounted: 4x4, optical frame -> below the camera on the ground: x ahead, y left, z up.
    """

    def __init__(self, camera: Camera, ground: Plane) -> None:
        self._camera, self.height, self.focal = camera, ground.offset, camera.fx
        up = np.array(ground.normal)
        ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
        if np.linalg.norm(ahead) < 0.2:  # it looks straight down: what is up in the image is ahead
            ahead = np.array([0.0, -1.0, 0.0]) + up[1] * up
        ahead /= np.linalg.norm(ahead)
        self.mounted = np.eye(4)
        self.mounted[:3, :3] = np.stack([ahead, np.cross(up, ahead), up])
        self.mounted[2, 3] = ground.offset

    def rays(self, pixels: FloatArray) -> FloatArray:
        """Nx3 rays of pixels, z = 1."""
        x, y = rays_of_pixels(self._camera, pixels[:, 0], pixels[:, 1])
        return np.stack([x, y, np.ones_like(x)], axis=1)

    def depths(self, rays: FloatArray) -> FloatArray:
        """N metres along Z where rays meet the ground, NaN where they do not or far away."""
        down = -(rays @ self.mounted[2, :3])
        near = down * _RANGE > 1
        return np.where(near, self.height / np.where(near, down, 1), np.nan)

    def ground_mask(self, shape: tuple[int, ...]) -> GreyImage:
        """255 where the ground would be near, 0 elsewhere."""
        v, u = np.mgrid[0 : shape[0] : 4, 0 : shape[1] : 4].astype(np.float64)
        near = np.isfinite(self.depths(self.rays(np.stack([u.ravel(), v.ravel()], axis=1))))
        mask = np.where(near.reshape(u.shape), 255, 0).astype(np.uint8)
        whole = cv2.resize(mask, shape[1::-1], interpolation=cv2.INTER_NEAREST)
        return np.asarray(whole, np.uint8)

    def pixels(self, points: FloatArray) -> FloatArray:
        """Nx2 pixels that show points of the optical frame, NaN where none does."""
        z = np.where(points[:, 2] > 0.05, points[:, 2], np.nan)
        u, v = distort(self._camera, points[:, 0] / z, points[:, 1] / z)
        inside = (u >= 0) & (v >= 0)
        inside &= (u <= self._camera.width - 1) & (v <= self._camera.height - 1)
        return np.where(inside[:, None], np.stack([u, v], axis=1), np.nan)


def _corners(grey: GreyImage, where: GreyImage) -> FloatArray:
    """Nx2 pixels."""
    spacing = max(3, grey.shape[1] // _SPACING)
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _QUALITY, spacing, mask=where)
    return np.zeros((0, 2)) if found is None else found[:, 0].astype(np.float64)


def _between(first: _View, second: _View, moved: FloatArray) -> FloatArray:
    """4x4, optical frame of the first view -> optical frame of the second."""
    return np.asarray(np.linalg.inv(_lifted(moved) @ second.mounted) @ first.mounted)


def _beside_line(
    between: FloatArray, rays: FloatArray, farthest: FloatArray, there: FloatArray, height: float
) -> FloatArray:
    """Nx2, from where corners may be seen to where they are, at z = 1.

    Each lies on its epipolar line between the nearest thing and the ground, or infinity.

    Args:
        between: 4x4, optical frame of the one image -> that of the other.
        rays: Nx3 rays in the one.
        farthest: N, inverse of the farthest Z there.
        there: Nx3 rays in the other one.
        height: Metres of the camera above the ground.
    """
    turned, shift = rays @ between[:3, :3].T, between[:3, 3]
    nearest = np.full(len(rays), 1 / (_NEAREST * height))
    if shift[2] < 0:  # what is passed is not seen any more
        nearest = np.minimum(nearest, 0.8 * turned[:, 2] / -shift[2])
    ends = []
    for inverse in (farthest, np.maximum(nearest, farthest)):
        point = turned + inverse[:, None] * shift
        ends.append(point[:, :2] / np.maximum(point[:, 2:], 0.05))
    along = ends[1] - ends[0]
    from_far = there[:, :2] - ends[0]
    share = (from_far * along).sum(axis=1) / np.maximum(np.square(along).sum(axis=1), 1e-12)
    return np.asarray(from_far - np.clip(share, 0, 1)[:, None] * along)


def _carried(between: FloatArray, points: FloatArray) -> FloatArray:
    return np.asarray(points @ between[:3, :3].T + between[:3, 3])


def _motion(way: FloatArray) -> FloatArray:
    """3x3 of metres ahead and left, and the angle turned to the left."""
    cosine, sine = math.cos(way[2]), math.sin(way[2])
    return np.array([[cosine, -sine, way[0]], [sine, cosine, way[1]], [0.0, 0.0, 1.0]])


def _parameters(motion: FloatArray) -> FloatArray:
    """Metres ahead and left, and the angle turned to the left, of a 3x3."""
    return np.array([motion[0, 2], motion[1, 2], math.atan2(motion[1, 0], motion[0, 0])])


def _lifted(motion: FloatArray) -> FloatArray:
    """A motion on the ground as one in space, 4x4."""
    pose = np.eye(4)
    pose[:2, :2], pose[:2, 3] = motion[:2, :2], motion[:2, 2]
    return pose
