"""Metres from several views: exact depth in a unit of its own, and poses from a robot's odometry.

The network is a stand-in that answers true depth and true poses in a unit that is another one for
every image: what is left to be wrong are the keyframes and the scale.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import (
    DepthFrame,
    FloatArray,
    FloatImage,
    Frame,
    Keyframe,
    Prediction,
    PredictionKind,
    Quality,
    RgbImage,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.view_window import ViewWindow
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.metric.sources.views import ViewsSource, estimated_pose
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.pipeline import DepthRequest, process_batch
from depth_anything_ros.settings import ScalerSettings
from depth_anything_ros.synthetic.robot import Robot

CAMERA = Camera.from_hfov(32, 24, 80)
RATE, SPEED = 10, 0.6  # images and metres per second
TICKS = 3  # steps of odometry per image
INFO = ModelInfo("stand-in", "vits", "v3", PredictionKind.RELATIVE_DEPTH, window=5)


class StandIn:
    """Knows the truth of every image, and tells it in units of its own."""

    kind = PredictionKind.RELATIVE_DEPTH
    device, precision, backend, window = "cpu", "fp32", "none", 5

    def __init__(self, pose_error: float = 0.0) -> None:
        self.truth: dict[int, tuple[FloatImage, FloatArray]] = {}
        self.pose_error = pose_error  # of its positions, as a share of their spread
        self._rng = np.random.default_rng(7)

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        return [Prediction(np.ones((24, 32), np.float32), self.kind, (24, 32)) for _ in images]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """It is always warm."""

    def estimate_views(self, frame: Frame) -> Prediction:
        unit = float(np.exp(self._rng.normal(0, 1)))
        depth, _ = self.truth[frame.stamp]
        stamps = [frame.stamp, *(each.stamp for each in frame.keyframes)]
        world = np.eye(4)
        world[:3, :3] = Rotation.random(random_state=int(self._rng.integers(1 << 30))).as_matrix()
        world[:3, 3] = self._rng.normal(0, 5, 3)
        poses = world @ np.array([self.truth[stamp][1] for stamp in stamps])
        spread = np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0))
        poses[:, :3, 3] += self._rng.normal(0, self.pose_error * spread, (len(poses), 3))
        poses[:, :3, 3] *= unit
        values = np.asarray(depth * unit, np.float32)
        kind = PredictionKind.DEPTH_UP_TO_SCALE
        return Prediction(values, kind, depth.shape, poses=poses)


@dataclass(frozen=True)
class Step:
    """A moment of a drive: metres driven, and whether odometry and camera are alive."""

    distance: float
    odometry: bool = True
    camera: bool = True


def schedule() -> list[Step]:
    """Twenty seconds of driving with a stop, lost odometry and a lost camera."""
    steps, distance = [], 0.0
    for index in range(20 * RATE):
        second = index / RATE
        stands = second < 1 or 5 <= second < 7
        distance += 0.0 if stands else SPEED / RATE
        steps.append(Step(distance, not 9 <= second < 12, not 14 <= second < 16))
    return steps


def odometry(poses: FloatArray, noise: float, seed: int) -> FloatArray:
    """What wheels tell of true poses: every step's way and turn wrong by a share, and summed up."""
    rng = np.random.default_rng(seed)
    told = [np.eye(4)]
    for before, after in itertools.pairwise(poses):
        step = np.linalg.inv(before) @ after
        turn = Rotation.from_matrix(step[:3, :3]).as_rotvec() * (1 + noise * rng.standard_normal())
        step[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
        step[:3, 3] *= 1 + noise * rng.standard_normal()
        told.append(told[-1] @ step)
    return np.array(told)


@functools.cache
def robot_in(kind: str, seed: int) -> Robot:
    return Robot(kind, seed, {"": CAMERA})


def drive(
    kind: str, seed: int, noise: float, scaler: LiveScaler, network: StandIn
) -> tuple[list[Step], list[DepthFrame | None], list[float]]:
    """A robot's drive: its steps, answers and by how much their metres are off in the median."""
    robot = robot_in(kind, seed)
    steps = schedule()
    placed = robot.base_camera[""]
    ticks = np.arange(TICKS * len(steps)) / TICKS
    distances = np.interp(ticks, np.arange(len(steps)), [step.distance for step in steps])
    told = odometry(np.array([robot.pose(each) for each in distances]), noise, seed)[::TICKS]
    window = ViewWindow(5)
    answers: list[DepthFrame | None] = []
    errors = []
    rgb = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for index, step in enumerate(steps):
        if not step.camera:
            answers.append(None)
            errors.append(np.nan)
            continue
        stamp = 1_000_000_000 + round(index / RATE * 1e9)
        if index % 10 == 0 or not steps[index - 1].camera:  # its unit matters here, not the picture
            _, depth = robot.photograph("", step.distance, coloured=False)
        network.truth[stamp] = depth, robot.pose(step.distance) @ placed
        pose = told[index] @ placed if step.odometry else None
        frame = window.complete(Frame(rgb, stamp, "optical", CAMERA, pose=pose))
        (answer,) = process_batch(network, [DepthRequest(frame, scaler)])
        answers.append(answer)
        if answer.depth_m is None:
            errors.append(np.nan)
            continue
        known = np.isfinite(depth) & np.isfinite(answer.depth_m)
        errors.append(float(np.median(np.abs(answer.depth_m[known] / depth[known] - 1))))
    return steps, answers, errors


def make_views_scaler() -> LiveScaler:
    scaler = make_scaler(ScalerSettings("views"), INFO)
    assert isinstance(scaler, LiveScaler)
    return scaler


@pytest.mark.parametrize(("kind", "seed"), [("room", 1), ("street", 2)])
def test_metres_of_a_driving_robot(kind: str, seed: int) -> None:
    steps, answers, errors = drive(kind, seed, 0.02, make_views_scaler(), StandIn())
    states = [None if each is None else each.scale_state for each in answers]
    good = [state is not None and state.quality is Quality.GOOD for state in states]
    known = np.array(errors)[good]
    share = np.mean(good)
    print(
        f"\n{kind}: metres in {share:.0%} of the moments, median off by {np.median(known):.2%}, "
        f"95 % by {np.quantile(known, 0.95):.2%}, worst {known.max():.2%}"
    )
    assert not any(state is not None and state.quality is Quality.HELD for state in states)
    assert known.max() < 0.01
    first = states[RATE // 2]
    assert first is not None and first.quality is Quality.INVALID
    assert "has not moved enough" in first.reason
    standing, lost = 6 * RATE, round(11.5 * RATE)
    found = round((12 + 0.3 / SPEED + 0.2) * RATE)  # keyframes 0.3 m apart after the loss
    assert good[standing] and good[9 * RATE + 2]  # keyframes are there still
    without = states[lost]
    assert without is not None and "no odometry" in without.reason
    assert not good[lost] and good[found]
    after = 16 * RATE
    assert not steps[after - 1].camera and good[after + RATE]


def test_estimated_poses_that_are_a_little_wrong_move_the_metres_a_little() -> None:
    _, _, errors = drive("room", 1, 0.02, make_views_scaler(), StandIn(pose_error=0.01))
    known = np.array(errors)[np.isfinite(errors)]
    print(
        f"\npositions of the network wrong by 1 %: {np.median(known):.2%} in the median, 95 % by "
        f"{np.quantile(known, 0.95):.2%}"
    )
    assert np.median(known) < 0.015
    assert np.quantile(known, 0.95) < 0.04


def still(positions: FloatArray, estimated: FloatArray) -> tuple[Prediction, Frame]:
    """A frame with keyframes at known positions, and what a network tells of them."""
    depth = np.ones((2, 2), np.float32)
    rgb = np.zeros((2, 2, 3), np.uint8)
    camera = Camera(2, 2, 2.0, 2.0, 0.5, 0.5)

    def placed(position: FloatArray) -> FloatArray:
        pose = np.eye(4)
        pose[:3, 3] = position
        return pose

    keyframes = tuple(Keyframe(rgb, 1, camera, placed(each)) for each in positions[1:])
    frame = Frame(rgb, 2, "", camera, pose=placed(positions[0]), keyframes=keyframes)
    poses = np.array([placed(each) for each in estimated])
    kind = PredictionKind.DEPTH_UP_TO_SCALE
    return Prediction(depth, kind, (2, 2), poses=poses), frame


WAY = np.array([[0.0, 0, 0], [0.5, 0, 0], [1.0, 0.1, 0], [1.4, 0.3, 0], [1.8, 0.7, 0]])


def test_the_pose_of_the_image_by_vision() -> None:
    """The keyframes tell where the network's world lies; the image's own odometry is 5 cm off."""
    network, rng = StandIn(), np.random.default_rng(0)
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.2, (5, 3))).as_matrix()
    poses[:, :3, 3] = WAY
    network.truth = {stamp: (np.ones((2, 2), np.float32), poses[stamp]) for stamp in range(5)}
    rgb, camera = np.zeros((2, 2, 3), np.uint8), Camera(2, 2, 2.0, 2.0, 0.5, 0.5)
    keyframes = tuple(Keyframe(rgb, stamp, camera, poses[stamp]) for stamp in range(1, 5))
    for known, error in ((None, 1e-6), (poses[0], 1e-6)):
        frame = Frame(rgb, 0, "", camera, pose=known, keyframes=keyframes)
        found = estimated_pose(network.estimate_views(frame), frame)
        assert found is not None
        np.testing.assert_allclose(found, poses[0], atol=error)
    drifted = poses[0].copy()
    drifted[0, 3] -= 0.05
    frame = Frame(rgb, 0, "", camera, pose=drifted, keyframes=keyframes)
    found = estimated_pose(network.estimate_views(frame), frame)
    assert found is not None
    assert np.linalg.norm(found[:3, 3] - poses[0, :3, 3]) < 0.02
    alone = replace(frame, keyframes=())
    assert estimated_pose(network.estimate_views(frame), alone) is None


