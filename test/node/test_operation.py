"""Being operated: live parameters, models that change, services, health in words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_harness import Consumer, NodeProcess
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger
from tiny_networks import red_depth, write_red_network

from depth_anything_ros.formats.compressed_depth import decode_compressed_depth
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.messages import rgb_to_image

Start = Callable[..., NodeProcess]
CAMERA = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)


def picture() -> npt.NDArray[np.uint8]:
    ramp = np.broadcast_to(np.linspace(20, 235, 160), (120, 160))
    return np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 60)], axis=2).astype(np.uint8)


def depth_of(message: Image) -> npt.NDArray[np.float32]:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def trigger(consumer: Consumer, name: str) -> Any:
    return consumer.call(Trigger, f"/depth_anything/{name}", Trigger.Request(), 60.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


def test_a_model_is_loaded_beside_the_one_in_use(
    start: Start, consumer: Consumer, model: Path, tmp_path: Path
) -> None:
    start("depth_node", model=model)
    consumer.subscribe("depth/image", "disparity/image")
    consumer.wait_ready()
    rgb = picture()
    assert consumer.set_parameters(model=str(tmp_path / "nowhere.onnx")).successful
    failed = trigger(consumer, "load_model")
    assert not failed.success
    assert "the model in use stays" in failed.message
    assert "nowhere.onnx' does not exist" in failed.message
    consumer.send(rgb, CAMERA)
    np.testing.assert_allclose(
        depth_of(consumer.answers("depth/image", 1)[0]), red_depth(rgb), atol=1e-5
    )
    other = write_red_network(tmp_path, "relative_disparity")
    assert consumer.set_parameters(model=str(other)).successful
    loaded = trigger(consumer, "load_model")
    assert loaded.success, loaded.message
    consumer.send(rgb, CAMERA)
    consumer.answers("disparity/image", 1)
    assert np.isnan(depth_of(consumer.answers("depth/image", 2)[1])).all()


def test_input_size_changes_live(start: Start, consumer: Consumer, model: Path) -> None:
    node = start("depth_node", model=model)
    consumer.subscribe("depth/image")
    consumer.wait_ready()
    rgb = picture()
    consumer.send(rgb, CAMERA)
    consumer.answers("depth/image", 1)
    ready = node.log.count(", ready")
    assert consumer.set_parameters(input_size=60).successful
    consumer.wait(lambda: node.log.count(", ready") > ready, 30, "no new model")
    consumer.send(rgb, CAMERA)
    depth = depth_of(consumer.answers("depth/image", 2)[1])
    assert depth.shape == (120, 160)
    assert 0 < np.abs(depth - red_depth(rgb)).max() < 0.2, "the network saw a smaller image"


def test_the_network_can_rest(start: Start, consumer: Consumer, model: Path) -> None:
    start("depth_node", model=model)
    consumer.subscribe("depth/image")
    consumer.wait_ready()

    def enable(on: bool) -> Any:
        return consumer.call(SetBool, "/depth_anything/enable", SetBool.Request(data=on))

    assert enable(False).success
    consumer.send(picture(), CAMERA)
    consumer.wait(lambda: consumer.diagnostics.get("dropped (disabled)") == "1", 30, "not counted")
    assert consumer.received["depth/image"] == []
    assert enable(True).success
    consumer.send(picture(), CAMERA)
    consumer.answers("depth/image", 1)


def test_a_snapshot_is_the_next_frame_as_files(
    start: Start, consumer: Consumer, model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shots"
    start("depth_node", model=model, snapshot_folder=folder)
    consumer.wait_ready()
    rgb = picture()
    client = consumer.node.create_client(Trigger, "/depth_anything/snapshot")
    assert client.wait_for_service(30)
    consumer.settle()
    future = client.call_async(Trigger.Request())
    stamps, until = [], time.monotonic() + 60
    while not future.done():  # the first image after the request is taken
        assert time.monotonic() < until, "no snapshot"
        stamps.append(consumer.send(rgb, CAMERA))
        time.sleep(0.2)
    answer = future.result()
    assert answer is not None and answer.success, answer
    shot = Path(answer.message)
    assert shot in [folder / str(stamp) for stamp in stamps]
    names = {path.name for path in shot.iterdir()}
    assert {"image.png", "preview.png", "depth.npy", "depth.png", "cloud.ply"} <= names
    np.testing.assert_allclose(np.load(shot / "depth.npy"), red_depth(rgb), atol=1e-5)
    state = json.loads((shot / "state.json").read_text())
    assert state["scale_state"]["quality"] == "GOOD"


def test_outputs_change_live_and_are_what_their_consumers_read(
    start: Start, consumer: Consumer, model: Path
) -> None:
    start("depth_node", model=model, edge_angle_deg=0.0)
    consumer.subscribe("depth/image", "depth/image/compressedDepth", "points")
    consumer.wait_ready()
    rgb = picture()
    consumer.send(rgb, CAMERA)
    packed = consumer.answers("depth/image/compressedDepth", 1)[0]
    assert packed.format == "32FC1; compressedDepth png"
    unpacked = decode_compressed_depth(packed.data, packed.format)
    truth = red_depth(rgb)
    # Inverse depth is stored with A = 100 * 101: a step of it is Z^2 / A metres.
    assert (np.abs(unpacked - truth) <= 0.51 * truth**2 / 10100 + 1e-5).all()
    assert consumer.set_parameters(voxel_size=0.5, cloud_color=False).successful
    consumer.send(rgb, CAMERA)
    cloud = consumer.answers("points", 2)[1]
    assert [field.name for field in cloud.fields] == ["x", "y", "z"]
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 3)
    assert 50 < len(points) < 5000
    assert len(np.unique(np.floor(points / 0.5), axis=0)) == len(points)
    assert consumer.set_parameters(voxel_size=0.0, cloud_stride=2).successful
    consumer.send(rgb, CAMERA)
    assert (consumer.answers("points", 3)[2].width, consumer.answers("points", 3)[2].height) == (
        80,
        60,
    )


def test_health_is_said_in_words(start: Start, consumer: Consumer, model: Path) -> None:
    consumer.node.destroy_publisher(consumer._images)
    start("depth_node", model=model, stale_after=0.5)

    def says(words: str) -> Callable[[], bool]:
        return lambda: words in consumer.diagnostics.get("message", "")

    consumer.wait(says("nobody publishes /image; remap"), 30, "no word of the missing publisher")
    assert consumer.diagnostic_level == DiagnosticStatus.ERROR
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    images = consumer.node.create_publisher(Image, "image", best_effort)
    consumer.wait(says("no image has come on /image"), 30, "no word of the silence")
    consumer.subscribe("depth/image")
    consumer.wait(lambda: images.get_subscription_count() > 0, 30, "not subscribed")
    consumer.settle()

    def says_no_camera_info() -> bool:
        images.publish(rgb_to_image(picture(), consumer.header()))
        time.sleep(0.1)
        return says("no camera_info on /camera_info")()

    consumer.wait(says_no_camera_info, 30, "no word of the missing camera_info")
    assert consumer.diagnostic_level == DiagnosticStatus.WARN
    consumer.wait(says("no image on /image for"), 30, "no word of the camera that died")
    assert float(consumer.diagnostics["memory_mb"]) > 10
    assert consumer.set_parameters(image_reliability="reliable").successful
    consumer.wait(says("offers another reliability"), 30, "no word of the quality of service")
    assert consumer.diagnostic_level == DiagnosticStatus.ERROR
