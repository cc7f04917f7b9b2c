"""`depth_anything calibrate` on real and simulated recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from real_frames import kitti_scan
from scipy.spatial.transform import Rotation

import depth_anything_ros as da
from depth_anything_ros.formats.bags import Bag
from depth_anything_ros.formats.recording import chained, static_transforms
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.metric.scale_file import SavedScale, load_scale, save_scale
from depth_anything_ros.synthetic.robot import Robot

pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")

from robot_bag import FRAME, image, info, points, transforms, write_robot_bag
from small_bag import write_bag

RunCli = Callable[..., Any]


@pytest.fixture
def recording(data_dir: Path) -> Path:
    return data_dir / "bags" / "kitti_object_db3"


def test_a_recording_gives_a_scale_that_run_and_node_load(
    run_cli: RunCli, recording: Path, data_dir: Path, fastdepth: Path, tmp_path: Path
) -> None:
    file = tmp_path / "new" / "scale.yaml"
    result = run_cli("calibrate", recording, "-o", file, "--model", fastdepth)
    assert result.code == 0, result.err
    print(result.out)
    assert "from 2 of 2 frames" in result.out
    found = load_scale(file)
    assert (found.kind, found.shift, found.method) == (PredictionKind.METRIC_DEPTH, 0.0, "sparse")

    # The middle of what each image's own LiDAR says of the network, frame by frame.
    ratios: list[float] = []
    errors: dict[bool, list[float]] = {False: [], True: []}
    for options in ((), ("--scale-file", file)):
        for name in ("000001", "000002"):
            image = data_dir / "kitti" / "image_2" / f"{name}.png"
            assert run_cli("run", image, "-m", fastdepth, "-o", tmp_path, *options).code == 0
            depth = np.load(tmp_path / f"{name}_depth.npy")
            u, v, z = project(*kitti_scan(data_dir / "kitti", name))
            ratio = z / depth[np.rint(v).astype(int), np.rint(u).astype(int)]
            ratios.append(float(np.median(ratio)))
            errors[bool(options)].append(float(np.median(np.abs(1 / ratio - 1))))
    print(f"median error without {np.mean(errors[False]):.3f}, with {np.mean(errors[True]):.3f}")
    assert found.scale == pytest.approx(np.mean(ratios[:2]), rel=0.25)
    assert np.mean(errors[True]) < 0.6 * np.mean(errors[False])


def test_fit_shift_and_every_arrive(
    run_cli: RunCli, recording: Path, fastdepth: Path, tmp_path: Path
) -> None:
    file = tmp_path / "scale.yaml"
    options = ("-m", fastdepth, "--fit-shift", "always", "--every", "2")
    result = run_cli("calibrate", recording, "-o", file, *options)
    assert result.code == 0, result.err
    assert "from 1 of 1 frames" in result.out
    assert load_scale(file).shift != 0


def test_the_ground_of_a_recording_becomes_parameters_of_the_node(
    run_cli: RunCli, recording: Path, tmp_path: Path
) -> None:
    parameters = pytest.importorskip("depth_anything_ros.node.parameters")
    result = run_cli("calibrate", recording, "--ground", "-o", tmp_path / "ground.yaml")
    assert result.code == 0, result.err
    print(result.out)
    assert "from 2 of 2 clouds" in result.out
    content = yaml.safe_load((tmp_path / "ground.yaml").read_text())
    values = content["/**"]["ros__parameters"]
    known = {field.name for field in dataclasses.fields(parameters.NodeParameters)}
    assert set(values) == {
        "scaler",
        "camera_height",
        "camera_pitch_deg",
        "camera_roll_deg",
    }
    assert set(values) <= known
    taken = parameters.NodeParameters().changed(values)
    assert taken.scaler == "ground_plane"
    # KITTI's cameras are 1.65 m above the road (Geiger et al. 2013, figure 3).
    assert taken.camera_height == pytest.approx(1.65, abs=0.1)
    assert abs(taken.camera_pitch_deg) < 2 and abs(taken.camera_roll_deg) < 2


def test_extrinsics_replace_those_of_the_recording(
    run_cli: RunCli, recording: Path, tmp_path: Path
) -> None:
    with Bag(recording) as bag:
        matrix = chained(static_transforms(bag), "camera_optical_frame", "velodyne")
    heights = []
    for raised in (0.0, 0.5):
        matrix[1, 3] += raised  # y points down
        (tmp_path / "lidar.yaml").write_text(f"extrinsics: {matrix.tolist()}")
        file = tmp_path / "ground.yaml"
        options = ("--extrinsics", tmp_path / "lidar.yaml", "--ground", "-o", file)
        assert run_cli("calibrate", recording, *options).code == 0
        heights.append(yaml.safe_load(file.read_text())["/**"]["ros__parameters"]["camera_height"])
    assert heights[1] - heights[0] == pytest.approx(0.5, abs=0.02)


def test_what_cannot_be_calibrated_is_said(
    run_cli: RunCli, recording: Path, fastdepth: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out.yaml"
    behind = ("--ground", "--extrinsics", "0 0 -500 0 0 0 1")
    for options, text in (
        (
            ("--points-topic", "/front"),
            "no topic /front of type PointCloud2; it has /velodyne_points",
        ),
        (
            ("-m", fastdepth, "--image-topic", "/velodyne_points"),
            "no topic /velodyne_points of type Image",
        ),
        (("-m", fastdepth, "--min-points", "99999"), "no scale was found in 2 moments"),
        (behind, "no ground was found in 2 moments"),
        (("--extrinsics", "1 2"), "2 numbers are no transform"),
    ):
        result = run_cli("calibrate", recording, "-o", file, *options)
        assert result.code == 1, text
        assert text in result.err
        assert not file.exists()
    gone = run_cli("calibrate", tmp_path / "gone", "-o", file, "--ground")
    assert (gone.code, "cannot be read as a rosbag2" in gone.err) == (1, True)


def test_a_file_of_another_kind_is_not_replaced(run_cli: RunCli, tmp_path: Path) -> None:
    """It is refused before the recording is opened: there is none here."""
    scale, ground, robot = (tmp_path / name for name in ("scale.yaml", "ground.yaml", "robot.yaml"))
    save_scale(SavedScale(PredictionKind.METRIC_DEPTH, 2.0), scale)
    ground.write_text("/**:\n  ros__parameters: {scaler: ground_plane, camera_height: 1.0}\n")
    robot.write_text("/**:\n  ros__parameters: {camera_height: 1.0, speed: 2.0}\n")
    for file, options, text in (
        (ground, (), "ground.yaml exists and is not a scale file, so it is not replaced"),
        (robot, (), "robot.yaml exists and is not a scale file, so it is not replaced"),
        (robot, ("--ground",), "robot.yaml exists and has speed in it, so it is not replaced"),
        (scale, ("--ground",), "scale.yaml exists and has no parameters of /**, so it is not"),
        (scale, (), "gone cannot be read as a rosbag2"),
        (ground, ("--ground",), "gone cannot be read as a rosbag2"),
    ):
        before = file.read_bytes()
        result = run_cli("calibrate", tmp_path / "gone", "-o", file, *options)
        assert (result.code, text in result.err) == (1, True), result.err
        assert file.read_bytes() == before


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a simulated robot whose camera stands 0.85 m above the floor."""
    robot = Robot("room", 3, {"camera": Camera.from_hfov(160, 120, 70.0)})
    return write_robot_bag(tmp_path_factory.mktemp("drive") / "bag", robot, "camera", images=3)


