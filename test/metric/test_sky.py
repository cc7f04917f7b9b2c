"""Sky: infinitely far where it is seen, and nowhere else; never a number of kilometres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from real_depth import depth_frames
from real_frames import Array, read_rgb

import depth_anything_ros as da
from depth_anything_ros.frames import (
    Frame,
    Prediction,
    PredictionKind,
    Quality,
    RgbImage,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.metric.fit import FitSettings
from depth_anything_ros.metric.sky import sky_seen
from depth_anything_ros.metric.sources.fixed import FixedScaler
from depth_anything_ros.metric.sources.sparse import measure_points
from depth_anything_ros.pipeline import Pipeline
from depth_anything_ros.synthetic.robot import Robot

CAMERA = Camera.from_hfov(320, 240, 70.0)
DISPARITY = PredictionKind.RELATIVE_DISPARITY


class Saturated:
    """A network that is right but gives 0 from 40 m on, as networks that end in a ReLU do."""

    device, precision, backend = "cpu", "fp32", "toy"
    kind = DISPARITY

    def __init__(self, depth: Array) -> None:
        self._depth = depth

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        values = np.maximum(1 / self._depth - 1 / 40, 0).astype(np.float32)
        return [Prediction(values, DISPARITY, values.shape) for _ in images]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        pass


@pytest.fixture(scope="module")
def street() -> list[tuple[RgbImage, Array]]:
    robot = Robot("street", 100, {"camera": CAMERA})
    return [robot.photograph("camera", metres) for metres in (11.0, 16.0, 22.0)]


@pytest.mark.parametrize("shift", [-0.03, 0.0, 0.02])
def test_sky_of_a_street_is_infinitely_far(
    street: list[tuple[RgbImage, Array]], shift: float
) -> None:
    found = sky = false = 0
    for rgb, truth in street:
        pipeline = Pipeline(Saturated(truth), FixedScaler(1.0, shift), ground_fusion=False)
        answer = pipeline.process(Frame(rgb, camera=CAMERA))
        depth = answer.depth_m
        assert depth is not None and answer.sigma_m is not None
        far = np.isposinf(depth)
        found += int((far & np.isinf(truth)).sum())
        sky += int(np.isinf(truth).sum())
        false += int((far & (truth < 40)).sum())
        behind = answer.prediction.values + shift <= 0
        assert np.isnan(depth[behind & ~far]).all()
        assert depth[np.isfinite(depth)].max() < 1000
        assert np.isnan(answer.sigma_m[far]).all()
        cloud = build_cloud(depth, CAMERA, organized=False)
        assert len(cloud.xyz) == np.isfinite(depth).sum()
        assert np.isfinite(cloud.xyz).all()
    print(f"shift {shift}: {found / sky:.1%} of the sky found, {false} pixels nearer than 40 m")
    assert sky > 20_000
    assert found / sky > 0.87
    assert false < 0.001 * sky


def seen(
    rgb: RgbImage, values: Array, shift: float, points: SparsePoints | None = None
) -> Array | None:
    state = ScaleState("fixed", Quality.GOOD, "given", 0.01, shift)
    return sky_seen(Prediction(values, DISPARITY, values.shape), Frame(rgb, points=points), state)


def picture() -> tuple[RgbImage, Array]:
    """A bright, even upper third over dark ground that gets nearer downwards."""
    rgb = np.full((240, 320, 3), 60, np.uint8)
    rgb[:80] = (150, 180, 220)
    values = np.zeros((240, 320), np.float32)
    values[80:] = np.linspace(5, 60, 160)[:, None]
    return rgb, values


def test_only_what_is_far_even_bright_and_not_reddish_is_sky() -> None:
    rgb, values = picture()
    sky = seen(rgb, values, 0.0)
    assert sky is not None and sky[:74].all() and not sky[80:].any()
    assert seen(rgb, values, 0.2) is None, "a wall in 5 m"
    red, dark, uneven, inside = (rgb.copy() for _ in range(4))
    red[:80] = (200, 150, 120)
    dark[:80] = 30
    uneven[:80] = np.random.default_rng(0).integers(100, 255, (80, 320, 1), np.uint8)
    assert seen(red, values, 0.0) is None
    assert seen(dark, values, 0.0) is None
    assert seen(uneven, values, 0.0) is None
    walled = values.copy()
    walled[:20] = 10
    assert seen(inside, walled, 0.0) is None, "it does not reach the top"


def test_measured_points_are_no_sky() -> None:
    rgb, values = picture()
    five = np.arange(5.0)
    hit = SparsePoints(100 + 20 * five, 30 + 5 * five, np.full(5, 30.0))
    assert seen(rgb, values, 0.0, hit) is None
    below = replace(hit, v=200 + five)
    assert seen(rgb, values, 0.0, below) is not None


def test_what_the_network_says_of_the_sky_stands() -> None:
    rgb, values = picture()
    own = np.zeros(values.shape, bool)
    state = ScaleState("fixed", Quality.GOOD, "given", 0.01, 0.0)
    depth = Prediction(values, PredictionKind.METRIC_DEPTH, values.shape)
    assert sky_seen(replace(depth, sky=own), Frame(rgb), state) is own
    assert sky_seen(depth, Frame(rgb), state) is None


@pytest.mark.data
def test_sky_of_photographs_and_of_scenes_measured_by_lidar(data_dir: Path) -> None:
    network = da.load("embedded").estimator

    def sky_of(rgb: RgbImage, points: SparsePoints | None = None) -> Array:
        (prediction,) = network.estimate([rgb])
        scale, shift = 1 / (2 * float(np.percentile(prediction.values, 98))), 0.0
        if points is not None:
            measured = measure_points(prediction, points, FitSettings(), "sparse")
            scale, shift = measured.scale, measured.shift
        state = ScaleState("sparse", Quality.GOOD, "", scale, shift)
        sky = sky_seen(prediction, Frame(rgb), state)
        return np.zeros(rgb.shape[:2], bool) if sky is None else sky

    street = np.asarray(
        cv2.resize(read_rgb(data_dir / "photos" / "demo01.jpg"), (900, 600)), np.uint8
    )
    sky = sky_of(street)
    assert 0.25 < sky.mean() < 0.4
    assert not sky[350:].any()
    for real in depth_frames(data_dir):
        if real.name.split()[0] not in ("tum_kinect", "kitti") and real.name[-1] != "0":
            continue
        v, u = np.nonzero(np.isfinite(real.depth))
        points = SparsePoints(u.astype(float), v.astype(float), real.depth[v, u])
        sky = sky_of(real.rgb, points)
        hit = float(np.mean(sky[v, u]))
        print(f"{real.name}: sky {sky.mean():.1%}, {hit:.3%} of the measured points in it")
        assert hit < 0.005  # trees between whose leaves sky is seen
        if real.name.startswith("tum"):
            assert not sky.any()
