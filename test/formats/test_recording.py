from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import Bag, BagMessage, Transform
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.recording import (
    Recording,
    Topics,
    chained,
    choose_image_topic,
    pair_by_stamp,
    point_topics,
    static_transforms,
)

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
small_bag = pytest.importorskip("small_bag", reason="rosbags is not installed (extra 'demo')")


def message(topic: str, milliseconds: int) -> BagMessage:
    seconds, rest = divmod(milliseconds, 1000)
    stamp = SimpleNamespace(sec=seconds, nanosec=rest * 1_000_000)
    content: Any = SimpleNamespace(
        header=SimpleNamespace(stamp=stamp), name=f"{topic}{milliseconds}"
    )
    return BagMessage(topic, "", 0, content)


def pairs(*recorded: tuple[str, int]) -> list[tuple[str, str]]:
    messages = [message(*each) for each in recorded]
    return [
        (image.content.name, cloud.content.name) for image, cloud in pair_by_stamp(messages, "i")
    ]


def test_each_cloud_finds_the_nearest_image() -> None:
    images = [("i", stamp) for stamp in (0, 33, 66, 99, 132)]
    assert pairs(*images, ("c", 40), ("c", 90)) == [("i33", "c40"), ("i99", "c90")]
    assert pairs(("c", 40), ("c", 90), *images) == [("i33", "c40"), ("i99", "c90")]
    assert pairs(*images[:2], ("c", 60), *images[2:]) == [("i66", "c60")]
    assert pairs(*images, ("c", 180)) == [("i132", "c180")]


def test_what_is_too_far_in_time_has_no_partner() -> None:
    assert pairs(("i", 0), ("c", 101), ("i", 202)) == []
    assert pairs(("i", 0), ("c", 100)) == [("i0", "c100")]
    assert pairs(("c", 100)) == []


def edge(parent: str, child: str, *numbers: float) -> Transform:
    return Transform(parent, child, extrinsics_of(numbers, "edge"), 0)


def test_transforms_are_chained_both_ways_through_a_tree() -> None:
    tree = [
        edge("base", "mast", 0, 0, 1, 0, 0, 0, 1),
        edge("mast", "lidar", 0.2, 0, 0.5, 0, 0, 1, 1),
        edge("base", "camera", 0.5, 0, 0.3, -0.5, 0.5, -0.5, 0.5),
    ]
    found = chained(tree, "/camera", "lidar")
    # The LiDAR is turned left by a quarter: its x is the robot's y, the optical -x.
    np.testing.assert_allclose(found @ (1, 0, 0, 1), (-1, -1.2, -0.3, 1), atol=1e-12)
    np.testing.assert_allclose(found @ chained(tree, "lidar", "camera"), np.eye(4), atol=1e-12)
    np.testing.assert_array_equal(chained([], "lidar", "lidar"), np.eye(4))
    with pytest.raises(InputError, match="does not connect 'radar' with 'camera'"):
        chained(tree, "camera", "radar")


def test_real_recording_knows_where_its_lidar_is(data_dir: Path) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    with Bag(data_dir / "bags" / "kitti_object_db3") as bag:
        found = chained(static_transforms(bag), "camera_optical_frame", "velodyne")
    # KITTI's LiDAR looks along x, the camera along z.
    np.testing.assert_allclose(found[:3, :3] @ (1, 0, 0), (0, 0, 1), atol=0.02)
    assert np.linalg.norm(found[:3, 3]) == pytest.approx(0.285, abs=0.01)


def moments(count: int) -> range:
    return range(0, count * 100_000_000, 100_000_000)


def seen_camera(path: Path, image_topic: str = "") -> tuple[str, float]:
    with Recording(path, Topics(image_topic)) as recording:
        camera = recording.camera
        return recording.image_topic, camera.fx if camera is not None else 0.0


def test_the_picture_is_told_from_depth_infrared_and_its_compressed_twin(tmp_path: Path) -> None:
    recorded = [
        small_bag.image("/camera/aligned_depth/image_raw", 0, encoding="16UC1"),
        small_bag.image("/camera/a_field/image", 0, encoding="32FC1"),
        small_bag.image("/camera/infra1/image_rect_raw", 0, encoding="mono8"),
        small_bag.image("/camera/color/image_raw", 0),
        small_bag.jpeg("/camera/color/image_raw/compressed", 0),
        small_bag.info("/camera/color/camera_info", 0, 70.0),
        small_bag.info("/camera/infra1/camera_info", 0, 40.0),
    ]
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    assert seen_camera(path) == ("/camera/color/image_raw", 70.0)


