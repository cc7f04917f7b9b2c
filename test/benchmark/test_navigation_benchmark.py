"""What Nav2 sees of depth: the benchmark on a short drive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from bench_command import bench

from depth_anything_ros.benchmark.navigation import (
    Drive,
    Score,
    Told,
    View,
    answers,
    frames,
    navigate,
    record,
)
from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind, RgbImage
from depth_anything_ros.geometry.camera import ray_table
from depth_anything_ros.inference import selection
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.metric.corner_depths import CornerTracks
from depth_anything_ros.metric.ground_odometry import GroundOdometry
from depth_anything_ros.metric.recent_depth import RecentDepth
from depth_anything_ros.metric.sources.ground import inverse_ground_depth
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ModelSettings

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def drive() -> Drive:
    return record("room", 2, 1.5, 2.0)


class BentDepth(ConstantEstimator):
    """Sees the drive's true depth in relative disparity, bent by a smooth wave of 12 %."""

    def __init__(self, drive: Drive, wave: float = 0.12) -> None:
        super().__init__(0.0)
        self._ticks = iter(drive.ticks)
        self._wave = wave

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        return [self._bent(next(self._ticks).depth_m) for _ in images]

    def _bent(self, depth_m: np.ndarray) -> Prediction:
        height, width = depth_m.shape
        v, u = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        values = 3 / depth_m * np.exp(self._wave * np.sin(9 * v + 5 * u))
        kind = PredictionKind.RELATIVE_DISPARITY
        return Prediction(values.astype(np.float32), kind, depth_m.shape)


class UnsteadyDepth(BentDepth):
    """Sees what is above the floor too near, too, by 30 % in every fourth image."""

    def __init__(self, drive: Drive) -> None:
        super().__init__(drive, 0.04)
        self._drive = drive
        self._count = 0

    def _bent(self, depth_m: np.ndarray) -> Prediction:
        prediction = super()._bent(depth_m)
        self._count += 1
        if self._count % 4:
            return prediction
        plane = inverse_ground_depth(self._drive.camera, self._drive.ground)
        raised = 1 - depth_m * plane > 0.15
        values = np.where(raised, np.float32(1.4), np.float32(1)) * prediction.values
        return replace(prediction, values=values)


def shares(score: Score) -> dict[str, float]:
    found = score.percentages()
    print({name: round(value, 1) for name, value in found.items() if value is not None})
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("ground_fusion", [False, True])
def test_true_depth_marks_what_is_there(drive: Drive, ground_fusion: bool) -> None:
    found = shares(navigate(drive, answers(drive, None, "ground plane", ground_fusion)))
    assert found["right"] > 99
    assert found["exact"] > 99
    assert found["found"] > 90
    assert found["found_exact"] > 80
    assert found["phantom"] < 0.1


def test_ground_fusion_clears_the_floor_of_phantoms(drive: Drive) -> None:
    info = ModelInfo("bent", "none", "none", PredictionKind.RELATIVE_DISPARITY)
    network = LoadedModel(BentDepth(drive), info)
    before = shares(navigate(drive, answers(drive, network, "ground plane", False)))
    network = LoadedModel(BentDepth(drive), info)
    after = shares(navigate(drive, answers(drive, network, "ground plane")))
    assert before["phantom"] > 10
    assert after["phantom"] < 0.3 * before["phantom"]
    assert after["right"] > before["right"]


@pytest.mark.parametrize("wave", [0.0, 0.01])
def test_the_ground_does_not_spoil_a_network_that_is_nearly_exact(wave: float) -> None:
    drive = record("room", 102, 12.0, 1.0)
    info = ModelInfo("exact", "none", "none", PredictionKind.RELATIVE_DISPARITY)
    before, after = (
        shares(
            navigate(
                drive,
                answers(drive, LoadedModel(BentDepth(drive, wave), info), "ground plane", fused),
            )
        )
        for fused in (False, True)
    )
    assert after["found"] > before["found"] - 1
    assert after["found_exact"] > before["found_exact"] - 1
    assert after["right"] > 99
    assert after["exact"] > 92
    assert after["phantom"] < 0.2


def test_a_bent_network_with_a_lidar_meets_the_bars(drive: Drive) -> None:
    """Nine marks of ten are right and obstacles found, while 2 % of the floor is marked at most."""
    info = ModelInfo("bent", "none", "none", PredictionKind.RELATIVE_DISPARITY)
    network = LoadedModel(BentDepth(drive), info)
    after = shares(navigate(drive, answers(drive, network, "lidar")))
    assert after["right"] > 90
    assert after["found"] > 90
    assert after["phantom"] < 2


def test_the_embedded_network_with_a_lidar_alone_meets_the_bars() -> None:
    """The ground is what the LiDAR shows of it; its lowest beam seldom meets it in this picture."""
    drive = record("room", 201, 24.0, 1.0)
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    found = shares(navigate(drive, answers(drive, network, "lidar alone")))
    assert found["right"] > 95
    assert found["found"] > 95
    assert found["phantom"] < 1


