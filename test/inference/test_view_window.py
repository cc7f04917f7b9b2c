"""Keyframes go with an image where the camera has moved and looks at the same scene."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import FloatArray, Frame
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.view_window import ViewWindow

CAMERA = Camera(8, 6, 5.0, 5.0, 3.5, 2.5)
RGB = np.zeros((6, 8, 3), np.uint8)


def pose(x: float, turn_deg: float = 0.0) -> FloatArray:
    placed = np.eye(4)
    placed[:3, :3] = Rotation.from_euler("y", turn_deg, degrees=True).as_matrix()
    placed[0, 3] = x
    return placed


def image(index: int, placed: FloatArray | None, camera: Camera | None = CAMERA) -> Frame:
    return Frame(RGB, 1_000_000_000 + index * 100_000_000, "optical", camera, pose=placed)


def drive(window: ViewWindow, places: list[float], start: int = 0) -> Frame:
    frame = Frame(RGB)
    for index, x in enumerate(places, start):
        frame = window.complete(image(index, pose(x)))
    return frame


def test_a_robot_that_stands_still_has_no_keyframes_to_show() -> None:
    assert drive(ViewWindow(5), [0.0] * 20).keyframes == ()


def test_keyframes_lie_a_baseline_apart_and_the_farthest_are_shown() -> None:
    frame = drive(ViewWindow(4), [0.06 * step for step in range(41)])
    shown = [each.pose[0, 3] for each in frame.keyframes]
    # A pool of nine, 0.18 m apart, the newest at 2.34 m; shown in their order of time.
    assert shown == sorted(shown) and len(shown) == 3
    assert shown[0] == pytest.approx(0.9)
    assert np.diff([*shown, 2.4]).min() >= 0.35


def test_a_way_too_short_for_a_scale_is_not_shown() -> None:
    window = ViewWindow(4)
    counts = [
        len(drive(window, [x], start=step).keyframes) for step, x in enumerate((0, 0.2, 0.29))
    ]
    assert counts == [0, 0, 0]
    assert len(drive(window, [0.31], start=3).keyframes) == 2


def test_keyframes_stay_when_the_robot_stops() -> None:
    window = ViewWindow(3)
    drive(window, [0.0, 0.2, 0.4])
    stopped = drive(window, [0.5] * 100, start=3)
    assert [each.pose[0, 3] for each in stopped.keyframes] == [0.0, 0.2]


def test_keyframes_that_look_elsewhere_are_not_shown() -> None:
    window = ViewWindow(3)
    drive(window, [0.0, 0.2, 0.4])
    assert window.complete(image(9, pose(0.6, 90.0))).keyframes == ()
    assert len(window.complete(image(12, pose(0.6, 10.0))).keyframes) == 2


def test_without_odometry_the_last_keyframes_are_shown_for_a_second() -> None:
    window = ViewWindow(3)
    drive(window, [0.0, 0.2, 0.4])
    lost = [window.complete(image(index, None)) for index in range(3, 20)]
    assert [len(each.keyframes) for each in lost] == [2] * 10 + [0] * 7
    found = window.complete(image(20, pose(0.6)))
    assert len(found.keyframes) == 2 and found.pose is not None


def test_poses_that_jump_start_anew() -> None:
    window = ViewWindow(3)
    drive(window, [0.0, 0.2, 0.4])
    assert drive(window, [50.0], start=3).keyframes == ()
    assert len(drive(window, [50.4], start=4).keyframes) == 1
    turned = window.complete(image(5, pose(50.4, 120.0)))
    assert turned.keyframes == ()


def test_time_that_jumps_back_and_another_camera_start_anew() -> None:
    window = ViewWindow(3)
    drive(window, [0.0, 0.2, 0.4], start=10)
    assert window.complete(image(0, pose(0.4))).keyframes == ()
    other = Camera(8, 6, 6.0, 6.0, 3.5, 2.5)
    drive(window, [0.6, 0.8], start=20)
    assert window.complete(image(30, pose(0.8), other)).keyframes == ()


def test_images_without_an_ideal_camera_are_alone() -> None:
    window = ViewWindow(3)
    bent = Camera(8, 6, 5.0, 5.0, 3.5, 2.5, "plumb_bob", (0.1, 0.0, 0.0, 0.0))
    for index in range(5):
        assert window.complete(image(index, pose(index * 0.2), None)).keyframes == ()
        assert window.complete(image(index, pose(index * 0.2), bent)).keyframes == ()


def test_a_window_of_one_is_none() -> None:
    with pytest.raises(SettingError, match="window is 1"):
        ViewWindow(1)
