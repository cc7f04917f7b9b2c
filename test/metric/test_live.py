from __future__ import annotations

import math
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from metric_scenes import (
    CAMERA,
    Array,
    frame,
    ground_plane,
    metric,
    plane_depth,
    relative,
    sample,
    spoiled,
    texture,
    wavy_depth,
)

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction, Quality, SparsePoints
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.fit import FitSettings, values_at
from depth_anything_ros.metric.fusion import MIN_POINTS
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.scene_cut import SceneCut
from depth_anything_ros.metric.source import Measurement, ScaleSource
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.metric.sources.ground import GroundPlaneSource
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.tracking import TrackingSettings

DEPTH = wavy_depth()
PREDICTION = relative(DEPTH, 0.05, 0.08)
POINTS = sample(DEPTH, 500)


def at(index: int, **fields: Any) -> Frame:
    return frame(DEPTH, stamp=1_000_000_000 + index * 100_000_000, **fields)


def picture(seed: int) -> Array:
    grey = texture(seed, 512)[: CAMERA.height, : CAMERA.width]
    return np.repeat(grey[..., None], 3, axis=2)


def test_points_become_metres() -> None:
    scaler = LiveScaler([SparseSource()])
    assert isinstance(scaler, MetricScaler) and scaler.name == "sparse"
    before = PREDICTION.values.copy()
    scaled = scaler.scale(PREDICTION, at(0, points=POINTS))
    assert scaled.depth_m is not None
    assert np.abs(scaled.depth_m / DEPTH - 1).max() < 1e-4
    assert np.array_equal(PREDICTION.values, before)
    assert scaled.state.inliers == 500 and scaled.state.inlier_share == 1.0
    assert scaled.state.reason == "500 of 500 points (lidar) agree"


def test_as_few_points_as_refine_correct_the_depth_around_them() -> None:
    bent = (DEPTH * np.exp(0.1 * np.sin(np.linspace(0, 9, CAMERA.width)))).astype(np.float32)
    for count, refined in ((MIN_POINTS, True), (MIN_POINTS - 1, False)):
        points = sample(DEPTH, count, seed=2)
        source = SparseSource(FitSettings(min_points=1))
        scaled = LiveScaler([source]).scale(relative(bent, 0.05, 0), at(0, points=points))
        assert scaled.depth_m is not None
        error = np.abs(np.log(values_at(scaled.depth_m, points) / points.z))
        assert (float(error.max()) < 0.01) is refined, error


def test_a_sensor_that_dies_and_comes_back() -> None:
    scaler = LiveScaler([SparseSource()], TrackingSettings(max_age=1.0))
    qualities = []
    for i in range(40):
        alive = i < 10 or i >= 30
        scaled = scaler.scale(PREDICTION, at(i, points=POINTS if alive else None))
        qualities.append(scaled.state.quality)
        assert (scaled.depth_m is None) == (scaled.state.quality is Quality.INVALID)
    assert qualities[:10] == [Quality.GOOD] * 10
    assert qualities[10:19] == [Quality.HELD] * 9
    assert qualities[20:30] == [Quality.INVALID] * 10
    assert qualities[30:] == [Quality.GOOD] * 10


def test_a_held_scale_is_less_sure_from_image_to_image() -> None:
    """What is in sight changes, and with it what a network's values mean."""
    scaler = LiveScaler([SparseSource()])
    relative_sigma = []
    for i in range(11):  # ten images a second
        scaled = scaler.scale(PREDICTION, at(i, points=POINTS if i == 0 else None))
        assert scaled.depth_m is not None and scaled.sigma_m is not None
        relative_sigma.append(float(np.median(scaled.sigma_m / scaled.depth_m)))
    assert relative_sigma[0] < 0.05
    assert relative_sigma[1] == pytest.approx(0.25 * 0.1**0.5, rel=0.3)
    assert relative_sigma[10] == pytest.approx(0.25, rel=0.1)


