"""The Python interface, as a user's script has it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import depth_anything_ros as da
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.frames import Prediction, PredictionKind, Quality, ScaleState
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.pipeline import Pipeline

Rgb = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def relative() -> da.Model:
    return da.load("embedded", device="cpu", backend="torch", precision="fp32")


@pytest.fixture(scope="module")
def fastdepth(data_dir: Path) -> da.Model:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra 'onnx')")
    return da.load(data_dir / "fastdepth" / "fastdepth_7.onnx", backend="onnxruntime")


@pytest.fixture
def photo() -> Rgb:
    return picture(0)


def picture(seed: int) -> Rgb:
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (96, 72), interpolation=cv2.INTER_CUBIC), np.uint8)


def spread_points(values: npt.NDArray[np.float32], scale: float, shift: float) -> da.SparsePoints:
    """Points of a world in which 1/Z = scale * disparity + shift."""
    pixel = np.random.default_rng(3).permutation(values.size)[:80]
    v, u = np.divmod(pixel, values.shape[1])
    return da.SparsePoints(u, v, 1 / (scale * values[v, u].astype(np.float64) + shift))


def test_import_is_quick_and_torch_free_and_everything_is_there() -> None:
    code = (
        "import sys, depth_anything_ros as da\n"
        "heavy = {'torch', 'numpy', 'cv2', 'scipy', 'typing'} & (set(sys.modules) - before)\n"
        "assert not heavy, heavy\n"
        "assert all(getattr(da, name).__doc__ for name in da.__all__)\n"
        "assert set(da.__all__) <= set(dir(da))\n"
        "assert 'torch' not in sys.modules\n"
    )
    start = "import sys\nbefore = set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", start + code], check=True)
    shown = subprocess.run(
        [sys.executable, "-c", "import depth_anything_ros as da; help(da)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for words in ("load(model:", "class Model", "class DepthFrame", "model.stream("):
        assert words in shown
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = da.nonsense  # type: ignore[attr-defined]


def test_readme_in_five_lines(fastdepth: da.Model, data_dir: Path, tmp_path: Path) -> None:
    rgb = read_image(data_dir / "nyu" / "rgb_00000.jpg")
    frame = fastdepth(rgb, camera=da.Camera.from_hfov(640, 480, 60), confidence=True)
    truth = read_depth(data_dir / "nyu" / "sync_depth_00000.png")
    assert frame.depth_m is not None
    known = np.isfinite(truth) & np.isfinite(frame.depth_m)
    assert np.mean(np.abs(frame.depth_m[known] / truth[known] - 1)) <= 0.15
    assert frame.confidence is not None
    assert frame.confidence.shape == frame.depth_m.shape
    assert frame.scale_state.quality is da.Quality.GOOD
    assert frame.disparity is None

    cloud = frame.cloud(color=True)
    assert cloud.rgb is not None
    assert 0.8 * 640 * 480 < len(cloud.xyz) < 640 * 480
    assert np.isfinite(cloud.xyz).all()
    path = cloud.save(tmp_path / "cloud.ply")
    assert f"element vertex {len(cloud.xyz)}\n".encode() in path.read_bytes()[:300]

    files = frame.save(tmp_path / "out", stem="img")
    assert [file.name for file in files] == [
        "img_depth.npy",
        "img_depth.png",
        "img_sigma.npy",
        "img_preview.png",
        "img_sigma.png",
        "img.json",
    ]
    np.testing.assert_array_equal(np.load(files[0]), frame.depth_m)
    np.testing.assert_array_equal(np.load(files[2]), frame.sigma_m)
    unsure = read_image(files[4])
    assert unsure.shape == frame.frame.rgb.shape
    # 15 % of the depth, half of what the brightest colour means, wherever there is depth.
    assert frame.sigma_m is not None
    known = np.isfinite(frame.sigma_m)
    assert len(np.unique(unsure[known], axis=0)) <= 2 and unsure[known].max() > 100
    report: dict[str, Any] = json.loads(files[-1].read_text())
    assert report["values"] == "metres"
    assert report["model"] == "fastdepth_7"


def test_every_kind_of_picture_gives_the_same(
    relative: da.Model, photo: Rgb, tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), photo[..., ::-1])
    same = [photo, path, str(path), image.fromarray(photo), da.Frame(photo)]
    answers = [relative(each) for each in same]
    for answer in answers:
        assert isinstance(answer, da.DepthFrame)
        np.testing.assert_array_equal(answer.values, answers[0].values)
    batch = relative(same)
    assert [answer.values.shape for answer in batch] == [(72, 96)] * 5
    np.testing.assert_allclose(batch[3].values, answers[0].values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (None, "a picture of type NoneType cannot be used; give HxWx3 uint8 RGB"),
        (7, "a picture of type int"),
        (b"jpeg", "a picture of type bytes"),
        (np.zeros((4, 6), np.uint8), "shape"),
        (np.zeros((4, 6, 3), np.float32), "float32"),
        ([[1, 2, 3]], "a picture of type list"),
        ("gone.png", "gone.png cannot be read"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(relative: da.Model, wrong: Any, said: str) -> None:
    with pytest.raises(da.InputError, match=said):
        relative(wrong)


@pytest.mark.parametrize("wrong", [[[[1, 2, 3]]], None, "a.png"])
def test_the_pipeline_refuses_frames_that_are_no_arrays(relative: da.Model, wrong: Any) -> None:
    pipeline = Pipeline(relative.estimator, NetworkScaler())
    with pytest.raises(da.InputError, match="HxWx3 uint8"):
        pipeline.process(da.Frame(wrong))


def test_points_and_cameras_that_do_not_fit_are_refused(relative: da.Model, photo: Rgb) -> None:
    with pytest.raises(da.InputError, match="3 u, 2 v and 3 z"):
        relative(photo, points=da.SparsePoints(np.ones(3), np.ones(2), np.ones(3)))
    with pytest.raises(da.InputError, match="points of type list"):
        relative(photo, points=[1, 2, 3])  # type: ignore[call-overload]
    with pytest.raises(da.InputError, match="a camera of type int"):
        relative(photo, camera=60)  # type: ignore[call-overload]
    with pytest.raises(da.InputError, match="the calibration is for 640x360"):
        relative(photo, camera=da.Camera.from_hfov(640, 360, 60))
    with pytest.raises(da.InputError, match="2 pictures come with 1 lists of points"):
        relative([photo, photo], points=[None])
    with pytest.raises(da.InputError, match="a cloud needs metres"):
        relative(photo).cloud()


def test_a_cloud_has_no_sky_and_no_points_in_mid_air(tmp_path: Path) -> None:
    """As the node's: what is unknown, too near, too far or sky is left out, in PLY files, too."""
    depth = np.full((60, 80), 3.0, np.float32)
    depth[:, 38:42] = np.linspace(3.0, 9.0, 6)[1:-1]
    depth[:, 42:] = 9.0
    depth[:5], depth[5:8], depth[8:10] = np.inf, np.nan, -np.inf
    camera = da.Camera(80, 60, 60.0, 60.0, 39.5, 29.5)
    frame = da.Frame(np.zeros((60, 80, 3), np.uint8), 0, "cam", camera)
    prediction = Prediction(depth, PredictionKind.METRIC_DEPTH, (60, 80))
    answer = da.DepthFrame(frame, prediction, depth, None, ScaleState("n", Quality.GOOD, ""))
    cloud = answer.cloud(edge_angle_deg=8.0)
    assert set(np.unique(cloud.xyz[:, 2])) == {3.0, 9.0}
    assert len(cloud.xyz) == 50 * 76
    assert len(answer.cloud(edge_angle_deg=0.0).xyz) == 50 * 80
    assert set(np.unique(answer.cloud(edge_angle_deg=8.0, max_range=5.0).xyz[:, 2])) == {3.0}
    header = cloud.save(tmp_path / "cloud.ply").read_bytes().partition(b"end_header")[0]
    assert f"element vertex {50 * 76}".encode() in header