def test_one_wrong_position_is_outvoted() -> None:
    estimated = 4.0 * WAY
    estimated[2] += [0, 3, 0]
    measured = ViewsSource().measure(*still(WAY, estimated))
    assert measured.scale == pytest.approx(0.25, rel=1e-3)
    assert (measured.inliers, measured.shift) == (4, 0.0)


def test_positions_that_are_all_a_little_wrong_all_have_a_say() -> None:
    """Three of five always fit a similarity nearly exactly; the others are no worse for that."""
    rng = np.random.default_rng(3)
    scales = []
    for _ in range(100):
        estimated = WAY + rng.normal(0, 0.01, WAY.shape)
        scales.append(ViewsSource().measure(*still(WAY, estimated)).scale)
    off = np.abs(np.array(scales) - 1)
    least_squares = 0.01 / np.sqrt(((WAY - WAY.mean(0)) ** 2).sum())
    print(f"\n{off.std():.2%}, worst {off.max():.2%}; by least squares {least_squares:.2%}")
    assert np.sqrt((off**2).mean()) < 1.1 * least_squares


def test_two_views_are_enough() -> None:
    measured = ViewsSource().measure(*still(WAY[:2], 3.0 * WAY[:2]))
    assert measured.scale == pytest.approx(1 / 3)


