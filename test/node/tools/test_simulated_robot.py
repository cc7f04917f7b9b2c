"""The simulated robot over real DDS: what it publishes fits together, and serves the depth node."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from nav_msgs.msg import Odometry
from ros_harness import RELIABLE, Consumer, NodeProcess
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu, LaserScan, PointCloud2

from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.geometry.camera import Camera, project, ray_table
from depth_anything_ros.node.messages import camera_from_info, floats_to_image, nanoseconds
from depth_anything_ros.node.sensors.points import cloud_points, scan_points
from depth_anything_ros.node.sensors.transforms import Matrix, matrix_of_pose

Start = Callable[..., NodeProcess]
Points = npt.NDArray[np.float64]
SMALL = {"width": 160, "height": 120}
FAST = {"use_clock": True, "rate_factor": 0.0}
BARREL = "[-0.25, 0.06, 0.001, -0.0005, 0.0]"


class Listener:
    """Keeps what the robot sends, by topic and stamp."""

    def __init__(self, consumer: Consumer, **topics: type) -> None:
        self._consumer = consumer
        self.got: dict[str, dict[int, Any]] = {name: {} for name in topics}
        for name, kind in topics.items():
            self._listen(name, kind)

    def moments(self, count: int, timeout: float = 120.0) -> list[int]:
        """Wait until so many stamps have come on every topic; those, in order."""

        def complete() -> list[int]:
            return sorted(set.intersection(*(set(messages) for messages in self.got.values())))

        self._consumer.wait(
            lambda: len(complete()) >= count,
            timeout,
            f"the robot sent { ({name: len(got) for name, got in self.got.items()}) }",
        )
        return complete()

    def _listen(self, name: str, kind: type) -> None:
        messages = self.got[name]

        def keep(message: Any) -> None:
            messages[nanoseconds(message.header.stamp)] = message

        topic = name.replace("__", "/")
        self._consumer.node.create_subscription(kind, topic, keep, RELIABLE)


def depth_of(message: Image) -> npt.NDArray[np.float32]:
    assert message.encoding == "32FC1"
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def extrinsics(consumer: Consumer, name: str = "sensor_extrinsics") -> dict[str, Matrix]:
    """What the robot says about where its sensors stand, sensor -> optical frame."""
    text = consumer.get_parameter(name, node="simulated_robot").string_value
    table = yaml.safe_load(text)
    return {topic: extrinsics_of(numbers, topic) for topic, numbers in table.items()}


def moved(transform: Matrix, points: Points) -> Points:
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3], np.float64)


def bend(inverse: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far inverse depth is from linear around each pixel, as a share of it; it is on planes."""
    padded = np.pad(inverse, 1, constant_values=np.inf)
    middle = padded[1:-1, 1:-1]
    across = np.abs(padded[1:-1, :-2] - 2 * middle + padded[1:-1, 2:])
    along = np.abs(padded[:-2, 1:-1] - 2 * middle + padded[2:, 1:-1])
    return np.asarray(np.maximum(across, along) / np.maximum(middle, 1e-9))