def test_points_make_metres_of_relative_depth(relative: da.Model, photo: Rgb) -> None:
    plain = relative(photo)
    assert plain.depth_m is None
    assert not plain.metres
    assert plain.disparity is not None
    points = spread_points(plain.disparity, 0.5, 0.1)
    camera = da.Camera.from_hfov(192, 144, 70)  # fitted to the picture
    frame = relative(photo, camera=camera, points=points)
    assert frame.depth_m is not None
    np.testing.assert_allclose(frame.depth_m, 1 / (0.5 * plain.disparity + 0.1), rtol=2e-3)
    lists = da.SparsePoints(list(points.u), list(points.v), list(points.z))  # type: ignore[arg-type]
    again = relative(photo, camera=camera, points=lists)
    np.testing.assert_array_equal(again.values, frame.values)
    x, _, z = frame.cloud(camera=None).xyz.T
    assert z.min() > 0
    assert np.abs(x / z).max() < np.tan(np.radians(35)) + 0.01


def test_unrelated_pictures_are_independent_and_a_stream_keeps_its_scale(
    relative: da.Model, photo: Rgb
) -> None:
    disparity = relative(photo).disparity
    assert disparity is not None
    points = spread_points(disparity, 0.5, 0.1)
    camera = da.Camera.from_hfov(96, 72, 70)
    assert relative(photo, camera=camera, points=points).depth_m is not None
    # A picture by itself knows nothing of the one before.
    alone = relative(photo, camera=camera)
    assert alone.depth_m is None
    # In a stream the scale of the first picture holds for the next one.
    first = da.Frame(photo, 0, camera=camera, points=points)
    second = da.Frame(photo, 100_000_000, camera=camera)
    states = [frame.scale_state.quality for frame in relative.stream([first, second])]
    assert states == [da.Quality.GOOD, da.Quality.HELD]


