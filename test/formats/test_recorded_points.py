from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import Bag, BagMessage, Transform
from depth_anything_ros.formats.extrinsics import extrinsics_of
from depth_anything_ros.formats.recorded_points import chained, pair_by_stamp, static_transforms


def message(topic: str, milliseconds: int) -> BagMessage:
    seconds, rest = divmod(milliseconds, 1000)
    stamp = SimpleNamespace(sec=seconds, nanosec=rest * 1_000_000)
    content: Any = SimpleNamespace(
        header=SimpleNamespace(stamp=stamp), name=f"{topic}{milliseconds}"
    )
    return BagMessage(topic, "", 0, content)


def pairs(*recorded: tuple[str, int]) -> list[tuple[str, str]]:
    messages = [message(*each) for each in recorded]
    return [(image.name, cloud.name) for image, cloud in pair_by_stamp(messages, "i")]


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