def test_held_frames_with_fresh_points_follow_them() -> None:
    """The scale jumps by a half: doubted, held, yet the points of the moment are followed."""
    scaler = LiveScaler([SparseSource()])
    for i in range(5):
        scaler.scale(PREDICTION, at(i, points=POINTS))
    farther = SparsePoints(POINTS.u, POINTS.v, 1.5 * POINTS.z, POINTS.source)
    scaled = scaler.scale(PREDICTION, at(5, points=farther))
    assert scaled.state.quality is Quality.HELD and scaled.depth_m is not None
    error = np.abs(scaled.depth_m / (1.5 * DEPTH) - 1)
    print(f"held, refined: off by {error.mean():.2%} on average, {error.max():.2%} at most")
    assert error.mean() < 0.01
    plain = LiveScaler([SparseSource()], refinement="none")
    for i in range(5):
        plain.scale(PREDICTION, at(i, points=POINTS))
    doubted = plain.scale(PREDICTION, at(5, points=farther))
    assert doubted.state.quality is Quality.INVALID and doubted.depth_m is None
    assert "changes depth by 50%; waiting for more; no points of this" in doubted.state.reason
    forever = LiveScaler([SparseSource()], TrackingSettings(max_age=math.inf), refinement="none")
    for i in range(5):
        forever.scale(PREDICTION, at(i, points=POINTS))
    held = forever.scale(PREDICTION, at(5, points=farther))
    assert held.depth_m is not None and np.abs(held.depth_m / DEPTH - 1).max() < 1e-3


def test_points_that_agreed_before_clear_the_extrinsics() -> None:
    scaler = LiveScaler([SparseSource()])
    upside_down = Prediction(1 - PREDICTION.values, PREDICTION.kind, PREDICTION.input_size)
    first = scaler.scale(upside_down, at(0, points=POINTS)).state.reason
    assert "likelier the extrinsics or the calibration are wrong" in first
    assert scaler.scale(PREDICTION, at(1, points=POINTS)).state.quality is Quality.GOOD
    later = scaler.scale(upside_down, at(2, points=POINTS)).state.reason
    assert "points agreed before, so likelier the network misreads this scene" in later
    scaler.reset()
    anew = scaler.scale(upside_down, at(3, points=POINTS)).state.reason
    assert "likelier the extrinsics" in anew


def test_a_network_that_sees_a_level_table_upside_down_does_not_cost_the_depth() -> None:
    """Depths that hardly differ: right points give depth between them from the first image on."""
    low, high = DEPTH.min(), DEPTH.max()
    table = 0.7 * 1.6 ** ((DEPTH - low) / (high - low))
    upside_down = Prediction(1 - PREDICTION.values, PREDICTION.kind, PREDICTION.input_size)
    right = sample(table, 500)
    for points, most in ((right, 0.02), (spoiled(right, 0.3), 0.1)):
        scaled = LiveScaler([SparseSource()]).scale(upside_down, at(0, points=points))
        assert scaled.state.quality is Quality.HELD
        assert "likelier the network misreads" in scaled.state.reason
        assert scaled.depth_m is not None
        known = np.isfinite(scaled.depth_m)
        assert known.mean() > 0.95
        assert np.abs(scaled.depth_m / table - 1)[known].mean() < most


def test_bad_points_end_in_a_reason_never_in_an_exception() -> None:
    scaler = LiveScaler([SparseSource()])
    nan = np.full(9, np.nan)
    for points in (
        SparsePoints(np.zeros(0), np.zeros(0), np.zeros(0)),
        SparsePoints(nan, nan, nan),
        SparsePoints(POINTS.u, POINTS.v, -POINTS.z),
        sample(DEPTH, 2),
    ):
        scaled = scaler.scale(PREDICTION, at(0, points=points))
        assert scaled.state.quality is Quality.INVALID and scaled.depth_m is None
        assert "points" in scaled.state.reason
        print(scaled.state.reason)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(60))
