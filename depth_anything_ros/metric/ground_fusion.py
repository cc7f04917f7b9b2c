"""Depth and a known ground plane made one: floor is flat, obstacles stand on it.

The inverse depth of a plane is known at every pixel. On the floor a network's inverse depth
follows it up to errors that vary slowly over the image; on what stands upright it stays the same
from the foot up and so leaves the plane's. By that slope, and by its level, each column of the
image is divided into floor and obstacles with dynamic programming, as free space is computed from
stereo (Badino, Franke and Pfeiffer, The Stixel World, 2009); the colours of the image tell to the
row where one ends. Then floor is put on the plane as far as the plane is surer than the network,
and obstacles are brought to the distance of their foot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import (
    FloatArray,
    FloatImage,
    Frame,
    Plane,
    Prediction,
    RgbImage,
    ScaledDepth,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, rays_of_pixels
from depth_anything_ros.metric.camera_mount import find_ground
from depth_anything_ros.metric.fit import UnmeasurableError, values_at
from depth_anything_ros.metric.floor_colours import (
    Lab,
    coarse_lab,
    unlike_floor,
    vertical_contrast,
)
from depth_anything_ros.metric.ground_parallax import GroundParallax, Parallax
from depth_anything_ros.metric.point_memory import PointMemory
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.sources.ground import inverse_ground_depth

Mask = npt.NDArray[np.bool_]

_HEIGHT_SIGMA = 0.015  # standard deviation of the camera's height relative to it
_ANGLE_SIGMA_DEG = 0.3  # of its pitch and roll
_MOST_TILT = 0.5  # cosine of the angle between the ground's normal and the image's columns
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
_UNDER = 0.15  # spread of log inverse depth by which an obstacle may seem behind its foot
_LIKELY_ERROR = (0.07, 0.15)  # least and most spread of the level of the floor
_LEVEL = 0.04  # step of its levels
_BIAS = 0.3  # a slow error of the floor larger than that is none
_LEAST_DROP = 0.15  # of log inverse depth below the floor, for a pit
_SURE = 3.0  # standard deviations of the depth by which a pit is deeper than the floor
_MIN_PIXELS = 60
_MIN_SHARE = 0.04
_NEAR_POINT = 0.08  # image widths from a measured point within which it is trusted
_LEAN = 0.16  # of log inverse depth by which what stands may lie behind its foot
_MISFIT = 0.1  # of log depth at measured points: depth that is so far off does not follow them
_OBSTACLE_SPREAD = 0.15  # of log inverse depth of obstacles where no point is near
_FOOT_ROWS = (1.5, 2.0)  # spread of the foot's row in coarse rows, without and with points
_ABOVE_FOOT = (0.05, 0.25)  # metres above its foot between which an obstacle is compared with it
_OVERHANG = 0.35  # of log inverse depth by which an obstacle may be nearer than its foot
_UNSEEN_FOOT = 0.15  # of log inverse depth that a foot may be off where the image shows no edge
_EDGE_ROWS = 3  # coarse rows above and below a foot whose colours are compared
_UNLIKE_FOOT = 0.2  # share of the difference between obstacle and foot that may be the foot's error
_PER_METRE = 0.03  # of log inverse depth per metre where nothing confirms it: the shift is off
_PARALLAX = 10.0  # most that the motion of the camera can speak for or against
_CLEAR = 0.25  # its evidence that speaks fully
_ASIDE = 10  # coarse columns in which a nearer foot is looked for
_STEPPED = 0.1  # of log inverse depth between feet of one thing, at least
_SLANTED = 0.015  # and per column: walls slant
_SAME_SURFACE = 0.12  # of log inverse depth between neighbours
_SAME_OBSTACLE = 0.3  # of log inverse depth from just above the foot to the top
_MIN_POINTS = 100  # fewer do not tell where the ground is
_MOST_POINTS = 20_000
_KNOWN_WITHIN = 0.1  # relative error of a known ground's height
_KNOWN_WITHIN_DEG = 3.0  # error of its attitude
_GROUND_HELD = 2.0  # seconds for which a measured ground is used without a new one
_SAME_GROUND = 0.03  # relative difference in height up to which two planes are the same ground
_NEW = 0.3  # weight of a new measurement of it
_ON_FLOOR = 0.04  # height in metres up to which a measured point is floor
_OFF_FLOOR = 0.08  # height from which on it is none


@dataclass(frozen=True)
class Grounded:
    """Depth on a known ground.

    Attributes:
        depth_m: HxW float32 metres.
        sigma_m: HxW float32 metres, one standard deviation of it.
        floor: HxW bool, the pixels that are floor.
    """

    depth_m: FloatImage
    sigma_m: FloatImage
    floor: Mask


class GroundFusion:
    """Scales the frames of one camera and fuses their depths with the ground.

    From frame to frame it follows the ground that measured points show. While the camera's pose is
    known it remembers the low ones of them; without points it compares the images with those of a
    moment ago.
    """

    def __init__(self) -> None:
        self._memory = PointMemory()
        self._ground = _FollowedGround()
        self._parallax = GroundParallax()

    def scale(self, scaler: MetricScaler, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Scale a frame and put its depth on the ground.

        Args:
            scaler: The camera's scaler.
            prediction: What the network says of the frame.
            frame: The frame; a ground plane that it has is corrected by its measured points, and
                found among them where it has none.

        Returns:
            The depth with floor on the plane; the scaler's where no ground is known.
        """
        if frame.camera is None:
            return scaler.scale(prediction, frame)
        ground = self._ground.follow(frame, frame.camera)
        points = self._memory.recall(frame, ground)
        if points is not frame.points:
            frame = replace(frame, points=points)
        parallax = None
        if ground is not None and (frame.points is None or not len(frame.points)):
            rows, columns = prediction.values.shape
            parallax = self._parallax.compare(frame, ground, _coarse_shape(rows, columns))
        scaled = scaler.scale(prediction, frame)
        return replace(_fused(scaled, frame, ground, parallax), ground=ground)


