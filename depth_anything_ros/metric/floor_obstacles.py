"""An image divided into floor and the obstacles that stand on it, with a known ground plane.

The inverse depth of a plane is known at every pixel. On the floor a network's inverse depth
follows it up to errors that vary slowly over the image; on what stands upright it stays the same
from the foot up and so leaves the plane's. By that slope, and by its level, each column of the
image is divided into floor and obstacles with dynamic programming, as free space is computed from
stereo (Badino, Franke and Pfeiffer, The Stixel World, 2009); the colours of the image tell to the
row where one ends, and the motion of the camera shows what rises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Plane, SparsePoints
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.metric.floor_colours import Lab, unlike_floor, vertical_contrast
from depth_anything_ros.metric.floor_exactness import FloorExactness
from depth_anything_ros.metric.ground_parallax import Parallax

Mask = npt.NDArray[np.bool_]

MOST_SLOW_ERROR = 0.3
"""Of log inverse depth: a slow error of the floor larger than that is none."""

HEIGHT_SIGMA = 0.015
"""Standard deviation of the camera's height relative to it."""

ANGLE_SIGMA = math.radians(0.3)
"""Standard deviation of its pitch and roll in radians."""

_ROWS = 120  # rows at which the image is divided, at most
_RANGE = 15.0  # metres up to which floor is looked for
_STEP = 2  # rows up and down over which slopes are taken
_SLOPE_SPREAD = 0.4  # of the slope relative to the plane's, on floor and on upright things
_FIRST_SPREAD = 0.3  # of log inverse depth on the floor before its slow error is known
_LEAST_SPREAD = 0.03
_MOST_SPREAD = 0.12
_CAP = 6.0  # most that one row can speak for or against
_SHARE = 0.35  # of what a row says: neighbouring rows say the same
_CHANGE = 3.0  # cost of a change between floor and obstacle
_CALM = 4.0  # factor on it where colours do not change
_COLOUR = 2.5  # most that the colour of one pixel can speak for or against
_BENT = 0.12  # of log inverse depth: depth that strays as far from the floor counts half
_EXACT = 0.015  # of log inverse depth: depth that follows the plane so closely needs no colours
_RAISED_BY = 4.0  # spreads around the floor above which depth is raised
_UNDER = 0.15  # spread of log inverse depth by which an obstacle may seem behind its foot
_LEVEL = 0.04  # step of the levels of the floor
_LEAST_DROP = 0.15  # of log inverse depth below the floor, for a pit
_SURELY = 4.0  # standard deviations by which depth is surely above the plane
_PER_SPREAD = 10.0  # that of the level of the floor, per spread around it: flat floor is exact
_SURE = 3.0  # standard deviations of the depth by which a pit is deeper than the floor
_MIN_PIXELS = 60
_MIN_SHARE = 0.04
_ABOVE_FOOT = (0.05, 0.25)  # metres above its foot between which an obstacle is compared with it
_OVERHANG = 0.35  # of log inverse depth by which an obstacle may be nearer than its foot
_UNSEEN_FOOT = 0.15  # of log inverse depth that a foot may be off where the image shows no edge
_EDGE_ROWS = 3  # coarse rows above and below a foot whose colours are compared
_PARALLAX = 10.0  # most that the motion of the camera can speak for or against
_CLEAR = 0.08  # its evidence that speaks fully,
_RAISED = -0.04  # and from which on a network that sees floor says nothing: it sees no low step,
_FAINT = 0.07  # where the median of that for the ground is twice as large; half of it is too faint
_ASIDE = 10  # coarse columns in which a nearer foot is looked for
_STEPPED = 0.1  # of log inverse depth between feet of one thing, at least
_SLANTED = 0.015  # and per column: walls slant
_SAME_SURFACE = 0.12  # of log inverse depth between neighbours
_SAME_OBSTACLE = 0.3  # of log inverse depth from just above the foot to the top
_ON_FLOOR = 0.04  # height in metres up to which a measured point is floor
_OFF_FLOOR = 0.08  # height from which on it is none