def test_whatever_a_sensor_delivers_metres_are_positive_or_unknown(seed: int) -> None:
    """Few points, all at one pixel, infinite, wild; networks that give nothing or a constant."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    points = sample(DEPTH, count, seed)
    z = points.z * np.exp(rng.choice([0.01, 0.3, 1.5]) * rng.standard_normal(count))
    z[: rng.choice([0, count // 2])] = np.inf
    u = points.u + rng.uniform(-0.5, 0.5, count) if seed % 7 else np.full(count, 5.0)
    prediction = PREDICTION if seed % 2 else metric(DEPTH, 1.3)
    values = prediction.values.copy()
    values[rng.random(values.shape) < rng.choice([0.0, 0.3, 1.0])] = rng.choice([np.nan, 0, 2.0])
    scaled = LiveScaler([SparseSource()]).scale(
        Prediction(values, prediction.kind, prediction.input_size),
        at(0, points=SparsePoints(u, points.v, z)),
    )
    if scaled.depth_m is None:
        assert scaled.state.quality is Quality.INVALID and scaled.state.reason
    else:
        known = scaled.depth_m[~np.isnan(scaled.depth_m)]
        assert np.isfinite(known).all() and (known > 0).all()


def test_time_that_jumps_back_starts_anew() -> None:
    scaler = LiveScaler([SparseSource()])
    for i in range(5):
        scaler.scale(PREDICTION, at(i, points=POINTS))
    assert scaler.scale(PREDICTION, at(4)).state.quality is Quality.HELD
    assert scaler.scale(PREDICTION, at(0)).state.quality is Quality.INVALID
    assert scaler.scale(PREDICTION, at(1, points=POINTS)).state.quality is Quality.GOOD


def test_a_scene_cut_starts_anew_at_once() -> None:
    scaler = LiveScaler([SparseSource()])
    for i in range(5):
        scaler.scale(PREDICTION, at(i, points=POINTS, rgb=picture(1)))
    other = relative(DEPTH, 0.1, 0.02)
    scaled = scaler.scale(other, at(5, points=POINTS, rgb=picture(2)))
    assert scaled.state.scale == pytest.approx(0.1, rel=1e-5)
    assert scaled.state.quality is Quality.GOOD
    assert scaler.scale(other, at(6, rgb=picture(3))).state.quality is Quality.INVALID


def test_a_moving_camera_is_no_scene_cut() -> None:
    image = picture(1)
    scene = SceneCut()
    assert not any(scene.happened(np.roll(image, 8 * i, axis=1)) for i in range(10))
    assert not scene.happened((np.roll(image, 80, axis=1) * 0.5).astype(np.uint8))
    assert scene.happened(picture(5))
    assert not scene.happened(np.zeros_like(image))


def test_real_unrelated_images_are_a_cut_and_real_motion_is_none(data_dir: Path) -> None:
    from real_frames import read_rgb

    scene = SceneCut()
    moving = [read_rgb(data_dir / "tum_kinect" / "color" / f"{i}.png") for i in range(3, 6)]
    assert not any(scene.happened(image) for image in moving)
    cuts = [
        read_rgb(data_dir / "kitti" / "image_2" / f"{name}.png") for name in ("000001", "000002")
    ]
    assert [scene.happened(image) for image in cuts] == [True, True]


def test_another_camera_starts_anew() -> None:
    scaler = LiveScaler([SparseSource()])
    scaler.scale(PREDICTION, at(0, points=POINTS))
    zoomed = Camera(320, 240, 400.0, 400.0, 159.5, 119.5)
    scaled = scaler.scale(PREDICTION, at(1, camera=zoomed))
    assert scaled.state.quality is Quality.INVALID


def auto() -> tuple[LiveScaler, Array, Prediction]:
    ground = ground_plane()
    depth = plane_depth(ground)
    sources: list[ScaleSource] = [SparseSource(), GroundPlaneSource(), FixedScaler(0.06, 0.03)]
    return LiveScaler(sources, switch_after=0.25), depth, relative(depth, 0.04, 0.03)


def test_auto_takes_the_best_source_says_why_and_changes_over_without_a_jump() -> None:
    scaler, depth, prediction = auto()
    assert scaler.name == "auto"
    points = sample(depth, 300)
    wrong = SparsePoints(points.u, points.v, points.z / 1.15)  # LiDAR and ground disagree
    frames = [
        frame(
            depth,
            stamp=1_000_000_000 + i * 100_000_000,
            points=wrong if i < 10 or i >= 40 else None,
            ground=ground_plane() if i < 25 or i >= 40 else None,
        )
        for i in range(60)
    ]
    answers = [scaler.scale(prediction, each) for each in frames]
    states = [answer.state for answer in answers]
    methods = [state.method for state in states]
    assert methods[:10] == ["sparse"] * 10 and methods[13:25] == ["ground_plane"] * 12
    assert methods[28:40] == ["fixed"] * 12 and methods[41:] == ["sparse"] * 19
    assert states[10].quality is Quality.HELD
    assert "sparse: no measured points" in states[15].reason
    assert "ground_plane: where the camera stands" in states[30].reason
    near = np.array([state.scale * 1.0 + state.shift for state in states])
    step = np.abs(np.diff(np.log(near))).max()
    print(f"largest change of scale between two frames: {step:.1%}")
    assert step < 0.05
    # The points' local correction must not jump either when they take over, whatever the scale.
    depths = [answer.depth_m for answer in answers[39:] if answer.depth_m is not None]
    assert len(depths) == 21
    steps = [np.log(later / earlier) for earlier, later in pairwise(depths)]
    jump = max(float(np.median(np.abs(each))) for each in steps)
    print(f"largest change of depth between two frames: {jump:.1%}")
    assert jump < 0.05
    # From the fixed scale straight to the points, which count from the first moment on.
    assert float(np.median(steps[1])) > 0.02
    assert min(float(np.median(each)) for each in steps) > -1e-3
    assert depths[-1] / depth == pytest.approx(1 / 1.15, rel=0.01)


def test_a_metric_network_is_its_own_last_resort() -> None:
    scaler = LiveScaler([SparseSource(), NetworkScaler()], switch_after=0.25)
    alone = scaler.scale(metric(DEPTH, 1.4), at(0)).state
    assert (alone.method, alone.scale, alone.quality) == ("network", 1.0, Quality.GOOD)
    assert "sparse: no measured points" in alone.reason
    for i in range(1, 20):
        state = scaler.scale(metric(DEPTH, 1.4), at(i, points=POINTS)).state
    assert (state.method, state.scale) == ("sparse", pytest.approx(1.4, rel=1e-5))


def test_save_load_freeze_and_reset(tmp_path: Path) -> None:
    scaler = LiveScaler([SparseSource()])
    scaler.scale(PREDICTION, at(0, points=POINTS))
    scaler.save(tmp_path / "scale.yaml")
    other = LiveScaler([SparseSource()])
    other.load(tmp_path / "scale.yaml")
    scaled = other.scale(PREDICTION, at(50))
    assert scaled.depth_m is not None and np.abs(scaled.depth_m / DEPTH - 1).max() < 1e-4
    doubled = SparsePoints(POINTS.u, POINTS.v, 2 * POINTS.z)
    assert other.scale(PREDICTION, at(51, points=doubled)).state.scale == pytest.approx(
        0.05, rel=1e-4
    )
    assert other.frozen
    other.freeze(False)
    assert not other.frozen
    other.freeze()
    assert other.frozen
    other.freeze(False)
    for i in range(52, 57):
        state = other.scale(PREDICTION, at(i, points=doubled)).state
    assert state.scale == pytest.approx(0.025, rel=1e-4)
    other.reset()
    assert other.scale(PREDICTION, at(58)).state.quality is Quality.INVALID


def test_metric_networks_are_scaled_in_depth() -> None:
    scaled = LiveScaler([SparseSource()]).scale(metric(DEPTH, 1.4), at(0, points=POINTS))
    assert (scaled.state.scale, scaled.state.shift) == (pytest.approx(1.4, rel=1e-5), 0.0)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(SettingError, match="refinement is 'lots'"):
        LiveScaler([SparseSource()], refinement="lots")
    with pytest.raises(SettingError, match="at least one source"):
        LiveScaler([])


class Saying:
    """A source that says what it is told to."""

    name = "saying"

    def __init__(self) -> None:
        self.scale = 2.0
        self.shift = 0.0

    def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
        return Measurement(self.name, "told", self.scale, self.shift)

    def reset(self) -> None:
        pass


@pytest.mark.parametrize(
    ("scale", "shift"),
    [(float("nan"), 0.0), (float("inf"), 0.0), (0.0, 0.0), (-1.0, 0.0), (1.0, float("nan"))],
)
def test_a_measurement_that_is_no_scale_poisons_nothing(scale: float, shift: float) -> None:
    depth = wavy_depth()
    source = Saying()
    scaler = LiveScaler([source])
    first = scaler.scale(metric(depth), frame(depth, stamp=10**9))
    assert first.state.quality is Quality.GOOD
    source.scale, source.shift = scale, shift
    held = scaler.scale(metric(depth), frame(depth, stamp=2 * 10**9))
    assert held.state.quality is Quality.HELD
    assert "gives no metres" in held.state.reason
    assert held.state.scale == pytest.approx(2.0)
    source.scale, source.shift = 2.0, 0.0
    healed = scaler.scale(metric(depth), frame(depth, stamp=3 * 10**9))
    assert healed.state.quality is Quality.GOOD


def test_a_scaler_is_operated_while_another_thread_measures(tmp_path: Path) -> None:
    depth = wavy_depth()
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Saying):
        def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
            entered.set()
            assert go_on.wait(10)
            return super().measure(prediction, frame)

    scaler = LiveScaler([Slow()])
    go_on.set()
    scaler.scale(metric(depth), frame(depth, stamp=10**9))
    entered.clear()
    go_on.clear()
    worker = threading.Thread(
        target=lambda: scaler.scale(metric(depth), frame(depth, stamp=2 * 10**9))
    )
    worker.start()
    assert entered.wait(10)
    began = time.perf_counter()
    scaler.freeze(True)
    scaler.save(tmp_path / "scale.yaml")
    scaler.reset()
    scaler.load(tmp_path / "scale.yaml")
    assert time.perf_counter() - began < 1.0
    go_on.set()
    worker.join(10)
    assert scaler.frozen


def noise_network() -> Prediction:
    """A network whose values have nothing to do with the scene."""
    values = np.random.default_rng(3).uniform(1, 2, DEPTH.shape).astype(np.float32)
    return Prediction(values, PREDICTION.kind, DEPTH.shape)


@pytest.mark.parametrize(("count", "seed", "other", "bar"), [(20, 3, 0, 0.03), (200, 0, 3, 0.005)])
def test_points_that_agree_give_depth_though_no_scale_fits(
    count: int, seed: int, other: int, bar: float
) -> None:
    inverse = np.linspace(0.1, 1.0, CAMERA.width)  # a wall from 1 m to 10 m
    depth = np.broadcast_to(1 / inverse, DEPTH.shape)
    # With these seeds the points do not agree with the network by chance.
    points = sample(depth, count, seed=seed)
    scaled = LiveScaler([SparseSource()]).scale(noise_network(), at(0, points=points))
    assert scaled.depth_m is not None and scaled.sigma_m is not None
    assert scaled.state.quality is Quality.HELD and math.isnan(scaled.state.scale)
    assert "interpolated between the points alone" in scaled.state.reason
    assert np.isfinite(scaled.depth_m).mean() > 0.99
    assert np.nanmean(np.abs(scaled.depth_m / depth - 1)) < bar
    unrefined = LiveScaler([SparseSource()], refinement="none")
    assert unrefined.scale(noise_network(), at(0, points=points)).depth_m is None
    shuffled = np.random.default_rng(other).permutation(points.z)  # they do not agree either
    scaled = LiveScaler([SparseSource()]).scale(
        noise_network(), at(0, points=SparsePoints(points.u, points.v, shuffled))
    )
    assert scaled.state.quality is Quality.INVALID and scaled.depth_m is None


def test_auto_measures_no_more_than_it_uses() -> None:
    """A worse source is not asked while a better one measures, nor before it may take over."""
    asked: list[str] = []

    class Counted(SparseSource):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
            asked.append(self.name)
            return super().measure(prediction, frame)

    class Silent(Counted):
        def measure(self, prediction: Prediction, frame: Frame) -> Measurement:
            silent = (frame.stamp - 1_000_000_000) // 100_000_000 >= 2
            return super().measure(prediction, frame if not silent else at(0))

    scaler = LiveScaler([Silent("sparse"), Counted("slam")], switch_after=0.5)
    for index in range(10):
        scaler.scale(PREDICTION, at(index, points=POINTS))
    # Frames 0 and 1 are measured, 0.5 s are waited for, then the second takes over.
    assert asked == ["sparse"] * 7 + ["sparse", "slam"] * 3
