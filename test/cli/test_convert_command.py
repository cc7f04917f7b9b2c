"""`depth_anything convert`: recordings in every format come out whole, with depth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 messages are not installed (extra 'ros')")
pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")

from full_disk import no_file_longer_than
from rosbags.convert.converter import convert as convert_bag
from scaled_bag import IMAGES, write_scaled_bag
from tiny_networks import write_red_network

from depth_anything_ros.formats.bags import Bag
from depth_anything_ros.formats.encodings import decode_depth

RunCli = Callable[..., Any]
DEPTH = "/depth_anything/depth/image"
INFO = "/depth_anything/depth/camera_info"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_red_network(tmp_path_factory.mktemp("model"), "relative_disparity", 48)


def counts(bag: Path) -> Counter[str]:
    with Bag(bag) as opened:
        return Counter(message.topic for message in opened.messages(opened.topics))


def depths(bag: Path) -> list[np.ndarray]:
    with Bag(bag) as opened:
        return [
            decode_depth(
                np.asarray(each.content.data), each.content.height, each.content.width,
                each.content.step, each.content.encoding, False,
            )
            for each in opened.messages([DEPTH])
        ]  # fmt: skip


def test_every_format_gives_the_same_depth(run_cli: RunCli, model: Path, tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    bags.mkdir()
    mcap = write_scaled_bag(bags / "mcap", "lidar")
    write_scaled_bag(bags / "sqlite", "lidar", "SQLITE3")
    nothing: list[str] = []
    convert_bag(
        [mcap], bags / "packed", "mcap", 9, "zstd", "file", None, None,
        nothing, nothing, nothing, nothing,
    )  # fmt: skip
    convert_bag(
        [mcap], bags / "noetic.bag", "sqlite3", 9, None, "", None, None,
        nothing, nothing, nothing, nothing,
    )  # fmt: skip
    out = tmp_path / "out"
    result = run_cli("convert", bags, "-o", out, "-m", model, "--cloud")
    assert result.code == 0, result.err
    assert "4 of 4 recordings, 16 images (GOOD 16)" in result.err
    expected = {
        "/camera/image_raw": IMAGES, "/camera/camera_info": IMAGES, "/lidar/points": IMAGES,
        "/tf_static": 1, DEPTH: IMAGES, INFO: IMAGES, "/depth_anything/points": IMAGES,
    }  # fmt: skip
    reference = depths(out / "mcap")
    assert all(np.isfinite(depth).all() for depth in reference)
    for name in ("mcap", "sqlite", "packed", "noetic"):
        got = counts(out / name)
        assert {topic: got[topic] for topic in expected} == expected, name
        for one, other in zip(depths(out / name), reference, strict=True):
            np.testing.assert_array_equal(one, other)
        report = json.loads((out / f"{name}.json").read_text())
        assert report["images"]["frames_in"] == str(IMAGES)
        assert report["added"][DEPTH] == IMAGES
        assert report["warnings"] == []
    assert sorted(path.suffix for path in (out / "sqlite").iterdir()) == [".db3", ".yaml"]
    assert sorted(path.suffix for path in (out / "noetic").iterdir()) == [".mcap", ".yaml"]


def test_it_goes_on_where_it_was_stopped_and_names_what_fails(
    run_cli: RunCli, model: Path, tmp_path: Path
) -> None:
    bags, out = tmp_path / "bags", tmp_path / "out"
    bags.mkdir()
    good = write_scaled_bag(bags / "good")
    (bags / "broken.mcap").write_bytes(b"no recording")
    result = run_cli("convert", bags, "-o", out, "-m", model)
    assert result.code == 1
    assert "broken.mcap cannot be read" in result.err
    assert "1 of 2 recordings, 4 images (GOOD 4)" in result.err
    assert sorted(path.name for path in out.iterdir()) == ["good", "good.json"]
    written = (out / "good.json").stat().st_mtime_ns
    (bags / "broken.mcap").unlink()
    second = write_scaled_bag(bags / "second")
    result = run_cli("convert", good, second, "-o", out, "-m", model)
    assert result.code == 0, result.err
    assert "2 of 2 recordings, 1 of them from before, 4 images" in result.err
    assert (out / "good.json").stat().st_mtime_ns == written
    again = run_cli("convert", good, second, "-o", out, "-m", model)
    assert "all 2 recordings are converted already" in again.err
    other = run_cli("convert", good, "-o", out, "-m", model, "-p", "max_range:=3")
    assert "1 of 1 recordings, 4 images" in other.err  # another request
    (out / "second.json").unlink()  # so it may be somebody else's
    refused = run_cli("convert", second, "-o", out, "-m", model)
    assert refused.code == 1
    assert "was not written by this program" in refused.err


@pytest.mark.parametrize(
    ("storage", "text"), [("mcap", "File too large"), ("sqlite3", "disk I/O error")]
)
def test_a_full_disk_leaves_the_recording_of_before(
    run_cli: RunCli, model: Path, tmp_path: Path, storage: str, text: str
) -> None:
    bag, out = write_scaled_bag(tmp_path / "bag"), tmp_path / "out"
    command = ("convert", bag, "-o", out, "-m", model, "--storage", storage)
    assert run_cli(*command).code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with no_file_longer_than(32768):
        result = run_cli(*command, "--overwrite")
    assert result.code == 1
    assert "bag: " in result.err and text in result.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in out.iterdir()) == ["bag", "bag.json"]


def test_a_part_with_some_topics(run_cli: RunCli, model: Path, tmp_path: Path) -> None:
    bag, out = write_scaled_bag(tmp_path / "bag", "lidar"), tmp_path / "out"
    result = run_cli(
        "convert", bag, "-o", out, "-m", model, "--start", "0.2", "--end", "0.6",
        "--topics", "/camera/image_raw", "--topics", "/tf_static", "--namespace", "robot/depth",
        "--outputs", "depth/image", "--storage", "sqlite3", "--compression", "zstd",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "2 images (GOOD 2)" in result.err  # with LiDAR and transforms that are not copied
    assert counts(out / "bag") == {
        "/camera/image_raw": 2, "/tf_static": 1, "/robot/depth/depth/image": 2,
    }  # fmt: skip
    late = run_cli("convert", bag, "-o", out, "-m", model, "--start", "60")
    assert late.code == 1
    assert "--start is 60 s but" in late.err
    unknown = run_cli("convert", bag, "-o", out, "-m", model, "--topics", "/nothing")
    assert "has no topic /nothing; it has /camera/camera_info" in unknown.err
    twice = run_cli("convert", out / "bag", "-o", tmp_path / "more", "-m", model, "--namespace",
                    "robot/depth")  # fmt: skip
    assert "has a topic /robot/depth/depth/image already" in twice.err


def test_workers_give_the_same_recordings(run_cli: RunCli, model: Path, tmp_path: Path) -> None:
    bags = [write_scaled_bag(tmp_path / "bags" / name) for name in ("a", "b")]
    alone = run_cli("convert", *bags, "-o", tmp_path / "one", "-m", model)
    result = run_cli("convert", *bags, "-o", tmp_path / "two", "-m", model, "--workers", "2")
    assert alone.code == result.code == 0, result.err
    for name in ("a", "b"):
        for one, other in zip(
            depths(tmp_path / "one" / name), depths(tmp_path / "two" / name), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_recordings_of_a_store_are_converted(run_cli: RunCli, model: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    bag = write_scaled_bag(tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    fsspec.filesystem("memory").put(str(file), "/drives/monday/bag.mcap")
    here = run_cli("convert", file, "-o", tmp_path / "here", "-m", model)
    there = run_cli("convert", "memory://drives", "-o", tmp_path / "there", "-m", model)
    assert here.code == there.code == 0, there.err
    for one, other in zip(
        depths(tmp_path / "here" / "bag"), depths(tmp_path / "there" / "bag"), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_real_recording_through_a_real_network(
    run_cli: RunCli, fastdepth: Path, data_dir: Path, tmp_path: Path
) -> None:
    """KITTI: the LiDAR is placed by /tf_static, and the new recording plays on."""
    bag = data_dir / "bags" / "kitti_object_db3"
    result = run_cli("convert", bag, "-o", tmp_path, "-m", fastdepth)
    assert result.code == 0, result.err
    assert "2 images (GOOD 2)" in result.err
    for depth in depths(tmp_path / "kitti_object_db3"):
        assert 4 < np.nanmedian(depth) < 60
    played = run_cli("run", tmp_path / "kitti_object_db3", "-o", tmp_path / "run", "-m", fastdepth)
    assert played.code == 0, played.err
