"""`depth_anything run` with a real network on real images, and its usage errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.api import EDGE_ANGLE_DEG
from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.formats.preview import colorize_depth
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.geometry.cloud_filters import flying_pixels

RunCli = Callable[..., Any]
NYU = (518.8579, 519.46961, 325.58245, 253.73617)


def read_report(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def read_ply(path: Path) -> npt.NDArray[np.void]:
    header, body = path.read_bytes().split(b"end_header\n", 1)
    assert b"property uchar blue" in header
    fields = [(name, "<f4") for name in "xyz"] + [(name, "u1") for name in "rgb"]
    return np.frombuffer(body, np.dtype(fields))


def test_image_gives_every_file(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    image = data_dir / "nyu" / "rgb_00000.jpg"
    intrinsics = ",".join(map(str, NYU))
    result = run_cli(
        "run", image, "--model", fastdepth, "-o", tmp_path, "--cloud", "--intrinsics", intrinsics
    )
    assert result.code == 0, result.err
    assert {path.name for path in tmp_path.iterdir()} == {
        f"rgb_00000{ending}"
        for ending in (
            "_depth.npy",
            "_depth.png",
            "_sigma.npy",
            "_preview.png",
            "_sigma.png",
            "_cloud.ply",
            ".json",
        )
    }

    depth = np.load(tmp_path / "rgb_00000_depth.npy")
    truth = read_depth(data_dir / "nyu" / "sync_depth_00000.png")
    assert (depth.dtype, depth.shape) == (np.float32, (480, 640))
    known = np.isfinite(truth) & np.isfinite(depth)
    abs_rel = float(np.mean(np.abs(depth[known] / truth[known] - 1)))
    print(f"FastDepth on NYU frame 0 through the command line: AbsRel {abs_rel:.3f}")
    assert abs_rel <= 0.15
    png = read_depth(tmp_path / "rgb_00000_depth.png")
    np.testing.assert_allclose(png, depth, atol=0.000_51)

    rgb = read_image(image)
    preview = read_image(tmp_path / "rgb_00000_preview.png")
    assert preview.shape == (480, 640 + 50 + 640, 3)
    np.testing.assert_array_equal(preview[:, :640], rgb)
    np.testing.assert_array_equal(preview[:, 690:], colorize_depth(depth))
    legend = preview[:, 640:690]
    assert len(np.unique(legend.reshape(-1, 3), axis=0)) > 100

    points = read_ply(tmp_path / "rgb_00000_cloud.ply")
    in_the_air = flying_pixels(depth, Camera(640, 480, *NYU), EDGE_ANGLE_DEG)
    assert len(points) == (np.isfinite(depth) & ~in_the_air).sum()
    xyz = np.stack([points[axis] for axis in "xyz"], axis=-1)
    u, v, z = project(Camera(640, 480, *NYU), xyz)
    columns, rows = np.rint(u).astype(int), np.rint(v).astype(int)
    assert max(np.abs(u - columns).max(), np.abs(v - rows).max()) <= 1e-3
    np.testing.assert_array_equal(z.astype(np.float32), depth[rows, columns])
    colours = np.stack([points[channel] for channel in "rgb"], axis=-1)
    np.testing.assert_array_equal(colours, rgb[rows, columns])

    report = read_report(tmp_path / "rgb_00000.json")
    assert report["model"] == "fastdepth_7"
    assert (report["kind"], report["values"]) == ("metric_depth", "metres")
    assert report["licence"]
    assert report["size"] == {"width": 640, "height": 480}
    assert report["network_size"] == {"height": 224, "width": 224}
    assert report["camera"]["fx"] == NYU[0]
    assert report["scale_state"]["quality"] == "GOOD"
    assert report["scale_state"]["inliers"] == 0
    assert report["timing_ms"] > 0


def test_scale_is_applied(run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path) -> None:
    image = data_dir / "nyu" / "rgb_00000.jpg"
    for folder, options in (("plain", []), ("scaled", ["--scale", "2", "--shift", "0.5"])):
        run_cli("run", image, "-m", fastdepth, "-o", tmp_path / folder, *options)
    plain, scaled = (np.load(tmp_path / f / "rgb_00000_depth.npy") for f in ("plain", "scaled"))
    np.testing.assert_allclose(scaled, 2 * plain + 0.5, rtol=1e-5)
    state = read_report(tmp_path / "scaled" / "rgb_00000.json")["scale_state"]
    assert (state["method"], state["scale"], state["shift"]) == ("fixed", 2.0, 0.5)


def test_a_calibration_is_resized_to_the_image(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    image = data_dir / "nyu" / "rgb_00000.jpg"
    write_camera(tmp_path / "half.yaml", Camera(320, 240, 250.0, 250.0, 159.5, 119.5))
    write_camera(tmp_path / "wide.yaml", Camera(640, 360, 500.0, 500.0, 319.5, 179.5))
    options = ("-m", fastdepth, "-o", tmp_path, "--camera")
    assert run_cli("run", image, *options, tmp_path / "half.yaml").code == 0
    camera = read_report(tmp_path / "rgb_00000.json")["camera"]
    assert (camera["fx"], camera["cx"], camera["width"]) == (500.0, 319.5, 640)
    refused = run_cli("run", image, *options, tmp_path / "wide.yaml")
    assert refused.code == 1
    assert "the calibration is for 640x360" in refused.err


def test_folder_with_a_broken_image(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"broken")
    (folder / "2.jpg").write_bytes((data_dir / "nyu" / "rgb_00000.jpg").read_bytes())
    result = run_cli("run", folder, "-m", fastdepth, "-o", tmp_path / "out", "--pred-only")
    assert result.code == 0
    assert "1.png is not an image" in result.err
    assert "1 of 2 inputs" in result.err
    assert "depth in metres (GOOD 1)" in result.err.splitlines()[-1]
    assert not list((tmp_path / "out").glob("1*"))
    assert read_image(tmp_path / "out" / "2_preview.png").shape == (480, 640, 3)

    below = folder / "below"
    below.mkdir()
    (folder / "2.jpg").rename(below / "3.jpg")
    result = run_cli("run", folder, "-r", "-m", fastdepth, "-o", tmp_path / "out")
    assert result.code == 0
    assert np.load(tmp_path / "out" / "below" / "3_depth.npy").shape == (480, 640)

    (below / "3.jpg").unlink()
    result = run_cli("run", folder, "-m", fastdepth, "-o", tmp_path / "out")
    assert result.code == 1
    assert "none of the inputs gave a result" in result.err


def test_video_gives_a_video(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    image = cv2.imread(str(data_dir / "nyu" / "rgb_00000.jpg"))
    assert image is not None
    clip = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 12, (320, 240))
    for number in range(5):
        writer.write(cv2.resize(np.roll(image, 9 * number, axis=1), (320, 240)))
    writer.release()

    assert run_cli("run", clip, "-m", fastdepth, "-o", tmp_path / "out").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "clip.json",
        "clip_preview.mp4",
    }
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip_preview.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == 12
    shapes = []
    while (frame := capture.read()[1]) is not None:
        shapes.append(frame.shape)
    assert shapes == [(240, 690, 3)] * 5
    report = read_report(tmp_path / "out" / "clip.json")
    assert (report["frames"], report["fps"]) == (5, 12.0)

    options = ("--frames", "--cloud", "--hfov", "60")
    assert run_cli("run", clip, "-m", fastdepth, "-o", tmp_path / "all", *options).code == 0
    for ending in ("_depth.npy", "_depth.png", "_cloud.ply"):
        names = [path.name for path in sorted((tmp_path / "all").glob(f"*{ending}"))]
        assert names == [f"clip_{number:06d}{ending}" for number in range(5)]


def test_relative_model_gives_disparity(
    run_cli: RunCli, relative_model: Path, photo: Path, tmp_path: Path
) -> None:
    options = ("-m", relative_model, "--input-size", "70", "--device", "cpu")
    way = ("--backend", "torch", "--precision", "fp32")
    result = run_cli("run", photo, *options, *way, "-o", tmp_path / "out", "--grayscale")
    assert result.code == 0, result.err
    stem = tmp_path / "out" / "photo.v1"
    disparity = np.load(f"{stem}_depth.npy")
    assert disparity.shape == (60, 90)
    assert disparity.std() > 0
    png = cv2.imread(f"{stem}_depth.png", cv2.IMREAD_UNCHANGED)
    assert png is not None
    assert (png.dtype, png.min(), png.max()) == (np.uint16, 0, 65535)
    # Near is bright in the PNG and in the grey preview: both follow the disparity.
    assert png[np.unravel_index(disparity.argmax(), disparity.shape)] == 65535
    grey = read_image(Path(f"{stem}_preview.png"))[:, -90:]
    assert (grey[..., 0] == grey[..., 2]).all()
    assert np.corrcoef(grey[..., 0].ravel(), disparity.ravel())[0, 1] > 0.95
    report = read_report(Path(f"{stem}.json"))
    assert (report["kind"], report["values"]) == ("relative_disparity", "disparity")
    assert (report["backend"], report["precision"]) == ("torch", "fp32")
    assert report["network_size"] == {"height": 70, "width": 112}
    assert report["scale_state"]["quality"] == "INVALID"
    low, high = report["png_range"]
    np.testing.assert_allclose(low + png / 65535 * (high - low), disparity, atol=1e-3)
    assert "relative disparity (near is large, of unknown scale)" in result.err.splitlines()[-1]


def test_clouds_need_metres(
    run_cli: RunCli, relative_model: Path, photo: Path, tmp_path: Path
) -> None:
    options = ("-m", relative_model, "--input-size", "70", "--cloud", "--hfov", "60")
    refused = run_cli("run", photo, *options, "-o", tmp_path / "out")
    assert refused.code == 1
    assert "--cloud needs metres, but small gives relative disparity" in refused.err
    scaled = run_cli(
        "run", photo, *options, "-o", tmp_path / "out", "--scale", "0.1", "--shift", "0.2"
    )
    assert scaled.code == 0, scaled.err
    assert len(read_ply(tmp_path / "out" / "photo.v1_cloud.ply")) > 0.8 * 60 * 90


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--cloud"], "a cloud needs the camera"),
        (["--hfov", "60", "--camera", "c.yaml"], "--hfov and --camera exclude each other"),
        (["--hfov", "180"], "180 is not between 0 and 180"),
        (["--intrinsics", "500,500,320"], "'500,500,320' is not a camera"),
        (["--intrinsics", "0,500,320,240"], "'0,500,320,240' is not a camera"),
        (["--shift", "1"], "it needs --scale"),
        (["--input-size", "big"], "--input-size"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_usage_ends_with_code_2(
    run_cli: RunCli, photo: Path, options: list[str], text: str
) -> None:
    result = run_cli("run", photo, *options)
    assert result.code == 2
    assert text in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["gone.png"], "gone.png does not exist"),
        (["PHOTO", "-m", "depth_anything_v9"], "'depth_anything_v9' is not in the catalogue"),
        (["PHOTO", "-m", "gone.onnx"], "'gone.onnx' does not exist"),
        (["PHOTO", "--camera", "gone.yaml"], "gone.yaml cannot be read"),
        (["PHOTO", "-o", "PHOTO"], "cannot be made: File exists"),
    ],
)
def test_errors_are_one_line_and_code_1(
    run_cli: RunCli, photo: Path, arguments: list[str], text: str
) -> None:
    named = [str(photo) if word == "PHOTO" else word for word in arguments]
    output = () if "-o" in named else ("-o", photo.parent / "out")
    result = run_cli("run", *named, *output)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert text in line
