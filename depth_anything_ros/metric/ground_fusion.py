"""Depth and a known ground plane made one: floor is flat, obstacles stand on it.

Each image is divided into floor and obstacles (`floor_obstacles`). Then floor is put on the plane
as far as the plane is surer than the network, and obstacles are brought to the distance of their
foot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    Plane,
    Prediction,
    Quality,
    RgbImage,
    ScaledDepth,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.confirmed_depth import ConfirmedDepth
from depth_anything_ros.metric.corner_depths import CornerTracks
from depth_anything_ros.metric.corner_fusion import drawn_to_corners
from depth_anything_ros.metric.fit import values_at
from depth_anything_ros.metric.floor_colours import coarse_lab
from depth_anything_ros.metric.floor_exactness import FloorExactness
from depth_anything_ros.metric.floor_obstacles import (
    ANGLE_SIGMA,
    HEIGHT_SIGMA,
    MOST_SLOW_ERROR,
    Columns,
    Division,
    Mask,
    coarse_shape,
    coarse_step,
    point_heights,
)
from depth_anything_ros.metric.ground_odometry import GroundOdometry
from depth_anything_ros.metric.ground_parallax import GroundParallax, Parallax
from depth_anything_ros.metric.measured_ground import FollowedGround, measured_ground
from depth_anything_ros.metric.moving_things import MovingThings
from depth_anything_ros.metric.point_memory import PointMemory
from depth_anything_ros.metric.recent_depth import RecentDepth
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.selection import NONE
from depth_anything_ros.metric.sources.ground import inverse_ground_depth
from depth_anything_ros.metric.sources.sparse import subset
from depth_anything_ros.metric.unmeasured_floor import unmeasured_floor

_MOST_TILT = 0.5  # cosine of the angle between the ground's normal and the image's columns
_LIKELY_ERROR = (0.07, 0.15)  # least and most spread of the level of the floor, log inverse depth
_NEAR_POINT = 0.08  # image widths from a measured point within which it is trusted
_LEFT = 0.05  # of log inverse depth by which what stands may then be off its foot,
_PER_LEFT = 0.5  # and share of what is more that may be an error
_LEAN = 0.16  # of log inverse depth by which what stands may lie behind its foot
_LEAST_AHEAD = 0.1  # metres ahead per metre of Z: what is below the camera is not ahead of it
_MISFIT = 0.1  # of log depth at measured points: depth that is so far off does not follow them
_OBSTACLE_SPREAD = 0.15  # of log inverse depth of obstacles where no point is near
_FOOT_ROWS = (0.7, 1.0)  # spread of the foot's row in coarse rows, without and with points
_UNLIKE_FOOT = 0.2  # share of the difference between obstacle and foot that may be the foot's error
_SHOWN = 0.05  # evidence of the camera's motion from which on what it shows is the ground
_SHOWN_RAISED = 0.05  # of log inverse depth from the plane: the network itself sees no floor
_ALL = 0.99  # need of help from which on nothing is taken for exact
_RAISED = 0.1  # metres above the ground from which on something stands there
_MUCH = 0.6  # share of an image far from measured points from which on motion is used
_MUCH_OF_GROUND = (0.5, 0.9)  # the same of the ground, for few points and for many
_FEW = 500  # points up to which they are few; a LiDAR's beams are more and lie evenly
_GROUND_WITHIN = 3.0  # metres of Z up to which that ground counts
_NEWEST = 0.1  # what each image counts in the mean of these shares
_NEAR_ENOUGH = 0.3  # of `untouched`, up to which points tell heights better than motion
_UNCONFIRMED = 0.05  # standard deviation of log depth that neither motion nor points confirm,
_UNCONFIRMED_GROUND = 0.13  # and of what lies on the ground: a seat and a table are as level
_PER_METRE = 0.03  # of log inverse depth per metre where nothing confirms it: the shift is off


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
    moment ago, which tell how high the camera really is above the ground, and what is on it even
    where the network gives no metres, and their depths, which tell how sure they are.
    """

    def __init__(self) -> None:
        self._memory = PointMemory()
        self._ground = FollowedGround()
        self._parallax = GroundParallax()
        self._exactness = FloorExactness()
        self._moving = MovingThings()
        self._recent = RecentDepth()
        self._confirmed = ConfirmedDepth()
        self._corners = CornerTracks()
        self._odometry = GroundOdometry()
        self._moved: Mask | None = None
        self._far_from_points = 1.0  # steady, as motion shows between images that were looked at

    def scale(self, scaler: MetricScaler, prediction: Prediction, frame: Frame) -> ScaledDepth:
        """Scale a frame and put its depth on the ground.

        Args:
            scaler: The camera's scaler.
            prediction: What the network says of the frame.
            frame: The frame; a ground plane that it has is corrected by its measured points, else
                by what motion shows; where it has none it is found among the points.

        Returns:
            The depth with floor on the plane; the scaler's where no ground is known. Where the
            scaler has no metres but the camera's motion shows the ground, those, as HELD.
        """
        camera = frame.camera
        if camera is None:
            return scaler.scale(prediction, frame)
        ground = self._ground.follow(frame, camera)
        told = frame.ground if ground is frame.ground else None
        if told is not None:
            ground = self._parallax.correction.corrected(told)
            frame = replace(frame, ground=ground)
        given = frame.pose, frame.fixed_frame
        if frame.pose is None and ground is not None:
            # The ground that points show is another from image to image: it would seem to move.
            frame = self._odometry.locate(frame, frame.ground or ground)
            told = None
        measured = frame.points
        points = self._memory.recall(frame, ground)
        if points is not measured:
            frame = replace(frame, points=points)
        # What the ground tells of the way has its scale from the ground: no scaler's odometry.
        for_scaler = replace(frame, pose=given[0], fixed_frame=given[1])
        if points is not None and ground is not None:
            floor = unmeasured_floor(points, prediction, replace(frame, ground=ground))
            for_scaler = replace(for_scaler, floor=floor)
        scaled = scaler.scale(prediction, for_scaler)
        wrong = scaled.wrong_points
        if wrong is not None and points is not None and measured is not None:
            frame = replace(frame, points=subset(points, ~wrong))
            wrong = wrong[: len(measured)]  # those that were recalled follow after
        untouched = 1 - _trust_in_points(frame.rgb.shape[:2], frame.points)
        many = frame.points is not None and len(frame.points) > _FEW
        far = _far_from_points(untouched, camera, ground, _MUCH_OF_GROUND[many])
        self._far_from_points += _NEWEST * (far - self._far_from_points)
        if self._far_from_points < 1:
            fused = _fused(scaled, frame, ground, self._exactness)
        else:
            fused = self._seen_in_motion(scaled, frame, camera, ground, untouched, told)
        return replace(fused, ground=ground, wrong_points=wrong)

    def _seen_in_motion(
        self,
        scaled: ScaledDepth,
        frame: Frame,
        camera: Camera,
        ground: Plane | None,
        untouched: FloatImage,
        told: Plane | None,
    ) -> ScaledDepth:
        """Depth of which the images before tell what stands, what moves and how sure it is."""
        parallax, confirmed = None, False
        if ground is not None:
            shape = coarse_shape(*frame.rgb.shape[:2])
            parallax = self._parallax.compare(frame, ground, shape, told)
            if parallax is not None and self._moved is not None:
                # What moves by itself is about where it was in the last image.
                parallax = parallax.without(self._moved)
            confirmed = parallax is not None
            if parallax is not None:
                parallax = parallax.without(untouched < _NEAR_ENOUGH)
        fused = self._seen_to_stand(scaled, frame, ground, parallax)
        if not confirmed:
            doubt = _UNCONFIRMED * untouched
            if fused.depth_m is not None and ground is not None and ground.offset > 0:
                stands = _stands(fused.depth_m, camera, ground)
                doubt = np.where(stands, doubt, _UNCONFIRMED_GROUND * untouched)
            wanted = scaled.state.method != NONE
            fused = self._confirmed.fused(fused, frame, doubt.astype(np.float32), wanted)
        if fused.depth_m is None:
            return fused
        moving = self._moving.seen(fused.depth_m, frame)
        self._moved = moving.surely if moving.surely.any() else None
        if fused.sigma_m is None:
            return fused
        depth_m, sigma_m = fused.depth_m, fused.sigma_m
        still = np.isfinite(depth_m) & ~moving.perhaps
        if ground is not None and ground.offset > 0:
            corners = self._corners.measure(frame, depth_m)
            if corners is not None:
                depth_m, sigma_m = drawn_to_corners(
                    depth_m, sigma_m, corners, camera, ground, moving.perhaps, untouched
                )
            still &= _stands(depth_m, camera, ground)
        sigma_m = self._recent.doubted(depth_m, sigma_m, frame, still)
        if confirmed:
            self._confirmed.remember(depth_m, sigma_m, frame, ~moving.perhaps)
        return replace(fused, depth_m=depth_m, sigma_m=sigma_m)

    def _seen_to_stand(
        self, scaled: ScaledDepth, frame: Frame, ground: Plane | None, parallax: Parallax | None
    ) -> ScaledDepth:
        """Depth on the ground; what the camera's motion shows where the scaler has no metres."""
        wanted = scaled.depth_m is None and scaled.state.method != NONE
        if not wanted or parallax is None or ground is None or frame.camera is None:
            return _fused(scaled, frame, ground, self._exactness, parallax)
        shown = _shown_by_motion(scaled.state, frame.camera, ground, parallax)
        return _fused(shown, frame, ground, None, parallax)  # its floor is the plane itself


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
    ground = frame.ground
    if frame.points is not None:
        ground = measured_ground(frame.points, frame.camera, ground, frame.pose)
    return _fused(scaled, frame, ground, FloorExactness())


