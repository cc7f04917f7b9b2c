"""What comes in: several cameras, compressed and distorted images, regions, masks, rates."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from ros_harness import FRAME_ID, RELIABLE, Consumer, NodeProcess
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tiny_networks import red_depth, write_red_network

from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.geometry.rectification import rectify
from depth_anything_ros.node.messages import (
    camera_from_info,
    info_from_camera,
    nanoseconds,
    rgb_to_image,
)

Start = Callable[..., NodeProcess]
CAMERA = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)
BENT = Camera(160, 120, 130.0, 131.0, 80.4, 59.2, "plumb_bob", (-0.25, 0.08, 0.001, -0.002, 0.0))
FISHEYE = Camera(160, 120, 70.0, 70.0, 79.5, 59.5, "equidistant", (0.02, -0.003, 0.001, 0.0))


def picture(seed: int = 0, width: int = 160, height: int = 120) -> npt.NDArray[np.uint8]:
    ramp = np.linspace(20, 235, width)[None, :] + 10 * np.sin(np.arange(height) + seed)[:, None]
    return np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 60)], axis=2).astype(np.uint8)


def depth_of(message: Image) -> npt.NDArray[np.float32]:
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_red_network(tmp_path, "metric_depth")


def test_four_cameras_of_different_rates_and_sizes_share_a_slow_model(
    start: Start, consumer: Consumer, tmp_path: Path
) -> None:
    slow = write_red_network(tmp_path, "metric_depth", input_size=240, heavy_layers=6)
    rates = {"front": 20.0, "left": 10.0, "right": 5.0, "rear": 0.0}
    sizes = {"front": (320, 240), "left": (320, 240), "right": (400, 240), "rear": (320, 240)}
    start("depth_node", model=slow, num_threads=1, cameras=f"[{', '.join(rates)}]")
    for name in rates:
        consumer.subscribe("depth/image", "depth/camera_info", camera=name)
    publishers = {
        name: (
            consumer.node.create_publisher(Image, f"{name}/image", RELIABLE),
            consumer.node.create_publisher(CameraInfo, f"{name}/camera_info", RELIABLE),
        )
        for name in rates
    }
    consumer.wait(
        lambda: all(image.get_subscription_count() for image, _ in publishers.values()),
        60,
        "the node does not listen to every camera",
    )
    consumer.settle()
    sent: dict[str, list[int]] = {name: [] for name in rates}
    stop = threading.Event()

    def play(name: str, rate: float) -> None:
        width, height = sizes[name]
        image, info = publishers[name]
        rgb = picture(len(name), width, height)
        camera = Camera.from_hfov(width, height, 70.0)
        while not stop.wait(1 / rate):
            header = Header(stamp=consumer.header().stamp, frame_id=f"{name}_optical")
            sent[name].append(nanoseconds(header.stamp))
            info.publish(info_from_camera(camera, header))
            image.publish(rgb_to_image(rgb, header))

    threads = [threading.Thread(target=play, args=item) for item in rates.items() if item[1]]
    for thread in threads:
        thread.start()
    try:
        consumer.wait(
            lambda: len(consumer.received["right/depth/image"]) >= 5, 120, "right is not answered"
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    def is_over(name: str) -> bool:
        answers = consumer.received[f"{name}/depth/image"]
        infos = consumer.received[f"{name}/depth/camera_info"]
        newest = nanoseconds(answers[-1].header.stamp) if answers else 0
        return newest == sent[name][-1] and len(infos) == len(answers)

    for name, rate in rates.items():
        if rate:
            consumer.wait(partial(is_over, name), 120, f"no answer to the newest of {name}")
    answered = {name: consumer.received[f"{name}/depth/image"] for name in rates}
    counts = {name: len(messages) for name, messages in answered.items()}
    print(f"sent { ({name: len(stamps) for name, stamps in sent.items()}) }, answered {counts}")
    for name in ("front", "left", "right"):
        stamps = [nanoseconds(message.header.stamp) for message in answered[name]]
        assert set(stamps) <= set(sent[name])
        assert stamps == sorted(set(stamps))
        width, height = sizes[name]
        rgb = picture(len(name), width, height)
        for message in answered[name]:
            assert message.header.frame_id == f"{name}_optical"
            assert (message.width, message.height) == (width, height)
        np.testing.assert_allclose(depth_of(answered[name][-1]), red_depth(rgb), atol=1e-4)
        assert len(consumer.received[f"{name}/depth/camera_info"]) == counts[name]
    # Overloaded, every live camera gets its turn in every batch: none starves, the dead one
    # delays nobody.
    assert counts["rear"] == 0
    assert counts["right"] >= 5
    assert counts["front"] >= counts["right"]
    consumer.wait(
        lambda: "/depth_anything: rear depth" in consumer.statuses, 30, "no status of rear"
    )
    assert "no image has come" in consumer.statuses["/depth_anything: rear depth"].message
    assert consumer.describe_parameter("cameras").read_only


def test_compressed_images_and_a_calibration_file(
    start: Start, consumer: Consumer, model: Path, tmp_path: Path
) -> None:
    calibration = tmp_path / "camera.yaml"
    write_camera(calibration, CAMERA)
    start(
        "depth_node",
        model=model,
        image_transport="compressed",
        camera_info_url=f"file://{calibration}",
    )
    consumer.subscribe("depth/image", "depth/camera_info", "points")
    publisher = consumer.node.create_publisher(CompressedImage, "image/compressed", RELIABLE)
    consumer.wait(lambda: publisher.get_subscription_count() > 0, 60, "nobody listens")
    consumer.settle()
    rgb = picture()
    for number, (suffix, tolerance) in enumerate(((".png", 1e-5), (".jpg", 0.25)), 1):
        header = consumer.header()
        packed = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
        publisher.publish(CompressedImage(header=header, format=suffix[1:], data=packed))
        message = consumer.answers("depth/image", number)[-1]
        assert nanoseconds(message.header.stamp) == nanoseconds(header.stamp)
        np.testing.assert_allclose(depth_of(message), red_depth(rgb), atol=tolerance)
    info = consumer.answers("depth/camera_info", 2)[-1]
    assert camera_from_info(info).fx == CAMERA.fx
    consumer.answers("points", 2)
    publisher.publish(CompressedImage(header=consumer.header(), format="png", data=b"no picture"))
    consumer.wait(
        lambda: consumer.diagnostics.get("dropped (unusable image)") == "1", 30, "no complaint"
    )


@pytest.mark.parametrize("camera", [BENT, FISHEYE], ids=["plumb_bob", "fisheye"])
def test_distorted_pictures_are_rectified_or_their_rays_are_bent(
    start: Start, consumer: Consumer, model: Path, camera: Camera
) -> None:
    start("depth_node", model=model, edge_angle_deg=0.0)
    consumer.subscribe("depth/image", "depth/camera_info", "points")
    consumer.wait_ready()
    rgb = picture()
    consumer.send(rgb, camera)
    depth = depth_of(consumer.answers("depth/image", 1)[0])
    np.testing.assert_allclose(depth, red_depth(rectify(rgb, camera)), atol=1e-5)
    info = consumer.answers("depth/camera_info", 1)[0]
    assert list(info.d) == [0.0] * 5
    assert list(info.r) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    straight = camera_from_info(info)
    assert (straight.fx, straight.cx) == (camera.p[0, 0], camera.p[0, 2])
    assert consumer.set_parameters(rectify="off").successful
    consumer.send(rgb, camera)
    depth = depth_of(consumer.answers("depth/image", 2)[1])
    np.testing.assert_allclose(depth, red_depth(rgb), atol=1e-5)
    cloud = consumer.answers("points", 2)[1]
    points = np.frombuffer(cloud.data, np.float32).reshape(-1, 4)[:, :3]
    rows, columns = np.nonzero(np.isfinite(points[:, 2]).reshape(120, 160))
    assert len(rows) > 0.95 * 160 * 120
    # The image's border may project a hair outside; compare where all of it is seen.
    inner = (rows > 1) & (rows < 118) & (columns > 1) & (columns < 158)
    u, v, _ = project(camera, points.reshape(120, 160, 3)[rows[inner], columns[inner]])
    assert np.abs(u - columns[inner]).max() <= 1e-3
    assert np.abs(v - rows[inner]).max() <= 1e-3


def test_region_mask_and_rate(start: Start, consumer: Consumer, tmp_path: Path) -> None:
    model = write_red_network(tmp_path, "metric_depth", input_size=60)
    mask = np.full((120, 160), 255, np.uint8)
    mask[100:] = 0
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), mask)
    start("depth_node", model=model, roi="[30, 50, 80, 60]", mask_file=path)
    consumer.subscribe("depth/image", "depth/camera_info")
    consumer.wait_ready()
    rgb = picture()
    consumer.send(rgb, CAMERA)
    depth = depth_of(consumer.answers("depth/image", 1)[0])
    assert depth.shape == (60, 80)
    np.testing.assert_allclose(depth[:50], red_depth(rgb)[50:100, 30:110], atol=1e-4)
    assert np.isnan(depth[50:]).all()
    info = consumer.answers("depth/camera_info", 1)[0]
    assert (info.width, info.height, info.k[2], info.k[5]) == (80, 60, 80.4 - 30, 59.2 - 50)
    assert not consumer.set_parameters(roi=[0, 0, 10, 0]).successful
    assert consumer.set_parameters(roi=[0, 0, 0, 0], mask_file="", max_rate=4.0).successful
    begin = time.monotonic()
    stamps: list[int] = []
    while len(consumer.received["depth/image"]) < 7:
        assert time.monotonic() < begin + 120
        stamps.append(consumer.send(rgb, CAMERA))
        time.sleep(0.05)
    consumer.wait(
        lambda: nanoseconds(consumer.received["depth/image"][-1].header.stamp) == stamps[-1],
        60,
        "the newest image is not answered",
    )
    seconds, count = time.monotonic() - begin, len(consumer.received["depth/image"]) - 1
    print(f"{len(stamps)} images in {seconds:.1f} s, {count} answered at 4 Hz at most")
    assert count <= 4 * seconds + 1
    assert consumer.received["depth/image"][-1].header.frame_id == FRAME_ID