@pytest.mark.parametrize(("source", "least_found"), [("laser", 80), ("laser alone", 50)])
def test_the_embedded_network_with_a_laser_scanner_marks_rightly(
    source: str, least_found: int
) -> None:
    """Its plane is not the ground, and what it does not see is not as sure as what it sees."""
    drive = record("room", 201, 8.0, 5.0)
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    found = shares(navigate(drive, answers(drive, network, source)))
    print(source, found)
    assert found["right"] > 85
    assert found["found"] > least_found
    assert found["phantom"] < 2


def test_a_laser_scanner_does_not_take_away_what_the_ground_shows() -> None:
    """In a street of kerbs, lower than its plane; what it measures is far."""
    drive = record("street", 1, 10.0, 5.0)
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    found = shares(navigate(drive, answers(drive, network, "laser")))
    assert found["found"] > 95
    assert found["found_exact"] > 70
    assert found["phantom"] < 1


def test_points_above_the_ground_do_not_take_away_what_it_shows() -> None:
    """As of a LiDAR that looks up, or a map of house fronts: many, but none tells of the kerbs."""
    drive = record("street", 1, 10.0, 5.0)
    x, y = np.broadcast_arrays(*ray_table(drive.camera))
    rows = np.s_[6:120:10, 5::10]

    def front(depth_m: FloatImage) -> FloatImage:
        points = np.stack([x * depth_m, y * depth_m, depth_m], axis=-1)[rows].reshape(-1, 3)
        return points[np.isfinite(points).all(axis=1)].astype(np.float32)

    ticks = [replace(tick, lidar=front(tick.depth_m)) for tick in drive.ticks]
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    drive = replace(drive, ticks=ticks)
    found = shares(navigate(drive, answers(drive, network, "lidar")))
    assert found["found"] > 90
    assert found["phantom"] < 1


def test_a_camera_that_looks_down_with_a_lidar_above_what_it_sees_meets_the_bars() -> None:
    """The LiDAR's lowest beam leaves the lower two thirds of the picture without a point."""
    drive = record("room", 201, 8.0, 5.0, View(height=0.5, pitch_deg=25.0))
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    found = shares(navigate(drive, answers(drive, network, "lidar")))
    assert found["right"] > 90
    assert found["found"] > 90
    assert found["phantom"] < 1.5


def test_a_higher_camera_that_looks_down_sees_true_depth_all_the_same() -> None:
    drive = record("room", 2, 1.5, 2.0, View(height=1.0, pitch_deg=30.0, hfov_deg=90.0))
    assert drive.ground.offset == pytest.approx(1.0)
    assert drive.ground.normal == pytest.approx((0.0, -0.866, -0.5), abs=1e-3)
    found = shares(navigate(drive, answers(drive, None, "ground plane")))
    assert found["right"] > 99
    assert found["found"] > 90
    assert found["phantom"] < 0.1


def test_the_embedded_network_on_the_ground_plane_alone_meets_the_bars() -> None:
    """Eight marks of ten are right and seven obstacles of ten found, almost no floor is marked."""
    drive = record("room", 4, 12.0, 1.0)
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    before, after = (
        shares(navigate(drive, answers(drive, network, "ground plane", fused)))
        for fused in (False, True)
    )
    assert before["phantom"] > 5
    assert after["right"] > 90
    assert after["found"] > 82
    assert after["phantom"] < 1


def test_what_disagrees_with_a_moment_ago_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A costmap keeps what single images tell it, and at five a second there are many."""
    drive = record("room", 2, 4.0, 5.0)
    info = ModelInfo("unsteady", "none", "none", PredictionKind.RELATIVE_DISPARITY)
    network = LoadedModel(UnsteadyDepth(drive), info)
    after = shares(navigate(drive, answers(drive, network, "ground plane")))
    monkeypatch.setattr(RecentDepth, "doubted", lambda self, depth, sigma, frame, still: sigma)
    network = LoadedModel(UnsteadyDepth(drive), info)
    before = shares(navigate(drive, answers(drive, network, "ground plane")))
    # Much of it stands off its foot, and is doubted in a single image, too.
    assert after["right"] > before["right"] + 0.5
    assert after["found"] > before["found"] - 7
    assert after["phantom"] < 0.75 * before["phantom"]


def test_a_low_camera_finds_what_its_motion_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its feet are a few rows below the horizon; corners of what stands move by many pixels."""
    drive = record("room", 4, 6.0, 5.0, View(height=0.3))
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    after = shares(navigate(drive, answers(drive, network, "ground plane")))
    monkeypatch.setattr(CornerTracks, "measure", lambda self, frame, depth_m: None)
    before = shares(navigate(drive, answers(drive, network, "ground plane")))
    assert after["found"] > before["found"] + 20
    assert after["right"] > 90
    assert after["phantom"] < 1