@dataclass(frozen=True)
class Division:
    """An image divided into floor and obstacles.

    Attributes:
        floor: 1 on floor, 0 elsewhere.
        error: The slow error of log inverse depth on the floor.
        lacks: On obstacles, what their log inverse depth lacks to that of their foot.
        doubted: On obstacles, what it lacks or has too much but is not believed.
        unclear: On obstacles, how far off their foot may be in log inverse depth, because they may
            hang over it or the image shows no edge there.
        standing: 1 / metres ahead of the ground at their foot, 0 where none is seen.
        spread: Standard deviation of log inverse depth on the floor beside the slow error.
        accuracy: Root mean square of it altogether.
        need: How far what else is known is needed beside the depth, 0 (it is exact) to 1.
    """

    floor: FloatImage
    error: FloatImage
    lacks: FloatImage
    doubted: FloatImage
    unclear: FloatImage
    standing: FloatImage
    spread: float
    accuracy: float
    need: float

    def resized(self, shape: tuple[int, ...]) -> Division:
        """The same for the whole image.

        Args:
            shape: Its rows and columns.
        """

        def large(image: FloatImage) -> FloatImage:
            size = (shape[1], shape[0])
            return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.float32)

        # Between a foot and none there is no foot.
        standing = cv2.resize(self.standing, shape[::-1], interpolation=cv2.INTER_NEAREST)

        return replace(
            self,
            floor=large(self.floor),
            error=large(self.error),
            lacks=large(self.lacks),
            doubted=large(self.doubted),
            unclear=large(self.unclear),
            standing=np.asarray(standing, np.float32),
        )


