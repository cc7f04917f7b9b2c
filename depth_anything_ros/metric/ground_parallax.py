"""What rises from a known ground, seen by how the image changes while the camera moves.

The images of a plane, taken from two known poses, are a homography apart (Hartley and Zisserman,
Multiple View Geometry, 2004, section 13.1). A picture of a moment ago is therefore shown as it
would look from here if all it shows lay on the ground, or on planes a little higher (a plane sweep,
Collins 1996). Where the higher plane fits better, something stands on the ground: a kerb too, which
no network sees in a single image.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, Plane
from depth_anything_ros.geometry.camera import Camera, distort, rays_of_pixels

Gray = npt.NDArray[np.uint8]

# Own choices, made on simulated rooms and streets 0 to 4.
_HEIGHTS = np.array([0.0, 0.08, 0.16, 0.24, 0.33, 0.43, 0.54, 0.66])
_BELOW = np.array([-0.2, -0.5])
"""Heights of the planes in heights of the camera; stairs down and reflections fit those below."""
_RANGE = 7.0  # heights of the camera up to which the ground is compared
_BASELINE = 0.55  # heights of the camera between the two poses, as near to it as can be had
_LEAST_BASELINE, _MOST_BASELINE = 0.25, 1.65
_APART = 0.12  # heights of the camera between pictures that are remembered
_REMEMBERED = 10
_SECONDS = 6.0  # a robot that stands has nothing to compare; things move meanwhile
_WINDOW = (15, 9)  # columns and rows over which differences are summed
_NOISE = 0.7  # mean difference of grey values that says nothing
_CELL = 8  # pixels between places whose shift is computed; between them it is interpolated
_LEAST_ROWS = 24
_THIN = 2  # every second row and column tells by how much poses are off,
_MOST_SHIFT = 3.0  # pixels at most
_ROUNDS = 3
_LEAST_PIXELS = 200
_STIFF = 0.02  # of squared slopes: where there is no texture nothing is shifted
_FAVOUR = 0.9  # the ground is taken where it fits nearly as well as a plane above it
_ASIDE = 6.0  # pixels: pictures shown so far aside fit worse where poses are right
_FITS = 0.45  # share of places where they do, at least,
_CLEAREST = 0.3  # among this share with most contrast: where nothing is to be seen all fits
_DOUBTED = 0.6  # pixels by which poses are off where what is seen counts half
_SPARSE = 4  # every fourth row and column tells
_RAISED = -0.15  # evidence below which the height is looked for
_PERHAPS = -0.04  # evidence below which it is that of what is around
_AROUND = (25, 9)  # columns and rows of the answer,
_SOME = 0.1  # share of them whose height is known, at least,
_LEVEL = 0.03  # metres by which they may differ,
_STEP = 0.2  # metres up to which they are those of a step
_MATCHED = 2.0  # times the difference, for its contrast, on the ground that a match may have
_UNIQUE = 0.8  # of the difference at any other height,
_UNIQUE_AROUND = 0.95  # also that of the mean around,
_SOME_RAISED = 0.4  # where this share of it is raised
_MATCH = 0.3  # pixels, standard deviation of a match,
_FLAT = (
    0.2  # and heights by which it may be off where differences hardly change, times their ratio,
)
_FLAT_AROUND = 0.04  # also those of the mean around


@dataclass(frozen=True)
class Parallax:
    """What the motion of a camera shows of its ground.

    Attributes:
        floor: Rows x columns float32 from -1, raised, to 1, on the ground; 0 where unknown.
        height_m: Rows x columns float32 metres above the ground, NaN where unknown.
        sigma_m: Rows x columns float32 metres, one standard deviation of it.
    """

    floor: FloatImage
    height_m: FloatImage
    sigma_m: FloatImage

    def without(self, moving: npt.NDArray[np.bool_]) -> Parallax:
        """The same, unknown where something moves by itself: its shift tells no height.

        Args:
            moving: HxW bool, of any size.
        """
        size = (self.floor.shape[1], self.floor.shape[0])
        moves = cv2.resize(moving.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        return Parallax(
            np.where(moves, np.float32(0), self.floor),
            np.where(moves, np.float32(np.nan), self.height_m),
            np.where(moves, np.float32(np.nan), self.sigma_m),
        )


@dataclass(frozen=True)
class _Picture:
    stamp: int
    pose: FloatArray
    gray: Gray


class GroundParallax:
    """Compares the images of one camera with those of a moment ago, from a known distance away."""

    def __init__(self) -> None:
        self._pictures: deque[_Picture] = deque(maxlen=_REMEMBERED)
        self._known: tuple[Camera, str] | None = None

    def compare(self, frame: Frame, ground: Plane, shape: tuple[int, int]) -> Parallax | None:
        """What has been raised from the ground since the camera moved.

        Args:
            frame: The frame; without camera and pose nothing is compared.
            ground: The ground plane in its optical frame.
            shape: Rows and columns of the answer.

        Returns:
            What is seen; None where the camera has not moved or its poses do not fit the images.
        """
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None:
            return None
        finer = max(1, min(2, camera.height // shape[0]))
        size = (finer * shape[1], finer * shape[0])
        gray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        smooth = np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)
        now = _Picture(frame.stamp, np.array(pose), smooth)
        before = self._before(now, camera, frame.fixed_frame, ground.offset)
        if before is None:
            return None
        return _compared(before, now, camera, ground, shape)

    def _before(
        self, now: _Picture, camera: Camera, fixed_frame: str, height: float
    ) -> _Picture | None:
        """The remembered picture whose distance suits best; remembers the present one."""
        known = (camera, fixed_frame)
        pictures = self._pictures
        if known != self._known or (pictures and now.stamp < pictures[-1].stamp):
            pictures.clear()
        self._known = known
        while pictures and now.stamp - pictures[0].stamp > _SECONDS * 1e9:
            pictures.popleft()
        apart = [float(np.linalg.norm(each.pose[:3, 3] - now.pose[:3, 3])) for each in pictures]
        off = [abs(each - _BASELINE * height) for each in apart]
        best = int(np.argmin(off)) if off else None
        chosen = None
        if best is not None and _LEAST_BASELINE <= apart[best] / height <= _MOST_BASELINE:
            chosen = pictures[best]
        if not apart or apart[-1] > _APART * height:
            pictures.append(now)
        return chosen


def _compared(
    before: _Picture, now: _Picture, camera: Camera, ground: Plane, shape: tuple[int, int]
) -> Parallax | None:
    sweep = _Sweep(before, now, camera, ground)
    if not sweep.sees_ground:
        return None
    # At first the poses are right, or all that is seen is ground, whichever fits the images better;
    # then each place is taken for the height that fits best.
    as_given = np.zeros(2)
    all_ground = sweep.shift(as_given, None)
    shift, likely = as_given, sweep.likely_heights(as_given)
    other = sweep.likely_heights(all_ground)
    if other.difference < likely.difference:
        shift, likely = all_ground, other
    shift = sweep.shift(shift, likely.number)
    # Where little is to be seen the images mislead: then the poses stay as they are.
    fits, fits_as_given = sweep.fits(shift), sweep.fits(as_given)
    if fits < fits_as_given:
        shift, fits = as_given, fits_as_given
    if fits < _FITS or np.abs(shift).max() >= _MOST_SHIFT:
        return None  # these poses are not those of the images
    costs = sweep.costs(shift)
    rows, columns = shape
    top = sweep.top * rows // now.gray.shape[0]
    below = (columns, rows - top)
    small = np.stack([cv2.resize(cost, below, interpolation=cv2.INTER_AREA) for cost in costs])
    inside = cv2.resize(sweep.inside.astype(np.uint8), below, interpolation=cv2.INTER_NEAREST)
    least_below = sweep.least_below(shift)
    below_ground = np.asarray(
        cv2.resize(least_below, below, interpolation=cv2.INTER_AREA), np.float32
    )
    evidence = np.where(inside > 0, _evidence(small, below_ground), np.float32(0))
    floor = np.zeros(shape, np.float32)
    height, sigma = (np.full(shape, np.nan, np.float32) for _ in range(2))
    # Where poses are off by some pixels, they are by others that no shift mends.
    floor[top:] = evidence / np.float32(1 + np.linalg.norm(shift) / _DOUBTED)
    height[top:], sigma[top:] = sweep.heights(small, floor[top:])
    return Parallax(floor, height, sigma)


def _filled(
    height: FloatImage, sigma: FloatImage, raised: npt.NDArray[np.bool_]
) -> tuple[FloatImage, FloatImage]:
    """Heights on what is raised but shows none: those around where they are low and all the same.

    So a pavement with little texture is as high as where it has some.
    """
    known = np.isfinite(height)
    weight = np.where(known, 1 / np.square(np.where(known, sigma, 1)), 0).astype(np.float32)
    once, twice = (weight * np.where(known, height, 0) ** power for power in (1, 2))
    share, total, first, second = (
        cv2.blur(each, _AROUND) for each in (known.astype(np.float32), weight, once, twice)
    )
    total = np.maximum(total, 1e-6)
    mean = first / total
    variance = np.maximum(second / total - np.square(mean), 0)
    level = (share > _SOME) & (variance < _LEVEL**2) & (mean < _STEP)
    fills = raised & ~known & level
    of_mean = np.sqrt(variance + share / total + _LEVEL**2)
    return (
        np.where(fills, mean, height).astype(np.float32),
        np.where(fills, of_mean, sigma).astype(np.float32),
    )


def _evidence(costs: FloatImage, below: FloatImage) -> FloatImage:
    """How much better the ground fits than any plane above it, from -1 to 1.

    Where one below fits better than the ground it is 0: motion does not tell what is there.
    """
    raised = costs[1:].min(axis=0)
    ground, other = costs[0], np.minimum(raised, below)
    evidence = (other - ground) / (other + ground + 2 * _NOISE)
    return np.asarray(np.where((evidence < 0) & (below < raised), 0, evidence), np.float32)


@dataclass(frozen=True)
class _Likely:
    """Number of the height at every second pixel, and the median difference that it leaves."""

    number: npt.NDArray[np.intp]
    difference: float


class _Sweep:
    """A picture shown as it would look from another pose, were all on one of several planes.

    Attributes:
        top: First row that is compared.
        inside: Rows x columns bool from there on, what the other picture shows, too.
        sees_ground: Whether there is anything to compare.
    """

    def __init__(self, before: _Picture, now: _Picture, camera: Camera, ground: Plane) -> None:
        rows, columns = now.gray.shape
        self._before, self._height = before.gray, ground.offset
        self._pixel = camera.width / columns, camera.height / rows
        motion = np.linalg.inv(before.pose) @ now.pose
        self._apart = float(np.linalg.norm(motion[:3, 3]))
        self._focal = camera.fy / self._pixel[1]
        first = -0.5 * _CELL - 0.5  # so that resizing puts the nodes where they belong
        v, u = np.mgrid[first : rows + _CELL : _CELL, first : columns + _CELL : _CELL]
        at_u, at_v = (u + 0.5) * self._pixel[0] - 0.5, (v + 0.5) * self._pixel[1] - 0.5
        x, y = rays_of_pixels(camera, at_u.ravel(), at_v.ravel())
        rays = np.stack([x, y, np.ones_like(x)], axis=1)
        down = -(rays @ np.array(ground.normal))
        near = np.isfinite(down) & (down * _RANGE > 1)
        first_row = float(v.ravel()[near].min()) if near.any() else rows
        self.top = min(max(int(first_row) // 2 * 2, 0), rows)
        self.sees_ground = rows - self.top >= _LEAST_ROWS
        if not self.sees_ground:
            return
        self._now = now.gray[self.top :]
        depth = ground.offset / np.maximum(down, 1 / (2 * _RANGE))
        self._depth = self._fine(depth.reshape(u.shape))
        turned = (depth[:, None] * rays) @ motion[:3, :3].T
        maps = [
            self._map(camera, (1 - height) * turned + motion[:3, 3], u.shape)
            for height in (*_HEIGHTS, *_BELOW)
        ]
        self._maps, self._below = np.stack(maps[: len(_HEIGHTS)]), np.stack(maps[len(_HEIGHTS) :])
        u_there, v_there = self._maps[:, 0], self._maps[:, 1]
        seen = (u_there >= 0) & (v_there >= 0) & (u_there < columns - 1) & (v_there < rows - 1)
        self.inside = seen.all(axis=0)
        self.sees_ground = np.count_nonzero(self.inside) >= _LEAST_PIXELS * _THIN**2

    def _fine(self, nodes: FloatArray) -> FloatImage:
        """Values at the nodes interpolated to the pixels that are compared."""
        size = (nodes.shape[1] * _CELL, nodes.shape[0] * _CELL)
        whole = cv2.resize(nodes.astype(np.float32), size)
        rows, columns = self._now.shape
        below = _CELL + self.top
        return np.asarray(whole[below : below + rows, _CELL : _CELL + columns])

    def _map(self, camera: Camera, points: FloatArray, shape: tuple[int, ...]) -> FloatImage:
        """Column and row at which the other picture shows points that are given at the nodes."""
        z = points[:, 2]
        ahead = z > 0.05
        z = np.where(ahead, z, 1)
        u, v = distort(camera, points[:, 0] / z, points[:, 1] / z)
        u = np.where(ahead, (u + 0.5) / self._pixel[0] - 0.5, -1e4)
        v = np.where(ahead, (v + 0.5) / self._pixel[1] - 0.5, -1e4)
        return np.stack([self._fine(part.reshape(shape)) for part in (u, v)])

    def _seen(self, maps: FloatImage, shift: FloatArray) -> FloatImage:
        """The other picture through a map of columns and rows, as float32."""
        u, v = (maps[k] + np.float32(shift[k]) for k in (0, 1))
        return cv2.remap(self._before, u, v, cv2.INTER_LINEAR).astype(np.float32)

    def shift(self, shift: FloatArray, height: npt.NDArray[np.intp] | None) -> FloatArray:
        """Pixels by which the poses are off (Lucas and Kanade 1981, with robust weights).

        Args:
            shift: Columns and rows to begin with.
            height: Number of the height at every second pixel; None for the ground everywhere.

        Returns:
            Columns and rows.
        """
        maps = self._maps[..., ::_THIN, ::_THIN]
        if height is None:
            chosen = np.ascontiguousarray(maps[0])
        else:
            chosen = np.take_along_axis(maps, height[None, None], axis=0)[0]
        used = self.inside[::_THIN, ::_THIN]
        now = self._now[::_THIN, ::_THIN].astype(np.float32)
        for _ in range(_ROUNDS):
            seen = self._seen(chosen, shift)
            off = (now - seen)[used]
            if len(off) < _LEAST_PIXELS:
                break
            along = [
                cv2.Sobel(seen, cv2.CV_32F, *way, scale=1 / (8 * _THIN))[used]
                for way in ((1, 0), (0, 1))
            ]
            slopes = np.stack(along)
            usual = 2 * float(np.median(np.abs(off))) + _NOISE
            weighed = slopes / (1 + np.square(off / usual))
            stiff = len(off) * _STIFF
            normal = weighed @ slopes.T + stiff * np.eye(2)
            shift = shift + np.linalg.solve(normal, weighed @ off - stiff * shift)
        return np.clip(shift, -_MOST_SHIFT, _MOST_SHIFT)

    def likely_heights(self, shift: FloatArray) -> _Likely:
        """The heights that fit best at every second pixel."""
        costs = self._costs(self._maps, shift, _THIN) + np.float32(_NOISE)
        costs[0] *= _FAVOUR
        inside = self.inside[::_THIN, ::_THIN]
        return _Likely(np.argmin(costs, axis=0), float(np.median(costs.min(axis=0)[inside])))

    def costs(self, shift: FloatArray) -> FloatImage:
        """Mean difference of grey values around each pixel for each height."""
        return self._costs(self._maps, shift, 1)

    def fits(self, shift: FloatArray) -> float:
        """Share of places that fit better at some height than shown aside, left and right."""

        def least(columns: float) -> FloatImage:
            moved = shift + np.array([columns, 0])
            return np.asarray(self._costs(self._maps, moved, _SPARSE).min(axis=0))

        better = least(0.0) < np.minimum(least(-_ASIDE), least(_ASIDE))
        inside = self.inside[::_SPARSE, ::_SPARSE]
        if not inside.any():
            return 0.0
        contrast = self._contrast()[::_SPARSE, ::_SPARSE]
        clear = inside & (contrast >= np.percentile(contrast[inside], 100 * (1 - _CLEAREST)))
        return float(np.mean(better[clear]))

    def _contrast(self) -> FloatImage:
        """Mean difference of grey values to those around."""
        now = self._now.astype(np.float32)
        return np.asarray(cv2.blur(cv2.absdiff(now, cv2.blur(now, _WINDOW)), _WINDOW))

    def least_below(self, shift: FloatArray) -> FloatImage:
        """The same for the planes below the ground, of which the best counts."""
        return np.asarray(self._costs(self._below, shift, 1).min(axis=0))

    def _costs(self, maps: FloatImage, shift: FloatArray, thin: int) -> FloatImage:
        now = self._now[::thin, ::thin].astype(np.float32)
        window = (_WINDOW[0] // thin | 1, _WINDOW[1] // thin | 1)
        inside = self.inside[::thin, ::thin].astype(np.float32)
        share = np.maximum(cv2.blur(inside, window), np.float32(1e-3))
        return np.stack(
            [
                cv2.blur(
                    cv2.absdiff(self._seen(each[:, ::thin, ::thin], shift), now) * inside, window
                )
                / share
                for each in maps
            ]
        )

    def heights(self, costs: FloatImage, evidence: FloatImage) -> tuple[FloatImage, FloatImage]:
        """Metres above the ground where it is surely raised, and their standard deviation."""
        contrast = cv2.resize(self._contrast(), costs.shape[:0:-1], interpolation=cv2.INTER_AREA)
        ground = evidence > 0
        # What has much contrast differs more where it matches, too.
        usual = contrast + np.float32(_NOISE)
        usual *= np.median((costs[0] / usual)[ground]) if ground.any() else 0
        height, sigma = self._best(costs, usual, _UNIQUE, _FLAT)
        sure = evidence < _RAISED
        height, sigma = (np.where(sure, each, np.float32(np.nan)) for each in (height, sigma))
        # What is faint but level shows its height over more of the image.
        raised = evidence < _PERHAPS
        share = np.maximum(cv2.blur(raised.astype(np.float32), _AROUND), np.float32(1e-3))
        wide = np.stack([cv2.blur(cost * raised, _AROUND) / share for cost in costs])
        level, of_level = self._best(wide, usual, _UNIQUE_AROUND, _FLAT_AROUND)
        of_level = np.hypot(of_level, np.float32(_LEVEL))
        with np.errstate(invalid="ignore"):
            surer = np.isnan(height) | ((height < _STEP) & (of_level < sigma))
        fills = raised & surer & (share > _SOME_RAISED) & (level < _STEP)
        height, sigma = np.where(fills, level, height), np.where(fills, of_level, sigma)
        return _filled(height, sigma, raised)

    def _best(
        self, costs: FloatImage, usual: FloatImage, unique: float, flat: float
    ) -> tuple[FloatImage, FloatImage]:
        """Metres at which costs are least, and their standard deviation; NaN where it is unsure.

        Args:
            costs: Of each height.
            usual: Cost that a match has on the ground, of as much contrast.
            unique: Share of the cost at any other height that the least one may have.
            flat: Heights by which it may be off where costs hardly change, times the ratio of
                the cost of a match to their change.
        """
        best = 1 + np.argmin(costs[1:-1], axis=0)
        before, at, after = (
            np.take_along_axis(costs, (best + k)[None], axis=0)[0] for k in (-1, 0, 1)
        )
        number = np.arange(len(costs))[:, None, None]
        others = np.where(np.abs(number - best) > 1, costs, np.inf).min(axis=0)
        known = (at <= after) & (at < _MATCHED * usual + _NOISE)
        known &= at + _NOISE < unique * (others + _NOISE)
        bend = np.maximum(before + after - 2 * at, 1e-6)
        offset = np.clip((before - after) / (2 * bend), -0.5, 0.5)
        side = np.where(offset > 0, best, best - 1)
        step = _HEIGHTS[side + 1] - _HEIGHTS[side]
        share = _HEIGHTS[best] + step * offset
        depth = cv2.resize(self._depth, costs.shape[:0:-1]) * (1 - share)
        # A height moves the match of a point ahead by focal * apart / (depth - apart)^2.
        ahead = np.maximum(depth - self._apart, self._apart / 2)
        of_match = _MATCH * np.square(ahead) / (self._focal * self._apart)
        of_flat = flat * self._height * step * 2 * (usual + _NOISE) / bend
        sigma = np.where(known, np.hypot(of_match, of_flat), np.nan).astype(np.float32)
        return np.where(known, share * self._height, np.nan).astype(np.float32), sigma