def test_a_robot_without_odometry_finds_what_its_motion_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ground tells how it moved."""
    drive = record("room", 4, 6.0, 5.0)
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    told = Told(odometry=False)
    after = shares(navigate(drive, answers(drive, network, "ground plane", told=told)))
    monkeypatch.setattr(GroundOdometry, "locate", lambda self, frame, ground: frame)
    before = shares(navigate(drive, answers(drive, network, "ground plane", told=told)))
    assert after["found"] > before["found"] + 8
    assert after["right"] > 97
    assert after["phantom"] < 0.5


def test_a_wrong_mount_is_told() -> None:
    drive = record("room", 4, 0.2, 5.0)
    ground = Told(height_error=0.1, pitch_error_deg=2.0).ground(drive.ground)
    assert ground.offset == pytest.approx(1.1 * drive.ground.offset)
    assert ground.normal[2] == pytest.approx(-np.sin(np.radians(2.0)), abs=1e-6)


def test_odometry_that_trembles_and_exposure_that_changes_are_told() -> None:
    drive = record("room", 4, 1.0, 10.0)
    exact = list(frames(drive, "ground plane"))
    other = list(frames(drive, "ground plane", Told(odometry_noise_mm=10, exposure_noise=0.1)))
    off: list[float] = []
    turned: list[float] = []
    brighter: list[float] = []
    for frame, wrong, tick in zip(exact, other, drive.ticks, strict=True):
        assert frame.pose is not None and wrong.pose is not None
        np.testing.assert_array_equal(frame.rgb, tick.rgb)
        np.testing.assert_array_equal(frame.pose, tick.pose)
        step = np.linalg.inv(frame.pose) @ wrong.pose
        off.extend(1e3 * step[:3, 3])
        turned.extend(np.degrees(cv2.Rodrigues(step[:3, :3])[0]).ravel())
        brighter.append(np.log(wrong.rgb.mean() / frame.rgb.mean()))
    assert np.std(off) == pytest.approx(10, rel=0.4)
    assert np.std(turned) == pytest.approx(0.2, rel=0.4)
    assert 0.04 < np.std(brighter) < 0.2


def test_lamps_that_flicker_light_some_rows_more() -> None:
    drive = record("room", 4, 1.0, 4.0)
    for frame, tick in zip(
        frames(drive, "ground plane", Told(flicker=0.1)), drive.ticks, strict=True
    ):
        brighter = np.median(frame.rgb / np.maximum(tick.rgb, 1.0), axis=(1, 2))
        assert brighter.max() == pytest.approx(1.1, abs=0.02)
        assert brighter.min() == pytest.approx(0.9, abs=0.02)
        assert np.abs(np.diff(brighter)).max() < 0.02


def test_what_motion_shows_stands_trembling_odometry_and_exposure() -> None:
    drive = record("room", 4, 6.0, 5.0)
    network = selection.make_estimator(ModelSettings("embedded", "cpu", "fp32"))
    told = Told(odometry_noise_mm=10, exposure_noise=0.1)
    exact = shares(navigate(drive, answers(drive, network, "ground plane")))
    other = shares(navigate(drive, answers(drive, network, "ground plane", told=told)))
    print(exact, other)
    assert other["found"] > exact["found"] - 5
    assert other["right"] > 95
    assert other["phantom"] < 2


def test_kerbs_nearer_than_a_lidar_looks_are_found() -> None:
    """Of a street of kerbs, with a network that bends the road by as much as they are high."""
    drive = record("street", 1, 14.0, 1.0)
    drive = replace(drive, ticks=drive.ticks[8:])
    info = ModelInfo("bent", "none", "none", PredictionKind.RELATIVE_DISPARITY)
    before, after = (
        shares(navigate(drive, answers(drive, LoadedModel(BentDepth(drive), info), "lidar", fused)))
        for fused in (False, True)
    )
    assert before["found_exact"] < 70
    assert after["found_exact"] > 90
    assert after["found"] > 95
    assert after["right"] > 90
    assert after["phantom"] < 2


def test_scores_add_up() -> None:
    one = Score(marked=4, right=3, seen=10, found=5)
    both = one + replace(one, right=1)
    assert both.percentages()["right"] == 50.0
    assert both.percentages()["found"] == 50.0
    assert both.percentages()["phantom"] is None


def test_worlds_without_level_ground_are_refused() -> None:
    with pytest.raises(SettingError, match="world is 'nature'"):
        record("nature", 0, 1.0, 1.0)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = ModelInfo("flat", "none", "none", PredictionKind.METRIC_DEPTH)
    flat = LoadedModel(ConstantEstimator(0.0), info)
    monkeypatch.setattr(selection, "make_estimator", lambda settings: flat)
    path = tmp_path / "report.json"
    arguments = ["--world", "room", "--source", "lidar", "--seconds", "0.5", "--rate", "2"]
    arguments += ["--camera-height", "1", "--camera-pitch", "20", "--hfov", "90"]
    arguments += ["--no-odometry", "--height-error", "5", "--pitch-error", "1"]
    arguments += ["--odometry-noise", "5", "--exposure-noise", "10", "--flicker", "5"]
    printed = bench("navigation", *arguments, "--json", path)
    assert "truth" in printed
    report = json.loads(path.read_text())
    assert [row["network"] for row in report["rows"]] == ["truth", "embedded"]
    assert report["rows"][0]["right"] == 100.0
    assert report["ground_fusion"] is True
    assert report["camera_pitch"] == 20.0
