"""What the fusion of a network with measured points is worth, beside four classical ways.

Some points of a true depth are given, all others (or many of them) are scored by AbsRel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import (
    FloatArray,
    FloatImage,
    Frame,
    Prediction,
    PredictionKind,
    RgbImage,
    SparsePoints,
)
from depth_anything_ros.metric.fit import FitSettings, values_at
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.sparse import SparseSource

OURS = "ours"
COUNTS = (20, 100, 1000, 5000)
_SCORED = 4_000  # truth points that are scored
_MOST_GIVEN = 0.75  # share of the truth that may be given
_LINES = (0.1, 0.9)  # quantiles of the truth's rows between which a LiDAR's lines lie
_LINE_WIDTH = 1.0  # pixels beside a line that belong to it
_MOST_CORNERS = 200
_BEAMS = 64  # of a LiDAR whose returns are the truth
_DENSE = 0.1  # share of the pixels from which on truth is a depth image, not a LiDAR's returns
_NEAR_CORNER = 0.01  # distance of a corner's depth from it, in image widths


@dataclass(frozen=True)
class Scene:
    """An image's disparity as a network gives it, and true depth.

    Attributes:
        name: What a table calls it.
        disparity: HxW float32, relative.
        truth: Points whose depth is known, at whole pixels or LiDAR returns.
        rgb: HxWx3 image; black where there is none.
    """

    name: str
    disparity: FloatImage
    truth: SparsePoints
    rgb: RgbImage | None = None

    def split(self, count: int, seed: int) -> tuple[SparsePoints, SparsePoints] | None:
        """`count` random truth points to give and others to score on; None if there are too few."""
        if count > _MOST_GIVEN * len(self.truth):
            return None
        order = np.random.default_rng(seed).permutation(len(self.truth))
        given, asked = order[:count], order[count : count + _SCORED]
        return _taken(self.truth, given), _taken(self.truth, asked)

    def pattern(self, name: str) -> tuple[SparsePoints, SparsePoints] | None:
        """Truth points as a sensor of PATTERNS gives them, and others; None if too few."""
        given = PATTERNS[name](self)
        if not 0 < len(given) <= _MOST_GIVEN * len(self.truth):
            return None
        rest = np.setdiff1d(np.arange(len(self.truth)), given)
        asked = np.random.default_rng(0).permutation(rest)[:_SCORED]
        return _taken(self.truth, given), _taken(self.truth, asked)


Way = Callable[[Scene, SparsePoints, SparsePoints], FloatArray]
"""(scene, points given, points asked for) -> metres of the latter; their z is not used."""


@dataclass(frozen=True)
class Row:
    """AbsRel of every way in one scene.

    Attributes:
        scene: Its name.
        count: Points given.
        seed: Of their choice.
        absrel: AbsRel by way.
        pattern: Sensor whose points were given; nothing for random ones.
    """

    scene: str
    count: int
    seed: int
    absrel: dict[str, float]
    pattern: str = ""

    @property
    def ratio(self) -> float:
        """Ours, relative to the best classical way."""
        return self.absrel[OURS] / min(self.absrel[way] for way in CLASSICAL)


def global_fit(scene: Scene, given: SparsePoints, asked: SparsePoints) -> FloatArray:
    """Least squares of scale and shift in inverse depth over all points."""
    x = values_at(scene.disparity, given)
    scale, shift = np.linalg.lstsq(np.c_[x, np.ones_like(x)], 1 / given.z, rcond=None)[0]
    return _metres(scale * values_at(scene.disparity, asked) + shift, given)


def inverse_distance(scene: Scene, given: SparsePoints, asked: SparsePoints) -> FloatArray:
    """Mean depth of the eight nearest points, weighted by inverse distance (Shepard 1968)."""
    weight, index = _neighbours(given, asked, 8)
    return np.asarray((weight * given.z[index]).sum(axis=1))


def linear(scene: Scene, given: SparsePoints, asked: SparsePoints) -> FloatArray:
    """Delaunay interpolation of inverse depth, the nearest point outside the convex hull."""
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    places, where = np.c_[given.u, given.v], np.c_[asked.u, asked.v]
    if np.linalg.matrix_rank(places - places.mean(axis=0)) < 2:  # one line has no triangles
        return np.asarray(1 / NearestNDInterpolator(places, 1 / given.z)(where))
    inverse = LinearNDInterpolator(places, 1 / given.z)(where)
    outside = np.isnan(inverse)
    inverse[outside] = NearestNDInterpolator(places, 1 / given.z)(where[outside])
    return np.asarray(1 / inverse)


def local_fit(scene: Scene, given: SparsePoints, asked: SparsePoints) -> FloatArray:
    """Scale and shift in disparity over the five nearest points, weighted by inverse distance.

    The coarse stage of Prior Depth Anything (Wang et al. 2025, section 3.1).
    """
    weight, index = _neighbours(given, asked, 5)
    x, y = values_at(scene.disparity, given)[index], 1 / given.z[index]
    mean_x = (weight * x).sum(axis=1)
    mean_y = (weight * y).sum(axis=1)
    off = x - mean_x[:, None]
    variance = (weight * off**2).sum(axis=1)
    covariance = (weight * off * (y - mean_y[:, None])).sum(axis=1)
    scale = np.where(variance > 1e-9, covariance / np.maximum(variance, 1e-9), 0)
    return _metres(mean_y + scale * (values_at(scene.disparity, asked) - mean_x), given)


CLASSICAL: dict[str, Way] = {
    "glob": global_fit,
    "idw": inverse_distance,
    "lin": linear,
    "knn": local_fit,
}
"""The ways to be better than."""


def ours(scene: Scene, given: SparsePoints, asked: SparsePoints) -> FloatArray:
    """The sparse scaler with local refinement; NaN where it knows nothing.

    Points fewer than are trusted by default are given with `min_points: 1`.
    """
    shape = scene.disparity.shape
    prediction = Prediction(scene.disparity, PredictionKind.RELATIVE_DISPARITY, shape)
    rgb = np.zeros((*shape, 3), np.uint8) if scene.rgb is None else scene.rgb
    frame = Frame(rgb, points=given)
    settings = FitSettings()
    if len(given) < settings.min_points:
        settings = FitSettings(min_points=1)
    scaled = LiveScaler([SparseSource(settings)]).scale(prediction, frame)
    if scaled.depth_m is None:
        return np.full(len(asked), np.nan)
    return values_at(scaled.depth_m, asked)


WAYS: dict[str, Way] = {**CLASSICAL, OURS: ours}
"""Every way, ours last."""


@dataclass(frozen=True)
class Mean:
    """Rows of one number of points.

    Attributes:
        absrel: Geometric mean of AbsRel by way.
        ratio: Mean of ours, relative to the best classical way of each row.
        worst: The largest of these ratios.
    """

    absrel: dict[str, float]
    ratio: float
    worst: float


def means(rows: Sequence[Row]) -> dict[int, Mean]:
    """Sum up rows.

    Args:
        rows: At least one.

    Returns:
        By number of points, in order.
    """
    return {
        count: mean([row for row in rows if row.count == count])
        for count in sorted({row.count for row in rows})
    }


def mean(rows: Sequence[Row]) -> Mean:
    """Sum up rows, whatever their numbers of points.

    Args:
        rows: At least one.
    """
    absrel = {
        way: float(np.exp(np.mean([np.log(max(row.absrel[way], 1e-9)) for row in rows])))
        for way in WAYS
    }
    ratios = [row.ratio for row in rows]
    return Mean(absrel, float(np.mean(ratios)), max(ratios))


def costs(scene: Scene, count: int, rounds: int = 3) -> dict[str, float]:
    """CPU time of every way for all pixels of a scene.

    Args:
        scene: Network and truth.
        count: Points given.
        rounds: The best of so many counts.

    Returns:
        Milliseconds by way.

    Raises:
        ValueError: The scene has too few points.
    """
    parts = scene.split(count, 0)
    if parts is None:
        raise ValueError(f"{scene.name} has {len(scene.truth)} points, {count} are too many")
    rows, columns = (each.ravel().astype(np.float64) for each in np.indices(scene.disparity.shape))
    everywhere = SparsePoints(columns, rows, np.ones_like(rows))
    found = {}
    for name, way in WAYS.items():
        taken = []
        for _ in range(rounds):
            start = time.process_time()
            way(scene, parts[0], everywhere)
            taken.append(time.process_time() - start)
        found[name] = 1000 * min(taken)
    return found


def scene_of(
    name: str, prediction: Prediction, depth_m: FloatImage, rgb: RgbImage | None = None
) -> Scene:
    """A scene of a real network and a true depth image.

    Args:
        name: What a table calls it.
        prediction: The network's answer; depth is taken as disparity, up to scale and shift.
        depth_m: HxW metres of the picture's size; NaN, 0 or infinite where unknown.
        rgb: The picture.
    """
    values = prediction.values
    disparity = values if prediction.kind.inverse else 1 / np.maximum(values, np.float32(1e-3))
    rows, columns = np.nonzero(np.isfinite(depth_m) & (depth_m > 0))
    z = depth_m[rows, columns].astype(np.float64)
    truth = SparsePoints(columns.astype(np.float64), rows.astype(np.float64), z)
    return Scene(name, disparity.astype(np.float32, copy=False), truth, rgb)


def compare(scene: Scene, count: int, seed: int) -> Row | None:
    """Score every way in one scene.

    Args:
        scene: Network and truth.
        count: Points given.
        seed: Of their choice.

    Returns:
        The scores, ours last, or None where the scene has too few points.
    """
    parts = scene.split(count, seed)
    return None if parts is None else score(scene, *parts, seed=seed)


def compare_pattern(scene: Scene, name: str) -> Row | None:
    """Score every way in one scene with the points that a sensor would give.

    Args:
        scene: Network and truth.
        name: Of PATTERNS.

    Returns:
        The scores, ours last, or None where the scene has too few points.
    """
    parts = scene.pattern(name)
    return None if parts is None else replace(score(scene, *parts), pattern=name)


def score(scene: Scene, given: SparsePoints, asked: SparsePoints, seed: int = 0) -> Row:
    """Score every way on points of one's own choice.

    Args:
        scene: Network and truth.
        given: Points the ways may use.
        asked: Points that are scored.
        seed: To report.

    Returns:
        The scores, ours last. A pixel without depth counts as an error of 100 %.
    """
    scores = {}
    for name, way in WAYS.items():
        error = np.abs(way(scene, given, asked) / asked.z - 1)
        scores[name] = float(np.where(np.isfinite(error), error, 1.0).mean())
    return Row(scene.name, len(given), seed, scores)


def synthetic_scenes(number: int = 4, height: int = 240, width: int = 320) -> Iterator[Scene]:
    """Rooms of planes and boxes in closed form, seen by a network that is off here and there.

    Args:
        number: How many.
        height: Rows.
        width: Columns.

    Yields:
        Scenes that are the same on every machine.
    """
    v, u = np.mgrid[0:height, 0:width] / width
    aspect = height / width
    for seed in range(number):
        rng = np.random.default_rng(seed)
        floor = np.maximum(v - 0.4 * aspect, 0) * rng.uniform(0.8, 1.4)
        wall = 0.12 + 0.15 * (rng.uniform(-1, 1) * (u - 0.5))
        inverse = np.maximum(floor, wall)
        for _ in range(5):
            left, top = rng.uniform(0, 0.8), rng.uniform(0.2, 0.6) * aspect
            box = (u > left) & (u < left + rng.uniform(0.05, 0.2)) & (v > top)
            box &= v < top + rng.uniform(0.1, 0.35)
            face = rng.uniform(0.2, 0.6) + rng.uniform(-0.3, 0.3) * (u - left)
            inverse = np.where(box, np.maximum(face, inverse), inverse)
        coarse = rng.standard_normal((5, 6)).astype(np.float32)
        wave = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        bent = inverse * np.exp(0.08 * wave) + 0.02 * np.sin(8 * inverse)
        blurred = cv2.GaussianBlur(bent.astype(np.float32), (0, 0), 1.5)
        disparity = 10 * blurred + 1 + 0.02 * rng.standard_normal(blurred.shape)
        rows, columns = np.divmod(np.arange(height * width), width)
        truth = SparsePoints(
            columns.astype(np.float64), rows.astype(np.float64), 1 / inverse.ravel()
        )
        yield Scene(f"room {seed}", disparity.astype(np.float32), truth)


def _neighbours(
    given: SparsePoints, asked: SparsePoints, count: int
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Weights by inverse distance (they sum to 1) and indices of the nearest points."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.c_[given.u, given.v])
    distance, index = tree.query(np.c_[asked.u, asked.v], k=np.arange(min(count, len(given))) + 1)
    weight = 1 / np.maximum(distance, 1e-6)
    return weight / weight.sum(axis=1, keepdims=True), index


def _metres(inverse: FloatArray, given: SparsePoints) -> FloatArray:
    """Metres, kept within half as far again as the range of the points."""
    return np.asarray(1 / np.clip(inverse, 1 / (1.5 * given.z.max()), 1.5 / given.z.min()))


def _on_lines(scene: Scene, lines: int) -> npt.NDArray[np.intp]:
    """Truth points on level lines, as beams of a LiDAR lie in an image, or on some of its beams."""
    if len(scene.truth) < _DENSE * scene.disparity.size:
        # Beams have about equal numbers of returns, one above the other.
        beam = np.argsort(np.argsort(scene.truth.v, kind="stable")) * _BEAMS // len(scene.truth)
        every = _BEAMS // lines
        return np.flatnonzero(beam % every == every // 2)
    low, high = np.quantile(scene.truth.v, _LINES)
    rows = np.rint(low + (high - low) * (np.arange(lines) + 0.5) / lines)
    off = np.abs(scene.truth.v[:, None] - rows)
    return np.flatnonzero((off <= _LINE_WIDTH / 2).any(axis=1))


def _on_grid(scene: Scene, columns: int, rows: int) -> npt.NDArray[np.intp]:
    """The truth point nearest to the middle of each cell that has one."""
    height, width = scene.disparity.shape
    u, v = scene.truth.u * columns / width, scene.truth.v * rows / height
    cell = np.minimum(v.astype(np.intp), rows - 1) * columns
    cell += np.minimum(u.astype(np.intp), columns - 1)
    off = np.maximum(np.abs(u % 1 - 0.5), np.abs(v % 1 - 0.5))
    order = np.lexsort((off, cell))
    return np.asarray(order[np.unique(cell[order], return_index=True)[1]])


def _in_the_middle(scene: Scene) -> npt.NDArray[np.intp]:
    """The truth point nearest to the middle of the image."""
    height, width = scene.disparity.shape
    off = np.hypot(scene.truth.u - (width - 1) / 2, scene.truth.v - (height - 1) / 2)
    return np.asarray([np.argmin(off)])


def _some(scene: Scene, count: int) -> npt.NDArray[np.intp]:
    """Random truth points."""
    return np.random.default_rng(0).permutation(len(scene.truth))[:count]


def _at_corners(scene: Scene) -> npt.NDArray[np.intp]:
    """The truth point at each corner of the image that has one near, as SLAM's map points."""
    from scipy.spatial import cKDTree

    if scene.rgb is None:
        return np.empty(0, np.intp)
    width = scene.rgb.shape[1]
    grey = cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2GRAY)
    corners = cv2.goodFeaturesToTrack(grey, _MOST_CORNERS, 0.01, max(3.0, width / 100))
    if corners is None:
        return np.empty(0, np.intp)
    tree = cKDTree(np.c_[scene.truth.u, scene.truth.v])
    off, index = tree.query(corners[:, 0])
    return np.unique(index[off <= _NEAR_CORNER * width])


PATTERNS: dict[str, Callable[[Scene], npt.NDArray[np.intp]]] = {
    "16 beams": partial(_on_lines, lines=16),
    "8 beams": partial(_on_lines, lines=8),
    "4 beams": partial(_on_lines, lines=4),
    "laser scan": partial(_on_lines, lines=1),
    "corners": _at_corners,
    "16x12 depth": partial(_on_grid, columns=16, rows=12),
    "7 points": partial(_some, count=7),
    "one range": _in_the_middle,
}
"""Which truth points a sensor would give."""


def _taken(points: SparsePoints, index: npt.NDArray[np.intp]) -> SparsePoints:
    return SparsePoints(points.u[index], points.v[index], points.z[index], points.source)