def test_a_stream_reads_a_video(relative: da.Model, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 72))
    for number in range(4):
        writer.write(picture(number)[..., ::-1])
    writer.release()
    frames = list(relative.stream(path, camera=da.Camera.from_hfov(96, 72, 60)))
    assert [frame.frame.stamp for frame in frames] == [n * 100_000_000 for n in range(4)]
    assert all(frame.frame.camera is not None for frame in frames)
    counted = list(relative.stream((picture(n) for n in range(3)), rate=20))
    assert [frame.frame.stamp for frame in counted] == [0, 50_000_000, 100_000_000]


def test_a_stream_reads_a_recording(relative: da.Model, data_dir: Path) -> None:
    pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")
    frames = list(relative.stream(data_dir / "bags" / "kitti_object_db3"))
    assert len(frames) == 2
    for frame in frames:
        assert frame.frame.points is not None
        assert len(frame.frame.points) > 15_000
        assert frame.depth_m is not None
        assert frame.scale_state.method in ("auto", "sparse")


def test_results_of_others_are_not_replaced(relative: da.Model, photo: Rgb, tmp_path: Path) -> None:
    (tmp_path / "img.json").write_text('{"shapes": []}')
    frame = relative(photo)
    with pytest.raises(da.InputError, match=r"img\.json in .* was not written by this program"):
        frame.save(tmp_path, "img")
    assert (tmp_path / "img.json").read_text() == '{"shapes": []}'
    assert {path.name for path in tmp_path.iterdir()} == {"img.json"}
    frame.save(tmp_path, "img", overwrite=True)
    first = json.loads((tmp_path / "img.json").read_text())
    assert first["written_by"].startswith("depth_anything_ros")
    frame.save(tmp_path, "img")  # our own


def test_types_are_seen_by_mypy_in_a_project_of_a_user(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed (extra 'dev')")
    (tmp_path / "robot.py").write_text(
        "import numpy as np\n"
        "import depth_anything_ros as da\n"
        "model = da.load('embedded')\n"
        "frame = model(np.zeros((4, 6, 3), np.uint8))\n"
        "reveal_type(frame)\n"
        "reveal_type(model(['a.png']))\n"
        "reveal_type(frame.cloud().save('a.ply'))\n"
        "model(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "c"), "robot.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = [line for line in done.stdout.splitlines() if "Revealed" in line]
    assert '"depth_anything_ros.api.DepthFrame"' in revealed[0]
    assert "list[depth_anything_ros.api.DepthFrame]" in revealed[1]
    assert '"pathlib.Path"' in revealed[2] or "pathlib" in revealed[2]
    assert "robot.py:8: error: No overload variant" in done.stdout
    assert "Found 1 error" in done.stdout
