from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import bags
from depth_anything_ros.formats.encodings import decode_depth
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
    image = depth.content
    layout = (image.height, image.width, image.step, image.encoding)
    np.testing.assert_array_equal(decode_depth(image.data, *layout), expected)
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


def count_of(path: Path, said: list[str]) -> int:
    with bags.Bag(path, said.append) as bag:
        return len(list(bag.messages(["/camera/image_raw"])))


def small(folder: Path, images: int) -> Path:
    import small_bag

    recorded = [small_bag.image("/camera/image_raw", moment) for moment in range(images)]
    return Path(small_bag.write_bag(folder, recorded))


def test_a_file_beside_the_metadata_of_another_recording_is_read_alone(tmp_path: Path) -> None:
    folder = small(tmp_path / "a", 3)
    other = small(tmp_path / "b", 7)
    copy = folder / "filtered.mcap"
    shutil.copy(next(other.glob("*.mcap")), copy)
    shutil.copytree(other, folder / "nested")
    said: list[str] = []
    assert [count_of(path, said) for path in (folder, copy, folder / "nested")] == [3, 7, 7]
    assert said == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("storage_identifier: mcap", "storage_identifier: ''"),
        ("- a.mcap", "- gone.mcap"),
        ("version: 9", "version: 99"),
        ("rosbag2_bagfile_information", "something_else"),
    ],
)
def test_metadata_that_is_of_no_use_is_passed_over(tmp_path: Path, old: str, new: str) -> None:
    folder = small(tmp_path / "a", 3)
    metadata = folder / "metadata.yaml"
    text = metadata.read_text()
    assert old in text
    metadata.write_text(text.replace(old, new))
    said: list[str] = []
    assert count_of(folder, said) == 3
    assert len(said) == 1
    assert "metadata.yaml is passed over" in said[0]


def test_a_folder_without_metadata_is_its_one_file(tmp_path: Path) -> None:
    folder = small(tmp_path / "a", 3)
    (folder / "metadata.yaml").unlink()
    assert bags.is_recording(folder)
    assert count_of(folder, []) == 3
    shutil.copy(folder / "a.mcap", folder / "b.mcap")
    with pytest.raises(InputError, match=r"several recordings: a\.mcap, b\.mcap"):
        bags.Bag(folder)


def test_a_recording_that_is_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    file = next(small(tmp_path / "a", 60).glob("*.mcap"))
    content = file.read_bytes()
    said: list[str] = []
    file.write_bytes(content[: len(content) // 2])
    try:
        count = count_of(file, said)
    except InputError as error:
        assert "cannot be read as a rosbag2 recording" in str(error)
    else:
        assert count < 60
        assert "ends early" in said[0]


def test_compressed_and_ros1_recordings_are_read(tmp_path: Path) -> None:
    import small_bag
    from rosbags.rosbag1 import Writer as Writer1
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    packed = Writer(tmp_path / "packed", version=9, storage_plugin=StoragePlugin.MCAP)
    packed.set_compression(CompressionMode.FILE, CompressionFormat.ZSTD)
    message = small_bag.image("/camera/image_raw", 0).message
    with packed:
        connection = packed.add_connection(
            "/camera/image_raw", message.__msgtype__, typestore=small_bag.STORE
        )
        for moment in range(4):
            content = small_bag.STORE.serialize_cdr(message, message.__msgtype__)
            packed.write(connection, moment, content)
    file = next((tmp_path / "packed").glob("*.zstd"))
    assert [count_of(path, []) for path in (tmp_path / "packed", file)] == [4, 4]
    (tmp_path / "packed" / "metadata.yaml").unlink()
    assert count_of(file, []) == 4

    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    stamp = types["builtin_interfaces/msg/Time"](sec=4, nanosec=5)
    header = types["std_msgs/msg/Header"](seq=0, stamp=stamp, frame_id="cam")
    picture = types["sensor_msgs/msg/Image"](
        header=header, height=2, width=2, encoding="mono8", is_bigendian=0, step=2,
        data=np.zeros(4, np.uint8),
    )  # fmt: skip
    path = tmp_path / "old.bag"
    with Writer1(path) as writer:
        topic = writer.add_connection("/camera/image_raw", picture.__msgtype__, typestore=store)
        writer.write(topic, 7, store.serialize_ros1(picture, picture.__msgtype__))
    with bags.Bag(path) as bag:
        (value,) = bag.values(["/camera/image_raw"])
    assert (value.stamp, value.frame_id, value.value.shape) == (4_000_000_005, "cam", (2, 2, 3))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ((b"uint32 height", b"uint32 hEijht"), "field height of sensor_msgs/msg/Image is not"),
        ((b"uint32 height", b"uint64 height"), "field height of sensor_msgs/msg/Image is not"),
        ((b"string frame_id", b"string frame_xx"), "field frame_id of std_msgs/msg/Header is not"),
    ],
)
def test_a_damaged_definition_makes_its_messages_unreadable(
    tmp_path: Path, damage: tuple[bytes, bytes], reason: str
) -> None:
    write_recording(tmp_path / "bag", "MCAP")
    path = tmp_path / "bag" / "bag.mcap"
    path.write_bytes(path.read_bytes().replace(*damage))
    reports: list[str] = []
    with bags.Bag(path, reports.append) as bag:
        assert not list(bag.values(["/depth"]))
        assert bag.skipped["/depth"] == 1
    assert any(reason in report for report in reports)