class Columns:
    """A coarse image whose columns are to be divided.

    Args:
        depth_m: Metres, NaN where unknown.
        plane: 1/Z of the ground.
        ahead: Metres ahead, along the ground, per metre of Z.
        focal: Focal length in coarse rows.
        known_heights: Height over the ground of measured points, NaN elsewhere.
        likely_error: Standard deviation of the level of the floor in log inverse depth.
        relative_sigma: Standard deviation of the depth relative to it.
        lab: Its colours, or None.
        parallax: What the motion of the camera shows of the ground, or None.
        height: Metres of the camera above the ground.
        exactness: Judges how exact the depth is; None where that is not asked for: then what else
            is known of floor and obstacles counts fully.
    """

    def __init__(
        self,
        depth_m: FloatImage,
        plane: FloatImage,
        ahead: FloatImage,
        focal: float,
        known_heights: FloatImage,
        likely_error: float,
        relative_sigma: FloatImage,
        lab: Lab | None,
        parallax: Parallax | None,
        height: float,
        exactness: FloorExactness | None = None,
    ) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            self._log_inverse = np.where(np.isfinite(depth_m), -np.log(depth_m), np.nan)
            self._log_plane = np.log(np.maximum(plane, np.float32(1e-4)))
        # Seen by a camera that looks down, what is upright is farther away at its foot; ahead of
        # the robot it is not.
        self._log_inverse = self._log_inverse - np.log(ahead)
        self._log_plane = self._log_plane - np.log(ahead)
        slope = _rise(self._log_inverse) / np.maximum(_rise(self._log_plane), 1e-4)
        self._slope = np.clip(slope, -2, 3)
        self._log_ratio = self._log_inverse - self._log_plane
        self._plane = plane
        # A foot lies between two rows, of which the lower one shows floor.
        between = (self._log_plane[1:] + self._log_plane[:-1]) / 2
        self._log_foot = np.concatenate([self._log_plane[:1], between])
        self._pixels_per_metre = focal * plane
        self._looks_down = plane * _RANGE >= 1
        self._known_heights = known_heights
        self._likely_error = likely_error
        self._relative_sigma = relative_sigma
        self._height = height
        self._surely_raised = np.zeros(plane.shape, np.bool_)
        self._lab = lab
        self._as_colours: FloatImage = np.zeros_like(plane)
        self._unseen: FloatImage = np.zeros_like(plane)
        self._as_moves: FloatImage = np.zeros_like(plane)
        self._raised: FloatImage = np.zeros_like(plane)
        if parallax is not None:
            moves = np.clip(parallax.floor / _CLEAR, -1, 1)
            self._as_moves = np.asarray(-_PARALLAX * moves, np.float32)
            ground = parallax.floor[parallax.floor > 0]
            clear = np.clip(np.median(ground) / _FAINT - 1, 0, 1) if len(ground) else 0
            self._raised = np.clip(parallax.floor / np.float32(_RAISED), 0, 1) * np.float32(clear)
        self._trust = 1.0
        self._exactness = exactness
        self._need = 1.0
        self._change: FloatImage = np.full(plane.shape, _CHANGE, np.float32)

    def divide(self) -> Division | None:
        """Divide it into floor and obstacles.

        Returns:
            The division; None where no floor is seen.
        """
        error, spread = np.zeros_like(self._plane), _FIRST_SPREAD
        floor = self._label(error, spread)
        for _ in range(2):
            fitted = self._slow_error(floor)
            if fitted is None:
                return None
            error, spread = fitted
            floor = self._label(error, spread)
        if self._exactness is not None:
            self._need = self._need_of_help(self._exactness, floor, error, spread)
            self._as_moves = self._as_moves * np.float32(self._need)
        if self._lab is not None and np.isfinite(self._log_ratio[floor]).any():
            self._heed_colours(self._lab, floor)
            floor = self._label(error, spread)
            fitted = self._slow_error(floor)
            if fitted is None:
                return None
            error, spread = fitted
        floor = np.asarray(cv2.medianBlur(floor.astype(np.uint8), 3) > 0) & self._looks_down
        if floor.sum() < max(_MIN_PIXELS, _MIN_SHARE * np.count_nonzero(self._looks_down)):
            return None
        of_floor = self._log_ratio[floor]
        accuracy = math.sqrt(float(np.nanmean(np.square(of_floor))))
        feet = self._feet(floor, self._below(error, spread))
        return Division(floor.astype(np.float32), error, *feet, spread, accuracy, self._need)

    def _need_of_help(
        self, exactness: FloorExactness, floor: Mask, error: FloatImage, spread: float
    ) -> float:
        """`need` of the division."""
        with np.errstate(invalid="ignore"):
            own = floor & (self._log_ratio - error < _RAISED_BY * spread)
        below = self._below(error, spread)
        moves = np.where(self._looks_down, self._as_moves / _PARALLAX, 0)
        return exactness.need_of_help(self._log_ratio, own, below, self._looks_down, moves)

    def _heed_colours(self, lab: Lab, floor: Mask) -> None:
        """Let colours speak from now on: floor has its own, and it ends at an edge of the image."""
        off = float(np.nanmean(np.square(self._log_ratio[floor])))
        need = self._need
        if self._exactness is not None:
            need *= off / (off + _EXACT**2)
        unlike, contrast = unlike_floor(lab, floor), vertical_contrast(lab)
        self._as_colours = np.asarray(need * _COLOUR * unlike, np.float32)
        if not np.isfinite(self._known_heights).any():  # points show thin things better than edges
            calm = need * (_CALM - 1) * (1 - contrast)
            self._change = np.asarray(_CHANGE * (1 + calm), np.float32)
        self._trust = _BENT**2 / (_BENT**2 + off)
        around = cv2.blur(unlike, (3, 5))
        differs = np.zeros_like(unlike)
        differs[_EDGE_ROWS:-_EDGE_ROWS] = around[: -2 * _EDGE_ROWS] - around[2 * _EDGE_ROWS :]
        edge = cv2.dilate(contrast, np.ones((5, 3), np.uint8))
        edge = np.maximum(edge, np.clip(differs, 0, 1))
        self._unseen = np.asarray(need * (1 - edge), np.float32)

    def _label(self, bias: FloatImage, spread: float) -> Mask:
        """Floor by dynamic programming up each column."""
        off = self._log_ratio - bias
        level = np.square(off / spread)
        as_floor = np.square((self._slope - 1) / _SLOPE_SPREAD) + level
        as_obstacle = np.square(np.clip(self._slope, 0, None) / _SLOPE_SPREAD)
        as_obstacle += np.square(np.minimum(off - 2 * spread, 0) / _UNDER)
        margin = np.minimum(as_floor, _CAP) - np.minimum(as_obstacle, _CAP)
        margin = np.where(np.isfinite(margin), margin, 0).astype(np.float32)
        margin *= np.where(margin < 0, 1 - self._raised, np.float32(1))
        margin = np.float32(self._trust) * margin + self._as_colours
        # What rises clearly above the floor or lies below it is none, however level it is.
        apart = (
            (np.nan_to_num(off) > _RAISED_BY * spread)
            | self._below(bias, spread)
            | self._surely_raised
        )
        margin[apart] = np.maximum(margin[apart], _CAP / 2)
        margin += self._as_moves
        margin[~self._looks_down] = _CAP
        with np.errstate(invalid="ignore"):
            margin[np.abs(self._known_heights) < _ON_FLOOR] = -10 * _CAP
            margin[np.abs(self._known_heights) > _OFF_FLOOR] = 10 * _CAP
        margin = cv2.blur(margin, (5, 1)) * np.float32(_SHARE)
        rows, columns = margin.shape
        cost = np.zeros((2, columns), np.float32)  # of floor and obstacle up to this row
        came = np.zeros((rows, 2, columns), np.bool_)  # whether from the other one
        for row in range(rows - 1, -1, -1):
            other = cost[::-1] + self._change[row]
            came[row] = other < cost
            cost = np.minimum(cost, other)
            cost[0] += margin[row]
        state = (cost[1] < cost[0]).astype(np.intp)  # 0 floor, 1 obstacle
        floor = np.empty((rows, columns), np.bool_)
        every = np.arange(columns)
        for row in range(rows):
            floor[row] = state == 0
            state = np.where(came[row, state, every], 1 - state, state)
        return floor & self._looks_down

    def _below(self, bias: FloatImage, spread: float) -> Mask:
        """What lies surely below the floor: stairs down, a pit."""
        least = np.maximum(max(4 * spread, _LEAST_DROP), _SURE * self._relative_sigma)
        below = np.nan_to_num(self._log_ratio - bias) < -least
        return np.asarray(cv2.medianBlur(below.astype(np.uint8), 5) > 0) & self._looks_down

    def _slow_error(self, floor: Mask) -> tuple[FloatImage, float] | None:
        """A quadratic through the level of the floor, and the spread around it."""
        known = (
            floor & np.isfinite(self._log_ratio) & (np.abs(self._log_ratio) < MOST_SLOW_ERROR * 2)
        )
        if known.sum() < _MIN_PIXELS:
            return None
        rows, columns = known.shape
        y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
        a, b = terms[known], self._log_ratio[known].astype(np.float64)
        if len(b) > 2000:
            chosen = np.linspace(0, len(b) - 1, 2000).astype(np.intp)
            a, b = a[chosen], b[chosen]
        prior = np.diag([1e-3, 0.05, 0.05, 0.2, 0.2, 0.2]) * len(b) * 0.1
        off = b - self._most_floor(b)
        spread = _LEVEL
        for terms_used in (1, 3, 3, 6, 6, 6):
            scale = 3 * max(spread, _LEAST_SPREAD)
            weight = np.square(np.maximum(1 - np.square(off / scale), 0))
            some = a[:, :terms_used]
            weighed = some * weight[:, None]
            most = prior[:terms_used, :terms_used] * weight.mean() + 1e-9 * np.eye(terms_used)
            coefficients = np.linalg.solve(weighed.T @ some + most, weighed.T @ b)
            off = b - some @ coefficients
            inside = np.abs(off) < scale
            if not inside.any():
                return None
            spread = 1.4826 * float(np.median(np.abs(off[inside])))
        self._surely_raised = self._raised_above(_PER_SPREAD * spread)
        bias = np.clip(terms @ coefficients, -MOST_SLOW_ERROR, MOST_SLOW_ERROR).astype(np.float32)
        return bias, float(np.clip(spread, _LEAST_SPREAD, _MOST_SPREAD))

    def _raised_above(self, level_sigma: float) -> Mask:
        """What lies above the ground by more than depth and plane may be off.

        Depth whose floor is as flat as a real one is not off by as much as a kerb is high: if all
        that is level lies higher, it is a pavement.

        Args:
            level_sigma: Standard deviation of the level of the depth, log inverse depth.
        """
        tilt = ANGLE_SIGMA * np.exp(-self._log_plane) / self._height
        least = _SURELY * np.sqrt(np.square(tilt) + HEIGHT_SIGMA**2 + level_sigma**2)
        return np.asarray(np.nan_to_num(self._log_ratio) > least)

    def _most_floor(self, log_ratio: FloatArray) -> float:
        """The level of the floor.

        A pavement is as level as the road: the floor is where most lies and little lies below, and
        near where it should be.
        """
        levels = np.arange(-MOST_SLOW_ERROR, MOST_SLOW_ERROR, _LEVEL / 2)
        edges = np.append(levels, MOST_SLOW_ERROR) - _LEVEL / 4
        histogram = np.histogram(log_ratio, edges)[0].astype(np.float64)
        support = np.convolve(histogram, np.ones(5) / 5, mode="same")
        below = np.cumsum(histogram) - np.convolve(histogram, np.ones(9), mode="same") / 2
        votes = support * np.exp(-0.5 * np.square(levels / self._likely_error)) - 0.1 * below
        return float(levels[int(np.argmax(votes))])

    def _feet(
        self, floor: Mask, below: Mask
    ) -> tuple[FloatImage, FloatImage, FloatImage, FloatImage]:
        """`lacks`, `doubted`, `unclear` and `standing` of the division."""
        rows, columns = floor.shape
        low, high = (
            np.clip(np.rint(self._pixels_per_metre * metres), 2, rows).astype(np.intp)
            for metres in _ABOVE_FOOT
        )
        known = np.isfinite(self._log_inverse)
        total = np.cumsum(np.where(known, self._log_inverse, 0), axis=0)
        count = np.cumsum(known, axis=0)
        row, column = np.indices(floor.shape)
        top, bottom = np.maximum(row - high - 1, 0), np.maximum(row - low, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            above = (total[bottom, column] - total[top, column]) / (
                count[bottom, column] - count[top, column]
            )
        lacks = np.nan_to_num(self._log_foot - above)
        # Nearer than its foot is what hangs over; farther is nothing.
        believed = lacks * np.exp(-np.square(np.minimum(lacks, 0) / _OVERHANG))
        shape = floor.shape
        step, doubted, unclear, standing = (np.zeros(shape, np.float32) for _ in range(4))
        last = np.zeros((5, columns), np.float32)
        unseen = _UNSEEN_FOOT * self._unseen
        here = np.stack([believed, lacks - believed, np.exp(self._log_foot), above, unseen])
        here = here.astype(np.float32)
        for number in range(rows - 1, -1, -1):
            on_floor = floor[number]
            last[:, on_floor] = here[:, number, on_floor]
            last[:, below[number]] = 0  # behind an edge, nothing stands on the floor before it
            with np.errstate(invalid="ignore"):
                same = np.abs(self._log_inverse[number] - last[3]) < _SAME_OBSTACLE
            stands = ~on_floor & same
            step[number] = np.where(stands, last[0], 0)
            doubted[number] = np.where(stands, np.abs(last[1]), 0)
            unclear[number] = np.where(stands, last[4], 0)
            standing[number] = np.where(on_floor | same, last[2], 0)
        unclear = np.hypot(unclear, self._nearer_aside(standing)).astype(np.float32)
        weight = np.maximum(cv2.blur((step != 0).astype(np.float32), (5, 1)), np.float32(1e-3))
        step = np.where(step != 0, cv2.blur(step, (5, 1)) / weight, 0).astype(np.float32)
        return step, doubted, unclear, standing

    def _nearer_aside(self, standing: FloatImage) -> FloatImage:
        """How much nearer the foot of the same thing is a few columns aside, in log inverse depth.

        What hangs over, a seat or a table top, hides the floor behind it but stands on its leg.
        """
        nearer = np.zeros_like(standing)
        with np.errstate(divide="ignore", invalid="ignore"):
            foot = np.log(standing)
            for aside in range(2, min(_ASIDE, standing.shape[1] - 1) + 1, 2):
                left, right = np.s_[:, :-aside], np.s_[:, aside:]
                apart = np.abs(self._log_inverse[right] - self._log_inverse[left])
                for here, there in ((left, right), (right, left)):
                    off = foot[there] - foot[here]
                    steps = (off > _STEPPED + _SLANTED * aside) & (apart < _SAME_SURFACE)
                    steps &= np.isfinite(off)
                    nearer[here] = np.maximum(nearer[here], np.where(steps, off, 0))
        return nearer


def coarse_step(rows: int) -> int:
    """Rows and columns of an image per one of the coarse image that is divided.

    Args:
        rows: Rows of the image.
    """
    return max(1, round(rows / _ROWS))


def coarse_shape(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the coarse image that is divided.

    Args:
        rows: Rows of the image.
        columns: Its columns.
    """
    step = coarse_step(rows)
    return len(range(step // 2, rows, step)), len(range(step // 2, columns, step))


def point_heights(
    points: SparsePoints | None, camera: Camera, ground: Plane, shape: tuple[int, ...], step: int
) -> FloatImage:
    """Height over the ground of measured points.

    Args:
        points: The points, or None.
        camera: The camera of the image.
        ground: The ground plane in the optical frame.
        shape: Rows and columns of the coarse image.
        step: Pixels along the side of its pixels.

    Returns:
        Rows x columns float32 metres in the coarse pixels that points lie in, else NaN.
    """
    heights = np.full(shape, np.nan, np.float32)
    if points is None or not len(points):
        return heights
    x, y = rays_of_pixels(camera, points.u, points.v)
    nx, ny, nz = ground.normal
    up = points.z * (nx * x + ny * y + nz) + ground.offset
    rows = np.clip(np.rint(points.v) // step, 0, shape[0] - 1).astype(np.intp)
    columns = np.clip(np.rint(points.u) // step, 0, shape[1] - 1).astype(np.intp)
    heights[rows, columns] = up
    return heights


def _rise(values: FloatArray) -> FloatArray:
    """Difference of rows below to rows above."""
    padded = np.pad(values, ((_STEP, _STEP), (0, 0)), mode="edge")
    return np.asarray(padded[2 * _STEP :] - padded[: -2 * _STEP])
