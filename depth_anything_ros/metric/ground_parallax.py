"""What rises from a known ground, seen by how the image changes while the camera moves.

The images of a plane, taken from two known poses, are a homography apart (Hartley and Zisserman,
Multiple View Geometry, 2004, section 13.1). A picture of a moment ago is therefore shown as it
would look from here if all it shows lay on the ground, or on planes a little higher (a plane sweep,
Collins 1996). Where the higher plane fits better, something stands on the ground: a kerb too, which
no network sees in a single image.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, Frame, Plane
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.direct_alignment import aligned
from depth_anything_ros.metric.ground_correction import GroundCorrection
from depth_anything_ros.metric.ground_evidence import ground_evidence
from depth_anything_ros.metric.ground_odometry import told_by_ground
from depth_anything_ros.metric.lens_falloff import LensFalloff
from depth_anything_ros.metric.plane_sweep import (
    HEIGHTS,
    MOST_SHIFT,
    Likely,
    Picture,
    PlaneSweep,
)

# Own choices, made on simulated rooms and streets 0 to 4.
_BASELINE = 0.55  # heights of the camera between the two poses, as near to it as can be had
_LEAST_BASELINE, _MOST_BASELINE = 0.25, 1.65
_APART = 0.12  # heights of the camera between pictures that are remembered
_REMEMBERED = 10
_SECONDS = 6.0  # a robot that stands has nothing to compare; things move meanwhile
_FITS = 0.45  # share of places that fit better than shown aside, at least
_MOSTLY = 0.6  # share of clear places on the ground where odometry comes from the ground itself
_CLEARLY = 0.97  # of the difference that is left where poses are taken for wrong
_ALIGNED, _ENOUGH = 3, 0.995  # times, until the pictures differ by hardly less
_DOUBTED = 3.0  # pixels by which poses are off where what is seen counts half
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


class GroundParallax:
    """Compares the images of one camera with those of a moment ago, from a known distance away.

    Attributes:
        correction: How far off the ground is that it was told of.
    """

    def __init__(self) -> None:
        self.correction = GroundCorrection()
        self._pictures: deque[Picture] = deque(maxlen=_REMEMBERED)
        self._known: tuple[Camera, str] | None = None
        self._falloff: LensFalloff | None = None

    def compare(
        self, frame: Frame, ground: Plane, shape: tuple[int, int], told: Plane | None = None
    ) -> Parallax | None:
        """What has been raised from the ground since the camera moved.

        Args:
            frame: The frame; without camera and pose nothing is compared.
            ground: The ground plane in its optical frame.
            shape: Rows and columns of the answer.
            told: The ground of which `correction` is to learn how far off it is; None for none.

        Returns:
            What is seen; None where the camera has not moved or its poses do not fit the images.
        """
        camera, pose = frame.camera, frame.pose
        if camera is None or pose is None:
            return None
        finer = max(1, min(2, camera.height // shape[0]))
        size = (finer * shape[1], finer * shape[0])
        # As float32: faint ground differs from pose to pose by less than rounding.
        gray = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        smooth = np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.float32)
        now = Picture(frame.stamp, np.array(pose), smooth)
        before = self._before(now, camera, frame.fixed_frame, ground.offset)
        if before is None or self._falloff is None:
            return None
        flat = [replace(each, gray=self._falloff.flattened(each.gray)) for each in (before, now)]
        sweep = PlaneSweep(flat[0], flat[1], camera, ground)
        if not sweep.sees_ground:
            return None
        match = _matched(sweep)
        if match is None:
            return None
        shift, likely = match
        self._falloff.learn(before.gray, now.gray, sweep.matches(shift, likely))
        if told_by_ground(frame) and sweep.share_of_ground(likely) < _MOSTLY:
            return None  # the way was told by what is no ground
        if told is not None:
            self.correction.learn(sweep, told, now.pose[:3, 3], likely.number == 0, shift)
        return _parallax(*_aligned(sweep, shift, likely), shape)

    def _before(
        self, now: Picture, camera: Camera, fixed_frame: str, height: float
    ) -> Picture | None:
        """The remembered picture whose distance suits best; remembers the present one."""
        known = (camera, fixed_frame)
        pictures = self._pictures
        if known != self._known or (pictures and now.stamp < pictures[-1].stamp):
            pictures.clear()
            self.correction = GroundCorrection()
        if self._falloff is None or self._known is None or camera != self._known[0]:
            self._falloff = LensFalloff(camera)
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


def _matched(sweep: PlaneSweep) -> tuple[FloatArray, Likely] | None:
    """By how much poses are off and how high each place is; None where they fit no images.

    At first the poses are right, or all that is seen is ground, whichever fits the images better;
    then each place is taken for the height that fits best.
    """
    as_given = np.zeros(2)
    all_ground = sweep.shift(as_given, None)
    shift, likely = as_given, sweep.likely_heights(as_given)
    other = sweep.likely_heights(all_ground)
    if other.difference < _CLEARLY * likely.difference:
        shift, likely = all_ground, other
    shift = sweep.shift(shift, likely.number)
    # Where little is to be seen the images mislead: then the poses stay as they are.
    fits, fits_as_given = sweep.fits(shift), sweep.fits(as_given)
    if fits < fits_as_given:
        shift, fits = as_given, fits_as_given
    if fits < _FITS or np.abs(shift).max() >= MOST_SHIFT:
        return None
    return shift, likely


def _aligned(sweep: PlaneSweep, shift: FloatArray, likely: Likely) -> tuple[PlaneSweep, FloatArray]:
    """The pictures from poses that fit them best, and by how much these are still off."""
    for _ in range(_ALIGNED):
        other = aligned(sweep, shift, likely.number == 0)
        if not other.sees_ground:
            break
        found = other.likely_heights(np.zeros(2))
        improved = found.difference < likely.difference
        enough = found.difference > _ENOUGH * likely.difference
        if improved:
            sweep, shift, likely = other, np.zeros(2), found
        if enough:
            break
    return sweep, shift


def _parallax(sweep: PlaneSweep, shift: FloatArray, shape: tuple[int, int]) -> Parallax:
    costs = sweep.costs(shift)
    rows, columns = shape
    top = sweep.top * rows // sweep.rows
    below = (columns, rows - top)
    small = np.stack([cv2.resize(cost, below, interpolation=cv2.INTER_AREA) for cost in costs])
    inside = cv2.resize(sweep.inside.astype(np.uint8), below, interpolation=cv2.INTER_NEAREST)
    least_below = sweep.least_below(shift)
    below_ground = np.asarray(
        cv2.resize(least_below, below, interpolation=cv2.INTER_AREA), np.float32
    )
    gray = np.asarray(cv2.resize(sweep.gray, below, interpolation=cv2.INTER_AREA), np.float32)
    seen = ground_evidence(small, below_ground, gray, inside > 0)
    floor = np.zeros(shape, np.float32)
    height, sigma = (np.full(shape, np.nan, np.float32) for _ in range(2))
    # Where poses are off by some pixels, they are by others that no shift mends.
    floor[top:] = seen.floor / np.float32(1 + np.linalg.norm(shift) / _DOUBTED)
    height[top:], sigma[top:] = _heights(sweep, seen.costs, floor[top:], seen.quiet + sweep.unsure)
    return Parallax(floor, height, sigma)


def _heights(
    sweep: PlaneSweep, costs: FloatImage, evidence: FloatImage, quiet: float
) -> tuple[FloatImage, FloatImage]:
    """Metres above the ground where it is surely raised, and their standard deviation."""
    contrast = cv2.resize(sweep.contrast(), costs.shape[:0:-1], interpolation=cv2.INTER_AREA)
    ground = evidence > 0
    # What has much contrast differs more where it matches, too.
    usual = contrast + np.float32(quiet)
    usual *= np.median((costs[0] / usual)[ground]) if ground.any() else 0
    height, sigma = _best(sweep, costs, usual, quiet, _UNIQUE, _FLAT)
    sure = evidence < _RAISED
    height, sigma = (np.where(sure, each, np.float32(np.nan)) for each in (height, sigma))
    # What is faint but level shows its height over more of the image.
    raised = evidence < _PERHAPS
    share = np.maximum(cv2.blur(raised.astype(np.float32), _AROUND), np.float32(1e-3))
    wide = np.stack([cv2.blur(cost * raised, _AROUND) / share for cost in costs])
    level, of_level = _best(sweep, wide, usual, quiet, _UNIQUE_AROUND, _FLAT_AROUND)
    of_level = np.hypot(of_level, np.float32(_LEVEL))
    with np.errstate(invalid="ignore"):
        surer = np.isnan(height) | ((height < _STEP) & (of_level < sigma))
    fills = raised & surer & (share > _SOME_RAISED) & (level < _STEP)
    height, sigma = np.where(fills, level, height), np.where(fills, of_level, sigma)
    return _filled(height, sigma, raised)


def _best(
    sweep: PlaneSweep,
    costs: FloatImage,
    usual: FloatImage,
    quiet: float,
    unique: float,
    flat: float,
) -> tuple[FloatImage, FloatImage]:
    """Metres at which costs are least, and their standard deviation; NaN where it is unsure.

    Args:
        sweep: What was compared.
        costs: Of each height.
        usual: Cost that a match has on the ground, of as much contrast.
        quiet: Difference of costs that says nothing.
        unique: Share of the cost at any other height that the least one may have.
        flat: Heights by which it may be off where costs hardly change, times the ratio of
            the cost of a match to their change.
    """
    best = 1 + np.argmin(costs[1:-1], axis=0)
    before, at, after = (np.take_along_axis(costs, (best + k)[None], axis=0)[0] for k in (-1, 0, 1))
    number = np.arange(len(costs))[:, None, None]
    others = np.where(np.abs(number - best) > 1, costs, np.inf).min(axis=0)
    known = (at <= after) & (at < _MATCHED * usual + quiet)
    known &= at + quiet < unique * (others + quiet)
    bend = np.maximum(before + after - 2 * at, 1e-6)
    offset = np.clip((before - after) / (2 * bend), -0.5, 0.5)
    side = np.where(offset > 0, best, best - 1)
    step = HEIGHTS[side + 1] - HEIGHTS[side]
    share = HEIGHTS[best] + step * offset
    depth = cv2.resize(sweep.depth, costs.shape[:0:-1]) * (1 - share)
    # A height moves the match of a point ahead by focal * apart / (depth - apart)^2.
    ahead = np.maximum(depth - sweep.apart, sweep.apart / 2)
    of_match = _MATCH * np.square(ahead) / (sweep.focal * sweep.apart)
    of_flat = flat * sweep.height * step * 2 * (usual + quiet) / bend
    sigma = np.where(known, np.hypot(of_match, of_flat), np.nan).astype(np.float32)
    return np.where(known, share * sweep.height, np.nan).astype(np.float32), sigma


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
