"""`depth_anything export3d` against the true geometry of the simulated robot's world."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")

from robot_bag import STEP_M, write_robot_bag
from scipy.spatial import KDTree

from depth_anything_ros.formats.colmap import ColmapImage, read_colmap, write_colmap
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.formats.posed_views import PosedView, colmap_views, recorded_views
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.synthetic.robot import Robot

RunCli = Callable[..., Any]
IMAGES = 4
CAMERA = Camera.from_hfov(320, 240, 80.0)
OPTIONS = ("--depth-topic", "/true_depth/image", "--voxel", "0.03", "--max-range", "5.5")


@pytest.fixture(scope="module")
def robot() -> Robot:
    return Robot("room", 3, {"camera": CAMERA})


@pytest.fixture(scope="module")
def bag(robot: Robot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bag") / "drive"
    return write_robot_bag(folder, robot, "camera", IMAGES, start_m=2.0)


@pytest.fixture(scope="module")
def truth(robot: Robot) -> npt.NDArray[np.float64]:
    """Points of the world, much denser than the exported ones: seen at twice the resolution."""
    robot.cameras["fine"] = CAMERA.resized(640, 480)
    robot.base_camera["fine"] = robot.base_camera["camera"]
    clouds = []
    for number in range(IMAGES):
        distance = 2.0 + number * STEP_M
        _, depth = robot.photograph("fine", distance, coloured=False)
        cloud = build_cloud(depth, robot.cameras["fine"], organized=False, max_range=7.0)
        pose = robot.pose(distance) @ robot.base_camera["fine"]
        clouds.append(cloud.xyz.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3])
    return np.concatenate(clouds)


def distances(points: npt.NDArray[Any], truth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Metres from points to the nearest true one."""
    found, _ = KDTree(truth).query(points)
    return np.asarray(found)


def read_ply(path: Path) -> npt.NDArray[np.float64]:
    """Vertices of one of our own clouds."""
    content = path.read_bytes()
    head, body = content.split(b"end_header\n", 1)
    count = int(head.split(b"element vertex ")[1].split(b"\n")[0])
    row = np.dtype([(name, "<f4") for name in "xyz"] + [(name, "u1") for name in "rgb"])
    vertices = np.frombuffer(body, row, count)
    return np.stack([vertices[name] for name in "xyz"], 1).astype(np.float64)


def test_cloud_lies_on_the_true_surfaces(
    run_cli: RunCli, bag: Path, truth: npt.NDArray[np.float64], tmp_path: Path
) -> None:
    result = run_cli("export3d", bag, "-o", tmp_path, *OPTIONS)
    assert result.code == 0, result.err
    assert f"{IMAGES} views" in result.out
    points = read_ply(tmp_path / "cloud.ply")
    error = distances(points, truth)
    print(f"cloud of {len(points)} points: median {np.median(error) * 1000:.1f} mm off the truth")
    assert len(points) > 5000
    assert np.median(error) < 0.01
    assert np.percentile(error, 95) < 0.03
    by_odometry = run_cli(
        "export3d", bag, "-o", tmp_path / "odom", *OPTIONS, "--odometry-topic", "/odometry"
    )
    assert by_odometry.code == 0, by_odometry.err
    np.testing.assert_allclose(read_ply(tmp_path / "odom" / "cloud.ply"), points, atol=1e-4)


def test_mesh_is_two_centimetres_from_the_truth(
    run_cli: RunCli, bag: Path, truth: npt.NDArray[np.float64], tmp_path: Path
) -> None:
    open3d = pytest.importorskip(
        "open3d", exc_type=ImportError, reason="open3d is not installed (extra 'fusion')"
    )
    result = run_cli("export3d", bag, "-o", tmp_path, "-f", "tsdf", *OPTIONS)
    assert result.code == 0, result.err
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / "mesh.ply"))
    vertices = np.asarray(mesh.vertices)
    error = distances(vertices, truth)
    print(f"mesh of {len(vertices)} vertices: median {np.median(error) * 1000:.1f} mm")
    assert len(mesh.triangles) > 10_000
    assert np.median(error) <= 0.02


def test_colmap_model_is_read_back(
    run_cli: RunCli, robot: Robot, bag: Path, tmp_path: Path
) -> None:
    result = run_cli("export3d", bag, "-o", tmp_path, "-f", "colmap", *OPTIONS, "--every", "2")
    assert result.code == 0, result.err
    model = read_colmap(tmp_path / "sparse" / "0")
    assert [image.name for image in model.images] == [
        f"drive_{number:06d}.png" for number in (0, 2)
    ]
    assert list(model.cameras.values()) == [CAMERA]
    for number, image in enumerate(model.images):
        pose = robot.pose(2.0 + 2 * number * STEP_M) @ robot.base_camera["camera"]
        np.testing.assert_allclose(image.pose, pose, atol=1e-9)
        assert read_depth(tmp_path / "depth" / image.name).shape == (240, 320)
        assert read_image(tmp_path / "images" / image.name).shape == (240, 320, 3)
    # A point that an image sees has the depth of that image.
    first = model.images[0]
    inverse = np.linalg.inv(first.pose)
    seen = np.stack(list(model.points.values())) @ inverse[:3, :3].T + inverse[:3, 3]
    u = np.rint(seen[:, 0] / seen[:, 2] * CAMERA.fx + CAMERA.cx).astype(int)
    v = np.rint(seen[:, 1] / seen[:, 2] * CAMERA.fy + CAMERA.cy).astype(int)
    inside = (seen[:, 2] > 0) & (u >= 0) & (u < 320) & (v >= 0) & (v < 240)
    depth = read_depth(tmp_path / "depth" / first.name)[v[inside], u[inside]]
    assert np.nanmedian(np.abs(depth - seen[inside, 2])) < 0.03


