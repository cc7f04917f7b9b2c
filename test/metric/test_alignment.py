"""Rotation and age of points from edges, and what is said of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from panels import CAMERA, drive

from depth_anything_ros.frames import Frame, SparsePoints
from depth_anything_ros.metric.alignment import Alignment, _Search, estimate_alignment
from depth_anything_ros.metric.alignment_moment import CameraMotion, Moment, moment_of
from depth_anything_ros.metric.alignment_monitor import (
    AlignmentMonitor,
    camera_motion,
    describe,
    moment_between,
)


def moments(frames: list[Frame]) -> list[Moment]:
    """Moments of all frames that have points."""
    found = []
    for before, frame in itertools.pairwise(frames):
        moment = moment_between(before, frame)
        if moment is not None:
            found.append(moment)
    return found


def estimate(frames: list[Frame]) -> Alignment:
    found = estimate_alignment(moments(frames))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "turn_deg, late",
    [((0.0, 0.0, 0.0), 0.0), ((0.0, -2.0, 0.0), 0.0), ((1.0, 0.5, -2.0), 0.06)],
)
def test_rotation_and_age_are_found(turn_deg: tuple[float, float, float], late: float) -> None:
    found = estimate(list(drive(8, turn_deg, late)))
    assert found.turn_deg == pytest.approx(turn_deg, abs=0.3)
    assert found.turn_deg[1] == pytest.approx(turn_deg[1], abs=0.1)
    assert found.late_s == pytest.approx(late, abs=0.01)
    assert np.all(found.turn_sigma_deg < 0.5)
    assert found.late_sigma_s < 0.015


def test_jumps_are_turned_and_made_younger_exactly() -> None:
    """What was measured when the frame before was taken, by a sensor turned by 3 degrees."""
    before, frame = itertools.islice(drive(1), 2)
    assert before.pose is not None and frame.pose is not None
    moment = moment_between(before, frame)
    assert moment is not None
    age = (frame.stamp - before.stamp) * 1e-9
    turn = np.radians([0.0, 3.0, 0.0])
    search = _Search([moment], np.zeros(1, np.intp))
    search.put(np.array([*turn, age]))
    moved = np.linalg.inv(frame.pose) @ before.pose
    xyz = moment.xyz @ cv2.Rodrigues(turn)[0].T @ moved[:3, :3].T + moved[:3, 3]
    assert np.abs(xyz[:, :2] - moment.xyz[:, :2]).max() > 0.1
    there = xyz[:, :2] / xyz[:, 2:] * [CAMERA.fx, CAMERA.fy] + [CAMERA.cx, CAMERA.cy]
    np.testing.assert_allclose(search._there, there, atol=0.02)


def test_images_tell_the_motion_where_no_pose_is_known() -> None:
    frames = list(drive(8, late=0.06, posed=False))
    found = estimate(frames)
    assert found.late_s == pytest.approx(0.06, abs=0.015)
    assert found.turn_deg == pytest.approx([0, 0, 0], abs=0.3)
    motion = camera_motion(frames[0], frames[1])
    known = camera_motion(*list(drive(1))[:2])
    assert motion is not None and known is not None
    assert motion.rotation == pytest.approx(known.rotation, abs=0.03)
    assert known.velocity == pytest.approx([0.0, 0.0, 0.5], abs=0.3)


def test_known_distance_in_time_is_taken_into_account() -> None:
    assert estimate(list(drive(8, apart=0.05))).late_s == pytest.approx(0.0, abs=0.01)
    found = estimate(list(drive(8, late=0.05, apart=-0.03)))
    assert found.late_s == pytest.approx(0.05, abs=0.01)


def test_one_turning_rate_does_not_tell_late_from_turned() -> None:
    steady = [
        frame
        for frame in moments(list(drive(12, late=0.06, seed=1)))
        if abs(np.median(frame.rates()) + 0.45) < 0.06
    ]
    found = estimate_alignment(steady)
    assert found is None or found.turn_sigma_deg[1] > 0.35


def test_too_little_is_unknown() -> None:
    frames = list(drive(8))
    assert estimate_alignment([]) is None
    assert estimate_alignment(moments(frames[:5])) is None
    frame = frames[1]
    still = CameraMotion(np.zeros(3), np.zeros(3))
    row = np.arange(20.0)
    wall = SparsePoints(10 * row, 0 * row + 50, 0 * row + 3)
    none = SparsePoints(*np.zeros((3, 0)))
    for points in (wall, none):
        assert moment_of(frame.rgb, CAMERA, points, still, 0) is None


def test_edges_that_are_elsewhere_give_no_number() -> None:
    frames = list(drive(8))
    others = list(drive(8, seed=7))
    mixed = [replace(f, points=o.points) for f, o in zip(frames, others, strict=True)]
    found = estimate_alignment(moments(mixed))
    assert found is None or np.all(found.turn_sigma_deg > 0.35)


def test_monitor_says_what_is_wrong_within_ten_seconds() -> None:
    monitor = AlignmentMonitor()
    for frame in drive(10, (0.0, -1.1, 0.0), late=0.06):
        monitor.add(frame)
    assert "points of /points do not fit the image" in monitor.finding
    assert "turned 1.1 degrees left of what its pose says" in monitor.finding
    assert "ms too late: older than their stamps say" in monitor.finding
    assert monitor.values["alignment_yaw_deg"] == pytest.approx(-1.1, abs=0.1)
    assert monitor.values["alignment_late_ms"] == pytest.approx(60, abs=10)
    first = next(iter(drive(1)))
    monitor.add(replace(first, stamp=0))  # a recording started again
    assert not monitor.finding and not monitor.values and monitor.alignment is None


def test_monitor_is_silent_without_reason() -> None:
    monitor = AlignmentMonitor()
    for frame in drive(12, (0.1, 0.1, -0.1), late=0.005, seed=3):
        monitor.add(frame)
        assert not monitor.finding
    assert monitor.alignment is not None
    assert monitor.values["alignment_yaw_deg"] == pytest.approx(0.1, abs=0.1)


def test_what_is_said_stays_until_it_is_known_to_be_right() -> None:
    monitor = AlignmentMonitor()
    turned, guessed, right = (
        Alignment(np.array([0.0, yaw, 0.0]), np.array([0.1, sigma, 0.1]), 0.0, 0.1, 0.0, sigma)
        for yaw, sigma in ((0.5, 0.05), (0.0, 2.0), (0.0, 0.05))
    )
    less_sure = replace(turned, turn_sigma_deg=np.full(3, 0.2))
    known = ((turned, False), (turned, True), (less_sure, True))
    for found, said in (*known, (guessed, True), (None, True)):
        monitor._judge(found, "/points")
        assert ("turned 0.5 degrees right" in monitor.finding) == said
    monitor._judge(right, "/points")
    assert not monitor.finding
    assert "alignment_late_ms" not in monitor.values
    monitor._judge(replace(turned, turn_deg=np.array([0.0, 0.8, 0.0])), "/points")
    assert "0.8 degrees right" in monitor.finding  # clear enough at once


def test_robot_that_stands_tells_nothing() -> None:
    monitor = AlignmentMonitor()
    for posed in (True, False):
        before, seen = list(drive(1, (0.0, 2.0, 0.0), posed=posed))[:2]
        for number in range(100):
            monitor.add(replace(before, stamp=number * 10**9))
            monitor.add(replace(seen, stamp=number * 10**9 + 10**8))
        assert monitor.alignment is None
        assert not monitor.values


def test_ends_of_upright_edges_do_not_tell_pitch() -> None:
    """Points at the lower ends would fit better higher up; only perspective tells a little."""
    rgb = np.full((240, 320, 3), 90, np.uint8)
    moments = []
    for number in range(8):
        picture, left = rgb.copy(), 40 + 9 * number
        for shift in (0, 80, 160):  # upright boards, the jumps only in their lower halves
            picture[60:180, left + shift : left + shift + 30] = 220
        u = np.arange(0.5, 320, 2.0)
        v = np.repeat(np.arange(130.0, 180, 8), len(u))
        u = np.tile(u, len(v) // len(u))
        nearer = np.zeros(len(u), bool)
        for shift in (0, 80, 160):
            nearer |= (u >= left + shift) & (u < left + shift + 30)
        points = SparsePoints(u, v, np.where(nearer, 3.0, 9.0))
        still = CameraMotion(np.zeros(3), np.zeros(3))
        moment = moment_of(picture, CAMERA, points, still, number * 10**9)
        assert moment is not None and not moment.level.any()
        moments.append(moment)
    search = _Search(moments, np.arange(8))
    search.use_blur(1.0)
    maximum = search.conclude(np.zeros(4))
    pitch_deg, yaw_deg = np.degrees(maximum.x[:2])
    assert yaw_deg == pytest.approx(0.0, abs=0.2)
    sigma_deg = np.degrees([np.sqrt(np.diag(each)[:2]) for each in maximum.covariances])
    assert np.all(sigma_deg[:, 0] > 0.3) and np.all(sigma_deg[:, 1] < 0.1)
    assert abs(pitch_deg) < 0.3


def test_dense_points_show_tops() -> None:
    """Of a box in front of a wall all four sides are found, half a step beyond its last points."""
    u, v = (each.ravel() for each in np.meshgrid(np.arange(0, 320, 4.0), np.arange(0, 240, 4.0)))
    box = (u >= 100) & (u <= 200) & (v >= 80) & (v <= 160)
    points = SparsePoints(u, v, np.where(box, 2.0, 5.0))
    rgb = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    moment = moment_of(rgb, CAMERA, points, CameraMotion(np.zeros(3), np.zeros(3)), 0)
    assert moment is not None
    assert np.unique(moment.u[~moment.level]) == pytest.approx([98.0, 202.0], abs=0.5)
    assert np.unique(moment.v[moment.level]) == pytest.approx([78.0, 162.0], abs=0.5)
    np.testing.assert_allclose(moment.xyz[:, 2], 2.0)


def test_each_direction_has_its_words() -> None:
    said = describe(np.array([0.6, 1.0, -2.0, -0.04, 0.0]), 20.0, "/lidar")
    assert "0.6 degrees up and 1.0 degrees right and 2.0 degrees counterclockwise" in said
    assert "40 ms too early: newer than their stamps say" in said
    assert "calibrate --extrinsics" in said
    assert describe(np.zeros(5), 20.0, "/lidar") == ""
    assert "stamps" not in describe(np.array([0.6, 0.0, 0.0, 0.0, 0.0]), 20.0, "/lidar")


def test_a_robot_that_circles_is_told_what_turn_or_age_it_may_be() -> None:
    circling = Alignment(np.array([0.0, 0.3, 0.0]), np.array([0.1, 2.0, 0.1]), 0.04, 0.1, 20.0, 0.1)
    monitor = AlignmentMonitor()
    monitor._judge(circling, "/points")
    assert monitor.values["alignment_apparent_yaw_deg"] == pytest.approx(1.1)
    assert "alignment_yaw_deg" not in monitor.values
    assert (
        "its sensor seems turned 1.1 degrees right of what its pose says, or they are 55 ms too "
        "late: older than their stamps say; turn both ways to tell them apart"
    ) in monitor.finding
    monitor._judge(replace(circling, apparent_yaw_sigma_deg=0.5), "/points")
    assert monitor.finding  # as long as it is not known to be right
    monitor._judge(replace(circling, turn_sigma_deg=np.full(3, 0.1), late_sigma_s=0.005), "/points")
    assert "or they are" not in monitor.finding
    assert "alignment_apparent_yaw_deg" not in monitor.values
    told_apart = replace(circling, turn_deg=np.array([0.0, 1.1, 0.0]), late_s=0.0)
    monitor._judge(
        replace(told_apart, turn_sigma_deg=np.full(3, 0.1), late_sigma_s=0.005), "/points"
    )
    monitor._judge(told_apart, "/points")  # circles again
    assert monitor.finding.count("turned") == 1


def test_yaw_and_age_that_cancel_each_other_are_doubted() -> None:
    monitor = AlignmentMonitor()
    opposed = Alignment(np.array([0.0, -1.0, 0.0]), np.full(3, 0.3), 0.045, 0.014, 18.0, 0.1)
    for _ in range(2):
        monitor._judge(opposed, "/points")
        assert not monitor.finding
        assert monitor.values["alignment_apparent_yaw_deg"] == pytest.approx(-0.19)
        assert "alignment_yaw_deg" not in monitor.values
    monitor._judge(replace(opposed, turn_sigma_deg=np.full(3, 0.06), late_sigma_s=0.005), "/points")
    assert "1.0 degrees left of what its pose says and they are 45 ms too late" in monitor.finding


def test_an_age_that_does_not_fit_is_no_way_to_read_it() -> None:
    monitor = AlignmentMonitor()
    circling = Alignment(np.array([0.0, 0.9, 0.0]), np.full(3, 2.0), 0.05, 0.04, 7.0, 0.1)
    monitor._judge(circling, "/points")  # 1.25 degrees would be 179 ms at this rate
    assert "turned 1.2 degrees right" in monitor.finding
    assert "late" not in monitor.finding
    implausible = Alignment(np.array([0.0, 1.5, 0.0]), np.full(3, 2.0), 0.05, 0.2, 7.0, 0.1)
    monitor._judge(implausible, "/points")  # 264 ms
    assert "turned 1.9 degrees right" in monitor.finding and "late" not in monitor.finding


def test_pitch_and_roll_are_said_as_soon_as_they_are_known() -> None:
    monitor = AlignmentMonitor()
    for frame in drive(10, (1.2, 0.0, -1.4)):
        monitor.add(frame)
    assert "degrees up and" in monitor.finding and "counterclockwise" in monitor.finding
    assert monitor.values["alignment_pitch_deg"] == pytest.approx(1.2, abs=0.3)
    assert monitor.values["alignment_roll_deg"] == pytest.approx(-1.4, abs=0.5)


def test_what_is_suspected_is_looked_at_again_soon() -> None:
    monitor = AlignmentMonitor()
    slightly = Alignment(np.array([0.0, 0.5, 0.0]), np.full(3, 0.05), 0.0, 0.005, 0.0, 0.05)
    for found, undecided in ((slightly, True), (slightly, False), (None, False)):
        monitor._judge(found, "/points")
        assert monitor._undecided == undecided


def test_matrix_is_the_rotation() -> None:
    turn = Alignment(np.array([0.0, 90.0, 0.0]), np.zeros(3), 0.0, 0.0, 0.0, 0.0).matrix()
    assert turn @ [0.0, 0.0, 1.0, 1.0] == pytest.approx([1.0, 0.0, 0.0, 1.0])
