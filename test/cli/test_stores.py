"""Inputs and results in a store (fsspec): the same as in folders of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
from tiny_networks import write_red_network

RunCli = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_red_network(tmp_path_factory.mktemp("model"), "metric_depth", 48)


@pytest.fixture
def store() -> Iterator[Any]:
    """The store behind memory://, empty before and after."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def below(system: Any, folder: str) -> dict[str, bytes]:
    return {path.removeprefix(folder): system.cat_file(path) for path in system.find(folder)}


def test_pictures_from_a_store_to_a_store(
    run_cli: RunCli, model: Path, store: Any, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    for number, name in enumerate(("a.png", "deep/b.png")):
        (pictures / name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(pictures / name), np.full((40, 60, 3), 60 * number + 20, np.uint8))
    store.put(str(pictures), "/in", recursive=True)
    options = ("-m", model, "--layout", "kitti", "-r")
    here = run_cli("run", pictures, "-o", tmp_path / "out", *options)
    there = run_cli("run", "memory://in", "-o", "memory://out", *options)
    assert (here.code, there.code) == (0, 0), there.err
    assert "memory://out: 2 of 2 inputs" in there.err
    assert "look at memory://out/deep/b_preview.png" in there.err
    found = below(store, "/out/")
    for path in (tmp_path / "out").rglob("*"):
        name = path.relative_to(tmp_path / "out").as_posix()
        if path.suffix in (".npy", ".png"):
            assert found[name] == path.read_bytes(), name
    assert {"a.json", "deep/b.json", "deep/b_depth.npy", "kitti/image/a.png"} <= set(found)

    again = run_cli("run", "memory://in", "-o", "memory://out", *options)
    assert "results of all 2 inputs are there already" in again.err
    store.put_file(str(pictures / "a.png"), "/in/deep/b.png")  # a picture that has changed
    changed = run_cli("run", "memory://in", "-o", "memory://out", *options)
    assert "2 of 2 inputs, 1 of them from before, pictures: 1" in changed.err
    refused = run_cli("run", "memory://in", "-o", "memory://in/out", *options)
    assert refused.code == 1
    assert "--output memory://in/out is among the inputs" in refused.err


def test_a_video_goes_to_a_store_with_its_lists(
    run_cli: RunCli, model: Path, store: Any, tmp_path: Path
) -> None:
    from depth_anything_ros.formats.video import VideoWriter

    with VideoWriter(tmp_path / "clip.mp4", 10.0) as writer:
        for level in (50, 200):
            writer.write(np.full((40, 60, 3), level, np.uint8))
    store.put_file(str(tmp_path / "clip.mp4"), "/clips/clip.mp4")
    result = run_cli(
        "run", "memory://clips/clip.mp4", "-o", "memory://out", "-m", model, "--frames",
        "--layout", "tum",
    )  # fmt: skip
    assert result.code == 0, result.err
    found = below(store, "/out/")
    assert b"0.100000 depth/0.100000.png" in found["tum/depth.txt"]
    assert {"clip_preview.mp4", "clip.json", "clip_000001_depth.npy"} <= set(found)
    assert "depth_anything_run.json" not in found


def test_a_recording_of_a_store_goes_to_a_store(
    run_cli: RunCli, store: Any, tmp_path: Path
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 messages are not installed (extra 'ros')")
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    from scaled_bag import IMAGES, write_scaled_bag

    from depth_anything_ros.formats.bags import Bag

    model = write_red_network(tmp_path, "relative_disparity", 48)
    bag = write_scaled_bag(tmp_path / "drive", "lidar")
    store.put(str(bag), "/bags/drive", recursive=True)
    result = run_cli("convert", "memory://bags", "-o", "memory://out", "-m", model)
    assert result.code == 0, result.err
    assert f"1 of 1 recordings, {IMAGES} images (GOOD {IMAGES})" in result.err
    again = run_cli("convert", "memory://bags", "-o", "memory://out", "-m", model)
    assert "all 1 recordings are converted already" in again.err
    store.get("/out/drive", str(tmp_path / "converted"), recursive=True)
    with Bag(tmp_path / "converted") as opened:
        depths = list(opened.messages(["/depth_anything/depth/image"]))
    assert len(depths) == IMAGES

    result = run_cli("run", "memory://bags/drive", "-o", tmp_path / "run", "-m", model, "--cloud",
                     "--frames")  # fmt: skip
    assert result.code == 0, result.err
    assert (tmp_path / "run" / "drive_000000_cloud.ply").is_file()  # with the recording's camera
