"""`depth_anything calibrate BAG --extrinsics` on a drive whose LiDAR is turned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags", reason="rosbags is not installed (extra 'demo')")

from panels import CAMERA, LIDAR_UP, RATE, Panels, pose_at
from robot_bag import FRAME, image, info, points, transforms
from small_bag import SECOND, write_bag

from depth_anything_ros.formats.extrinsics import extrinsics_of, read_extrinsics
from depth_anything_ros.metric import alignment_monitor

RunCli = Callable[..., Any]

TURN_DEG = (0.8, -1.5, 1.2)
LATE_S = 0.06
SECONDS = 13
CAMERA_ON_BASE = np.array(
    [[0.0, 0.0, 1.0, 0.2], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.9], [0.0, 0.0, 0.0, 1.0]]
)


def straight() -> Any:
    """The LiDAR's pose in the optical frame as everybody believes it."""
    pose = np.eye(4)
    pose[1, 3] = -LIDAR_UP
    return pose


def turned() -> Any:
    """The same in truth."""
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.radians(np.array(TURN_DEG)))[0]
    return straight() @ turn


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    panels = Panels(1)
    fixed = [
        ("base_link", FRAME, CAMERA_ON_BASE),
        ("base_link", "lidar", CAMERA_ON_BASE @ straight()),
    ]
    recorded = [transforms("/tf_static", 0, fixed)]
    for number in range(round(SECONDS * RATE)):
        moment = round(SECOND * (1 + number / RATE))
        for delay in (0.0, 0.1):  # two images for each cloud
            seconds = number / RATE + delay
            stamp = moment + round(delay * SECOND)
            recorded.append(
                image("/camera/image_raw", stamp, panels.picture(pose_at(seconds)), "rgb8")
            )
            recorded.append(info("/camera/camera_info", stamp, CAMERA))
        cloud = panels.scan(pose_at(number / RATE + 0.1 - LATE_S)) @ turned()[:3, :3]
        recorded.append(points("/points", moment + SECOND // 10, cloud.astype(np.float32)))
    return write_bag(tmp_path_factory.mktemp("bag") / "turned", recorded)


def off_deg(matrix: Any, truth: Any) -> float:
    """Angle between two poses."""
    rest = matrix[:3, :3] @ truth[:3, :3].T
    return float(np.degrees(np.linalg.norm(cv2.Rodrigues(rest)[0])))


def test_the_pose_is_found_and_said_for_tf(
    run_cli: RunCli, recording: Path, tmp_path: Path
) -> None:
    file = tmp_path / "lidar.yaml"
    assert off_deg(straight(), turned()) > 2
    result = run_cli("calibrate", recording, "--extrinsics", "-o", file)
    assert result.code == 0, result.err
    refined = read_extrinsics(str(file))
    assert off_deg(refined, turned()) < 0.2
    assert refined[:3, 3] == pytest.approx(straight()[:3, 3], abs=0.01)
    content = yaml.safe_load(file.read_text())
    assert (content["frame_id"], content["child_frame_id"]) == ("base_link", "lidar")
    on_base = extrinsics_of(content["transform"], "transform")
    assert on_base == pytest.approx(CAMERA_ON_BASE @ refined, abs=1e-4)
    arguments = content["static_transform_publisher"].split()
    assert arguments[-4:] == ["--frame-id", "base_link", "--child-frame-id", "lidar"]
    assert [float(each) for each in arguments[1:14:2]] == pytest.approx(content["transform"])
    assert "yaw -1." in result.out
    assert "ms older than their stamps say" in result.err


def test_what_is_not_known_stays(
    run_cli: RunCli, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alignment_monitor, "_KNOWN_TURN_DEG", 0.1)
    file = tmp_path / "lidar.yaml"
    result = run_cli("calibrate", recording, "--extrinsics", "-o", file)
    assert result.code == 0, result.err
    assert "pitch not known, yaw -1." in result.out
    assert "roll not known" in result.out
    assert "what is not known stays as it was" in result.err


def test_start_is_taken_and_files_of_other_kinds_stay(
    run_cli: RunCli, recording: Path, tmp_path: Path
) -> None:
    file = tmp_path / "lidar.yaml"
    numbers = " ".join(str(each) for each in turned().ravel())
    options = ("--refine-extrinsics", "--extrinsics", numbers, "-o", file)
    result = run_cli("calibrate", recording, *options)
    assert result.code == 0, result.err
    assert off_deg(read_extrinsics(str(file)), turned()) < 0.2
    assert yaml.safe_load(file.read_text())["frame_id"] == FRAME
    file.write_text("scale: 1.0\n")
    refused = run_cli("calibrate", recording, "--extrinsics", "-o", file)
    assert (refused.code, "is not replaced" in refused.err) == (1, True)
    both = run_cli("calibrate", recording, "--refine-extrinsics", "--ground", "-o", file)
    assert both.code == 2


def test_too_short_a_drive_is_said(run_cli: RunCli, recording: Path, tmp_path: Path) -> None:
    file = tmp_path / "lidar.yaml"
    result = run_cli("calibrate", recording, "--extrinsics", "--every", "60", "-o", file)
    assert result.code == 1
    assert "do not tell how the LiDAR stands: record a drive" in result.err
    assert not file.exists()
