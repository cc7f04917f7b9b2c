"""Depth that disagrees with that of a moment ago is not sure, but for what moves by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from metric_scenes import CAMERA, look_at_plane, texture
from real_frames import Array

from depth_anything_ros.frames import Frame, Plane
from depth_anything_ros.metric.recent_depth import RecentDepth

WALL = Plane((0.1, -0.2, -0.97), 4.0)
SIGMA = 0.03
SECOND = 10**9
ALL = np.ones((CAMERA.height, CAMERA.width), bool)


def seen(seconds: float) -> tuple[Frame, Array]:
    """A camera that drives towards a wall at 0.5 m/s, and the wall's true depth."""
    pose = np.eye(4)
    pose[:3, 3] = 0.1 * seconds, 0, 0.5 * seconds
    rgb, depth = look_at_plane(pose, WALL, CAMERA, texture(1))
    frame = Frame(rgb, SECOND + round(seconds * SECOND), camera=CAMERA, pose=pose)
    return frame, depth.astype(np.float32)


def relative_sigma(recent: RecentDepth, seconds: float, factor: Array | float = 1.0) -> Array:
    frame, depth = seen(seconds)
    depth = (depth * factor).astype(np.float32)
    sigma = recent.doubted(depth, np.float32(SIGMA) * depth, frame, ALL)
    return sigma / depth


def test_a_still_scene_leaves_sigma_as_it_is() -> None:
    recent = RecentDepth()
    for step in range(6):
        assert relative_sigma(recent, 0.2 * step) == pytest.approx(SIGMA)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_sigma_is_no_less_than_most_of_the_image_disagrees(factor: float) -> None:
    recent = RecentDepth()
    relative_sigma(recent, 0.0)
    for seconds in (0.2, 0.4):  # the second time the first of the two before still disagrees
        found = relative_sigma(recent, seconds, factor)
        assert found == pytest.approx(abs(np.log(factor)) / (0.6745 * np.sqrt(2)), rel=0.1)
    assert relative_sigma(recent, 0.6, factor) == pytest.approx(SIGMA)


def test_a_part_that_disagrees_makes_nothing_unsure() -> None:
    recent = RecentDepth()
    factor = np.ones(ALL.shape)
    factor[:, : CAMERA.width // 3] = 0.7
    relative_sigma(recent, 0.0)
    assert relative_sigma(recent, 0.2, factor) == pytest.approx(SIGMA)


def test_only_what_is_still_is_judged_and_doubted() -> None:
    recent = RecentDepth()
    relative_sigma(recent, 0.0)
    frame, depth = seen(0.2)
    still = ALL.copy()
    still[:, : 2 * CAMERA.width // 3] = False
    moved = np.where(still, depth, 0.7 * depth).astype(np.float32)
    assert recent.doubted(moved, np.float32(SIGMA) * moved, frame, still) / moved == pytest.approx(
        SIGMA
    )
    frame, depth = seen(0.4)
    wrong = np.where(still, 0.8 * depth, depth).astype(np.float32)
    sigma = recent.doubted(wrong, np.float32(SIGMA) * wrong, frame, still) / wrong
    assert sigma[~still] == pytest.approx(SIGMA)
    assert (sigma[still] > 0.2).all()


def test_images_that_follow_quickly_are_compared_with_one_a_while_ago() -> None:
    """Thirty images a second are as much alike as their errors."""
    recent = RecentDepth()
    for step in range(12):
        found = relative_sigma(recent, step / 30, 1.02**step)
    assert (found > 0.08).all()


def test_depth_that_is_not_sure_is_not_asked() -> None:
    recent = RecentDepth()
    frame, depth = seen(0.0)
    recent.doubted(depth, np.float32(0.3) * depth, frame, ALL)
    assert relative_sigma(recent, 0.2, 0.7) == pytest.approx(SIGMA)


def test_without_pose_after_a_while_and_of_another_camera_nothing_is_compared() -> None:
    recent = RecentDepth()
    relative_sigma(recent, 0.0)
    frame, depth = seen(0.2)
    wrong = np.float32(0.7) * depth
    sigma = np.float32(SIGMA) * wrong
    assert recent.doubted(wrong, sigma, replace(frame, pose=None), ALL) is sigma
    assert recent.doubted(wrong, sigma, replace(frame, fixed_frame="map"), ALL) is sigma
    relative_sigma(recent, 0.4)
    assert relative_sigma(recent, 1.1, 0.7) == pytest.approx(SIGMA)
    assert relative_sigma(recent, 0.9) == pytest.approx(SIGMA)  # time went back