def compare(
    points: Points, depth: npt.NDArray[np.float32], camera: Camera
) -> tuple[Points, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Z of points divided by the depth image's, away from its edges.

    Returns:
        The ratios, which of them are the same surface (to 1e-3), and which are hidden behind it.
    """
    u, v, z = project(camera, points)
    inverse = 1 / depth.astype(np.float64)
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < camera.width - 1) & (row < camera.height - 1)
    u, v, z, column, row = (values[inside] for values in (u, v, z, column, row))
    corners = [(row + j, column + i) for j in (0, 1) for i in (0, 1)]
    bends = bend(inverse)
    smooth = np.max([bends[corner] for corner in corners], axis=0) < 2e-4
    s, t = u - column, v - row
    weights = [(1 - t) * (1 - s), (1 - t) * s, t * (1 - s), t * s]
    there = sum(weight * inverse[corner] for weight, corner in zip(weights, corners, strict=True))
    ratio = (z * there)[smooth]
    return ratio, np.abs(ratio - 1) <= 1e-3, ratio > 1 + 1e-3


def test_all_of_a_moment_shares_its_stamp(start: Start, consumer: Consumer) -> None:
    start("simulated_robot", cameras="[front, left]", rate=4.0, imu=True, **SMALL)
    listener = Listener(
        consumer,
        front__image=Image,
        front__camera_info=CameraInfo,
        front__true_depth__image=Image,
        front__true_depth__camera_info=CameraInfo,
        left__image=Image,
        left__true_depth__image=Image,
        points=PointCloud2,
        odom=Odometry,
        imu=Imu,
    )
    stamps = listener.moments(4)
    assert not (np.diff(stamps) % 250_000_000).any()
    age = time.time_ns() - stamps[-1]
    print(f"newest moment is {age * 1e-9:.2f} s old")
    assert 0 < age < 3600 * 10**9  # the time of day
    for name, frame in (
        ("front__image", "front_optical_frame"),
        ("front__camera_info", "front_optical_frame"),
        ("front__true_depth__image", "front_optical_frame"),
        ("front__true_depth__camera_info", "front_optical_frame"),
        ("left__image", "left_optical_frame"),
        ("points", "lidar"),
        ("odom", "odom"),
        ("imu", "base_link"),
    ):
        assert listener.got[name][stamps[0]].header.frame_id == frame
    info = listener.got["front__camera_info"][stamps[0]]
    picture, depth = (
        listener.got[f"front__{name}"][stamps[0]] for name in ("image", "true_depth__image")
    )
    assert info == listener.got["front__true_depth__camera_info"][stamps[0]]
    assert (info.width, info.height) == (picture.width, picture.height) == (160, 120)
    assert (depth.width, depth.height, picture.encoding) == (160, 120, "rgb8")
    imu, odom = listener.got["imu"][stamps[0]], listener.got["odom"][stamps[0]]
    assert imu.linear_acceleration.z == pytest.approx(9.80665)
    assert odom.child_frame_id == "base_link"
    assert odom.twist.twist.linear.x == 0.4
    assert imu.angular_velocity.z == odom.twist.twist.angular.z
    assert imu.linear_acceleration.y == pytest.approx(0.4 * imu.angular_velocity.z)


@pytest.mark.parametrize(
    ("world", "distortion"), [("room", None), ("room", BARREL), ("street", None)]
)
def test_the_lidar_measures_what_the_camera_sees(
    start: Start, consumer: Consumer, world: str, distortion: str | None
) -> None:
    lens = {} if distortion is None else {"distortion": distortion}
    start("simulated_robot", world=world, seed=2, rate=2.0, **FAST, **lens)
    listener = Listener(
        consumer, true_depth__image=Image, true_depth__camera_info=CameraInfo, points=PointCloud2
    )
    stamps = listener.moments(3)
    to_camera = extrinsics(consumer)["points"]
    assert to_camera[1, 3] == pytest.approx(-0.15, abs=1e-6)  # the LiDAR is above the camera
    for stamp in stamps[:3]:
        image, info, cloud = (listener.got[name][stamp] for name in listener.got)
        camera = camera_from_info(info)
        assert camera.is_distorted == (distortion is not None)
        points = moved(to_camera, cloud_points(cloud))
        ratio, same, hidden = compare(points, depth_of(image), camera)
        print(
            f"{world}: {same.mean():.2%} of {len(ratio)} points away from edges are seen by the "
            f"camera (median {np.median(np.abs(ratio - 1)):.1e}), {hidden.mean():.2%} hidden"
        )
        assert len(ratio) > 500
        assert same.mean() > 0.9
        # A beam may meet what is thinner than a pixel and lies between the camera's rays.
        assert (~same & ~hidden).mean() < 0.002


def test_the_laser_scanner_measures_what_the_camera_sees(start: Start, consumer: Consumer) -> None:
    start("simulated_robot", world="room", seed=2, rate=2.0, laser=True, **FAST)
    listener = Listener(
        consumer, true_depth__image=Image, true_depth__camera_info=CameraInfo, scan=LaserScan
    )
    stamps = listener.moments(2)
    to_camera = extrinsics(consumer)["scan"]
    assert to_camera[1, 3] == pytest.approx(0.6, abs=1e-6)  # that far below the camera
    for stamp in stamps[:2]:
        image, info, scan = (listener.got[name][stamp] for name in listener.got)
        assert (scan.header.frame_id, len(scan.ranges)) == ("laser", 720)
        points = moved(to_camera, scan_points(scan))
        ratio, same, hidden = compare(points, depth_of(image), camera_from_info(info))
        print(f"{same.mean():.2%} of {len(ratio)} points are seen by the camera")
        assert len(ratio) > 30
        assert same.mean() > 0.9
        assert (~same & ~hidden).mean() < 0.02


@pytest.mark.parametrize("world", ["room", "street"])
def test_odometry_carries_depth_from_frame_to_frame(
    start: Start, consumer: Consumer, world: str
) -> None:
    start("simulated_robot", world=world, seed=1, rate=5.0, **FAST)
    listener = Listener(
        consumer, true_depth__image=Image, true_depth__camera_info=CameraInfo, odom=Odometry
    )
    stamps = listener.moments(6)
    to_base = np.linalg.inv(extrinsics(consumer)["odom"])
    first, last = ([listener.got[name][stamps[index]] for name in listener.got] for index in (0, 5))
    camera = camera_from_info(first[1])
    x, y = np.broadcast_arrays(*ray_table(camera))
    z = depth_of(first[0])
    known = np.isfinite(z) & (bend(1 / z.astype(np.float64)) < 2e-4)
    points = np.stack([x[known] * z[known], y[known] * z[known], z[known]], 1).astype(np.float64)
    here, there = (matrix_of_pose(message[2].pose.pose) @ to_base for message in (first, last))
    motion = np.linalg.inv(there) @ here
    driven = (stamps[5] - stamps[0]) * 1e-9 * 0.4
    chord = float(np.linalg.norm(matrix_of_pose(last[2].pose.pose)[:2, 3]
                                 - matrix_of_pose(first[2].pose.pose)[:2, 3]))  # fmt: skip
    assert 0.9 * driven < chord <= driven + 1e-9
    ratio, same, hidden = compare(moved(motion, points), depth_of(last[0]), camera)
    print(
        f"{world}: after {driven:.2f} m {same.mean():.2%} of {len(ratio)} pixels are seen again "
        f"(median {np.median(np.abs(ratio - 1)):.1e}), {hidden.mean():.2%} are hidden"
    )
    assert len(ratio) > 10_000
    assert same.mean() > 0.8
    assert (~same & ~hidden).mean() < 0.002


def test_seeds_reproduce_and_no_tick_is_lost(start: Start, consumer: Consumer) -> None:
    seen: list[dict[str, dict[int, Any]]] = []
    for seed in (3, 3, 4):
        listener = Listener(consumer, image=Image, points=PointCloud2, odom=Odometry)
        robot = start(
            "simulated_robot",
            seed=seed,
            odometry_noise=0.1,
            lidar_noise=0.02,
            **FAST,
            **SMALL,
        )
        stamps = listener.moments(12)
        robot.stop()
        assert set(np.diff(stamps)) == {100_000_000}
        seen.append(listener.got)
        for subscription in list(consumer.node.subscriptions):
            if subscription.topic_name in ("/image", "/points", "/odom"):
                consumer.node.destroy_subscription(subscription)
    once, again, other = seen
    common = sorted(set(once["image"]) & set(again["image"]) & set(other["image"]))[:5]
    assert len(common) == 5
    for stamp in common:
        for topic in ("image", "points", "odom"):
            assert once[topic][stamp] == again[topic][stamp]
            assert once[topic][stamp] != other[topic][stamp]


def test_simulated_time_runs_ahead_and_waits_for_answers(start: Start, consumer: Consumer) -> None:
    clocks: list[int] = []
    images: list[int] = []

    def keep_time(message: Clock) -> None:
        clocks.append(nanoseconds(message.clock))

    consumer.node.create_subscription(Clock, "/clock", keep_time, RELIABLE)
    answers = consumer.node.create_publisher(Image, "slow/depth", RELIABLE)

    def answer(message: Image) -> None:
        images.append(nanoseconds(message.header.stamp))
        if len(images) > 62:
            time.sleep(0.15)
        nothing = np.zeros((1, 1), np.float32)
        answers.publish(floats_to_image(nothing, message.header))

    consumer.node.create_subscription(Image, "image", answer, RELIABLE)
    start(
        "simulated_robot",
        **FAST,
        rate=1.0,
        lidar=False,
        width=64,
        height=48,
        answer_topic="slow/depth",
    )
    consumer.wait(lambda: len(images) >= 2, 60, "no picture came")
    begun, first = time.monotonic(), len(images)
    consumer.wait(lambda: len(images) >= 62, 120, "simulated time stands still")
    print(f"{len(images) - first} s of simulated time in {time.monotonic() - begun:.1f} s")
    consumer.wait(lambda: len(images) >= 70, 120, "the robot does not wait for the slow consumer")
    assert set(np.diff(images)) == {1_000_000_000}
    assert set(np.diff(clocks)) == {1_000_000_000}
    assert clocks[-1] - images[-1] <= 1_000_000_000  # time does not leave a slow consumer behind


def test_noisy_odometry_drifts_from_the_truth(start: Start, consumer: Consumer) -> None:
    start("simulated_robot", use_clock=True, rate_factor=20.0, odometry_noise=0.2, lidar=False)
    listener = Listener(consumer, odom=Odometry, true_odom=Odometry)
    stamps = listener.moments(60)
    off = [
        float(
            np.linalg.norm(
                np.linalg.inv(matrix_of_pose(listener.got["true_odom"][stamp].pose.pose))[:3]
                @ matrix_of_pose(listener.got["odom"][stamp].pose.pose)[:, 3]
            )
        )
        for stamp in stamps
    ]
    driven = stamps[-1] * 1e-9 * 0.4
    print(f"{off[-1]:.3f} m off after {driven:.1f} m")
    assert 0.002 < max(off) < 0.2 * driven


def test_a_parameter_without_sense_is_one_clear_line(start: Start) -> None:
    robot = start("simulated_robot", world="moon")
    assert robot.wait(30) == 1
    assert "world is 'moon'; use one of room, street" in robot.log
    assert "Traceback" not in robot.log


def test_the_depth_node_turns_fastdepth_into_metres(
    start: Start, consumer: Consumer, data_dir: Path
) -> None:
    """End to end: pictures, LiDAR and a real network become depth, held against the truth."""
    start(
        "simulated_robot",
        seed=1,
        rate=5.0,
        **FAST,
        answer_topic="depth_anything/depth/image",
    )
    where = consumer.get_parameter("sensor_extrinsics", node="simulated_robot").string_value
    start(
        "depth_node",
        model=data_dir / "fastdepth" / "fastdepth_7.onnx",
        scaler="sparse",
        points_timeout=2.0,
        use_sim_time=True,
        sensor_extrinsics=f"'{where}'",
    )
    truth = Listener(consumer, true_depth__image=Image, depth_anything__depth__image=Image)
    stamps = truth.moments(15, 90)
    assert set(np.diff(stamps)) == {200_000_000}
    errors = []
    for stamp in stamps[-14:]:  # the very first picture may come before its camera_info
        true, said = (depth_of(truth.got[name][stamp]) for name in truth.got)
        assert np.isfinite(said).mean() > 0.99
        errors.append(float(np.mean(np.abs(said / true - 1))))
    print("AbsRel", [round(error, 3) for error in errors], f"mean {np.mean(errors):.3f}")
    assert np.mean(errors) < 0.08
