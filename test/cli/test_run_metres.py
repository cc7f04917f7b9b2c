"""`depth_anything run` where metres come from what was measured around the camera."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from real_frames import kitti_scan

from depth_anything_ros.cli.support.scale_options import file_scalers
from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.geometry.camera import project
from depth_anything_ros.metric.scale_file import SavedScale, save_scale
from depth_anything_ros.metric.selection import scaler_names

RunCli = Callable[..., Any]
Array = npt.NDArray[Any]
SMALL = ("--input-size", "70", "--device", "cpu")
"""For the small relative network."""


def state_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    state: dict[str, Any] = report["scale_state"]
    return state | {"values": report["values"]}


def abs_rel(depth: Array, truth: Array) -> float:
    return float(np.nanmean(np.abs(depth / truth - 1)))


@pytest.fixture
def disparity(run_cli: RunCli, relative_model: Path, photo: Path, tmp_path: Path) -> Array:
    """What the relative network says about the photo."""
    result = run_cli("run", photo, "-m", relative_model, *SMALL, "-o", tmp_path / "relative")
    assert result.code == 0 and "no metres" not in result.err
    values: Array = np.load(tmp_path / "relative" / "photo.v1_depth.npy")
    return values


def exact_points(disparity: Array, scale: float, shift: float) -> dict[str, Array]:
    """Points of a world in which 1/Z = scale * disparity + shift."""
    pixel = np.random.default_rng(0).permutation(disparity.size)[:60]
    v, u = np.divmod(pixel, disparity.shape[1])
    return {"u": u, "v": v, "z": 1 / (scale * disparity[v, u].astype(float) + shift)}


def test_every_scaler_but_those_that_need_poses_can_be_chosen(run_cli: RunCli, photo: Path) -> None:
    assert set(file_scalers()) == set(scaler_names()) - {"views", "motion", "slam"}
    for name in ("views", "motion", "slam", "magic"):
        refused = run_cli("run", photo, "--scaler", name)
        assert refused.code == 2
        assert f"'{name}' is not one of auto, none, sparse" in refused.err


def test_points_make_metres_of_relative_depth(
    run_cli: RunCli, relative_model: Path, photo: Path, disparity: Array, tmp_path: Path
) -> None:
    points = exact_points(disparity, 0.5, 0.1)
    np.savez(tmp_path / "points.npz", **points)  # type: ignore[arg-type]
    rows = np.stack(list(points.values()), axis=1)
    np.savetxt(tmp_path / "points.csv", rows, "%.17g", ",", header="u,v,z", comments="")
    depths = []
    for name in ("points.npz", "points.csv"):
        options = ("--points", tmp_path / name, "--cloud", "--hfov", "60")
        result = run_cli("run", photo, "-m", relative_model, *SMALL, *options, "-o", tmp_path)
        assert result.code == 0, result.err
        assert "warning" not in result.err
        state = state_of(tmp_path / "photo.v1.json")
        assert (state["method"], state["quality"], state["inliers"]) == ("sparse", "GOOD", 60)
        assert (state["scale"], state["shift"]) == pytest.approx((0.5, 0.1), rel=1e-4)
        assert (state["inlier_share"], state["age"], state["values"]) == (1.0, 0.0, "metres")
        assert state["residual"] < 1e-5
        assert (tmp_path / "photo.v1_cloud.ply").stat().st_size > 60 * 90 * 15
        depths.append(np.load(tmp_path / "photo.v1_depth.npy"))
    np.testing.assert_allclose(depths[0], 1 / (0.5 * disparity + 0.1), rtol=1e-3)
    np.testing.assert_array_equal(depths[0], depths[1])


def test_settings_of_the_fit_arrive(
    run_cli: RunCli, relative_model: Path, photo: Path, disparity: Array, tmp_path: Path
) -> None:
    np.savez(tmp_path / "points.npz", **exact_points(disparity, 0.5, 0.1))  # type: ignore[arg-type]
    common = ("-m", relative_model, *SMALL, "-o", tmp_path, "--points", tmp_path / "points.npz")
    assert run_cli("run", photo, *common, "--fit-shift", "never").code == 0
    assert state_of(tmp_path / "photo.v1.json")["shift"] == 0
    few = run_cli("run", photo, *common, "--scaler", "sparse", "--min-points", "61")
    assert few.code == 0
    assert "photo.v1 has no metres: " in few.err
    assert "60" in state_of(tmp_path / "photo.v1.json")["reason"]


def test_real_points_make_a_real_network_better(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    folder = data_dir / "marigold_dc"
    truth = np.load(folder / "depth.npz")["gt"]
    truth = np.where(truth > 0, truth, np.nan)
    points = ("--points", folder / "sparse_100.npz")
    errors = {}
    for name, options in {
        "network": (),
        "global": (*points, "--refinement", "none"),
        "local": points,
    }.items():
        result = run_cli("run", folder / "image.png", "-m", fastdepth, "-o", tmp_path, *options)
        assert result.code == 0, result.err
        errors[name] = abs_rel(np.load(tmp_path / "image_depth.npy"), truth)
    print("AbsRel of FastDepth with 100 points:", {k: round(v, 3) for k, v in errors.items()})
    assert errors["local"] < 0.85 * errors["global"] < 0.85 * 0.7 * errors["network"]


def test_lidar_is_brought_into_the_image(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    camera, scan = kitti_scan(data_dir / "kitti", "000001")
    raw = np.fromfile(data_dir / "kitti" / "velodyne" / "000001.bin", np.float32)
    lidar = raw.reshape(-1, 4)[:, :3].astype(float)
    # The rigid motion that kitti_scan did, from the points themselves (Kabsch).
    a, b = lidar - lidar.mean(axis=0), scan - scan.mean(axis=0)
    left, _, right = np.linalg.svd(a.T @ b)
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = (left @ right).T
    extrinsics[:3, 3] = scan.mean(axis=0) - extrinsics[:3, :3] @ lidar.mean(axis=0)
    learnt = np.random.default_rng(0).random(len(lidar)) < 0.5
    write_camera(tmp_path / "camera.yaml", camera)
    np.savez(tmp_path / "bare.npz", xyz=lidar[learnt])
    np.savez(tmp_path / "complete.npz", xyz=lidar[learnt], extrinsics=extrinsics)
    image = data_dir / "kitti" / "image_2" / "000001.png"
    common = ("-m", fastdepth, "-o", tmp_path, "--camera", tmp_path / "camera.yaml")
    depths = []
    for points, options in {
        "bare.npz": ("--extrinsics", " ".join(map(repr, map(float, extrinsics.ravel())))),
        "complete.npz": (),
    }.items():
        result = run_cli("run", image, *common, "--points", tmp_path / points, *options)
        assert result.code == 0, result.err
        assert state_of(tmp_path / "000001.json")["method"] == "sparse"
        depths.append(np.load(tmp_path / "000001_depth.npy"))
    np.testing.assert_allclose(depths[0], depths[1], rtol=1e-6)
    u, v, z = project(camera, scan[~learnt])
    error = abs_rel(depths[0][np.rint(v).astype(int), np.rint(u).astype(int)], z)
    unknown = run_cli("run", image, *common, "--points", tmp_path / "bare.npz")
    assert (unknown.code, "need --extrinsics" in unknown.err) == (1, True)
    blind = run_cli(
        "run", image, "-m", fastdepth, "-o", tmp_path, "--points", tmp_path / "complete.npz"
    )
    assert (blind.code, "need --camera" in blind.err) == (1, True)
    print(f"AbsRel at {len(z)} LiDAR points left out: {error:.3f}")
    assert error <= 0.08


def test_the_ground_gives_a_real_network_its_scale(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    camera, scan = kitti_scan(data_dir / "kitti", "000001")
    write_camera(tmp_path / "camera.yaml", camera)
    u, v, z = project(camera, scan)
    near = z < 20
    pixels = np.rint(v[near]).astype(int), np.rint(u[near]).astype(int)
    common = ("-m", fastdepth, "-o", tmp_path, "--camera", tmp_path / "camera.yaml")
    errors = []
    for options in ((), ("--scaler", "ground_plane", "--camera-height", "1.65")):
        image = data_dir / "kitti" / "image_2" / "000001.png"
        assert run_cli("run", image, *common, *options).code == 0
        errors.append(abs_rel(np.load(tmp_path / "000001_depth.npy")[pixels], z[near]))
    state = state_of(tmp_path / "000001.json")
    print(f"AbsRel of FastDepth up to 20 m: {errors[0]:.3f}, with the ground {errors[1]:.3f}")
    assert (state["method"], state["quality"]) == ("ground_plane", "GOOD")
    assert errors[1] < 0.6 * errors[0]


def test_height_counts_in_proportion_and_attitude_is_used(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    image = data_dir / "kitti" / "image_2" / "000001.png"
    common = ("-m", fastdepth, "-o", tmp_path, "--intrinsics", "721.5,721.5,609.6,172.9")
    scales = []
    for options in (("1.65",), ("3.3",), ("1.65", "--camera-pitch", "5")):
        assert run_cli("run", image, *common, "--camera-height", *options).code == 0
        scales.append(state_of(tmp_path / "000001.json")["scale"])
    assert scales[2] != pytest.approx(scales[0], rel=0.05)
    # Ground is used up to 20 m, so another height sees other pixels: not exactly twice.
    assert scales[1] == pytest.approx(2 * scales[0], rel=0.35)


def test_given_numbers_are_applied(
    run_cli: RunCli, relative_model: Path, photo: Path, disparity: Array, tmp_path: Path
) -> None:
    common = ("-m", relative_model, *SMALL, "-o", tmp_path)
    save_scale(SavedScale(PredictionKind.RELATIVE_DISPARITY, 0.5, 0.1), tmp_path / "scale.yaml")
    assert run_cli("run", photo, *common, "--scale-file", tmp_path / "scale.yaml").code == 0
    state = state_of(tmp_path / "photo.v1.json")
    assert (state["method"], state["scale"], state["shift"]) == ("fixed", 0.5, 0.1)
    depth = np.load(tmp_path / "photo.v1_depth.npy")
    np.testing.assert_allclose(depth, 1 / (0.5 * disparity + 0.1), rtol=1e-5)

    camera = ("--intrinsics", "90,90,45,30")
    assert run_cli("run", photo, *common, *camera, "--baseline", "0.2").code == 0
    assert state_of(tmp_path / "photo.v1.json")["method"] == "baseline"
    depth = np.load(tmp_path / "photo.v1_depth.npy")
    # 112 of the network's columns see the image's 90.
    np.testing.assert_allclose(depth, 90 * 112 / 90 * 0.2 / disparity, rtol=1e-5)


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_no_scale_is_no_metre(
    run_cli: RunCli,
    data_dir: Path,
    fastdepth: Path,
    relative_model: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    image = data_dir / "nyu" / "rgb_00000.jpg"
    model = (relative_model, *SMALL) if kind == "relative" else (fastdepth,)
    (tmp_path / "points.csv").write_text("u,v,z\n10,20,2.0\n700,20,2.0\n")
    options = ("--scaler", "sparse", "--points", tmp_path / "points.csv", "--cloud", "--hfov", "60")
    result = run_cli("run", image, "-m", *model, "-o", tmp_path / "out", *options)
    assert result.code == 0
    assert result.err.count("rgb_00000 has no metres: ") == 1
    assert "1 of 2 points lie outside the image of 640x480" in result.err
    depth = np.load(tmp_path / "out" / "rgb_00000_depth.npy")
    assert depth.shape == (480, 640) and np.isnan(depth).all()
    assert np.isnan(read_depth(tmp_path / "out" / "rgb_00000_depth.png")).all()
    state = state_of(tmp_path / "out" / "rgb_00000.json")
    assert (state["quality"], state["scale"], state["values"]) == ("INVALID", None, "metres")
    assert "1 " in state["reason"]
    assert not (tmp_path / "out" / "rgb_00000_cloud.ply").exists()


def test_images_have_points_of_their_own_and_share_nothing(
    run_cli: RunCli, relative_model: Path, photo: Path, disparity: Array, tmp_path: Path
) -> None:
    photos, points = tmp_path / "photos", tmp_path / "points"
    photos.mkdir()
    points.mkdir()
    worlds = {"a": (0.5, 0.1), "b": (2.0, 0.3)}
    for name in ("a", "b", "c"):
        (photos / f"{name}.png").write_bytes(photo.read_bytes())
    for name, world in worlds.items():
        np.savez(points / f"{name}.npz", **exact_points(disparity, *world))  # type: ignore[arg-type]
    common = ("-m", relative_model, *SMALL, "-o", tmp_path / "out")
    result = run_cli("run", photos, *common, "--points", points)
    assert result.code == 0, result.err
    for name, world in worlds.items():
        state = state_of(tmp_path / "out" / f"{name}.json")
        assert (state["scale"], state["shift"]) == pytest.approx(world, rel=1e-4)
    # The scene has not changed, but nothing says so: c has no points, so it has no metres.
    assert state_of(tmp_path / "out" / "c.json")["quality"] == "INVALID"
    assert "c has no metres" in result.err and "b has no metres" not in result.err

    single = run_cli("run", photos, *common, "--points", points / "a.npz")
    assert single.code == 1
    assert "--points names the points of one image" in single.err


def test_a_video_holds_its_scale_between_points(
    run_cli: RunCli, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    image = cv2.imread(str(data_dir / "nyu" / "rgb_00000.jpg"))
    assert image is not None
    clip = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 2, (320, 240))
    for _ in range(4):
        writer.write(cv2.resize(image, (320, 240)))
    writer.release()
    rng = np.random.default_rng(0)
    pixels: dict[str, Array] = {"u": rng.integers(0, 320, 50), "v": rng.integers(0, 240, 50)}
    points = tmp_path / "points"
    points.mkdir()
    plain = tmp_path / "plain"
    assert run_cli("run", clip, "-m", fastdepth, "-o", plain, "--frames").code == 0
    depth = np.load(plain / "clip_000001_depth.npy")
    z = 1.5 * depth[pixels["v"], pixels["u"]]
    np.savez(points / "clip_000001.npz", z=z, **pixels)  # type: ignore[arg-type]

    options = ("--scaler", "sparse", "--points", points, "--max-age", "0.6", "--frames")
    result = run_cli("run", clip, "-m", fastdepth, "-o", tmp_path / "out", *options)
    assert result.code == 0, result.err
    states = json.loads((tmp_path / "out" / "clip.json").read_text())["scale_states"]
    assert [state["quality"] for state in states] == ["INVALID", "GOOD", "HELD", "INVALID"]
    assert [state["age"] for state in states[1:3]] == pytest.approx([0, 0.5])
    assert states[2]["scale"] == pytest.approx(1.5, rel=1e-3)
    assert result.err.count("clip: 2 of 4 pictures have no metres") == 1
    known = [
        bool(np.isfinite(np.load(tmp_path / "out" / f"clip_{i:06d}_depth.npy")).any())
        for i in range(4)
    ]
    assert known == [False, True, True, False]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--scaler", "sparse"], "sparse needs --points"),
        (["--scaler", "ground_plane"], "ground_plane needs --camera-height"),
        (["--scaler", "ground_plane", "--camera-height", "1"], "ground_plane needs --intrinsics"),
        (["--scaler", "focal"], "focal needs --intrinsics, --hfov or --camera"),
        (["--scaler", "baseline", "--hfov", "60"], "baseline needs --baseline"),
        (["--scaler", "fixed"], "fixed needs --scale or --scale-file"),
        (["--scaler", "motion"], "'motion' is not one of"),
        (["--scale", "1", "--scale-file", "a.yaml"], "exclude each other"),
        (["--camera-height", "0"], "0 is not above 0"),
        (["--camera-pitch", "5"], "need --camera-height"),
        (["--extrinsics", "0 0 0 0 0 0 1"], "it needs --points"),
    ],
)
def test_bad_usage_ends_with_code_2(
    run_cli: RunCli, photo: Path, options: list[str], text: str
) -> None:
    result = run_cli("run", photo, *options)
    assert result.code == 2
    assert text in result.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--points", "gone.npz"], "gone.npz cannot be read as points"),
        (["--points", "gone.ply"], "gone.ply is no points file"),
        (["--scale-file", "gone.yaml"], "cannot read the scale file gone.yaml"),
        (["--scaler", "network"], "scaler is 'network' but small gives relative disparity"),
        (["--scale", "0"], "scale is 0"),
        (["--scale", "1", "--max-age", "0", "--scaler", "auto"], "max_age is 0"),
    ],
)
def test_errors_have_code_1(
    run_cli: RunCli, relative_model: Path, photo: Path, options: list[str], text: str
) -> None:
    common = ("-m", relative_model, *SMALL, "-o", photo.parent / "out")
    result = run_cli("run", photo, *common, *options)
    assert result.code == 1
    assert text in result.err.splitlines()[-1]
