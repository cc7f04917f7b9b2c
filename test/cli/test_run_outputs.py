"""`depth_anything run`: layouts of data sets, ControlNet's picture, fixed colours, many workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_networks import OFFSET, SLOPE, write_red_network

from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.media import MediaFile, read_media
from depth_anything_ros.formats.preview import ColorRange, DepthColors, conditioning_image

RunCli = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_red_network(tmp_path_factory.mktemp("model"), "metric_depth", 48)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(3):
        blocks = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), blocks)
    return folder


def true_depth(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(OFFSET + SLOPE * image[..., 2] / 255, np.float32)


def test_layouts_have_the_units_of_their_data_sets(
    run_cli: RunCli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    for layout, scale, name, picture in (
        ("kitti", 256, "groundtruth_depth/1.png", "image/1.png"),
        ("nyu", 1000, "sync_depth_1.png", "rgb_1.jpg"),
    ):
        out = tmp_path / layout
        result = run_cli("run", pictures, "-o", out, "-m", model, "--layout", layout)
        assert result.code == 0, result.err
        depth = read_depth(out / layout / name, scale)
        assert np.abs(depth - true_depth(pictures / "1.png")).max() <= 0.51 / scale + 1e-5
        assert (out / layout / picture).is_file()
    refused = run_cli("run", pictures, "-o", tmp_path / "tum", "-m", model, "--layout", "tum")
    assert refused.code == 1
    assert "--layout tum names files by time" in refused.err
    relative = run_cli("run", pictures, "-o", tmp_path / "r", "-m", "embedded", "--layout", "nyu")
    assert "--layout nyu needs metres" in relative.err


def test_a_video_becomes_a_tum_sequence(
    run_cli: RunCli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    video = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    for path in sorted(pictures.iterdir()):
        image = cv2.imread(str(path))
        assert image is not None
        video.write(image)
    video.release()
    out = tmp_path / "out"
    result = run_cli("run", tmp_path / "clip.avi", "-o", out, "-m", model, "--layout", "tum",
                     "--preview-range", "1,9")  # fmt: skip
    assert result.code == 0, result.err
    times = ["0.000000", "0.100000", "0.200000"]
    for kind in ("rgb", "depth"):
        lines = (out / "tum" / f"{kind}.txt").read_text().splitlines()
        assert lines == ["# timestamp filename", *(f"{time} {kind}/{time}.png" for time in times)]
    depth = read_depth(out / "tum" / "depth" / f"{times[1]}.png", 5000)
    assert np.median(np.abs(depth - true_depth(pictures / "1.png"))) < 0.1  # JPEG


def test_a_colour_means_the_same_from_the_first_picture_to_the_last(
    run_cli: RunCli, model: Path, tmp_path: Path
) -> None:
    # The network takes red as depth: a wall that stays, a board that goes away.
    video = cv2.VideoWriter(
        str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    for level in (20, 60, 120, 240):
        image = np.full((48, 64, 3), 120, np.uint8)
        image[:, 32:] = level
        video.write(image)
    video.release()
    result = run_cli("run", tmp_path / "clip.avi", "-o", tmp_path, "-m", model, "--pred-only")
    assert result.code == 0, result.err
    frames = [each.rgb for each in read_media(MediaFile(tmp_path / "clip_preview.mp4", "clip"))]
    wall = [frame[10:38, 4:24].reshape(-1, 3).mean(axis=0) for frame in frames]
    board = [float(frame[10:38, 40:60].mean()) for frame in frames]
    np.testing.assert_allclose(wall, np.broadcast_to(wall[0], (4, 3)), atol=6)
    assert board == sorted(board, reverse=True)
    assert board[0] - board[-1] > 60


def test_colours_are_those_of_the_range() -> None:
    colors = DepthColors(fixed=ColorRange.of_metres(1.0, 9.0))
    first = colors.depth(np.full((4, 4), 3.0, np.float32))
    colors.depth(np.linspace(1, 90, 16, dtype=np.float32).reshape(4, 4))
    np.testing.assert_array_equal(colors.depth(np.full((4, 4), 3.0, np.float32)), first)
    legend = colors.legend()
    assert legend is not None
    assert (legend.near, legend.far) == pytest.approx((1.0, 9.0))


def test_controlnet_sees_near_as_white(
    run_cli: RunCli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    result = run_cli("run", pictures / "0.png", "-o", tmp_path, "-m", model, "--controlnet")
    assert result.code == 0, result.err
    picture = cv2.imread(str(tmp_path / "0_controlnet.png"))
    assert picture is not None
    assert picture.dtype == np.uint8
    depth = true_depth(pictures / "0.png")
    expected = np.rint((1 / depth - 1 / depth.max()) / (1 / depth.min() - 1 / depth.max()) * 255)
    assert np.abs(picture[..., 0] - expected).max() <= 1
    assert (picture[..., 0] == picture[..., 2]).all()
    unknown = np.array([[np.nan, 1.0, 2.0]], np.float32)
    assert conditioning_image(unknown)[0, :, 0].tolist() == [0, 0, 255]


def test_workers_give_the_same_files(
    run_cli: RunCli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    one = run_cli("run", pictures, "-o", tmp_path / "one", "-m", model)
    two = run_cli("run", pictures, "-o", tmp_path / "two", "-m", model, "--workers", "2")
    assert one.code == two.code == 0, two.err
    for result in (one, two):
        assert "3 of 4 inputs, pictures: 3, depth in metres (GOOD 3)" in result.err
        assert "left out" in result.err
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        if not name.endswith(".json"):  # they hold the time it took
            same = (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
            assert same, name


def test_an_input_or_a_webcam_is_needed(run_cli: RunCli) -> None:
    assert "Missing argument 'INPUT...', or --webcam" in run_cli("run").err
    assert run_cli("run", "--preview-range", "9,1", "x.png").code == 2


def test_pictures_of_a_store_are_read(
    run_cli: RunCli, model: Path, pictures: Path, tmp_path: Path
) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.put(f"{pictures}/", "/bucket/day1/", recursive=True)
    store.pipe_file("/bucket/day1/notes.txt", b"no picture")
    one = run_cli("run", pictures, "-o", tmp_path / "one", "-m", model)
    two = run_cli("run", "memory://bucket/day1", "-o", tmp_path / "two", "-m", model)
    assert one.code == two.code == 0, two.err
    assert "3 of 3 inputs" in two.err
    for number in range(3):
        name = f"{number}_depth.npy"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    again = run_cli("run", "memory://bucket/day1", "-o", tmp_path / "two", "-m", model)
    assert "results of all 3 inputs are there already" in again.err
    missing = run_cli("run", "memory://bucket/day2", "-o", tmp_path / "two", "-m", model)
    assert missing.code == 1
    assert "memory://bucket/day2" in missing.err
