"""Networks that see an image with others: keyframes with odometry's poses, or the images before.

The second stage of Prior Depth Anything, which finishes depth, is tried with the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, PoseWithCovariance, Quaternion
from nav_msgs.msg import Odometry
from random_checkpoints import write_prior, write_video
from ros_harness import RELIABLE, Consumer, NodeProcess
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from views_node import WALL_M

from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    ImageSequence,
    Prediction,
    RgbImage,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, project, ray_table
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.inference.estimator import SequenceEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.node.messages import cloud_to_message, info_from_camera, rgb_to_image
from depth_anything_ros.settings import ModelSettings, ScalerSettings

Start = Callable[..., NodeProcess]
VIEWS_NODE = Path(__file__).parents[1] / "support" / "views_node.py"
CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
NAMES = ("left", "right")


def odometry(header: Header, x: float) -> Odometry:
    pose = Pose(position=Point(x=x), orientation=Quaternion(w=1.0))
    return Odometry(
        header=Header(stamp=header.stamp, frame_id="odom"),
        child_frame_id="base",
        pose=PoseWithCovariance(pose=pose),
    )


def test_several_views_give_metres_and_a_pose(start: Start, consumer: Consumer) -> None:
    start(
        str(VIEWS_NODE),
        window=3,
        scaler="views",
        sensor_extrinsics='"{odom: [0, 0, 0, 0, 0, 0, 1]}"',
    )
    consumer.subscribe("depth/image", "scale_state")
    poses: list[PoseStamped] = []
    consumer.node.create_subscription(
        PoseStamped, "depth_anything/camera_pose", poses.append, RELIABLE
    )
    consumer.wait_ready()
    states = []
    for number, x in enumerate((0.0, 0.05, 0.35, 0.5, 0.65, 0.8), 1):
        header = consumer.header()
        rgb = np.full((48, 64, 3), round(100 * x), np.uint8)
        consumer.publish("odom", odometry(header, x))
        consumer.settle()
        consumer.send_messages(rgb_to_image(rgb, header), info_from_camera(CAMERA, header))
        states.append(consumer.scale_state(number))
    assert [state["scale_quality"] for state in states] == ["INVALID"] * 2 + ["GOOD"] * 4
    assert "has not moved enough" in states[1]["message"]
    assert "camera positions over 0.80 m agree to 0.0%" in states[-1]["message"]
    message = consumer.answers("depth/image", 6)[-1]
    depth = np.frombuffer(message.data, np.float32)
    np.testing.assert_allclose(depth, WALL_M, rtol=1e-4)
    consumer.wait(lambda: len(poses) >= 4, 30.0, "no poses came")
    assert poses[-1].header.frame_id == "odom"
    assert poses[-1].pose.position.x == pytest.approx(0.8, abs=1e-3)
    assert poses[-1].pose.orientation.w == pytest.approx(1.0)


class TwoCameras:
    """Sends pictures as one of two cameras and waits for their depth."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._publishers: dict[str, Any] = {}
        self._begin = consumer.header()
        self._taken = 0
        for name in NAMES:
            consumer.subscribe("depth/image", camera=name)
            for topic, kind in (("image", Image), ("camera_info", CameraInfo)):
                publisher = consumer.node.create_publisher(kind, f"{name}/{topic}", RELIABLE)
                self._publishers[f"{name}/{topic}"] = publisher
        consumer.wait(self._matched, 60, "the node does not listen to both cameras")
        consumer.settle()

    def _matched(self) -> bool:
        node = self._consumer.node
        return all(
            publisher.get_subscription_count() for publisher in self._publishers.values()
        ) and all(node.count_publishers(f"depth_anything/{name}/depth/image") for name in NAMES)

    def header(self, name: str) -> Header:
        """Of the next picture: 20 ms after the last one, however long its answer took."""
        self._taken += 1
        nanoseconds = self._begin.stamp.nanosec + 20_000_000 * self._taken
        stamp = Time(sec=self._begin.stamp.sec + nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        return Header(stamp=stamp, frame_id=f"{name}_optical")

    def send(self, name: str, rgb: RgbImage, header: Header | None = None) -> FloatImage:
        """The depth that the node makes of a picture."""
        header = header or self.header(name)
        output = f"{name}/depth/image"
        count = len(self._consumer.received[output])
        self._publishers[f"{name}/camera_info"].publish(info_from_camera(CAMERA, header))
        self._publishers[f"{name}/image"].publish(rgb_to_image(rgb, header))
        message = self._consumer.answers(output, count + 1)[count]
        return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def scenes(count: int) -> list[RgbImage]:
    """Pictures that have nothing in common."""
    blocks = np.random.default_rng(1).integers(0, 256, (count, 6, 8, 3))
    return list(np.kron(blocks, np.ones((8, 8, 1))).astype(np.uint8))


def moved(rgb: RgbImage) -> Iterator[RgbImage]:
    """A picture as it is seen by a camera that turns."""
    for pixels in range(4):
        yield np.roll(rgb, pixels, 1)


@pytest.fixture(name="reference")
def make_reference(tmp_path: Path) -> SequenceEstimator:
    """The network of the node in this process."""
    path = write_video(tmp_path, metric=True)
    loaded = make_estimator(ModelSettings(str(path), "cpu", "fp32", 28, 1, "torch"))
    assert isinstance(loaded.estimator, SequenceEstimator)
    return loaded.estimator


def test_video_and_prior_networks_in_the_node(
    start: Start, consumer: Consumer, reference: SequenceEstimator, tmp_path: Path
) -> None:
    node = start(
        "depth_node",
        model=write_video(tmp_path, metric=True),
        backend="torch",
        precision="fp32",
        input_size=28,
        cameras="[left, right]",
        scaler="network",
        points_timeout=5.0,
    )
    cameras = TwoCameras(consumer)
    first, second, other = scenes(3)
    sequences = {name: ImageSequence() for name in NAMES}

    def expected(name: str, rgb: RgbImage) -> Prediction:
        return reference.estimate_next(Frame(rgb, sequence=sequences[name]))

    for rgb, beside in zip(moved(first), moved(other), strict=True):
        for name, seen in (("left", rgb), ("right", beside)):
            depth = cameras.send(name, seen)
            np.testing.assert_allclose(depth, expected(name, seen).values, rtol=1e-4)
    (alone,) = reference.estimate([rgb])
    assert not np.allclose(cameras.send("left", rgb), alone.values, rtol=1e-3)  # it looks back
    cut = cameras.send("left", second)
    sequences["left"] = ImageSequence()
    prediction = expected("left", second)
    np.testing.assert_allclose(cut, prediction.values, rtol=1e-4)
    beside = np.roll(beside, 1, 1)
    right = cameras.send("right", beside)  # the cut was the other camera's
    np.testing.assert_allclose(right, expected("right", beside).values, rtol=1e-4)

    prior = write_prior(tmp_path)
    assert consumer.set_parameters(
        scaler="sparse", refinement="prior", prior_model=str(prior)
    ).successful
    consumer.wait(
        lambda: node.log.count("(metric_depth) on cpu in fp32 with torch") == 2,
        60,
        "the network of the refinement was never loaded",
    )
    # Every network was loaded anew, so the picture is the first of a sequence again.
    rows, columns = (each[::5, ::5].ravel() for each in np.mgrid[:48, :64])
    z = prediction.values[rows, columns] / 2
    x, y = (each[rows, columns] for each in np.broadcast_arrays(*ray_table(CAMERA)))
    xyz = np.stack([x * z, y * z, z], 1).astype(np.float32)
    header = cameras.header("left")
    consumer.publish("points", cloud_to_message(Cloud(xyz[None]), header))
    consumer.settle()
    finished = cameras.send("left", second, header)
    settings = ScalerSettings("sparse", refinement="prior", prior_model=str(prior))
    info = make_estimator(
        ModelSettings(str(tmp_path / "metric_video_depth_anything_mine.pth"))
    ).info
    points = SparsePoints(*project(CAMERA, xyz.astype(float)))
    frame = Frame(second, 1, "left_optical", CAMERA, points=points)
    for refinement, alike in ((settings, True), (ScalerSettings("sparse"), False)):
        scaled = make_scaler(refinement, info).scale(prediction, frame)
        assert scaled.depth_m is not None
        known = np.isfinite(scaled.depth_m)
        assert known.mean() > 0.5
        off = np.abs(finished[known] / scaled.depth_m[known] - 1)
        assert bool(np.nanmedian(off) < 1e-3) is alike
        if alike:
            np.testing.assert_array_equal(np.isfinite(finished), known)
