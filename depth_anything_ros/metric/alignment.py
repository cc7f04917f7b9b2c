"""How a point sensor is turned against the camera, and how late it is, from edges.

Where the range along a beam jumps, the nearer surface ends, and the image mostly has an edge there
(Levinson and Thrun, "Automatic Online Calibration of Cameras and Lasers", RSS 2013). The rotation
and the time offset that put the jumps of many moments best onto edges are those by which the
sensor is off. A sensor that is late looks turned in proportion to the camera's turning rate, one
that is turned always alike; so the two are told apart only if the robot turns at different rates.

The edges are those of the picture. Edges of the networks' depth were tried in their place and with
them: they are blurred and lie beside the true ones, and the errors were 2 to 6 times as large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage, RgbImage, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project, rays_of_pixels

# Own choices, made on simulated drives with 16 beams. Pixels are those of the reduced image.
_WIDTH = 320
_BAND_PX = (1.0, 4.0)  # height of the rows in which points are neighbours along a beam,
_FARTHEST_PX = 8.0  # up to this distance
_JUMP = 1.06  # ratio of inverse depths that is one
_JUMP_M = 0.06
_SMOOTH = 0.35  # change of inverse depth, as a share, from the last point to the nearer side's edge
_MOST_JUMPS = 400  # in a moment
_MOST_POINTS = 20_000
_NEIGHBOURHOOD_PX = 21  # in which the strength of an edge is relative to the mean
_STRONGEST = 6.0
_BLURS_PX = (4.0, 2.0, 1.0)  # from coarse to fine
_SPAN_DEG, _STEP_DEG = 3.0, 0.75  # of the coarse search
_AGES_S = (-0.1, -0.05, 0.0, 0.05, 0.1)
_APART_DEG = 1.4
_CLEAR = 2.0  # standard deviations by which the best must be better than another one
_BETWEEN = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the way from one to another
_COMPARED_BLUR_PX = 2.0  # finer ones have maxima of their own along a ridge
_CONTRAST = 1.5  # right ones have 1.8 and more, points of other scenes 1.47
_MARGIN_PX = 16
_NEWTON_STEPS = 4
_NEAREST_M = 0.1  # depth of points that are turned
_FEWEST_JUMPS = 100
_FEWEST_BLOCKS = 4
_BLOCK_NS = 1_000_000_000  # edges in moments nearer in time are the same ones
_PRIOR_DEG, _PRIOR_S = 3.0, 0.1  # standard deviations of what is to be expected
_MISTAKEN_DEG = 0.1  # of the turn of all jumps of one turning rate
_CAUTION = 2.5  # the spread from block to block misses what they have in common
_SYSTEMATIC_DEG, _SYSTEMATIC_S = (0.1, 0.03, 0.2), 0.001  # what more moments do not lessen

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CameraMotion:
    """How fast a camera moves, in its own optical frame.

    Attributes:
        velocity: 3 float64, m/s.
        rotation: 3 float64, rad/s.
    """

    velocity: FloatArray
    rotation: FloatArray


@dataclass(frozen=True)
class Alignment:
    """What turns measured points so that they fit the image, and their age.

    Attributes:
        turn_deg: 3 float64, rotation vector about the axes of the optical frame in degrees: up,
            right and clockwise are positive (pitch, yaw, roll).
        turn_sigma_deg: 3 float64, one standard deviation of each.
        late_s: Seconds by which the points are older than their stamp says.
        late_sigma_s: One standard deviation of it.
        rate_deg_s: Degrees by which points look turned to the right per second of age: the median
            over all jumps.
        apparent_yaw_sigma_deg: One standard deviation of `apparent_yaw_deg`, which is often known
            where yaw and age are not: a camera that turns at one rate all the time.
    """

    turn_deg: FloatArray
    turn_sigma_deg: FloatArray
    late_s: float
    late_sigma_s: float
    rate_deg_s: float
    apparent_yaw_sigma_deg: float

    @property
    def apparent_yaw_deg(self) -> float:
        """Degrees to the right by which the points look turned: yaw, and age at the usual rate."""
        return float(self.turn_deg[1]) + self.late_s * self.rate_deg_s

    def matrix(self) -> FloatArray:
        """The rotation as 4x4, to be multiplied from the left to sensor -> optical frame."""
        matrix = np.eye(4)
        matrix[:3, :3] = cv2.Rodrigues(np.radians(self.turn_deg))[0]
        return matrix


@dataclass(frozen=True)
class Moment:
    """What one image and its points say; some 80 KiB.

    Attributes:
        stamp: Time in nanoseconds.
        edges: HxW uint8, strength of the edges across the rows, of the reduced image.
        u: N float32, columns of the jumps of depth.
        v: N float32, their rows.
        xyz: Nx3 float32, where they are in the optical frame, in metres.
        motion: How the camera moves.
        focal: Focal lengths of the reduced image in pixels, horizontal and vertical.
    """

    stamp: int
    edges: Grey
    u: FloatImage
    v: FloatImage
    xyz: FloatImage
    motion: CameraMotion
    focal: tuple[float, float]

    def rates(self) -> FloatImage:
        """By how many radians each jump looks turned to the right per second of age, N."""
        count = len(self.xyz)
        still = np.broadcast_to([self.motion.velocity, self.motion.rotation], (count, 2, 3))
        flow = _flow(self.xyz.astype(np.float64), still[:, 0], still[:, 1], np.array(self.focal))
        return np.asarray(flow[:, 3, 0] / flow[:, 1, 0], np.float32)


def moment_of(
    rgb: RgbImage, camera: Camera, points: SparsePoints, motion: CameraMotion, stamp: int
) -> Moment | None:
    """Find jumps of depth along beams, and the edges of the image.

    Args:
        rgb: HxWx3 image.
        camera: Its camera.
        points: Points of it.
        motion: How the camera moves.
        stamp: Time in nanoseconds.

    Returns:
        What is to be compared, or None where the points have no jumps.
    """
    height = max(8, round(rgb.shape[0] * _WIDTH / rgb.shape[1]))
    reduced = camera.resized(_WIDTH, height)
    jumps = _jumps(*_reduced(camera, points, motion, reduced))
    if not len(jumps):
        return None
    if len(jumps) > _MOST_JUMPS:
        jumps = jumps[np.random.default_rng(stamp % 2**32).permutation(len(jumps))[:_MOST_JUMPS]]
    u, v, z = jumps.T
    x, y = rays_of_pixels(reduced, u, v)
    known = np.isfinite(x) & np.isfinite(y)
    u, v, z, x, y = (each[known] for each in (u, v, z, x, y))
    small = cv2.resize(rgb, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    return Moment(
        stamp,
        _edges(np.asarray(small, np.uint8)),
        u.astype(np.float32),
        v.astype(np.float32),
        np.stack([x * z, y * z, z], axis=1).astype(np.float32),
        motion,
        (reduced.fx, reduced.fy),
    )


def estimate_alignment(moments: Sequence[Moment]) -> Alignment | None:
    """Estimate rotation and age that put jumps of depth best onto edges.

    Args:
        moments: What images and points of a while say, all of one camera.

    Returns:
        The estimate, or None where there are too few jumps, or they lie on edges nowhere.
    """
    if not moments or sum(len(each.u) for each in moments) < _FEWEST_JUMPS:
        return None
    blocks = np.unique([each.stamp // _BLOCK_NS for each in moments], return_inverse=True)[1]
    if blocks.max() + 1 < _FEWEST_BLOCKS:
        return None
    search = _Search(moments, blocks)
    found = search.coarse()
    for blur in _BLURS_PX:
        search.use_blur(blur)
        found = [search.climb(x) for x in found]
    concluded = [maximum for x in found if (maximum := search.conclude(x)) is not None]
    search.use_blur(_COMPARED_BLUR_PX)
    concluded = search.apart(concluded)
    rates = np.concatenate([each.rates() for each in moments])
    best = _best_of(concluded, float(np.median(rates)))
    if best is None or search.contrast(best) < _CONTRAST:
        return None
    return _told_apart(best, rates)


@dataclass(frozen=True)
class _Maximum:
    """Where the score is largest around: the four numbers, their covariance, each block's score."""

    x: FloatArray
    covariance: FloatArray
    scores: FloatArray


