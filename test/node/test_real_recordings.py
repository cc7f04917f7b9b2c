"""Real pictures and a real network through player, DDS and depth node."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from ros_harness import OUTPUTS, Consumer, NodeProcess
from sensor_msgs.msg import Image

from depth_anything_ros.formats.bags import IMAGE_TYPES, Bag, stamp_of
from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.node.messages import camera_from_info, nanoseconds

Start = Callable[..., NodeProcess]
NYU_CAMERA = Camera(640, 480, 518.8579, 519.46961, 325.58245, 253.73617)


def stamps(messages: list) -> list[int]:
    return [nanoseconds(message.header.stamp) for message in messages]


def test_every_frame_of_a_recording_is_answered_once(
    start: Start, consumer: Consumer, data_dir: Path
) -> None:
    bag = data_dir / "bags" / "kitti_object_db3"
    with Bag(bag) as recording:
        topics = recording.topics_of(*IMAGE_TYPES)
        recorded = [stamp_of(message.content) for message in recording.messages(topics)]
    start("depth_node", model=data_dir / "fastdepth" / "fastdepth_7.onnx")
    consumer.subscribe("depth/image", "depth/camera_info", "points")
    consumer.wait_ready()
    player = start("image_player", path=bag, restamp=False, speed=0.5)
    assert player.wait(60) == 0
    for output in ("depth/image", "depth/camera_info", "points"):
        assert stamps(consumer.answers(output, len(recorded))) == recorded
    for depth, info, cloud in zip(
        *(consumer.received[name] for name in ("depth/image", "depth/camera_info", "points")),
        strict=True,
    ):
        camera = camera_from_info(info)
        assert (depth.width, depth.height) == (camera.width, camera.height)
        points = np.frombuffer(cloud.data, np.float32).reshape(-1, 4)[:, :3]
        values = np.frombuffer(depth.data, np.float32).reshape(depth.height, depth.width)
        rows, columns = np.nonzero(np.isfinite(points[:, 2]).reshape(values.shape))
        u, v, z = project(camera, points)
        assert len(z) == len(rows) > 0.95 * np.isfinite(values).sum()
        np.testing.assert_array_equal(z.astype(np.float32), values[rows, columns])
        error = max(np.abs(u - columns).max(), np.abs(v - rows).max())
        print(f"cloud of {len(z)} points: at most {error:.1e} px off its own pixels")
        assert error <= 1e-3


def test_lidar_of_a_recording_gives_metres_without_tf(
    start: Start, consumer: Consumer, data_dir: Path
) -> None:
    node = start("depth_node", model=data_dir / "fastdepth" / "fastdepth_7.onnx", scaler="sparse")
    consumer.subscribe("depth/image", "scale_state")
    consumer.wait_ready()
    bag = data_dir / "bags" / "kitti_object_db3"
    player = start("image_player", path=bag, speed=0.2, loop=True)
    images: list[Image] = consumer.answers("depth/image", 6, 60)
    depths = [np.frombuffer(image.data, np.float32) for image in images]
    known = [depth for depth in depths if np.isfinite(depth).any()]
    assert len(known) > 1, (node.log, player.log)
    for depth in known:
        assert 4 < np.nanmedian(depth) < 60


def test_published_depth_of_nyu_is_right(
    start: Start, consumer: Consumer, data_dir: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in sorted((data_dir / "nyu").glob("rgb_*.jpg")):
        (pictures / path.name).symlink_to(path)
    calibration = tmp_path / "camera.yaml"
    write_camera(calibration, NYU_CAMERA)
    start("depth_node", model=data_dir / "fastdepth" / "fastdepth_7.onnx")
    consumer.subscribe("depth/image", "points")
    consumer.wait_ready()
    player = start("image_player", path=pictures, rate=1.0, camera_info_url=calibration)
    messages: list[Image] = consumer.answers("depth/image", 2, 60)
    assert player.wait(60) == 0
    assert len(messages) == 2
    truths = sorted((data_dir / "nyu").glob("sync_depth_*.png"))
    for message, path in zip(messages, truths, strict=True):
        truth = read_depth(path)
        depth = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        known = np.isfinite(truth)
        error = float(np.mean(np.abs(depth[known] / truth[known] - 1)))
        print(f"{path.name}: AbsRel {error:.3f} of the published depth image")
        assert error <= 0.15
    assert stamps(consumer.answers("points", 2)) == stamps(messages)


def test_an_input_that_is_not_there_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    player = start("image_player", path=tmp_path / "nothing")
    assert player.wait(30) == 1
    assert "give an image, folder, video or recording that exists" in player.log
    assert "Traceback" not in player.log


def test_the_player_says_what_it_is_and_takes_values_for_what_they_mean(
    start: Start, tmp_path: Path
) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "depth_anything_ros.node.tools.image_player", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.startswith("usage: image_player")
    assert "  rate (default 2.0)" in shown
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 6, 3), np.uint8))
    player = start(
        "image_player", path=tmp_path, rate=5, loop="off", wait_for_subscriber=0, spede=2
    )
    assert player.wait(30) == 0, player.log
    assert "there is no parameter 'spede', so it is ignored; did you mean 'speed'?" in player.log
    assert "played 1 images" in player.log


def test_the_recorder_leaves_picture_cloud_and_counts(
    start: Start, consumer: Consumer, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    recorder = start("output_recorder", output=out)
    start("depth_node", model=data_dir / "fastdepth" / "fastdepth_7.onnx")
    consumer.subscribe(*OUTPUTS)
    player = start("image_player", path=data_dir / "nyu" / "rgb_00000.jpg", hfov=60.0, loop=True)
    consumer.answers("points", 3, 60)
    assert player.stop() == 0
    assert recorder.stop() == 0
    assert (out / "preview.png").stat().st_size > 10_000
    header = (out / "cloud.ply").read_bytes()[:400]
    assert b"binary_little_endian" in header
    assert b"property uchar red" in header
    vertices = re.search(rb"element vertex (\d+)", header)
    assert vertices is not None
    assert 0.95 * 307200 < int(vertices.group(1)) <= 307200  # all but those in mid-air at edges
    assert '"clouds": ' in (out / "summary.json").read_text()