def on_ground(scaled: ScaledDepth, frame: Frame) -> ScaledDepth:
    """Fuse the depth of a single frame with its ground plane, where that is known.

    Args:
        scaled: Depth of the frame.
        frame: The frame; a ground plane that it has is corrected by its measured points, and found
            among them where it has none.

    Returns:
        The depth with floor on the plane; the same where no ground is known. Where no floor is seen
        only sigma changes: depth that contradicts the measured points is not sure.
    """
    if frame.camera is None:
        return scaled
    return _fused(scaled, frame, _FollowedGround().follow(frame, frame.camera))


def _fused(
    scaled: ScaledDepth, frame: Frame, ground: Plane | None, parallax: Parallax | None = None
) -> ScaledDepth:
    if scaled.depth_m is None or frame.camera is None or ground is None:
        return scaled
    grounded = fuse_ground(
        scaled.depth_m, scaled.sigma_m, frame.camera, ground, frame.points, frame.rgb, parallax
    )
    if grounded is None:
        return _doubted(scaled, frame.points)
    return replace(scaled, depth_m=grounded.depth_m, sigma_m=grounded.sigma_m)


class _FollowedGround:
    """The ground plane of a camera over time.

    What points show of it is averaged; a plane far from that counts once it is seen again.
    """

    def __init__(self) -> None:
        self._stamp = 0
        self._plane: Plane | None = None
        self._other: Plane | None = None

    def follow(self, frame: Frame, camera: Camera) -> Plane | None:
        """The ground of a frame: measured now or shortly before, else what the frame knows."""
        age = (frame.stamp - self._stamp) * 1e-9
        if not 0 <= age <= _GROUND_HELD:
            self._plane = self._other = None
        known, plane = frame.ground, self._plane
        if plane is not None and known is not None and not _near(plane, known, _KNOWN_WITHIN):
            plane = None  # the camera was turned or lifted
        points = frame.points
        found = None if points is None else measured_ground(points, camera, known)
        if found is None or found is known:
            return known if plane is None else plane
        self._stamp = frame.stamp
        if plane is None:
            self._plane = found
        elif _near(found, plane, _SAME_GROUND):
            self._plane, self._other = _mean_plane(plane, found), None
        elif self._other is not None and _near(found, self._other, _SAME_GROUND):
            self._plane, self._other = found, None
        else:
            self._other = found
            return plane
        return self._plane