def _best_of(maxima: list[_Maximum], rate: float) -> Alignment | None:
    """The best maximum; its sigma reaches to others that are as good as far as the blocks tell."""
    if not maxima:
        return None
    best = max(maxima, key=lambda each: float(each.scores.sum()))
    # The four numbers, and the apparent yaw.
    numbers = np.vstack([np.eye(4), [0, 1, 0, rate]])
    systematic = [*np.radians(_SYSTEMATIC_DEG), _SYSTEMATIC_S, math.radians(_SYSTEMATIC_DEG[1])]
    spread = np.einsum("ni,ij,nj->n", numbers, best.covariance, numbers)
    sigma = np.hypot(np.sqrt(spread), systematic)
    for other in maxima:
        better = best.scores - other.scores
        if better.mean() < _CLEAR * better.std(ddof=1) / math.sqrt(len(better)):
            sigma = np.maximum(sigma, np.abs(numbers @ (other.x - best.x)))
    return Alignment(
        np.degrees(best.x[:3]),
        np.degrees(sigma[:3]),
        float(best.x[3]),
        float(sigma[3]),
        math.degrees(rate),
        math.degrees(float(sigma[4])),
    )


def _told_apart(found: Alignment, rates: FloatImage) -> Alignment:
    """The same, less sure of yaw and age the less the camera's turning rates differ.

    What makes all jumps of one rate look turned a little alike is taken for age.
    """
    low, middle, high = np.quantile(rates, [0.16, 0.5, 0.84])
    spread = float(high - low) / 2
    mistaken = min(_PRIOR_S, math.radians(_MISTAKEN_DEG) / max(spread, 1e-6))
    sigma = found.turn_sigma_deg.copy()
    sigma[1] = math.hypot(sigma[1], math.degrees(mistaken * abs(float(middle))))
    late_sigma = math.hypot(found.late_sigma_s, mistaken)
    return replace(found, turn_sigma_deg=sigma, late_sigma_s=late_sigma)