def _stands(depth_m: FloatImage, camera: Camera, ground: Plane) -> Mask:
    """What is clearly above the ground, HxW."""
    plane = inverse_ground_depth(camera, ground).astype(np.float32)
    with np.errstate(invalid="ignore"):
        return np.asarray(1 - depth_m * plane > np.float32(_RAISED / ground.offset))


def _shown_by_motion(
    state: ScaleState, camera: Camera, ground: Plane, parallax: Parallax
) -> ScaledDepth:
    """Depth where the camera's motion shows it, NaN elsewhere."""
    plane = inverse_ground_depth(camera, ground).astype(np.float32)
    raised = parallax.height_m / np.float32(ground.offset)
    on_ground = parallax.floor > _SHOWN
    height = np.where(on_ground, np.float32(0), raised)
    sigma = np.where(on_ground, np.float32(0), parallax.sigma_m / np.float32(ground.offset))
    size = plane.shape[::-1]
    height, sigma = (
        cv2.resize(each, size, interpolation=cv2.INTER_NEAREST) for each in (height, sigma)
    )
    known = np.isfinite(height) & (height < 1) & (plane > 0)
    depth_m = np.where(known, (1 - height) / np.where(known, plane, 1), np.float32(np.nan))
    relative = np.hypot(np.float32(HEIGHT_SIGMA), sigma / np.where(known, 1 - height, 1))
    reason = f"{state.reason}; depth is what the camera's motion shows of the ground"
    state = replace(state, quality=Quality.HELD, reason=reason)
    return ScaledDepth(depth_m, state, relative * depth_m)