def _near(one: Plane, other: Plane, share: float) -> bool:
    """Whether planes differ by less than a share of the height, and as little in attitude."""
    turned = float(np.dot(one.normal, other.normal))
    widest = math.cos(math.radians(_KNOWN_WITHIN_DEG) * share / _KNOWN_WITHIN)
    return abs(one.offset - other.offset) <= share * other.offset and turned >= widest


def _mean_plane(before: Plane, now: Plane) -> Plane:
    """The two weighed, with a normal of unit length."""
    normal = (1 - _NEW) * np.array(before.normal) + _NEW * np.array(now.normal)
    normal /= np.linalg.norm(normal)
    offset = (1 - _NEW) * before.offset + _NEW * now.offset
    return Plane((float(normal[0]), float(normal[1]), float(normal[2])), offset)


def _doubted(scaled: ScaledDepth, points: SparsePoints | None) -> ScaledDepth:
    """The same depth, no surer than it is at the measured points, which an old scale misses."""
    if scaled.depth_m is None or scaled.sigma_m is None:
        return scaled
    misfit = _misfit(scaled.depth_m, points)
    if misfit < _MISFIT:
        return scaled
    return replace(scaled, sigma_m=np.fmax(scaled.sigma_m, np.float32(misfit) * scaled.depth_m))


def measured_ground(points: SparsePoints, camera: Camera, known: Plane | None) -> Plane | None:
    """The ground plane through measured points.

    Args:
        points: Measured points of an image.
        camera: Its camera.
        known: What is known of the ground; points far from it do not count.

    Returns:
        The plane through the points on the ground, else what is known.
    """
    if len(points) < _MIN_POINTS:
        return known
    x, y = rays_of_pixels(camera, points.u, points.v)
    xyz = np.stack([points.z * x, points.z * y, points.z], axis=1)
    if known is not None:
        off = np.abs(xyz @ np.array(known.normal) + known.offset)
        xyz = xyz[off < _KNOWN_WITHIN * (known.offset + 0.1 * points.z)]
    try:
        found = find_ground(xyz[:_MOST_POINTS])
    except UnmeasurableError:
        return known
    return found if known is None or _near(found, known, _KNOWN_WITHIN) else known