def test_pycolmap_reads_the_model(run_cli: RunCli, bag: Path, tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is not installed")
    assert run_cli("export3d", bag, "-o", tmp_path, "-f", "colmap", *OPTIONS).code == 0
    reconstruction = pycolmap.Reconstruction(str(tmp_path / "sparse" / "0"))
    assert reconstruction.num_images() == IMAGES
    assert reconstruction.num_points3D() == len(read_colmap(tmp_path / "sparse" / "0").points)
    ours = {image.name: image.pose for image in read_colmap(tmp_path / "sparse" / "0").images}
    for image in reconstruction.images.values():
        centre = np.asarray(image.projection_center())
        np.testing.assert_allclose(centre, ours[image.name][:3, 3], atol=1e-9)


def test_nerfstudio_cameras_look_backwards(
    run_cli: RunCli, robot: Robot, bag: Path, tmp_path: Path
) -> None:
    assert run_cli("export3d", bag, "-o", tmp_path, "-f", "nerfstudio", *OPTIONS).code == 0
    content = json.loads((tmp_path / "transforms.json").read_text())
    assert len(content["frames"]) == IMAGES
    frame = content["frames"][0]
    pose = robot.pose(2.0) @ robot.base_camera["camera"]
    matrix = np.array(frame["transform_matrix"])
    np.testing.assert_allclose(matrix[:3, 2], -pose[:3, 2], atol=1e-9)  # z backward
    np.testing.assert_allclose(matrix[:3, 3], pose[:3, 3], atol=1e-9)
    assert (frame["fl_x"], frame["cx"]) == (CAMERA.fx, CAMERA.cx + 0.5)
    for key in ("file_path", "depth_file_path"):
        assert (tmp_path / frame[key]).is_file()
    assert len(read_ply(tmp_path / content["ply_file_path"])) > 5000


def test_a_colmap_model_gets_metres_from_depth(bag: Path, tmp_path: Path) -> None:
    """A model of unknown scale (here 1 unit = 2.5 m) with depth files in metres."""
    views = list(recorded_views(bag, every=3, topics=topics("/true_depth/image")))
    images = []
    for view in views:
        pose = view.pose.copy()
        pose[:3, 3] /= 2.5
        images.append(ColmapImage(f"{view.name}.png", 1, pose))
        cv2.imwrite(str(tmp_path / f"{view.name}.png"), view.rgb[..., ::-1])
        np.save(tmp_path / f"{view.name}_depth.npy", view.depth_m)
    first = views[0]
    rows, columns = np.mgrid[20:220:20, 20:300:20].reshape(2, -1)
    z = first.depth_m[rows, columns].astype(np.float64)
    rays = np.stack([(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy], 1)
    optical = np.concatenate([rays * z[:, None], z[:, None]], 1)
    xyz = (optical @ first.pose[:3, :3].T + first.pose[:3, 3]) / 2.5
    grey = np.full((len(z), 3), 128, np.uint8)
    write_colmap(tmp_path / "model", [CAMERA], images, xyz.astype(np.float32), grey)
    table = " ".join(
        f"{u + 0.5} {v + 0.5} {number}"
        for number, (u, v) in enumerate(zip(columns, rows, strict=True), 1)
    )
    text = (tmp_path / "model" / "images.txt").read_text().splitlines()
    text[3] = table
    (tmp_path / "model" / "images.txt").write_text("\n".join(text) + "\n")
    said: list[str] = []
    got: list[PosedView] = list(colmap_views(tmp_path / "model", tmp_path, tmp_path, said.append))
    assert said[-1].endswith("one unit of the model is 2.5 m")
    for one, other in zip(got, views, strict=True):
        np.testing.assert_allclose(one.pose, other.pose, atol=2e-3)


def topics(depth: str) -> Any:
    from depth_anything_ros.formats.posed_views import PoseTopics

    return replace(PoseTopics(), depth=depth)


def test_what_is_missing_is_named(run_cli: RunCli, bag: Path, tmp_path: Path) -> None:
    nothing = run_cli("export3d", tmp_path, "-o", tmp_path / "out")
    assert nothing.code == 1
    assert "is neither a recording nor the folder of a COLMAP text model" in nothing.err
    depth = run_cli("export3d", bag, "-o", tmp_path / "out", "--depth-topic", "/nothing")
    assert "has no topic /nothing; depth is on /true_depth/image" in depth.err
    pose = run_cli("export3d", bag, "-o", tmp_path / "out", "--fixed-frame", "moon")
    assert "the transforms do not connect 'camera_optical_frame' with 'moon'" in pose.err