def _fused(
    scaled: ScaledDepth,
    frame: Frame,
    ground: Plane | None,
    exactness: FloorExactness | None,
    parallax: Parallax | None = None,
) -> ScaledDepth:
    if scaled.depth_m is None or frame.camera is None or ground is None:
        return scaled
    grounded = fuse_ground(
        scaled.depth_m,
        scaled.sigma_m,
        frame.camera,
        ground,
        frame.points,
        frame.rgb,
        parallax,
        exactness,
    )
    if grounded is None:
        return _doubted(scaled, frame.points, frame.camera, ground)
    return replace(scaled, depth_m=grounded.depth_m, sigma_m=grounded.sigma_m)


def _doubted(
    scaled: ScaledDepth, points: SparsePoints | None, camera: Camera, ground: Plane
) -> ScaledDepth:
    """The same depth where no floor is seen, as sure as points and ground allow.

    It is no surer than at the measured points, which an old scale misses. And what lies below the
    ground far from all of them is no drop-off but a scale that fits them only.
    """
    depth_m, sigma_m = scaled.depth_m, scaled.sigma_m
    if depth_m is None or sigma_m is None or points is None or not len(points):
        return scaled
    misfit = _misfit(depth_m, points)
    off = np.full(depth_m.shape, misfit if misfit >= _MISFIT else 0, np.float32)
    if ground.offset > 0:
        untouched = 1 - _trust_in_points(depth_m.shape, points)
        plane = inverse_ground_depth(camera, ground).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            below = np.where(plane > 0, np.log(depth_m * plane), 0)
        np.fmax(off, untouched * below, out=off)
    return replace(scaled, sigma_m=np.fmax(sigma_m, off * depth_m))


