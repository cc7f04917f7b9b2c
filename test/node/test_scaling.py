"""Metres from sensors around the camera, through the real node."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, PoseWithCovariance, Quaternion
from nav_msgs.msg import Odometry
from ros_harness import FRAME_ID, Consumer, NodeProcess
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import Image, LaserScan, PointCloud2, Range
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tiny_networks import red_depth, write_red_network

from depth_anything_ros.formats.bags import (
    CAMERA_INFO_TYPE,
    IMAGE_TYPES,
    POINT_CLOUD_TYPE,
    TRANSFORM_TYPE,
    Bag,
    camera_of,
    image_of,
    points_of,
    transforms_of,
)
from depth_anything_ros.geometry.camera import Camera, project, ray_table
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.messages import (
    cloud_to_message,
    floats_to_image,
    info_from_camera,
    nanoseconds,
    rgb_to_image,
)

Start = Callable[..., NodeProcess]
CAMERA = Camera(160, 120, 130.0, 130.0, 80.0, 60.0)
SCALE, SHIFT = 0.05, 0.02
LIDAR = "lidar"
EXTRINSICS = [0.1, -0.2, 0.3, 0.5, -0.5, 0.5, -0.5]


def picture(width: int = 160, height: int = 120) -> npt.NDArray[np.uint8]:
    red = np.broadcast_to(np.linspace(0, 250, width).astype(np.uint8), (height, width))
    green = np.broadcast_to(np.linspace(30, 90, height).astype(np.uint8)[:, None], red.shape)
    return np.stack([red, green, np.full_like(red, 60)], axis=2)


def true_depth(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return 1 / (SCALE * red_depth(rgb).astype(np.float64) + SHIFT)


def matrix(extrinsics: list[float]) -> npt.NDArray[np.float64]:
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat(extrinsics[3:]).as_matrix()
    result[:3, 3] = extrinsics[:3]
    return result


def numbers(transform: npt.NDArray[Any]) -> list[float]:
    turn = Rotation.from_matrix(transform[:3, :3]).as_quat()
    return [float(number) for number in (*transform[:3, 3], *turn)]


def surface_points(rgb: npt.NDArray[np.uint8], count: int = 300) -> npt.NDArray[np.float64]:
    """Points on the true surface at random pixel centres, in the optical frame."""
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 120, count), rng.integers(0, 160, count)
    z = true_depth(rgb)[rows, columns]
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    return np.stack([x[rows, columns] * z, y[rows, columns] * z, z], axis=1)


def cloud(points: npt.NDArray[np.float64], header: Header) -> PointCloud2:
    return cloud_to_message(Cloud(points.astype(np.float32)[None]), header)


def in_sensor(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inverse = np.linalg.inv(matrix(EXTRINSICS))
    return points @ inverse[:3, :3].T + inverse[:3, 3]


def depth_of(message: Image) -> npt.NDArray[np.float32]:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def assert_true_metres(consumer: Consumer, rgb: npt.NDArray[np.uint8], number: int = 1) -> None:
    state = consumer.scale_state(number)
    print(state)
    assert state["scale_quality"] == "GOOD"
    assert float(state["scale"]) == pytest.approx(SCALE, rel=0.01)
    assert float(state["shift"]) == pytest.approx(SHIFT, abs=0.003)
    depth = depth_of(consumer.answers("depth/image", number)[number - 1])
    error = np.median(np.abs(depth / true_depth(rgb) - 1))
    print(f"median relative error {error:.1e}")
    assert error < 0.005


@pytest.fixture
def relative_model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "relative_disparity")


@pytest.fixture
def metric_model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


def at(begin: Header, seconds: float) -> Header:
    """The header of a camera image some seconds after another one."""
    stamp = begin.stamp.sec * 10**9 + begin.stamp.nanosec + round(seconds * 1e9)
    return Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=FRAME_ID)


def send_with(
    consumer: Consumer, rgb: npt.NDArray[np.uint8], messages: dict[str, Any], header: Header
) -> None:
    """Publish what the sensors saw at the moment of a picture, then the picture."""
    for topic, message in messages.items():
        consumer.publish(topic, message)
    consumer.settle()
    consumer.send_messages(rgb_to_image(rgb, header), info_from_camera(CAMERA, header))


def test_lidar_of_a_real_recording_gives_metres_beside_its_points(
    start: Start, consumer: Consumer, data_dir: Path
) -> None:
    with Bag(data_dir / "bags" / "kitti_object_db3") as bag:
        messages = list(bag.messages(list(bag.topics)))
    kinds: dict[str, list[Any]] = {}
    for message in messages:
        kinds.setdefault(message.type, []).append(message.content)
    placed = transforms_of(kinds[TRANSFORM_TYPE][0])[0]
    assert (placed.parent, placed.child) == ("velodyne", "camera_optical_frame")
    to_camera = np.linalg.inv(placed.matrix)
    start(
        "depth_node",
        model=data_dir / "fastdepth" / "fastdepth_7.onnx",
        scaler="sparse",
        fit_shift="always",
        points_timeout=5.0,
        sensor_extrinsics=f'"{numbers(to_camera)}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    images = [content for kind in IMAGE_TYPES for content in kinds.get(kind, [])]
    for number, (image, info, scan) in enumerate(
        zip(images, kinds[CAMERA_INFO_TYPE], kinds[POINT_CLOUD_TYPE], strict=True), 1
    ):
        camera, points = camera_of(info), points_of(scan)
        order = np.random.default_rng(0).permutation(len(points))
        given, held_out = points[order[::2]], points[order[1::2]]
        header = consumer.header()
        lidar_header = Header(stamp=header.stamp, frame_id="velodyne")
        consumer.publish("points", cloud(given, lidar_header))
        consumer.settle()
        consumer.send_messages(
            rgb_to_image(image_of(image), header), info_from_camera(camera, header)
        )
        depth = depth_of(consumer.answers("depth/image", number)[-1])
        u, v, z = project(camera, held_out @ to_camera[:3, :3].T + to_camera[:3, 3])
        answer = depth[np.rint(v).astype(int), np.rint(u).astype(int)]
        known = np.isfinite(answer)
        error = float(np.mean(np.abs(answer[known] / z[known] - 1)))
        print(f"frame {number}: AbsRel {error:.4f} at {known.sum()} held-out LiDAR points")
        print(consumer.scale_state(number)["message"])
        assert known.mean() > 0.95
        assert error <= 0.08


def test_a_cloud_in_its_own_frame(start: Start, consumer: Consumer, relative_model: Path) -> None:
    start(
        "depth_node",
        model=relative_model,
        scaler="sparse",
        points_timeout=5.0,
        sensor_extrinsics=f'"{EXTRINSICS}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rgb, header = picture(), consumer.header()
    points = in_sensor(surface_points(rgb))
    send_with(consumer, rgb, {"points": cloud(points, consumer.header(LIDAR))}, header)
    assert_true_metres(consumer, rgb)


def test_two_lidars_a_scan_and_a_depth_camera_together(
    start: Start, consumer: Consumer, relative_model: Path
) -> None:
    start(
        "depth_node",
        model=relative_model,
        scaler="sparse",
        points_timeout=5.0,
        cloud_topics="[left_lidar, right_lidar]",
        scan_topics="[scan]",
        depth_topics="[tof/image]",
        sensor_extrinsics=f'"{{left_lidar: {EXTRINSICS}, scan: [0, 0, 0, 0.5, -0.5, 0.5, 0.5]}}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rgb = picture()
    points = surface_points(rgb)
    small = CAMERA.resized(32, 24)
    tof_depth = true_depth(rgb)[2::5, 2::5].astype(np.float32)
    columns = np.arange(10, 150, 5)
    angles = -np.arctan((columns - CAMERA.cx) / CAMERA.fx)
    step = 2 * math.pi / 3600
    ranges = np.full(1801, np.inf)
    index = np.rint((angles + math.pi / 4) / step).astype(int)
    ranges[index] = true_depth(rgb)[60, columns] / np.cos(angles)
    first = consumer.header()
    consumer.publish("tof/camera_info", info_from_camera(small, first))
    messages = {
        "left_lidar": cloud(in_sensor(points), consumer.header(LIDAR, 1.0)),
        "right_lidar": cloud(points, consumer.header(FRAME_ID, 1.0)),
        "tof/image": floats_to_image(tof_depth, consumer.header(FRAME_ID, 1.0)),
        "scan": LaserScan(
            header=consumer.header("scan", 1.0),
            angle_min=-math.pi / 4,
            angle_increment=step,
            range_min=0.1,
            range_max=50.0,
            ranges=ranges.astype(np.float32).tolist(),
        ),
    }
    for message in messages.values():
        message.header.stamp = Time(sec=first.stamp.sec, nanosec=first.stamp.nanosec)
    send_with(consumer, rgb, messages, first)
    assert_true_metres(consumer, rgb)
    words = consumer.scale_state(1)["message"]
    for topic in ("/left_lidar", "/right_lidar", "/scan", "/tof/image"):
        assert topic in words
    # 300 + 300 + 24 * 32 + 28 points, but for a few at the borders and hidden ones
    assert int(consumer.scale_state(1)["inliers"]) > 1000
    assert float(consumer.scale_state(1)["inlier_share"]) > 0.98


def test_a_range_finder_scales_a_metric_model(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start(
        "depth_node",
        model=metric_model,
        scaler="sparse",
        min_points=1,
        cloud_topics='[""]',
        range_topics="[range]",
        points_timeout=5.0,
        sensor_extrinsics='"[0, 0, 0, 0.5, -0.5, 0.5, 0.5]"',
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rgb, header = picture(), consumer.header()
    says = red_depth(rgb)[60, 80]
    beam = Range(
        header=Header(stamp=header.stamp, frame_id="range"),
        field_of_view=0.05,
        min_range=0.1,
        max_range=20.0,
        range=float(1.3 * says),
    )
    send_with(consumer, rgb, {"range": beam}, header)
    assert float(consumer.scale_state(1)["scale"]) == pytest.approx(1.3, rel=0.01)


def test_the_ground_gives_metres_to_a_camera_of_known_height(
    start: Start, consumer: Consumer, relative_model: Path
) -> None:
    height, pitch = 1.2, math.radians(12.0)
    start(
        "depth_node",
        model=relative_model,
        scaler="ground_plane",
        camera_height=height,
        camera_pitch_deg=12.0,
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    _, y = np.broadcast_arrays(*ray_table(CAMERA))
    inverse = np.clip((y * math.cos(pitch) + math.sin(pitch)) / height, 0.0, None)
    # The network says 1 + 8 * red; here 1/Z = 0.15 * (1 + 8 * red) - 0.15.
    red = np.clip(inverse / 0.15 / 8 * 255, 0, 255)
    rgb = np.stack([red, np.full_like(red, 80), np.full_like(red, 90)], axis=2).astype(np.uint8)
    consumer.send(rgb, CAMERA)
    state = consumer.scale_state(1)
    print(state)
    assert state["scale_quality"] == "GOOD"
    assert float(state["scale"]) == pytest.approx(0.15, rel=0.01)
    assert float(state["shift"]) == pytest.approx(-0.15, abs=0.004)
    consumer.send(np.full_like(rgb, 40), CAMERA)
    blind = consumer.scale_state(2)
    assert blind["scale_quality"] != "GOOD"
    print(blind["message"])


def textured_wall(offset_px: float) -> npt.NDArray[np.uint8]:
    """A wall with a texture in green and blue, shifted; red is constant."""
    columns, rows = np.meshgrid(np.arange(160) + offset_px, np.arange(120))
    rng = np.random.default_rng(3)
    tone = np.zeros((120, 160))
    for _ in range(40):
        fu, fv, phase = rng.uniform(-0.35, 0.35), rng.uniform(-0.35, 0.35), rng.uniform(0, 6.28)
        tone += np.sin(fu * columns + fv * rows + phase)
    tone = np.clip(127 + 18 * tone, 0, 255)
    return np.stack([np.full_like(tone, 64), tone, 255 - tone], axis=2).astype(np.uint8)


def odometry(header: Header, x: float) -> Odometry:
    pose = Pose(position=Point(x=x), orientation=Quaternion(w=1.0))
    return Odometry(
        header=Header(stamp=header.stamp, frame_id="odom"),
        child_frame_id="base",
        pose=PoseWithCovariance(pose=pose),
    )


def test_camera_motion_with_odometry_gives_metres(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    # The network says 1 + 8 * 64 / 255 = 3.008 m everywhere; the wall is 4 m away.
    start(
        "depth_node",
        model=metric_model,
        scaler="motion",
        sensor_extrinsics='"{odom: [0, 0, 0, 0, 0, 0, 1]}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    for number in range(1, 8):
        x, header = 0.06 * number, consumer.header()
        rgb = textured_wall(x * CAMERA.fx / 4.0)
        consumer.publish("odom", odometry(header, x))
        consumer.settle()
        consumer.send_messages(rgb_to_image(rgb, header), info_from_camera(CAMERA, header))
        state = consumer.scale_state(number)
    print(state)
    assert state["scale_quality"] == "GOOD"
    assert float(state["scale"]) == pytest.approx(4 / red_depth(rgb)[0, 0], rel=0.03)


def test_slam_is_brought_to_metres_by_odometry(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    unit = 0.4  # SLAM units per metre
    start(
        "depth_node",
        model=metric_model,
        scaler="slam",
        sensor_extrinsics='"{odom: [0, 0, 0, 0, 0, 0, 1]}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rng = np.random.default_rng(0)
    wall = np.stack(
        [rng.uniform(-3, 5, 400), rng.uniform(-1.5, 1.5, 400), np.full(400, 4.0)], axis=1
    )
    consumer.publish("slam/points", cloud(unit * wall, consumer.header("slam_map")))
    for number in range(1, 16):
        x, header = 0.1 * number, consumer.header()
        stamped = Header(stamp=header.stamp, frame_id="slam_map")
        pose = Pose(position=Point(x=unit * x), orientation=Quaternion(w=1.0))
        consumer.publish("odom", odometry(header, x))
        consumer.publish("slam/pose", PoseStamped(header=stamped, pose=pose))
        consumer.settle()
        rgb = textured_wall(x * CAMERA.fx / 4.0)
        consumer.send_messages(rgb_to_image(rgb, header), info_from_camera(CAMERA, header))
        state = consumer.scale_state(number)
    print(state)
    assert state["scale_quality"] == "GOOD"
    assert float(state["scale"]) == pytest.approx(4 / red_depth(rgb)[0, 0], rel=0.02)


def test_an_old_scale_is_held_then_given_up(
    start: Start, consumer: Consumer, relative_model: Path
) -> None:
    """All times are those of the stamps, so a busy machine changes nothing."""
    start("depth_node", model=relative_model, scaler="sparse", scale_max_age=1.0)
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rgb, begin = picture(), consumer.header()

    def send(seconds: float) -> None:
        consumer.send_messages(rgb_to_image(rgb, at(begin, seconds)), None)

    consumer.send(rgb, CAMERA)
    assert consumer.scale_state(1)["scale_quality"] == "INVALID"
    assert np.isnan(depth_of(consumer.answers("depth/image", 1)[0])).all()
    consumer.publish("points", cloud(surface_points(rgb), at(begin, 10.0)))
    consumer.settle()
    send(10.0)
    assert_true_metres(consumer, rgb, 2)
    send(10.6)
    held = consumer.scale_state(3)
    assert held["scale_quality"] == "HELD"
    assert float(held["age_s"]) == pytest.approx(0.6, abs=0.01)
    assert np.isfinite(depth_of(consumer.answers("depth/image", 3)[2])).all()
    send(11.2)
    assert consumer.scale_state(4)["scale_quality"] == "INVALID"
    assert np.isnan(depth_of(consumer.answers("depth/image", 4)[3])).all()
    assert consumer.set_parameters(on_invalid="drop").successful
    send(11.4)
    consumer.scale_state(5)
    assert consumer.set_parameters(on_invalid="nan").successful
    send(11.6)
    answers = consumer.answers("depth/image", 5)  # the next one after the four
    assert nanoseconds(answers[4].header.stamp) == nanoseconds(at(begin, 11.6).stamp)


def test_a_recording_may_start_again(
    start: Start, consumer: Consumer, relative_model: Path
) -> None:
    """Simulated time that jumps back, as a bag in a loop brings it."""
    start(
        "depth_node", model=relative_model, scaler="sparse", points_timeout=2.0, use_sim_time=True
    )
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    clock = consumer.node.create_publisher(Clock, "clock", 10)
    rgb, number = picture(), 0
    for factor in (1.0, 2.0):  # the second round shows another scale: nothing old may linger
        for second in range(3):
            number += 1
            header = Header(stamp=Time(sec=100 + second), frame_id=FRAME_ID)
            points = cloud(factor * surface_points(rgb), header)
            clock.publish(Clock(clock=header.stamp))
            send_with(consumer, rgb, {"points": points}, header)
            state = consumer.scale_state(number)
            assert state["scale_quality"] == "GOOD"
            assert float(state["scale"]) == pytest.approx(SCALE / factor, rel=0.01)
            answer = consumer.answers("depth/image", number)[-1]
            assert answer.header.stamp.sec == 100 + second


def test_a_scale_can_be_frozen_saved_loaded_and_reset(
    start: Start, consumer: Consumer, relative_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "scale.yaml"
    start("depth_node", model=relative_model, scaler="sparse", points_timeout=2.0)
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rgb = picture()

    def call(name: str) -> Any:
        return consumer.call(Trigger, f"/depth_anything/scale/{name}", Trigger.Request())

    def freeze(on: bool) -> Any:
        request = SetBool.Request(data=on)
        return consumer.call(SetBool, "/depth_anything/scale/freeze", request)

    def send(factor: float) -> None:
        header = consumer.header()
        send_with(consumer, rgb, {"points": cloud(factor * surface_points(rgb), header)}, header)

    assert not freeze(True).success
    assert "nothing to freeze" in freeze(True).message
    send(1.0)
    assert_true_metres(consumer, rgb, 1)
    assert freeze(True).success
    send(2.0)
    assert_true_metres(consumer, rgb, 2)
    assert "frozen" in consumer.scale_state(2)["message"]
    refused = call("save")
    assert not refused.success
    assert "scale_file is empty" in refused.message
    assert consumer.set_parameters(scale_file=str(file)).successful
    assert call("reset").success
    send(1.0)
    assert_true_metres(consumer, rgb, 3)
    assert call("save").success
    assert call("reset").success
    assert call("load").success
    send(2.0)
    assert_true_metres(consumer, rgb, 4)
    assert call("reset").success
    send(2.0)
    assert float(consumer.scale_state(5)["scale"]) == pytest.approx(SCALE / 2, rel=0.01)


def test_auto_takes_the_best_and_says_why(
    start: Start, consumer: Consumer, metric_model: Path
) -> None:
    start("depth_node", model=metric_model, points_timeout=2.0)
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    rgb, begin = picture(), consumer.header()
    consumer.send_messages(rgb_to_image(rgb, begin), info_from_camera(CAMERA, begin))
    alone = consumer.scale_state(1)
    assert alone["scaler"] == "network"
    assert "sparse: no measured points" in alone["message"]
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    z = 1.2 * red_depth(rgb)
    points = np.stack([x * z, y * z, z], axis=2)[::6, ::6].reshape(-1, 3).astype(np.float64)
    depths = []
    for number in range(2, 16):
        header = at(begin, 0.1 * number)
        send_with(consumer, rgb, {"points": cloud(points, header)}, header)
        print(consumer.scale_state(number))
        assert consumer.scale_state(number)["scaler"] == "sparse"
        message = consumer.answers("depth/image", number)[number - 1]
        depths.append(float(np.median(depth_of(message) / red_depth(rgb))))
    print([f"{depth:.3f}" for depth in depths])
    assert depths[-1] == pytest.approx(1.2, rel=0.01)
    steps = np.diff([1.0, *depths])
    assert steps.max() < 0.08, "the change from network to points was a jump"
