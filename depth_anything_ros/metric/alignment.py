"""How a point sensor is turned against the camera, and how late it is, from edges.

The rotation and the time offset that put the jumps of depth of many moments best onto edges of the
images are those by which the sensor is off. A sensor that is late looks turned in proportion to the
camera's turning rate, one that is turned always alike; so the two are told apart only if the robot
turns at different rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import FloatArray, FloatImage
from depth_anything_ros.metric.alignment_moment import SLOPE, Moment, image_flow

# Own choices, made on simulated drives with 16 beams and a real one with 64. Pixels are those of an
# image 320 wide.
_BLURS_PX = (2.0, 1.0, 0.7)  # from coarse to fine
_SPAN_DEG, _STEP_DEG = 3.0, 0.5  # of the coarse search
_MOST_LOOKED_AT = 3000  # jumps in it
_STARTS = 6
_AGES_S = (-0.1, -0.05, 0.0, 0.05, 0.1)
_APART_DEG, _APART_S = 1.2, 0.05
_CLEAR = 1.5  # standard deviations by which the best must be better than another one
_BETWEEN = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the way from one to another
_COMPARED_BLUR_PX = 4.0  # finer ones have maxima of their own along a ridge
# Standard deviations: mirrored images and those of other scenes rarely reach them, and what they
# seem to tell then has a large sigma.
_CLEARLY = 4.8
_SIDEWAYS, _AT_LEAST = 11.0, 3.6
_CLARITY_BLUR_PX = 1.0
_AROUND_DEG, _AROUND_STEP_DEG, _NEAR_DEG = 4.0, 0.5, 1.0
_MARGIN_PX = 16
_NEWTON_STEPS, _LONGEST_STEP = 4, 1.5
_KEPT = 0.97  # share of the score a step must keep: ends of edges may hold it
_NEAREST_M = 0.1  # depth of points that are turned
_FEWEST_JUMPS = 100
_FEWEST_BLOCKS, _ENOUGH_BLOCKS = 2, 4
_BLOCK_NS = 1_000_000_000  # edges in moments nearer in time are the same ones
_SECTORS = 8  # of the image's width: what is seen in one of them for long may be one edge
_PRIOR_DEG, _PRIOR_S = 3.0, 0.1  # standard deviations of what is to be expected
_MISTAKEN_DEG = 0.08  # of the turn of all jumps of one turning rate
_CAUTION = 1.5  # the spread between blocks, and between sectors, misses what they share
_SYSTEMATIC_DEG, _SYSTEMATIC_S = (0.1, 0.03, 0.2), 0.001  # what more moments do not lessen

Groups = npt.NDArray[np.intp]


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
    concluded = [search.conclude(x) for x in found]
    search.use_blur(_COMPARED_BLUR_PX)
    concluded = search.apart(concluded)
    rates = np.concatenate([each.rates() for each in moments])
    best = _best_of(concluded, float(np.median(rates)))
    all_around, sideways = search.clarity(best)
    ridge = sideways >= _SIDEWAYS and all_around >= _AT_LEAST
    if all_around < _CLEARLY and not ridge:
        return None
    return _told_apart(best, rates)


@dataclass(frozen=True)
class _Maximum:
    """Where the score is largest around.

    Attributes:
        x: The four numbers.
        covariances: Of them, from block to block of time and from sector to sector.
        scores: Of each block of time, or of each sector where there are few blocks.
        evenly: Whether they are those of blocks.
    """

    x: FloatArray
    covariances: list[FloatArray]
    scores: FloatArray
    evenly: bool

    def score(self) -> float:
        """Of all jumps."""
        return float(self.scores.sum())


def _best_of(maxima: list[_Maximum], rate: float) -> Alignment:
    """The best maximum; its sigma reaches to others that are as good as far as the blocks tell."""
    best = max(maxima, key=_Maximum.score)
    # The four numbers, and the apparent yaw.
    numbers = np.vstack([np.eye(4), [0, 1, 0, rate]])
    systematic = [*np.radians(_SYSTEMATIC_DEG), _SYSTEMATIC_S, math.radians(_SYSTEMATIC_DEG[1])]
    spread = np.max(
        [np.einsum("ni,ij,nj->n", numbers, each, numbers) for each in best.covariances], axis=0
    )
    sigma = np.hypot(np.sqrt(spread), systematic)
    for other in maxima:
        if not _is_clear(best.scores - other.scores, best.evenly):
            sigma = np.maximum(sigma, np.abs(numbers @ (other.x - best.x)))
    return Alignment(
        np.degrees(best.x[:3]),
        np.degrees(sigma[:3]),
        float(best.x[3]),
        float(sigma[3]),
        math.degrees(rate),
        math.degrees(float(sigma[4])),
    )


def _is_clear(better: FloatArray, evenly: bool) -> bool:
    """Whether one is better than another one by more than its parts differ."""
    # Sectors hold some many jumps, others few: no mean tells how much they differ.
    spread = better.std(ddof=1) * math.sqrt(len(better)) if evenly else np.linalg.norm(better)
    return bool(better.sum() >= _CLEAR * spread)


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

    def __init__(self, moments: Sequence[Moment], blocks: Groups) -> None:
        _, rows, self._width = moments[0].edges.shape
        self._scale = self._width / 320
        self._margin = round(_MARGIN_PX * self._scale)
        self._rows = rows + 2 * self._margin
        count = [len(each.u) for each in moments]
        number = np.repeat(np.arange(len(moments)), count)
        self._u = np.concatenate([each.u for each in moments])
        self._v = np.concatenate([each.v for each in moments])
        self._xyz = np.concatenate([each.xyz for each in moments]).astype(np.float64)
        self._focal = np.repeat([each.focal for each in moments], count, axis=0)
        self._velocity = np.stack([each.motion.velocity for each in moments])
        self._rotation = np.stack([each.motion.rotation for each in moments])
        self._number = number
        # Of each moment those edges that jumps are compared with, one below the other.
        level = np.concatenate([each.level for each in moments])
        kinds, image = np.unique(2 * number + level, return_inverse=True)
        self._edges = [moments[kind // 2].edges[kind % 2] for kind in kinds]
        self._slopes = np.concatenate([moments[kind // 2].slopes[kind % 2] for kind in kinds])
        self._level = level
        self._top = (image * self._rows + self._margin).astype(np.float32)
        self._image = image * rows
        sector = (self._u * (_SECTORS / self._width)).clip(0, _SECTORS - 1).astype(np.intp)
        self._groups = (blocks[number], np.unique(sector, return_inverse=True)[1])
        self._steps = np.ones(4)
        self.use_blur(_BLURS_PX[0])
        self.put(np.zeros(4))

    def use_blur(self, blur: float) -> None:
        """Blur the edges by a standard deviation in pixels, and step accordingly."""
        border = (self._margin, self._margin, 0, 0, cv2.BORDER_REPLICATE)
        width = blur * self._scale
        self._tall = np.concatenate(
            [
                cv2.copyMakeBorder(
                    cv2.GaussianBlur(each.astype(np.float32), (0, 0), width), *border
                )
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
        self._flow = image_flow(moved, *motion, self._focal).astype(np.float32)
        self._place = x

    def coarse(self) -> list[FloatArray]:
        """The best pitch, yaw and age of a grid, and others apart from it, best first."""
        grid = np.radians(np.arange(-_SPAN_DEG, _SPAN_DEG + 1e-6, _STEP_DEG))
        tried = np.array([(p, y, 0.0, age) for age in _AGES_S for p in grid for y in grid])
        every = math.ceil(len(self._u) / _MOST_LOOKED_AT)
        scores = np.array([self._at(self._places(x, every), every).sum() for x in tried])
        apart = np.array([math.radians(_APART_DEG)] * 2 + [1.0, _APART_S])
        found: list[FloatArray] = []
        for index in np.argsort(-scores):
            x = tried[index]
            if all((np.abs(x - other) >= apart).any() for other in found):
                found.append(x)
                if len(found) == _STARTS:
                    break
        return found

    def climb(self, x: FloatArray) -> FloatArray:
        """Newton steps on the blurred edges, as far as they lead upwards."""
        self.put(x)
        for _ in range(_NEWTON_STEPS):
            gradients, curvature = self._derivatives(x)
            values, axes = np.linalg.eigh(curvature)
            held = np.maximum(values, 0.02 * np.abs(values).max() + 1e-9)
            step = axes @ ((axes.T @ gradients[0].sum(axis=0)) / held)
            step = np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
            before = self._score(x)
            for share in (1.0, 0.3):
                moved = x + share * step * self._steps
                if self._score(moved) > _KEPT * before:
                    break
            else:
                return x
            x = moved
            if np.abs(step).max() < 0.05:
                return x
        return x

    def conclude(self, x: FloatArray) -> _Maximum:
        """The maximum with what is to be expected, and its covariance from block to block."""
        self.put(x)
        prior = np.array([*np.radians([_PRIOR_DEG] * 3), _PRIOR_S]) / self._steps
        for _ in range(_NEWTON_STEPS):
            gradients, curvature = self._derivatives(x)
            spreads = [each.T @ each for each in gradients]
            values, axes = np.linalg.eigh(curvature)
            curvature = (axes * np.maximum(values, 0.0)) @ axes.T  # else nothing is known of it
            # The score is no log likelihood: this factor makes its curvature one.
            scale = max(np.trace(spreads[0]), 1e-9) / max(np.trace(curvature), 1e-9)
            inverse = np.linalg.inv(curvature / scale + np.diag(prior**-2))
            pull = gradients[0].sum(axis=0) / scale - x / self._steps * prior**-2
            step = np.clip(inverse @ pull, -_LONGEST_STEP, _LONGEST_STEP)
            x = x + step * self._steps
            if np.abs(step).max() < 0.05:
                break
        steps = _CAUTION * np.diag(self._steps) @ inverse
        covariances = []
        for spread, gradient in zip(spreads, gradients, strict=True):
            few = (len(gradient) + 3) / max(len(gradient) - 1, 1)  # they say less of their spread
            outer = spread * few / scale**2 + np.diag(prior**-2)
            covariances.append(np.asarray(steps @ outer @ steps.T))
        blocks, sectors = self._groups
        evenly = bool(blocks.max() + 1 >= _ENOUGH_BLOCKS)
        scores = np.bincount(blocks if evenly else sectors, self._values(x).astype(np.float64))
        return _Maximum(x, covariances, np.asarray(scores, np.float64), evenly)

    def apart(self, maxima: list[_Maximum]) -> list[_Maximum]:
        """Without those that are none: from which the score rises all the way to the best one."""
        best = max(maxima, key=_Maximum.score)
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

    def clarity(self, found: Alignment) -> tuple[float, float]:
        """How far the score stands out from those of other turns, in their standard deviations.

        Of those up to 4 degrees away, but not beside it, a curved surface is fitted to what changes
        slowly (sky and ground); what they differ from it says how well jumps fit edges by chance.
        It needs no knowledge of how clear edges are in a place, or how many jumps have one.

        Returns:
            From all around, and from those of other yaw: upright edges fit at each pitch.
        """
        self.use_blur(_CLARITY_BLUR_PX)
        x = np.array([*np.radians(found.turn_deg), found.late_s])
        self.put(x)
        side = np.arange(-_AROUND_DEG, _AROUND_DEG + 1e-6, _AROUND_STEP_DEG)
        pitch, yaw = (each.ravel() for each in np.meshgrid(side, side))
        every = math.ceil(len(self._u) / _MOST_LOOKED_AT)
        turned = np.radians(np.stack([pitch, yaw, 0 * yaw, 0 * yaw], axis=1)) + x
        scores = np.array([self._at(self._places(each, every), every).sum() for each in turned])
        surface = np.stack([pitch**0, pitch, yaw, pitch**2, yaw**2, pitch * yaw], axis=1)
        distance = np.hypot(pitch, yaw)

        def over(around: npt.NDArray[np.bool_]) -> float:
            fitted = np.linalg.lstsq(surface[around], scores[around], rcond=None)[0]
            off = scores - surface @ fitted
            return float(off[np.argmin(distance)] / max(float(off[around].std()), 1e-9))

        return over(distance > _NEAR_DEG - 1e-6), over(np.abs(yaw) > _NEAR_DEG - 1e-6)

    def _places(self, x: FloatArray, every: int = 1) -> FloatImage:
        """Where in the image every n-th jump comes to lie, Nx2."""
        off = (x - self._place).astype(np.float32)
        moved = np.einsum("nij,i->nj", self._flow[::every], off)
        return np.asarray(self._there[::every] + moved, np.float32)

    def _values(self, x: FloatArray) -> FloatImage:
        """Strength of the blurred edges where the jumps come to lie, N."""
        return self._at(self._places(x))

    def _at(self, places: FloatImage, every: int = 1) -> FloatImage:
        """Strength of the blurred edges at places of every n-th jump, N."""
        u = np.clip(places[:, 0], 0, self._width - 1.001)
        v = np.clip(places[:, 1], -self._margin, self._rows - self._margin - 1.001)
        v = v + self._top[::every]
        left, top = u.astype(np.intp), np.minimum(v.astype(np.intp), len(self._tall) - 2)
        a, b, tall = u - left, v - top, self._tall
        upper = tall[top, left] * (1 - a) + tall[top, left + 1] * a
        lower = tall[top + 1, left] * (1 - a) + tall[top + 1, left + 1] * a
        return np.asarray(upper * (1 - b) + lower * b, np.float32)

    def _score(self, x: FloatArray) -> float:
        return float(self._values(x).sum(dtype=np.float64))

    def _derivatives(self, x: FloatArray) -> tuple[list[FloatArray], FloatArray]:
        """Gradients of each block and of each sector, and minus the second derivatives, per step.

        Only across the edges: along them their strength changes for reasons of its own, above all
        where they end, and few jumps lie at the lower ends of things that stand on the ground.

        Returns:
            Bx4 and Sx4, and 4x4.
        """
        places = self._places(x)
        across = self._across(places)
        length = np.float32(self._steps[1] * self._focal[0, 0])
        ahead, behind = self._at(places + length * across), self._at(places - length * across)
        moves = np.einsum("nij,nj->ni", self._flow, across) * (self._steps / length)
        slope = moves * ((ahead - behind) / 2)[:, None]
        bend = 2 * self._at(places) - ahead - behind
        gradients = [
            np.stack([np.bincount(group, each).astype(float) for each in slope.T], axis=1)
            for group in self._groups
        ]
        return gradients, np.asarray(moves.T @ (moves * bend[:, None]), np.float64)

    def _across(self, places: FloatImage) -> FloatImage:
        """Unit vectors across the edges at places of the jumps, Nx2."""
        rows = self._rows - 2 * self._margin
        u = np.clip(np.rint(places[:, 0]), 0, self._width - 1).astype(np.intp)
        v = np.clip(np.rint(places[:, 1]), 0, rows - 1).astype(np.intp)
        slope = self._slopes[self._image + v, u].astype(np.float32) / SLOPE
        one = np.ones_like(slope)
        across = np.where(self._level, [-slope, one], [one, -slope]).T
        return np.asarray(across / np.hypot(one, slope)[:, None], np.float32)