def fuse_ground(
    depth_m: FloatImage,
    sigma_m: FloatImage | None,
    camera: Camera,
    ground: Plane,
    points: SparsePoints | None = None,
    rgb: RgbImage | None = None,
    parallax: Parallax | None = None,
) -> Grounded | None:
    """Put floor on the ground plane and obstacles on their feet.

    Args:
        depth_m: HxW float32 metres along the optical Z axis, NaN where unknown; not modified.
        sigma_m: HxW float32 metres, one standard deviation of it, NaN where unknown, or None.
        camera: The camera of the image.
        ground: The ground plane in the optical frame.
        points: Measured points of the image that the depth follows already, or None.
        rgb: HxWx3 uint8, the image, whose colours tell floor and obstacles apart; or None.
        parallax: What the motion of the camera shows of the ground, in the coarse image's shape; or
            None.

    Returns:
        The depth, how sure it is and which of it is floor; None where no floor is seen or the
        camera does not stand upright over it.
    """
    if not ground.offset > 0 or -ground.normal[1] < _MOST_TILT:
        return None
    plane = inverse_ground_depth(camera, ground).astype(np.float32)
    step = _coarse_step(depth_m.shape[0])
    some = (slice(step // 2, None, step),) * 2
    heights = _heights(points, camera, ground, plane[some].shape, step)
    misfit = _misfit(depth_m, points)
    given = np.full(depth_m.shape, misfit, np.float32)
    if sigma_m is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            np.fmax(given, sigma_m / depth_m, out=given)
    likely = float(np.clip(2 * np.median(given[some]), *_LIKELY_ERROR))
    lab = None if rgb is None else coarse_lab(rgb, plane[some].shape, step)
    columns = _Columns(
        depth_m[some], plane[some], camera.fy / step, heights, likely, given[some], lab, parallax
    )
    division = columns.divide()
    if division is None:
        return None
    division = division.resized(depth_m.shape)
    untouched = 1 - _trust_in_points(depth_m.shape, points) * math.exp(-((misfit / _MISFIT) ** 2))
    doubt = _OBSTACLE_SPREAD if sigma_m is not None else min(division.accuracy, _OBSTACLE_SPREAD)
    alone = points is None or not len(points)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_inverse = -np.log(depth_m)
        log_plane = np.log(plane)
        tilt = math.radians(_ANGLE_SIGMA_DEG) / (ground.offset * np.maximum(plane, 1e-6))
        foot = np.maximum(division.standing, 1e-6) * camera.fy * ground.offset
    # Variances of log inverse depth.
    of_plane = _HEIGHT_SIGMA**2 + np.square(tilt) + _unevenness(division.floor, plane, points) ** 2
    of_foot = of_plane + np.square(_FOOT_ROWS[not alone] * step / foot)
    of_floor = np.square(division.spread) + np.square(division.error)
    of_floor = of_floor * np.square(untouched) + np.square(given)
    of_obstacle = np.square(np.maximum(given, doubt * untouched))
    is_floor = (division.floor > 0.5) & (plane > 0)
    of_network = np.square(np.maximum(given, doubt) * untouched)
    weight = np.where(division.standing > 0, of_network / (of_network + of_foot), 0)
    upright = _upright(log_inverse, division, weight)
    share = of_floor / (of_floor + of_plane)
    level = log_inverse + share * np.where(is_floor, log_plane - log_inverse, 0)
    variance = of_obstacle * (1 - weight) + np.square(division.doubted) + misfit**2
    if alone and sigma_m is not None:
        variance += np.square(division.unclear) + np.square(_UNLIKE_FOOT * weight * division.lacks)
        far = np.square(division.accuracy) + np.square(_PER_METRE * depth_m)
        variance += (1 - weight) * far
    if parallax is not None:
        upright, variance = _lifted(upright, variance, log_plane, parallax, ground.offset)
    variance = np.where(is_floor, (1 - share) * of_floor, variance)
    known = np.isfinite(depth_m)
    fused = np.exp(-np.where(is_floor, level, upright))
    fused = np.where(known, fused, depth_m).astype(np.float32)
    sigma = np.where(known, np.sqrt(variance) * fused, np.nan).astype(np.float32)
    return Grounded(fused, sigma, is_floor & known)


def _lifted(
    log_inverse: FloatImage,
    variance: FloatImage,
    log_plane: FloatImage,
    parallax: Parallax,
    offset: float,
) -> tuple[FloatImage, FloatImage]:
    """Log inverse depth and its variance, weighed with what the motion of the camera shows."""
    size = (log_plane.shape[1], log_plane.shape[0])
    height, sigma = (
        cv2.resize(part, size, interpolation=cv2.INTER_NEAREST) / np.float32(offset)
        for part in (parallax.height_m, parallax.sigma_m)
    )
    known = np.isfinite(height) & (height < 0.9) & np.isfinite(log_inverse)
    seen = log_plane - np.log(np.where(known, 1 - height, 1))
    of_seen = np.square(sigma / np.where(known, 1 - height, 1))
    weight = np.where(known, variance / (variance + of_seen), 0)
    mixed = log_inverse + weight * np.where(known, seen - log_inverse, 0)
    return np.asarray(mixed), np.asarray((1 - weight) * variance)


def _upright(log_inverse: FloatImage, division: _Division, weight: FloatImage) -> FloatImage:
    """Log inverse depth of obstacles drawn to their feet, behind which they do not lean."""
    upright = log_inverse + weight * division.lacks
    with np.errstate(divide="ignore", invalid="ignore"):
        lacks = np.log(division.standing) - upright
        leans = (lacks > 0) & (lacks < _LEAN)
    return np.asarray(upright + weight * np.where(leans, lacks, 0))


def _misfit(depth_m: FloatImage, points: SparsePoints | None) -> float:
    """Median difference of log depth at the measured points; 0 without any."""
    if points is None or not len(points):
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(values_at(depth_m, points) / points.z))
    off = off[np.isfinite(off)]
    return float(np.median(off)) if len(off) else 0.0


def _unevenness(floor: FloatImage, plane: FloatImage, points: SparsePoints | None) -> float:
    """Standard deviation of log depth of the measured points on the floor from the plane."""
    if points is None or not len(points):
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(values_at(plane, points) * points.z))
    off = off[(values_at(floor, points) > 0.5) & (off < _BIAS)]
    return 1.4826 * float(np.median(off)) if len(off) else 0.0