def fuse_ground(
    depth_m: FloatImage,
    sigma_m: FloatImage | None,
    camera: Camera,
    ground: Plane,
    points: SparsePoints | None = None,
    rgb: RgbImage | None = None,
    parallax: Parallax | None = None,
    exactness: FloorExactness | None = None,
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
        exactness: Judges how exact the depth is, so that exact depth is left alone; None where the
            depth is no network's.

    Returns:
        The depth, how sure it is and which of it is floor; None where no floor is seen or the
        camera does not stand upright over it.
    """
    if not ground.offset > 0 or -ground.normal[1] < _MOST_TILT:
        return None
    plane = inverse_ground_depth(camera, ground).astype(np.float32)
    step = coarse_step(depth_m.shape[0])
    some = (slice(step // 2, None, step),) * 2
    heights = point_heights(points, camera, ground, plane[some].shape, step)
    misfit = _misfit(depth_m, points)
    given = np.full(depth_m.shape, misfit, np.float32)
    if sigma_m is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            np.fmax(given, sigma_m / depth_m, out=given)
    likely = float(np.clip(2 * np.median(given[some]), *_LIKELY_ERROR))
    lab = None if rgb is None else coarse_lab(rgb, plane[some].shape, step)
    ahead = _share_ahead(plane, ground)
    columns = Columns(
        depth_m[some],
        plane[some],
        ahead[some],
        camera.fy / step,
        heights,
        likely,
        given[some],
        lab,
        parallax,
        ground.offset,
        exactness,
    )
    division = columns.divide()
    if division is None:
        return None
    division = division.resized(depth_m.shape)
    untouched = 1 - _trust_in_points(depth_m.shape, points) * math.exp(-((misfit / _MISFIT) ** 2))
    most = _OBSTACLE_SPREAD if sigma_m is not None else min(division.accuracy, _OBSTACLE_SPREAD)
    alone = points is None or not len(points)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_inverse = -np.log(depth_m)
        log_plane = np.log(plane)
        tilt = ANGLE_SIGMA / (ground.offset * np.maximum(plane, 1e-6))
        foot = np.maximum(division.standing, 1e-6) * camera.fy * ground.offset
    need = _need_of_help(division.need, log_inverse, log_plane)
    doubt = np.float32(most) * need
    # Variances of log inverse depth.
    of_plane = HEIGHT_SIGMA**2 + np.square(tilt) + _unevenness(division.floor, plane, points) ** 2
    # Above its foot `tilt` grows, and rightly: what is seen higher up may stand farther behind.
    of_foot = of_plane + np.square(_FOOT_ROWS[not alone] * step / foot)
    of_floor = np.square(division.spread) + np.square(division.error)
    of_floor = np.square(need) * (of_floor * np.square(untouched) + np.square(given))
    of_obstacle = np.square(np.maximum(given, doubt * untouched))
    is_floor = (division.floor > 0.5) & (plane > 0)
    of_network = np.square(np.maximum(need * given, doubt) * untouched)
    weight = np.where(division.standing > 0, of_network / (of_network + of_foot), 0)
    log_ahead = np.log(ahead)
    upright = _upright(log_inverse - log_ahead, division, weight) + log_ahead
    share = of_floor / (of_floor + of_plane)
    level = log_inverse + share * np.where(is_floor, log_plane - log_inverse, 0)
    variance = of_obstacle * (1 - weight) + np.square(need * division.doubted) + misfit**2
    if sigma_m is not None:
        unsure = np.square(need * division.unclear)
        unsure += np.square(_UNLIKE_FOOT * weight * division.lacks)
        unsure += np.square(need * weight * _off_foot(upright - log_ahead, division))
        far = np.square(division.accuracy) + np.square(_PER_METRE * need * depth_m)
        unsure += (1 - weight) * far
        variance += np.square(untouched) * unsure
    if parallax is not None:
        upright, variance = _lifted(upright, variance, log_plane, parallax, ground.offset, need)
    variance = np.where(is_floor, (1 - share) * of_floor, variance)
    known = np.isfinite(depth_m)
    fused = np.exp(-np.where(is_floor, level, upright))
    fused = np.where(known, fused, depth_m).astype(np.float32)
    sigma = np.where(known, np.sqrt(variance) * fused, np.nan).astype(np.float32)
    return Grounded(fused, sigma, is_floor & known)


def _share_ahead(plane: FloatImage, ground: Plane) -> FloatImage:
    """Metres ahead, along the ground, per metre of Z; 1 all over for a level camera.

    With n the ground's normal, h the camera's height and r = (x, y, 1) a pixel's ray, ahead is
    g = (z - n_z n) / |z - n_z n|, so g . r = (1 - n_z n . r) / sqrt(1 - n_z^2); and n . r = -h * p
    with p, 1/Z of the ground.
    """
    nz = ground.normal[2]
    ahead = (1 + nz * ground.offset * plane) / math.sqrt(1 - nz**2)
    return np.maximum(ahead, _LEAST_AHEAD).astype(np.float32)


def _need_of_help(need: float, log_inverse: FloatImage, log_plane: FloatImage) -> FloatImage:
    """`Division.need` at every pixel: all where the depth shows floor that is labelled none."""
    if need > _ALL:
        return np.ones_like(log_inverse)
    raised = np.where(np.isfinite(log_plane), log_inverse - log_plane, np.inf)
    shows = -np.expm1(-np.square(raised / np.float32(_SHOWN_RAISED)))
    return np.asarray(1 - np.float32(1 - need) * np.nan_to_num(shows), np.float32)


def _lifted(
    log_inverse: FloatImage,
    variance: FloatImage,
    log_plane: FloatImage,
    parallax: Parallax,
    offset: float,
    need: FloatImage,
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
    weight = need * np.where(known, variance / (variance + of_seen), 0)
    apart = np.where(known, seen - log_inverse, 0)
    mixed = log_inverse + weight * apart
    surer = (1 - weight) * variance
    # Two that contradict each other are less sure by the ratio of Birge (1932, Phys. Rev. 40, 207),
    # but no less than without what is seen.
    birge = np.square(apart) / np.maximum(variance + of_seen, 1e-12)
    contradicted = np.minimum(surer * np.maximum(birge, 1), variance)
    return np.asarray(mixed), np.where(known, contradicted, variance)


def _upright(log_inverse: FloatImage, division: Division, weight: FloatImage) -> FloatImage:
    """Log inverse depth of obstacles drawn to their feet, behind which they do not lean."""
    upright = log_inverse + weight * division.lacks
    with np.errstate(divide="ignore", invalid="ignore"):
        lacks = np.log(division.standing) - upright
        leans = (lacks > 0) & (lacks < _LEAN)
    return np.asarray(upright + weight * np.where(leans, lacks, 0))


def _off_foot(upright: FloatImage, division: Division) -> FloatImage:
    """How far off the distance of its foot what stands may be: it leans or hangs over, or errs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.abs(np.log(division.standing) - upright)
    left = np.where(np.isfinite(left), left, 0)
    return np.asarray(_PER_LEFT * np.maximum(left - _LEFT, 0))


def _far_from_points(
    untouched: FloatImage, camera: Camera, ground: Plane | None, much_of_ground: float
) -> float:
    """How much of the image and of the near ground is far from points; from 1 on it is much."""
    much = float(untouched.mean()) / _MUCH
    if ground is None or not ground.offset > 0:
        return much
    near = inverse_ground_depth(camera, ground) > 1 / _GROUND_WITHIN
    return max(much, float(untouched[near].mean()) / much_of_ground) if near.any() else much


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
    off = off[(values_at(floor, points) > 0.5) & (off < MOST_SLOW_ERROR)]
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