def test_a_simulated_drive_gives_the_scale_of_its_lidar(
    run_cli: RunCli, drive: Path, tmp_path: Path
) -> None:
    file = tmp_path / "scale.yaml"
    topics = ("--image-topic", "/camera/image_raw", "--points-topic", "/points")
    result = run_cli("calibrate", drive, "-o", file, "-m", "embedded", *topics)
    assert result.code == 0, result.err
    assert "from 3 of 3 frames" in result.out
    found = load_scale(file)
    assert (found.kind, found.method) == (PredictionKind.RELATIVE_DISPARITY, "sparse")
    robot = Robot("room", 3, {"camera": Camera.from_hfov(160, 120, 70.0)})
    rgb, depth = robot.photograph("camera", 0.0)
    disparity = da.load(model="embedded", device="cpu")(rgb).prediction.values
    error = np.abs(1 / (found.scale * disparity + found.shift) / depth - 1)
    print(f"half of the pixels within {np.nanmedian(error):.3f}")
    assert np.nanmedian(error) < 0.15
    file.write_text("robot: {speed: 5}\n")
    refused = run_cli("calibrate", drive, "-o", file, "-m", "embedded", *topics)
    assert refused.code == 1 and "is not replaced" in refused.err


def test_a_lidar_that_sees_the_floor_tells_how_the_camera_stands(
    run_cli: RunCli, tmp_path: Path
) -> None:
    camera = Camera.from_hfov(160, 120, 70.0)
    pose, lidar = np.eye(4), np.eye(4)  # in base_link, which stands on the floor
    tilted = Rotation.from_euler("YX", (7.0, -3.0), degrees=True)  # looks down, leans
    pose[:3, :3] = tilted.as_matrix() @ [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    pose[:3, 3], lidar[:3, 3] = (0.1, 0.0, 0.85), (0.0, 0.0, 1.2)
    x, y = np.meshgrid(np.linspace(1, 9, 60), np.linspace(-4, 4, 60))
    floor = np.stack([x, y, np.full_like(x, -1.2)], -1).reshape(-1, 3).astype(np.float32)
    recorded = [transforms("/tf_static", 0, [("base", FRAME, pose), ("base", "lidar", lidar)])]
    for moment in (0, 200_000_000):
        recorded += [
            image("/image", moment, np.zeros((120, 160, 3), np.uint8), "rgb8"),
            info("/camera_info", moment, camera),
            points("/points", moment, floor),
        ]
    drive = write_bag(tmp_path / "bag", recorded)
    file = tmp_path / "ground.yaml"
    result = run_cli("calibrate", drive, "--ground", "-o", file)
    assert result.code == 0, result.err
    values = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
    assert values["scaler"] == "ground_plane"
    assert values["camera_height"] == pytest.approx(0.85, abs=0.01)
    assert values["camera_pitch_deg"] == pytest.approx(7.0, abs=0.1)
    assert abs(values["camera_roll_deg"]) == pytest.approx(3.0, abs=0.1)
    assert run_cli("calibrate", drive, "--ground", "-o", file).code == 0  # its own is replaced
    file.write_text("/**:\n  ros__parameters: {scaler: ground_plane, min_points: 5}\n")
    refused = run_cli("calibrate", drive, "--ground", "-o", file)
    assert refused.code == 1 and "has min_points in it, so it is not replaced" in refused.err