def _trust_in_points(shape: tuple[int, ...], points: SparsePoints | None) -> FloatImage:
    """1 at measured points, 0 far from them."""
    height, width = shape
    if points is None or not len(points):
        return np.zeros((height, width), np.float32)
    empty = np.ones((height, width), np.uint8)
    rows = np.clip(np.rint(points.v), 0, height - 1).astype(np.intp)
    columns = np.clip(np.rint(points.u), 0, width - 1).astype(np.intp)
    empty[rows, columns] = 0
    apart = cv2.distanceTransform(empty, cv2.DIST_L2, 3)
    return np.asarray(np.exp(-np.square(apart / (_NEAR_POINT * width))), np.float32)


@dataclass(frozen=True)
class _Division:
    """An image divided into floor and obstacles.

    Attributes:
        floor: 1 on floor, 0 elsewhere.
        error: The slow error of log inverse depth on the floor.
        lacks: On obstacles, what their log inverse depth lacks to that of their foot.
        doubted: On obstacles, what it lacks or has too much but is not believed.
        unclear: On obstacles, how far off their foot may be in log inverse depth, because they may
            hang over it or the image shows no edge there.
        standing: 1/Z of the ground at their foot, 0 where none is seen.
        spread: Standard deviation of log inverse depth on the floor beside the slow error.
        accuracy: Root mean square of it altogether.
    """

    floor: FloatImage
    error: FloatImage
    lacks: FloatImage
    doubted: FloatImage
    unclear: FloatImage
    standing: FloatImage
    spread: float
    accuracy: float

    def resized(self, shape: tuple[int, ...]) -> _Division:
        """The same for the whole image."""

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