def test_what_is_not_believed() -> None:
    elsewhere = np.random.default_rng(1).normal(0, 1, WAY.shape)
    with pytest.raises(UnmeasurableError, match="another motion"):
        ViewsSource().measure(*still(WAY, elsewhere))
    with pytest.raises(UnmeasurableError, match=r"only 0\.02 m apart"):
        ViewsSource().measure(*still(0.01 * WAY, WAY))
    with pytest.raises(UnmeasurableError, match="coincide"):
        ViewsSource().measure(*still(WAY[:2], 0 * WAY[:2]))
    prediction, frame = still(WAY, WAY)
    assert prediction.poses is not None
    turned = prediction.poses.copy()
    for index in range(1, len(turned)):
        turned[index, :3, :3] = Rotation.from_euler("y", 30 * index, degrees=True).as_matrix()
    with pytest.raises(UnmeasurableError, match="another motion"):
        ViewsSource().measure(replace(prediction, poses=turned), frame)
    with pytest.raises(UnmeasurableError, match="estimates no poses"):
        ViewsSource().measure(replace(prediction, poses=None), frame)


def test_a_network_of_single_images_has_no_views() -> None:
    with pytest.raises(SettingError, match="window of 2 or more"):
        make_scaler(ScalerSettings("views"), replace(INFO, window=1))


def test_a_scale_that_changes_with_every_image_is_not_kept() -> None:
    scaler = make_views_scaler()
    prediction, frame = still(WAY, 2.0 * WAY)
    assert scaler.scale(prediction, frame).state.quality is Quality.GOOD
    with pytest.raises(InputError, match="changes from image to image"):
        scaler.freeze()
    alone = scaler.scale(prediction, replace(frame, keyframes=(), stamp=3))
    assert alone.depth_m is None and alone.state.quality is Quality.INVALID
