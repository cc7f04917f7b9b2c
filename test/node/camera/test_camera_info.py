"""Calibrations as drivers send them: latched, rectified, P alone; images that claim too much."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import pack

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import FRAME_ID, RELIABLE, Consumer, NodeProcess
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from tiny_networks import red_depth, write_red_network

from depth_anything_ros.formats.compressed_depth import decode_compressed_depth
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import Cloud
from depth_anything_ros.node.messages import cloud_to_message, info_from_camera, rgb_to_image

Start = Callable[..., NodeProcess]
CAMERA = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


def picture(red: int = 100) -> npt.NDArray[np.uint8]:
    return np.full((120, 160, 3), red, np.uint8)


def xyz(cloud: PointCloud2) -> npt.NDArray[np.float32]:
    values = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, -1)
    return values[..., :3]


def test_a_latched_camera_info_that_was_sent_before_the_node_came(
    start: Start, consumer: Consumer, model: Path
) -> None:
    node = consumer.node
    node.destroy_publisher(consumer._infos)
    consumer._infos = node.create_publisher(CameraInfo, "camera_info", LATCHED)
    consumer._infos.publish(info_from_camera(CAMERA, consumer.header()))
    start("depth_node", model=model, edge_angle_deg=0.0)
    consumer.subscribe("points")
    consumer.wait_ready()
    until = time.monotonic() + 60
    while not consumer.received["points"]:  # what is latched comes when it comes
        assert time.monotonic() < until, "the camera_info never came"
        consumer.send(picture())
        time.sleep(0.5)
    points = xyz(consumer.received["points"][0])
    depth = red_depth(picture())[0, 0]
    assert points[10, 30, 0] == pytest.approx((30 - CAMERA.cx) / CAMERA.fx * depth, rel=1e-5)


@pytest.mark.parametrize("how", ["topic", "parameter"])
def test_rectified_images_have_the_camera_of_p_and_no_distortion(
    start: Start, consumer: Consumer, model: Path, how: str
) -> None:
    options = ["--ros-args", "-r", "image:=image_rect_color", "--"] if how == "topic" else []
    parameters = {"rectified": "true"} if how == "parameter" else {}
    start("depth_node", *options, model=model, edge_angle_deg=0.0, **parameters)
    if how == "topic":
        consumer.node.destroy_publisher(consumer._images)
        consumer._images = consumer.node.create_publisher(Image, "image_rect_color", RELIABLE)
    consumer.subscribe("points", "depth/camera_info")
    topic = consumer._images.topic_name
    consumer.wait(lambda: consumer._reliable_listeners(topic) > 0, 60, "nobody listens")
    consumer.settle()
    header = consumer.header()
    info = info_from_camera(CAMERA, header)
    info.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
    info.p = [110.0, 0.0, 78.0, 0.0, 0.0, 111.0, 61.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    consumer.send_messages(rgb_to_image(picture(), header), info)
    points = xyz(consumer.answers("points", 1)[0])
    depth = red_depth(picture())[0, 0]
    assert points[20, 150, 0] == pytest.approx((150 - 78.0) / 110.0 * depth, rel=1e-5)
    assert points[20, 150, 1] == pytest.approx((20 - 61.0) / 111.0 * depth, rel=1e-5)
    sent: CameraInfo = consumer.answers("depth/camera_info", 1)[0]
    assert sent.k[0] == 110.0
    assert not any(sent.d)


def test_the_compressed_depth_obeys_the_same_limits(
    start: Start, consumer: Consumer, model: Path
) -> None:
    start("depth_node", model=model, min_range=2.0, max_range=5.0)
    consumer.subscribe("depth/image", "depth/image/compressedDepth")
    consumer.wait_ready()
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[..., 0] = np.linspace(0, 255, 160)
    consumer.send(rgb, CAMERA)
    packed: CompressedImage = consumer.answers("depth/image/compressedDepth", 1)[0]
    unpacked = decode_compressed_depth(packed.data, packed.format)
    truth = red_depth(rgb)
    np.testing.assert_array_equal(np.isfinite(unpacked), (truth >= 2.0) & (truth <= 5.0))


def test_a_picture_that_claims_too_many_pixels_is_not_decoded(
    start: Start, consumer: Consumer, model: Path
) -> None:
    node = start("depth_node", model=model, image_transport="compressed")
    consumer.subscribe("depth/image")
    images = consumer.node.create_publisher(CompressedImage, "image/compressed", RELIABLE)
    consumer.wait(
        lambda: consumer._reliable_listeners("image/compressed") > 0, 60, "nobody listens"
    )
    consumer.settle()

    def send(content: bytes) -> None:
        message = CompressedImage(header=consumer.header(FRAME_ID), format="png")
        message.data.frombytes(content)
        images.publish(message)

    send(empty_png(20_000, 20_000))
    consumer.wait(lambda: "image not answered" in node.log, 30, "no word of the picture")
    assert "an image of 20000x20000 is larger than max_image_pixels (50000000)" in node.log
    rgb = picture()
    send(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes())
    consumer.answers("depth/image", 1)


def empty_png(width: int, height: int) -> bytes:
    """A black picture of one bit a pixel, some kilobytes for hundreds of megapixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return pack(">I", len(content)) + name + content + pack(">I", check)

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def test_points_of_another_clock_or_beside_the_image_are_explained(
    start: Start, consumer: Consumer, model: Path
) -> None:
    node = start("depth_node", model=model, scaler="sparse", points_timeout=0.3)
    consumer.subscribe("scale_state")
    consumer.wait_ready()
    wall = np.zeros((1, 300, 3), np.float32)
    wall[..., 2] = 4.0
    old = Header(frame_id=FRAME_ID)
    old.stamp.sec = 4280
    consumer.publish("points", cloud_to_message(Cloud(wall), old))
    consumer.settle()
    consumer.send(picture(), CAMERA)
    consumer.scale_state(1)
    consumer.wait(lambda: "behind the image's" in node.log, 30, "no word of the clock")
    beside = wall + np.array([50.0, 0.0, 0.0], np.float32)
    consumer.publish("points", cloud_to_message(Cloud(beside), consumer.header()))
    consumer.settle()
    consumer.send(picture(), CAMERA)
    assert (
        "all 300 points (/points) lie behind the camera or outside its image"
        in (consumer.scale_state(2)["message"])
    )