@pytest.mark.parametrize("transport", ["", "/compressed"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_calibration_is_the_one_beside_the_images(
    tmp_path: Path, transport: str, side: str
) -> None:
    recorded = []
    for name, focal in (("left", 50.0), ("right", 80.0)):
        topic = f"/{name}/image_raw{transport}"
        write = small_bag.jpeg if transport else small_bag.image
        recorded += [write(topic, 0), small_bag.info(f"/{name}/camera_info", 0, focal)]
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    named = f"/{side}/image_raw{transport}"
    assert seen_camera(path, image_topic=named) == (named, {"left": 50.0, "right": 80.0}[side])
    with Recording(path) as recording, pytest.raises(InputError, match="several cameras: /left"):
        choose_image_topic(recording.bag)


def test_rectified_pictures_have_the_camera_of_p(tmp_path: Path) -> None:
    info = small_bag.info("/camera/camera_info", 0, 50.0)
    info.message.d[:] = (-0.3, 0.1, 0, 0, 0)
    info.message.p[[0, 5]] = 44.0
    path = small_bag.write_bag(tmp_path / "bag", [small_bag.image("/camera/image_rect", 0), info])
    with Recording(path) as recording:
        assert recording.camera is not None
        assert (recording.camera.fx, recording.camera.is_distorted) == (44.0, False)


@hypothesis.given(
    hypothesis.strategies.lists(
        hypothesis.strategies.sampled_from(["good", "broken"]), min_size=1, max_size=12
    )
)
def test_one_bad_message_does_not_end_a_recording(
    tmp_path_factory: pytest.TempPathFactory, states: list[str]
) -> None:
    cut = {"good": None, "broken": 200}
    recorded = [
        small_bag.jpeg("/camera/image_raw/compressed", moment, cut[state])
        for moment, state in zip(moments(len(states)), states, strict=True)
    ]
    path = small_bag.write_bag(tmp_path_factory.mktemp("recording") / "bag", recorded)
    said: list[str] = []
    with Recording(path, report=said.append) as recording:
        frames = list(recording.frames())
        broken = states.count("broken")
        assert len(frames) == states.count("good")
        assert recording.bag.skipped.total() == broken
    assert len(said) == min(broken, 3) + (broken > 3)
    if broken > 3:
        assert f"{broken} messages of /camera/image_raw/compressed passed over" in said[-1]
    if broken:
        first = states.index("broken")
        assert f"message {first} of /camera/image_raw/compressed is passed over" in said[0]


def test_clouds_without_coordinates_and_empty_ones_are_passed_over(tmp_path: Path) -> None:
    wall = np.stack([np.linspace(-1, 1, 40), np.zeros(40), np.full(40, 4.0)], 1)
    empty = small_bag.cloud("/lidar", 0, np.zeros((0, 3)))
    empty.message.fields.clear()
    recorded = [
        empty,
        small_bag.info("/camera/camera_info", 0),
        small_bag.static(0, "lidar", "cam", 0.0, 0.0, 0.0),
        small_bag.cloud("/radar", 0, wall, "radar", ("range", "azimuth", "doppler")),
    ]
    for moment in moments(3):
        recorded += [
            small_bag.image("/camera/image_raw", moment + 1),
            small_bag.cloud("/lidar", moment + 2, wall),
        ]
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    with Recording(path) as recording:
        assert point_topics(recording.bag) == ["/lidar"]
        frames = list(recording.frames())
        assert [len(f.points) if f.points else 0 for f in frames] == [40, 40, 40]
        assert [len(points) for _, points in recording.pairs()][-3:] == [40, 40, 40]


@hypothesis.given(hypothesis.strategies.permutations([0.0, 0.5, -0.25]))
def test_the_newest_static_transform_counts(
    tmp_path_factory: pytest.TempPathFactory, heights: list[float]
) -> None:
    recorded = [
        small_bag.static(moment, "lidar", "cam", 0.0, height, 0.0)
        for moment, height in zip(moments(3), heights, strict=True)
    ]
    path = small_bag.write_bag(tmp_path_factory.mktemp("recording") / "bag", recorded)
    with Bag(path) as bag:
        (transform,) = static_transforms(bag)
    assert transform.matrix[1, 3] == heights[-1]


def test_every_image_has_the_cloud_that_is_nearest_to_it(tmp_path: Path) -> None:
    point = np.array([[0.0, 0.0, 3.0]])
    recorded = [
        small_bag.info("/camera/camera_info", 0),
        small_bag.static(0, "cam", "lidar", 0.0, 0.0, 0.0),
        *(small_bag.image("/camera/image_raw", ms * 1_000_000) for ms in range(0, 400, 33)),
        *(small_bag.cloud("/lidar", ms * 1_000_000 + 5, point) for ms in (99, 199, 299)),
    ]
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    with Recording(path) as recording:
        frames = list(recording.frames())
    with_points = [round((f.stamp - small_bag.START) / 1e6) for f in frames if f.points]
    assert len(frames) == 13
    assert with_points == [99, 198, 297]
    assert [f.stamp for f in frames] == sorted(f.stamp for f in frames)


def test_another_clock_is_named(tmp_path: Path) -> None:
    point = np.array([[0.0, 0.0, 3.0]])
    recorded = [
        small_bag.info("/camera/camera_info", 0),
        small_bag.static(0, "cam", "lidar", 0.0, 0.0, 0.0),
        small_bag.image("/camera/image_raw", 10),
        small_bag.cloud("/lidar", 42 * small_bag.SECOND, point),
    ]
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    with Recording(path) as recording, pytest.raises(InputError, match=r"42 s apart.*clocks"):
        list(recording.pairs())
    with Recording(path) as recording:
        (frame,) = recording.frames()
    assert frame.points is None


def test_headers_without_a_stamp_are_as_old_as_their_recording(tmp_path: Path) -> None:
    point = np.array([[0.0, 0.0, 3.0]])
    recorded = [
        small_bag.info("/camera/camera_info", 0),
        small_bag.static(0, "cam", "lidar", 0.0, 0.0, 0.0),
    ]
    for moment in moments(3):
        recorded += [
            small_bag.image("/camera/image_raw", moment),
            small_bag.cloud("/lidar", moment + 1000, point),
        ]
    for each in recorded[2:]:
        each.message.header.stamp.sec = each.message.header.stamp.nanosec = 0
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    with Recording(path) as recording:
        assert len(list(recording.pairs())) == 3
        frames = list(recording.frames())
    assert [frame.points is not None for frame in frames] == [True] * 3


def test_lidar_of_unknown_place_does_not_keep_images_back(tmp_path: Path) -> None:
    point = np.array([[0.0, 0.0, 3.0]])
    recorded = [
        small_bag.info("/camera/camera_info", 0),
        small_bag.image("/camera/image_raw", 0),
        small_bag.cloud("/left/lidar", 0, point),
    ]
    path = small_bag.write_bag(tmp_path / "one", recorded)
    said: list[str] = []
    with Recording(path, report=said.append) as recording:
        (frame,) = recording.frames()
    assert frame.points is None
    assert "LiDAR points are not used: /tf_static of the recording does not connect" in said[0]
    both = [*recorded, small_bag.cloud("/right/lidar", 0, point)]
    path = small_bag.write_bag(tmp_path / "two", both)
    with Recording(path, report=said.append) as recording:
        (frame,) = recording.frames()
    assert "several topics of points: /left/lidar, /right/lidar; name one" in said[-1]


def test_an_image_of_another_shape_is_passed_over(tmp_path: Path) -> None:
    wide = small_bag.image("/camera/image_raw", 1)
    wide.message.width, wide.message.height = 96, 32
    wide.message.step = 288
    recorded = [
        small_bag.info("/camera/camera_info", 0),
        small_bag.image("/camera/image_raw", 0),
        wide,
        small_bag.image("/camera/image_raw", 2),
    ]
    path = small_bag.write_bag(tmp_path / "bag", recorded)
    said: list[str] = []
    with Recording(path, report=said.append) as recording:
        assert len(list(recording.frames())) == 2
    assert "message 1 of /camera/image_raw is passed over: the calibration is for 64x48" in said[0]


def test_beams_without_return_are_no_points_of_the_image(tmp_path: Path) -> None:
    wall = np.stack([np.linspace(-1, 1, 40), np.zeros(40), np.full(40, 4.0)], 1)
    sent = np.concatenate([wall, np.zeros((1000, 3)), np.full((5, 3), np.nan)])
    recorded = [
        small_bag.info("/camera/camera_info", 0),
        # The LiDAR stands a quarter of a metre in front of the camera, in its view.
        small_bag.static(0, "cam", "lidar", 0.0, 0.0, 0.25),
        small_bag.image("/camera/image_raw", 0),
        small_bag.cloud("/lidar", 0, sent),
    ]
    with Recording(small_bag.write_bag(tmp_path / "bag", recorded)) as recording:
        ((_, points),) = recording.pairs()
    assert len(points) == 40
    np.testing.assert_allclose(points.z, 4.25)
