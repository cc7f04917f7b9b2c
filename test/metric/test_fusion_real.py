"""Fusion beside the four classical ways on every real picture with true depth, two networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from real_depth import depth_frames
from real_frames import FastDepth, points_of_depth
from scipy.ndimage import distance_transform_edt

from depth_anything_ros.benchmark.fusion import OURS, Scene, compare, compare_pattern, ours
from depth_anything_ros.frames import Frame, Prediction, PredictionKind, SparsePoints
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, fit_points, values_at
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.sources.sparse import SparseSource, subset
from depth_anything_ros.metric.wrong_points import WrongPoints, wrong_points
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.training.sparse.networks import nearly_right

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def scenes(data_dir: Path) -> dict[str, list[Scene]]:
    """Scenes by network."""
    fastdepth = FastDepth(data_dir)
    embedded = make_estimator(ModelSettings("embedded", "cpu", "fp32")).estimator
    found: dict[str, list[Scene]] = {"fastdepth": [], "embedded": []}
    for frame in depth_frames(data_dir):
        truth = points_of_depth(frame.depth)
        (prediction,) = embedded.estimate([frame.rgb])
        found["embedded"].append(Scene(frame.name, prediction.values, truth, frame.rgb))
        found["fastdepth"].append(Scene(frame.name, fastdepth(frame.rgb).values, truth, frame.rgb))
    return found


def test_sigma_is_as_large_as_the_error(scenes: dict[str, list[Scene]]) -> None:
    """Over all pictures and networks, at pixels that were not given."""
    within = {}
    for count in (20, 1000):
        ratio = np.concatenate(
            [errors_in_sigma(scene, count) for each in scenes.values() for scene in each]
        )
        within[count] = [float(np.mean(ratio <= times)) for times in (1, 2)]
        print(f"N={count}: {within[count][0]:.1%} within sigma, {within[count][1]:.1%} within two")
    for one, two in within.values():
        assert 0.62 <= one <= 0.765
        assert two >= 0.865


@pytest.fixture(scope="module")
def nearly_right_scenes(data_dir: Path) -> list[Scene]:
    """Those with dense truth, as a network sees them that is nearly right."""
    found = []
    for number, frame in enumerate(depth_frames(data_dir)):
        if np.isfinite(frame.depth).mean() > 0.4:
            nearest = distance_transform_edt(
                ~np.isfinite(frame.depth), return_distances=False, return_indices=True
            )
            disparity = nearly_right(np.random.default_rng(number), frame.depth[tuple(nearest)])
            truth = points_of_depth(frame.depth)
            found.append(Scene(frame.name, disparity, truth, frame.rgb))
    assert len(found) >= 10
    return found


@pytest.mark.parametrize(
    ("given", "of_fit", "of_best"),
    [(100, 0.65, 0.9), (1000, 0.4, 0.93), ("16x12 depth", 0.5, 1.0), ("16 beams", 0.5, 0.9)],
)
def test_a_network_that_is_nearly_right_is_never_spoilt(
    nearly_right_scenes: list[Scene], given: int | str, of_fit: float, of_best: float
) -> None:
    found = []
    for scene in nearly_right_scenes:
        row = compare(scene, given, 0) if isinstance(given, int) else compare_pattern(scene, given)
        assert row is not None
        found.append((row.absrel[OURS] / row.absrel["glob"], row.ratio))
    mean, most = np.mean(found, axis=0), np.max(found, axis=0)
    print(f"{given}: {mean[0]:.2f} of the fit (most {most[0]:.2f}), {mean[1]:.2f} of the best way")
    assert mean[0] <= of_fit
    assert most[0] <= 1.02
    assert mean[1] <= of_best


@pytest.mark.parametrize(("factor", "most"), [(2.5, 1.4), (0.35, 1.1), (0.7, 1.6)])
def test_a_network_that_is_nearly_right_finds_most_wrong_places(
    nearly_right_scenes: list[Scene], factor: float, most: float
) -> None:
    errors = wrong_place_errors(nearly_right_scenes, 1000, factor)
    with_them, without = np.mean(errors, axis=0)
    print(f"times {factor}: {with_them / without:.2f} times the error without them")
    assert with_them / without <= most


def errors_in_sigma(scene: Scene, count: int) -> npt.NDArray[np.float64]:
    """|error| / sigma at points that were not given."""
    parts = scene.split(count, 0)
    if parts is None:
        return np.empty(0)
    given, asked = parts
    shape = scene.disparity.shape
    prediction = Prediction(scene.disparity, PredictionKind.RELATIVE_DISPARITY, shape)
    assert scene.rgb is not None
    frame = Frame(scene.rgb, points=given)
    scaled = LiveScaler([SparseSource()]).scale(prediction, frame)
    if scaled.depth_m is None or scaled.sigma_m is None:
        return np.empty(0)
    error = np.abs(values_at(scaled.depth_m, asked) - asked.z) / values_at(scaled.sigma_m, asked)
    return np.asarray(error[np.isfinite(error)])


def ratios(scenes: list[Scene], count: int) -> Iterator[float]:
    for scene in scenes:
        row = compare(scene, count, 0)
        if row is not None:
            print(scene.name, count, {way: round(value, 4) for way, value in row.absrel.items()})
            yield row.ratio


@pytest.mark.parametrize(
    ("network", "count", "bar"),
    [
        ("fastdepth", 20, 0.95),
        ("fastdepth", 100, 0.95),
        ("fastdepth", 1000, 0.96),
        ("fastdepth", 5000, 1.0),
        ("embedded", 20, 1.05),
        ("embedded", 100, 0.95),
        ("embedded", 1000, 0.97),
        ("embedded", 5000, 1.0),
    ],
)
def test_beside_the_best_classical_way(
    scenes: dict[str, list[Scene]], network: str, count: int, bar: float
) -> None:
    found = list(ratios(scenes[network], count))
    print(f"{network} N={count}: mean {np.mean(found):.3f} (bar {bar}), worst {max(found):.3f}")
    assert len(found) >= 20
    assert np.mean(found) <= bar


@pytest.mark.parametrize(
    ("network", "pattern", "bar", "worst"),
    [
        ("fastdepth", "7 points", 1.05, 1.6),
        ("embedded", "one range", 0.8, 1.4),
        ("fastdepth", "laser scan", 0.98, 1.85),
        ("embedded", "laser scan", 0.94, 1.65),
    ],
)
def test_few_points_are_never_far_from_the_best_classical_way(
    scenes: dict[str, list[Scene]], network: str, pattern: str, bar: float, worst: float
) -> None:
    rows = [compare_pattern(scene, pattern) for scene in scenes[network]]
    found = [row.ratio for row in rows if row is not None]
    print(f"{network}, {pattern}: mean {np.mean(found):.3f}, worst {max(found):.3f}")
    assert len(found) >= 20
    assert np.mean(found) <= bar
    assert max(found) <= worst


def found_wrong(scene: Scene, given: SparsePoints) -> WrongPoints | None:
    shape = scene.disparity.shape
    prediction = Prediction(scene.disparity, PredictionKind.RELATIVE_DISPARITY, shape)
    try:
        fit = fit_points(prediction, given, FitSettings())
    except UnmeasurableError:
        return None
    assert scene.rgb is not None
    fitted = fit.scale * values_at(scene.disparity, given) + fit.shift
    return wrong_points(given, fitted, scene.disparity, scene.rgb)


@pytest.mark.parametrize("count", [100, 1000])
def test_points_that_are_right_are_seldom_taken_for_wrong(
    scenes: dict[str, list[Scene]], count: int
) -> None:
    alone, together = [], []
    for each in scenes.values():
        for scene in each:
            parts = scene.split(count, 0)
            wrong = None if parts is None else found_wrong(scene, parts[0])
            if wrong is not None:
                alone.append(wrong.alone.mean())
                together.append(wrong.together.mean())
    print(f"{np.mean(alone):.2%} alone, {np.mean(together):.2%} together, most {max(together):.1%}")
    assert len(alone) > 40
    assert np.mean(alone) < 0.01
    assert np.mean(together) < 0.003


@pytest.mark.parametrize(
    ("count", "factor", "most"), [(100, 2.5, 1.45), (100, 0.35, 1.35), (1000, 0.35, 1.35)]
)
def test_a_wrong_place_is_mostly_not_followed(
    scenes: dict[str, list[Scene]], count: int, factor: float, most: float
) -> None:
    some = [scene for each in scenes.values() for scene in each[::2]]
    errors = wrong_place_errors(some, count, factor)
    with_them, without = np.mean(errors, axis=0)
    print(f"{count} points, times {factor}: {with_them / without:.2f} times the error without them")
    assert len(errors) >= 20
    assert with_them < most * without


def wrong_place_errors(
    scenes: list[Scene], count: int, factor: float
) -> list[tuple[np.floating, np.floating]]:
    """AbsRel with a tenth of the points wrong, those nearest to one of them; and without them."""
    errors = []
    for scene in scenes:
        parts = scene.split(count, 0)
        if parts is None:
            continue
        given, asked = parts
        asked = subset(asked, np.arange(len(asked)) < 2_000)
        near = np.maximum(np.abs(given.u - given.u[0]), np.abs(given.v - given.v[0]))
        place = np.isin(np.arange(count), np.argsort(near)[: count // 10])
        z = np.where(place, given.z * factor, given.z)
        pair = (SparsePoints(given.u, given.v, z), subset(given, ~place))
        with_them, without = (
            np.nanmean(np.abs(ours(scene, points, asked) / asked.z - 1)) for points in pair
        )
        errors.append((with_them, without))
    return errors