class _Columns:
    """A coarse image whose columns are to be divided.

    Args:
        depth_m: Metres, NaN where unknown.
        plane: 1/Z of the ground.
        focal: Focal length in coarse rows.
        known_heights: Height over the ground of measured points, NaN elsewhere.
        likely_error: Standard deviation of the level of the floor in log inverse depth.
        relative_sigma: Standard deviation of the depth relative to it.
        lab: Its colours, or None.
    """

    def __init__(
        self,
        depth_m: FloatImage,
        plane: FloatImage,
        focal: float,
        known_heights: FloatImage,
        likely_error: float,
        relative_sigma: FloatImage,
        lab: Lab | None,
        parallax: Parallax | None,
    ) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            self._log_inverse = np.where(np.isfinite(depth_m), -np.log(depth_m), np.nan)
            self._log_plane = np.log(np.maximum(plane, np.float32(1e-4)))
        slope = _rise(self._log_inverse) / np.maximum(_rise(self._log_plane), 1e-4)
        self._slope = np.clip(slope, -2, 3)
        self._log_ratio = self._log_inverse - self._log_plane
        self._plane = plane
        self._pixels_per_metre = focal * plane
        self._looks_down = plane * _RANGE >= 1
        self._known_heights = known_heights
        self._likely_error = likely_error
        self._relative_sigma = relative_sigma
        self._lab = lab
        self._as_colours: FloatImage = np.zeros_like(plane)
        self._unseen: FloatImage = np.zeros_like(plane)
        self._as_moves: FloatImage = np.zeros_like(plane)
        if parallax is not None:
            moves = np.clip(parallax.floor / _CLEAR, -1, 1)
            self._as_moves = np.asarray(-_PARALLAX * moves, np.float32)
        self._trust = 1.0
        self._change: FloatImage = np.full(plane.shape, _CHANGE, np.float32)

    def divide(self) -> _Division | None:
        """Divide it; None where no floor is seen."""
        error, spread = np.zeros_like(self._plane), _FIRST_SPREAD
        floor = self._label(error, spread)
        for _ in range(2):
            fitted = self._slow_error(floor)
            if fitted is None:
                return None
            error, spread = fitted
            floor = self._label(error, spread)
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
        return _Division(floor.astype(np.float32), error, *feet, spread, accuracy)

    def _heed_colours(self, lab: Lab, floor: Mask) -> None:
        """Let colours speak from now on: floor has its own, and it ends at an edge of the image."""
        off = float(np.nanmean(np.square(self._log_ratio[floor])))
        need = off / (off + _EXACT**2)
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
        margin = np.float32(self._trust) * margin + self._as_colours
        # What rises clearly above the floor or lies below it is none, however level it is.
        apart = (np.nan_to_num(off) > 4 * spread) | self._below(bias, spread)
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
        known = floor & np.isfinite(self._log_ratio) & (np.abs(self._log_ratio) < _BIAS * 2)
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
        bias = np.clip(terms @ coefficients, -_BIAS, _BIAS).astype(np.float32)
        return bias, float(np.clip(spread, _LEAST_SPREAD, _MOST_SPREAD))

    def _most_floor(self, log_ratio: FloatArray) -> float:
        """The level of the floor.

        A pavement is as level as the road: the floor is where most lies and little lies below, and
        near where it should be.
        """
        levels = np.arange(-_BIAS, _BIAS, _LEVEL / 2)
        edges = np.append(levels, _BIAS) - _LEVEL / 4
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
        lacks = np.nan_to_num(self._log_plane - above)
        # Nearer than its foot is what hangs over; farther is nothing.
        believed = lacks * np.exp(-np.square(np.minimum(lacks, 0) / _OVERHANG))
        shape = floor.shape
        step, doubted, unclear, standing = (np.zeros(shape, np.float32) for _ in range(4))
        last = np.zeros((5, columns), np.float32)
        unseen = _UNSEEN_FOOT * self._unseen
        here = np.stack([believed, lacks - believed, self._plane, above, unseen])
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


def _coarse_step(rows: int) -> int:
    """Rows and columns of the image per one of the coarse image that is divided."""
    return max(1, round(rows / _ROWS))


def _coarse_shape(rows: int, columns: int) -> tuple[int, int]:
    step = _coarse_step(rows)
    return len(range(step // 2, rows, step)), len(range(step // 2, columns, step))


def _heights(
    points: SparsePoints | None, camera: Camera, ground: Plane, shape: tuple[int, ...], step: int
) -> FloatImage:
    """Height over the ground of measured points in the coarse pixels they lie in, else NaN."""
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
