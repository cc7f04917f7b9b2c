"""Depth of stereo pairs: exact on a rendered plane, as the literature on a real pair."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.stereo import StereoRig
from depth_anything_ros.inference.stereo import stereo_depth

RunCli = Callable[..., Any]

MIDDLEBURY = StereoRig(
    Camera(741, 500, 994.978, 994.978, 311.193, 254.877), baseline=0.193001, offset=31.086
)


def planes(rig: StereoRig, near: float, far: float) -> tuple[Any, Any, Any]:
    """A textured wall with a nearer one before its middle: left, right, depth of the left."""
    rng = np.random.default_rng(1)
    height, width = rig.camera.height, rig.camera.width
    wall = cv2.GaussianBlur(rng.integers(0, 256, (height, 2 * width, 3), np.uint8), (3, 3), 0)
    board = cv2.GaussianBlur(rng.integers(0, 256, (40, 60, 3), np.uint8), (3, 3), 0)
    behind, before = round(rig.disparity(far)), round(rig.disparity(near))
    left = wall[:, :width].copy()
    right = wall[:, behind : width + behind].copy()
    left[20:60, 50:110] = board
    right[20:60, 50 - before : 110 - before] = board
    depth = np.full((height, width), far, np.float32)
    depth[20:60, 50:110] = near
    return left, right, depth


def test_two_walls_are_where_they_stand() -> None:
    rig = StereoRig(Camera(160, 80, 200.0, 200.0, 79.5, 39.5), 0.1)
    left, right, truth = planes(rig, 20 / 16, 20 / 8)
    found = stereo_depth(left, right, rig, nearest=0.8)
    known = np.isfinite(found.depth_m)
    assert known.mean() > 0.8
    error = np.abs(found.depth_m - truth)[known] / truth[known]
    assert np.median(error) < 0.01
    assert (error < 0.05).mean() > 0.97
    assert np.array_equal(known, np.isfinite(found.sigma_m))
    assert np.array_equal(known, found.confidence > 0)
    # sigma = Z^2 / (f b) * 0.2 px where both ways agree, the far wall at 2.5 m
    np.testing.assert_allclose(
        np.median(found.sigma_m[:15][known[:15]]), 2.5**2 / 20 * 0.2, rtol=0.1
    )


def test_the_calibrations_of_a_pair_give_the_baseline() -> None:
    def camera(cx: float, tx: float, cy: float = 119.5) -> Camera:
        p = (400.0, 0.0, cx, tx, 0.0, 400.0, cy, 0.0, 0.0, 0.0, 1.0, 0.0)
        return Camera(320, 240, 390.0, 390.0, 160.0, 120.0, projection=p)

    rig = StereoRig.from_cameras(camera(159.5, 0.0), camera(169.5, -48.0))
    assert (rig.baseline, rig.offset, rig.camera.fx) == (0.12, 10.0, 400.0)
    assert rig.disparity(2.0) == pytest.approx(14.0)
    with pytest.raises(InputError, match="is the left camera named first"):
        StereoRig.from_cameras(camera(159.5, -48.0), camera(159.5, 0.0))
    with pytest.raises(InputError, match="differ in focal length or row"):
        StereoRig.from_cameras(camera(159.5, 0.0), camera(159.5, -48.0, 130.0))


def test_what_is_no_pair_is_refused() -> None:
    rig = StereoRig(Camera(160, 80, 200.0, 200.0, 79.5, 39.5), 0.1)
    left = np.zeros((80, 160, 3), np.uint8)
    with pytest.raises(InputError, match="a rectified pair has one size"):
        stereo_depth(left, left[:40], rig)
    with pytest.raises(SettingError, match="use one of sgm"):
        stereo_depth(left, left, rig, matcher="nothing")
    with pytest.raises(SettingError, match=r"nearest is 0.1 m, .* use more than 0.12 m"):
        stereo_depth(left, left, rig, nearest=0.1)
    assert not np.isfinite(stereo_depth(left, left, rig).depth_m[:, :100]).any()  # no texture


@pytest.fixture
def pair(data_dir: Path) -> tuple[Path, Path, npt.NDArray[np.float32]]:
    """Left, right, and the depth of the left in metres, NaN where unknown."""
    folder = data_dir / "middlebury"
    with np.load(folder / "motorcycle_disp.npz") as content:
        disparity = content[content.files[0]].astype(np.float64)
    truth = MIDDLEBURY.depth(np.where(np.isfinite(disparity), disparity, np.nan))
    return folder / "motorcycle_left.png", folder / "motorcycle_right.png", truth


def test_a_real_pair(pair: tuple[Path, Path, npt.NDArray[np.float32]]) -> None:
    left, right, truth = pair
    found = stereo_depth(read_image(left), read_image(right), MIDDLEBURY, nearest=2.0)
    known = np.isfinite(found.depth_m) & np.isfinite(truth)
    density = known.sum() / np.isfinite(truth).sum()
    error = np.abs(found.depth_m - truth)[known]
    abs_rel = float((error / truth[known]).mean())
    within = float((error < found.sigma_m[known]).mean())
    print(f"Middlebury: AbsRel {abs_rel:.4f} of {density:.0%}, {within:.0%} within one sigma")
    assert density > 0.78
    assert abs_rel < 0.015
    assert 0.6 < within < 0.76


def test_stereo_gives_a_network_its_metres(
    run_cli: RunCli,
    pair: tuple[Path, Path, npt.NDArray[np.float32]],
    tmp_path: Path,
) -> None:
    left, right, truth = pair
    out = tmp_path / "stereo"
    result = run_cli(
        "stereo", left, right, "-o", out, "--intrinsics", "994.978,994.978,311.193,254.877",
        "--baseline", "0.193001", "--offset", "31.086", "--cloud",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "81 % of the pixels" in result.out or "80 % of the pixels" in result.out
    names = sorted(path.name.removeprefix("motorcycle_left") for path in out.iterdir())
    assert names == [
        ".json", "_cloud.ply", "_depth.npy", "_depth.png", "_points.npz", "_preview.png",
        "_sigma.npy",
    ]  # fmt: skip
    points = out / "motorcycle_left_points.npz"
    scaled = run_cli("run", left, "-o", tmp_path / "run", "-m", "embedded", "--points", points)
    assert scaled.code == 0, scaled.err
    # The same in one command, which knows the camera, too.
    both = run_cli(
        "stereo", left, right, "-o", tmp_path / "both", "--model", "embedded", "--intrinsics",
        "994.978,994.978,311.193,254.877", "--baseline", "0.193001", "--offset", "31.086",
    )  # fmt: skip
    assert both.code == 0, both.err
    for folder in ("run", "both"):
        depth = np.load(tmp_path / folder / "motorcycle_left_depth.npy")
        known = np.isfinite(truth) & np.isfinite(depth)
        assert known.sum() > 0.99 * np.isfinite(truth).sum()  # where stereo is blind, too
        abs_rel = float(np.mean(np.abs(depth[known] / truth[known] - 1)))
        print(f"embedded network scaled by stereo points ({folder}): AbsRel {abs_rel:.4f}")
        assert abs_rel < 0.06


def test_a_matcher_is_a_model_among_the_others(run_cli: RunCli, tmp_path: Path) -> None:
    rows = {row["name"]: row for row in json.loads(run_cli("models", "--json").out)}
    assert rows["sgm"]["input"] == "stereo pair"
    assert (rows["sgm"]["kind"], rows["sgm"]["licence"]) == ("metric_depth", "Apache-2.0")
    assert "metres of a stereo pair" in run_cli("models").out
    cv2.imwrite(str(tmp_path / "left.png"), np.zeros((20, 40, 3), np.uint8))
    refused = run_cli("run", tmp_path / "left.png", "--model", "sgm", "-o", tmp_path / "out")
    assert refused.code == 1
    assert "stereo LEFT RIGHT --model sgm" in refused.err
    unknown = run_cli(
        "stereo", tmp_path / "left.png", tmp_path / "left.png", "--model", "sgn",
        "--intrinsics", "20,20,20,10", "--baseline", "0.1",
    )  # fmt: skip
    assert unknown.code == 1
    assert "model 'sgn' is not in the catalogue" in unknown.err


def test_the_cameras_must_be_known(run_cli: RunCli, tmp_path: Path) -> None:
    for name in ("left.png", "right.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 40, 3), np.uint8))
    result = run_cli("stereo", tmp_path / "left.png", tmp_path / "right.png", "--baseline", "0.1")
    assert result.code == 1
    assert "give --left-camera and --right-camera, or --intrinsics and --baseline" in result.err