class _Search:
    """Looks for the four numbers x = (up, right, clockwise in rad, age in s).

    Around a place where it was `put` all moves in straight lines. A turn of 2.5 degrees alone bends
    these by 0.1 degrees at the sides of the image, which looks like an age of 20 ms.
    """

    def __init__(self, moments: Sequence[Moment], blocks: npt.NDArray[np.intp]) -> None:
        self._edges = [each.edges for each in moments]
        self._rows = moments[0].edges.shape[0] + 2 * _MARGIN_PX
        count = [len(each.u) for each in moments]
        number = np.repeat(np.arange(len(moments)), count)
        self._u = np.concatenate([each.u for each in moments])
        self._v = np.concatenate([each.v for each in moments])
        self._xyz = np.concatenate([each.xyz for each in moments]).astype(np.float64)
        self._focal = np.repeat([each.focal for each in moments], count, axis=0)
        self._velocity = np.stack([each.motion.velocity for each in moments])
        self._rotation = np.stack([each.motion.rotation for each in moments])
        self._number = number
        self._top = (number * self._rows + _MARGIN_PX).astype(np.float32)
        self._block = blocks[number]
        self._steps = np.ones(4)
        self.use_blur(_BLURS_PX[0])
        self.put(np.zeros(4))

    def use_blur(self, blur: float) -> None:
        """Blur the edges by a standard deviation in pixels, and step accordingly."""
        border = (_MARGIN_PX, _MARGIN_PX, 0, 0, cv2.BORDER_REPLICATE)
        self._tall = np.concatenate(
            [
                cv2.copyMakeBorder(cv2.GaussianBlur(each.astype(np.float32), (0, 0), blur), *border)
                for each in self._edges
            ]
        )
        self._steps = np.array([*np.radians([0.2, 0.2, 0.4]), 0.01]) * blur

    def put(self, x: FloatArray) -> None:
        """Turn the jumps and make them younger, exactly, and find how they move around there."""
        turns = [cv2.Rodrigues(-float(x[3]) * each)[0] for each in self._rotation]
        moved = self._xyz @ cv2.Rodrigues(x[:3])[0].T - float(x[3]) * self._velocity[self._number]
        moved = np.einsum("nij,nj->ni", np.array(turns)[self._number], moved)
        moved[:, 2] = np.maximum(moved[:, 2], _NEAREST_M)
        off = moved[:, :2] / moved[:, 2:] - self._xyz[:, :2] / self._xyz[:, 2:]
        self._there = (np.stack([self._u, self._v], axis=1) + off * self._focal).astype(np.float32)
        motion = (self._velocity[self._number], self._rotation[self._number])
        self._flow = _flow(moved, *motion, self._focal).astype(np.float32)
        self._place = x

    def coarse(self) -> list[FloatArray]:
        """The best pitch and yaw of a grid for each age, and another one apart from them."""
        grid = np.radians(np.arange(-_SPAN_DEG, _SPAN_DEG + 1e-6, _STEP_DEG))
        tried = np.array([(p, y, 0.0, age) for age in _AGES_S for p in grid for y in grid])
        scores = np.array([self._score(x) for x in tried])
        best = [int(np.argmax(np.where(tried[:, 3] == age, scores, -np.inf))) for age in _AGES_S]
        apart = np.abs(tried[:, None, :2] - tried[best, :2]).max(axis=2).min(axis=1)
        other = int(np.argmax(np.where(apart > math.radians(_APART_DEG), scores, -np.inf)))
        return [tried[index] for index in (*best, other)]

    def climb(self, x: FloatArray) -> FloatArray:
        """Newton steps on the blurred edges, as far as they lead upwards."""
        self.put(x)
        for _ in range(_NEWTON_STEPS):
            gradients, curvature = self._derivatives(x)
            values, axes = np.linalg.eigh(curvature)
            held = np.maximum(values, 0.02 * np.abs(values).max() + 1e-9)
            step = np.clip(axes @ ((axes.T @ gradients.sum(axis=0)) / held), -1.5, 1.5)
            before = self._score(x)
            for share in (1.0, 0.3):
                moved = x + share * step * self._steps
                if self._score(moved) > before:
                    break
            else:
                return x
            x = moved
            if np.abs(step).max() < 0.05:
                return x
        return x

    def conclude(self, x: FloatArray) -> _Maximum | None:
        """The maximum with what is to be expected, and its covariance from block to block."""
        self.put(x)
        prior = np.array([*np.radians([_PRIOR_DEG] * 3), _PRIOR_S]) / self._steps
        for _ in range(_NEWTON_STEPS):
            gradients, curvature = self._derivatives(x)
            spread = gradients.T @ gradients
            # The score is no log likelihood: this factor makes its curvature one.
            scale = np.trace(spread) / max(np.trace(curvature), 1e-9)
            information = curvature / scale + np.diag(prior**-2)
            if not np.linalg.eigvalsh(information).min() > 0:
                return None
            inverse = np.linalg.inv(information)
            pull = gradients.sum(axis=0) / scale - x / self._steps * prior**-2
            step = inverse @ pull
            if np.abs(step).max() > 3:
                return None
            x = x + step * self._steps
            if np.abs(step).max() < 0.05:
                break
        outer = spread / scale**2 + np.diag(prior**-2)
        steps = _CAUTION * np.diag(self._steps)
        covariance = np.asarray(steps @ inverse @ outer @ inverse @ steps)
        scores = np.bincount(self._block, self._values(x).astype(np.float64))
        return _Maximum(x, covariance, np.asarray(scores, np.float64))

    def apart(self, maxima: list[_Maximum]) -> list[_Maximum]:
        """Without those that are none: from which the score rises all the way to the best one."""
        if not maxima:
            return []
        best = max(maxima, key=lambda each: float(each.scores.sum()))
        kept = [best]
        for other in maxima:
            between = [other.x + share * (best.x - other.x) for share in _BETWEEN]
            scores = []
            for x in between:
                self.put(x)
                scores.append(self._score(x))
            if np.diff(scores).min() < 0:
                kept.append(other)
        return kept

    def contrast(self, found: Alignment) -> float:
        """Strength of the edges at the jumps against that around them."""
        x = np.array([*np.radians(found.turn_deg), found.late_s])
        self.put(x)
        offsets = np.radians(np.arange(-6.0, 6.1, 1.5))
        around = [
            self._score(x + np.array([pitch, yaw, 0.0, 0.0]))
            for pitch in offsets
            for yaw in offsets
            if abs(pitch) + abs(yaw) > 1e-6
        ]
        return self._score(x) / max(float(np.mean(around)), 1e-9)

    def _values(self, x: FloatArray) -> FloatImage:
        """Strength of the blurred edges where the jumps come to lie, N."""
        off = (x - self._place).astype(np.float32)
        moved = self._there + np.einsum("nij,i->nj", self._flow, off)
        u = np.clip(moved[:, 0], 0, _WIDTH - 1.001)
        v = np.clip(moved[:, 1], -_MARGIN_PX, self._rows - _MARGIN_PX - 1.001)
        v = v + self._top
        left, top = u.astype(np.intp), np.minimum(v.astype(np.intp), len(self._tall) - 2)
        a, b, tall = u - left, v - top, self._tall
        upper = tall[top, left] * (1 - a) + tall[top, left + 1] * a
        lower = tall[top + 1, left] * (1 - a) + tall[top + 1, left + 1] * a
        return np.asarray(upper * (1 - b) + lower * b, np.float32)

    def _score(self, x: FloatArray) -> float:
        return float(self._values(x).sum(dtype=np.float64))

    def _derivatives(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient of each block, Bx4, and minus the second derivatives, 4x4, per step."""
        steps = np.diag(self._steps)
        middle = self._score(x)
        gradients = np.empty((self._block.max() + 1, 4))
        curvature = np.empty((4, 4))
        for i in range(4):
            ahead, behind = self._values(x + steps[i]), self._values(x - steps[i])
            gradients[:, i] = np.bincount(self._block, (ahead - behind) / 2, len(gradients))
            both = ahead.sum(dtype=np.float64) + behind.sum(dtype=np.float64)
            curvature[i, i] = 2 * middle - both
            for j in range(i):
                same = self._score(x + steps[i] + steps[j]) + self._score(x - steps[i] - steps[j])
                cross = self._score(x + steps[i] - steps[j]) + self._score(x - steps[i] + steps[j])
                curvature[i, j] = curvature[j, i] = (cross - same) / 4
        return gradients, curvature


def _reduced(
    camera: Camera, points: SparsePoints, motion: CameraMotion, reduced: Camera
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The points in the reduced image, moved to its time where they are known to be of another."""
    u, v, z = points.u, points.v, points.z
    if len(z) > _MOST_POINTS:  # a depth camera: every n-th still has neighbours in the row
        every = math.ceil(len(z) / _MOST_POINTS)
        u, v, z = u[::every], v[::every], z[::every]
    if points.apart:
        x, y = rays_of_pixels(camera, u, v)
        xyz = np.stack([x * z, y * z, z], axis=1)
        xyz = xyz + points.apart * (motion.velocity + np.cross(motion.rotation, xyz))
        return project(reduced, xyz[np.isfinite(xyz).all(axis=1)])
    wide, high = reduced.width / camera.width, reduced.height / camera.height
    return (u + 0.5) * wide - 0.5, (v + 0.5) * high - 0.5, z


def _jumps(u: FloatArray, v: FloatArray, z: FloatArray) -> FloatArray:
    """Where surfaces end along beams: column, row and depth of the nearer side, Nx3."""
    if len(z) < 3:
        return np.zeros((0, 3))
    spacing = math.sqrt(max(float(np.ptp(u) * np.ptp(v)), 1.0) / len(z))
    band = min(max(spacing, _BAND_PX[0]), _BAND_PX[1])
    row = np.floor(v / band)
    order = np.lexsort((u, row))
    u, v, z, row = u[order], v[order], z[order], row[order]
    gap = np.diff(u)
    beside = (np.diff(row) == 0) & (gap < _FARTHEST_PX) & (gap > 1e-3)
    gap = np.maximum(gap, 1e-3)
    q = 1 / z
    found = []
    middle = np.arange(1, len(z) - 1)
    for side in (1, -1):
        far, last = middle + side, middle - side
        to_far, to_last = (middle, middle - 1) if side > 0 else (middle - 1, middle)
        slope = (q[middle] - q[last]) / gap[to_last]
        # A plane is straight in inverse depth: floor that recedes does not jump.
        goes_on = np.minimum(q[middle] + slope * gap[to_far], q[middle])
        jump = beside[to_far] & beside[to_last] & (z[far] - z[middle] > _JUMP_M)
        jump &= q[far] * _JUMP < goes_on
        jump &= np.abs(slope) * gap[to_last] < _SMOOTH * q[middle]
        # The surface ends somewhere between two beams.
        half = 0.5 * np.minimum(gap[to_far], gap[to_last])
        ends = np.stack([u[middle] + side * half, v[middle], z[middle]], axis=1)
        found.append(ends[jump])
    return np.concatenate(found)


def _edges(rgb: RgbImage) -> Grey:
    """Strength of edges across the rows, relative to those around, 0 to 255."""
    steps = cv2.Sobel(cv2.GaussianBlur(rgb, (0, 0), 0.7), cv2.CV_16S, 1, 0, ksize=3)
    red, green, blue = cv2.split(cv2.convertScaleAbs(steps, alpha=0.25))
    strength = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    around = cv2.blur(strength, (_NEIGHBOURHOOD_PX, _NEIGHBOURHOOD_PX))
    relative = strength / (around + 0.3 * strength.mean() + 0.01)
    return (np.minimum(relative, _STRONGEST) * (255 / _STRONGEST)).astype(np.uint8)


def _flow(
    xyz: FloatArray, velocity: FloatArray, rotation: FloatArray, focal: FloatArray
) -> FloatArray:
    """How points move in the image when they are turned and made younger, Nx4x2."""
    x, y, z = xyz[:, 0] / xyz[:, 2], xyz[:, 1] / xyz[:, 2], xyz[:, 2]
    away = np.cross(rotation, xyz) + velocity
    age = (-(away[:, 0] - x * away[:, 2]) / z, -(away[:, 1] - y * away[:, 2]) / z)
    moves = [(-x * y, -(1 + y * y)), (1 + x * x, x * y), (-y, x), age]
    flow = np.stack([np.stack(each, axis=1) for each in moves], axis=1)
    return np.asarray(flow * focal[..., None, :], np.float64)
