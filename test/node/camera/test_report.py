"""What a camera's report logs of trouble with metres, and of its end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from panels import drive

from depth_anything_ros.frames import (
    DepthFrame,
    Frame,
    Plane,
    Prediction,
    PredictionKind,
    Quality,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, project
from depth_anything_ros.node.camera.report import CameraReport
from depth_anything_ros.node.runtime.log import ThrottledLog

VALUES = np.ones((4, 6), np.float32)


class CameraInputDouble:
    """A camera's input with nothing to complain about."""

    incompatible = None
    has_publisher = True


class Heard:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> bool:
        self.lines.append(f"info {message}")
        return True

    def warning(self, message: str) -> bool:
        self.lines.append(f"warning {message}")
        return True

    def error(self, message: str) -> bool:
        self.lines.append(f"error {message}")
        return True


def answer(quality: Quality, reason: str) -> DepthFrame:
    frame = Frame(np.zeros((4, 6, 3), np.uint8))
    prediction = Prediction(VALUES, PredictionKind.RELATIVE_DISPARITY, (4, 6))
    depth_m = None if quality is Quality.INVALID else VALUES
    return DepthFrame(frame, prediction, depth_m, None, ScaleState("sparse", quality, reason))


def test_floor_that_lies_elsewhere_than_the_ground_is_in_the_health() -> None:
    report = CameraReport("/depth_anything", "", ThrottledLog(Heard()))
    camera = Camera.from_hfov(320, 240, 90.0)
    rng = np.random.default_rng(0)
    x, z = rng.uniform(-2, 2, 500), rng.uniform(2, 6, 500)
    floor = np.stack([x, 1.0 + 0.02 * z, z], axis=1)
    in_mirror = np.concatenate([0.7 * floor, 0.71 * floor, 0.69 * floor])
    points = SparsePoints(*project(camera, np.concatenate([floor, in_mirror])), source="/points")
    good = answer(Quality.GOOD, "9 of 9 points agree")
    good = replace(good, wrong_points=np.arange(2000) >= 500)
    for second in range(1, 12):
        frame = replace(
            good.frame,
            stamp=second * 10**9,
            camera=camera,
            points=points,
            ground=Plane((0.0, -1.0, 0.0), 1.0),
        )
        report.answered(replace(good, frame=frame), 0.1, 1)
    values = report.health(None, {}, 2.0).values
    assert float(values["floor_pitch_deg"]) == pytest.approx(-1.15, abs=0.02)
    assert float(values["floor_height_factor"]) == pytest.approx(1.0, abs=0.01)


def test_points_that_do_not_fit_the_image_are_in_the_health() -> None:
    report = CameraReport("/depth_anything", "", ThrottledLog(Heard()))
    good = answer(Quality.GOOD, "9 of 9 points agree")
    source = CameraInputDouble()
    report.statistics.receive()
    for frame in drive(10, (0.0, 1.5, 0.0)):
        report.answered(replace(good, frame=frame), 0.1, 1, check_alignment=True)
        report._alignment.wait()
    health = report.health(source, {}, 1e9)  # type: ignore[arg-type]
    assert health.level == DiagnosticStatus.WARN
    assert "/points do not fit the image" in health.message
    assert "1.5 degrees right of what its pose says" in health.message
    assert float(health.values["alignment_yaw_deg"]) == pytest.approx(1.5, abs=0.1)
    report.forget_points()
    health = report.health(source, {}, 1e9)  # type: ignore[arg-type]
    assert health.level == DiagnosticStatus.OK
    assert "alignment_yaw_deg" not in health.values


def test_each_trouble_and_its_end_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    heard = Heard()
    report = CameraReport("/depth_anything", "", ThrottledLog(heard))
    bad, good = answer(Quality.INVALID, "no points"), answer(Quality.GOOD, "9 of 9 points agree")
    for _ in range(3):
        report.answered(bad, 0.1, 1)
    for _ in range(3):
        report.answered(good, 0.1, 1)
    no_metres = "warning no metres on ~/depth/image and ~/points: no points; ~/disparity/image has"
    assert heard.lines.pop(0).startswith(no_metres)
    assert heard.lines == ["info metres now: 9 of 9 points agree"]
    heard.lines.clear()
    for _ in range(5):  # flickering: the log is not flooded
        report.answered(bad, 0.1, 1)
        report.answered(good, 0.1, 1)
    report.answered(answer(Quality.HELD, "no points"), 0.1, 1)
    assert heard.lines == [
        "warning depth is unknown: no points",
        "info metres again: 9 of 9 points agree",
    ]
    now[0] += 11.0
    report.answered(bad, 0.1, 1)
    report.answered(good, 0.1, 1)
    assert heard.lines[2:] == heard.lines[:2]
