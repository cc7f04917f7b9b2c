from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import bags
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.geometry.camera import project

pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")

COLOUR = np.full((8, 8, 3), (200, 100, 50), np.uint8)


def test_real_recording_gives_images_calibration_and_lidar(data_dir: Path) -> None:
    with bags.Bag(data_dir / "bags" / "kitti_object_db3") as bag:
        assert bag.topics == {
            "/camera/image_raw": "sensor_msgs/msg/Image",
            "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
            "/velodyne_points": "sensor_msgs/msg/PointCloud2",
            "/tf_static": "tf2_msgs/msg/TFMessage",
        }
        assert bag.topics_of(*bags.IMAGE_TYPES) == ["/camera/image_raw"]
        messages = list(bag.messages(bag.topics))
    contents: dict[str, list[object]] = {}
    for message in messages:
        contents.setdefault(message.topic, []).append(message.content)
    stamps = [message.stamp for message in messages]
    assert stamps == sorted(stamps)

    images = contents["/camera/image_raw"]
    for image, name in zip(images, ("000001", "000002"), strict=True):
        expected = read_image(data_dir / "kitti" / "image_2" / f"{name}.png")
        np.testing.assert_array_equal(bags.image_of(image), expected)
    assert [bags.stamp_of(image) for image in images] == [
        1_700_000_000_001_000_000,
        1_700_000_000_101_000_000,
    ]

    camera = bags.camera_of(contents["/camera/camera_info"][0])
    assert (camera.width, camera.height, camera.fx) == (1242, 375, 721.5377)

    points = bags.points_of(contents["/velodyne_points"][0])
    raw = np.fromfile(data_dir / "kitti" / "velodyne" / "000001.bin", np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(points, raw[:, :3].astype(np.float64))

    (transform,) = bags.transforms_of(contents["/tf_static"][0])
    assert (transform.parent, transform.child) == ("velodyne", "camera_optical_frame")
    into_camera = np.linalg.inv(transform.matrix)
    np.testing.assert_allclose(into_camera[:3, :3] @ into_camera[:3, :3].T, np.eye(3), atol=1e-9)
    _, _, z = project(camera, points @ into_camera[:3, :3].T + into_camera[:3, 3])
    print(f"{len(z)} LiDAR points in the image, {z.min():.1f} to {z.max():.1f} m")
    assert 18_000 < len(z) < 19_500
    assert 3.5 < z.min() < z.max() < 80


def test_a_single_file_of_a_recording_is_enough(data_dir: Path) -> None:
    path = data_dir / "bags" / "kitti_object_db3" / "kitti_object_db3.db3"
    with bags.Bag(path) as bag:
        assert len(list(bag.messages(["/camera/image_raw"]))) == 2


def test_unknown_topics_are_named(data_dir: Path) -> None:
    with (
        bags.Bag(data_dir / "bags" / "kitti_object_db3") as bag,
        pytest.raises(InputError, match="no topic /front; it has /camera/camera_info"),
    ):
        list(bag.messages(["/front"]))


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere cannot be read as a rosbag2"):
        bags.Bag(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read as a rosbag2"):
        bags.Bag(tmp_path)
    (tmp_path / "metadata.yaml").write_text("[]")
    with pytest.raises(InputError, match="cannot be read as a rosbag2"):
        bags.Bag(tmp_path)


def write_recording(folder: Path, storage: str) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    header = types["std_msgs/msg/Header"](
        stamp=types["builtin_interfaces/msg/Time"](sec=5, nanosec=7), frame_id="camera"
    )
    depth = types["sensor_msgs/msg/Image"](
        header=header, height=1, width=2, encoding="16UC1", is_bigendian=0, step=4,
        data=np.array([0xDC, 5, 0, 0], np.uint8),
    )  # fmt: skip
    png = cv2.imencode(".png", COLOUR[..., ::-1])[1].ravel()
    picture = types["sensor_msgs/msg/CompressedImage"](header=header, format="png", data=png)
    with Writer(folder, version=9, storage_plugin=StoragePlugin[storage]) as writer:
        for topic, message in (("/depth", depth), ("/camera/compressed", picture)):
            kind = message.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=store)
            writer.write(connection, 99, store.serialize_cdr(message, kind))


def check_recording(folder: Path) -> None:
    with bags.Bag(folder) as bag:
        assert bag.topics_of(*bags.IMAGE_TYPES) == ["/camera/compressed", "/depth"]
        messages = {message.topic: message for message in bag.messages(bag.topics)}
    depth = messages["/depth"]
    assert (depth.stamp, bags.stamp_of(depth.content)) == (99, 5_000_000_007)
    expected = np.array([[1.5, np.nan]], np.float32)
    np.testing.assert_array_equal(bags.depth_of(depth.content), expected)
    np.testing.assert_array_equal(bags.image_of(messages["/camera/compressed"].content), COLOUR)


@pytest.mark.parametrize("storage", ["SQLITE3", "MCAP"])
def test_both_storages_are_read(tmp_path: Path, storage: str) -> None:
    write_recording(tmp_path / "bag", storage)
    check_recording(tmp_path / "bag")


@pytest.mark.parametrize("distro", ["humble", "jazzy", "unheard_of"])
def test_recordings_without_definitions_are_read(tmp_path: Path, distro: str) -> None:
    folder = tmp_path / "bag"
    write_recording(folder, "SQLITE3")
    with contextlib.closing(sqlite3.connect(folder / "bag.db3")) as database, database:
        assert database.execute("DELETE FROM message_definitions").rowcount == 2
    metadata = (folder / "metadata.yaml").read_text()
    assert "ros_distro: rosbags" in metadata
    (folder / "metadata.yaml").write_text(metadata.replace("rosbags", distro))
    check_recording(folder)
