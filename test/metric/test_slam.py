from __future__ import annotations

import numpy as np
import pytest
from metric_scenes import CAMERA, Array, frame, relative, wavy_depth
from scipy.spatial.transform import Rotation

from depth_anything_ros.frames import SlamView
from depth_anything_ros.geometry.camera import ray_table
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.similarity import robust_umeyama, umeyama
from depth_anything_ros.metric.sources.slam import SlamSource

TURN = Rotation.from_euler("xyz", [20, -35, 70], degrees=True).as_matrix()
SHIFT = np.array([3.0, -1.0, 0.5])


def path(count: int = 60) -> Array:
    """A winding way of some metres."""
    t = np.linspace(0, 6, count)
    return np.stack([t, np.sin(t), 0.3 * np.cos(2 * t)], axis=1)


def test_umeyama_recovers_scale_rotation_and_translation_exactly() -> None:
    source = path()
    found = umeyama(source, 2.75 * source @ TURN.T + SHIFT)
    assert found.scale == pytest.approx(2.75, rel=1e-6)
    assert np.abs(found.rotation - TURN).max() < 1e-6
    assert np.abs(found.translation - SHIFT).max() < 1e-6


def test_a_straight_way_has_a_scale_and_never_a_mirror_image() -> None:
    source = np.outer(np.linspace(0, 4, 30), [1.0, 2.0, -1.0])
    found = umeyama(source, 0.4 * source @ TURN.T)
    assert found.scale == pytest.approx(0.4, rel=1e-6)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_gross_errors_and_noise_move_the_scale_by_less_than_one_percent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = path(100)
    target = 2.75 * source @ TURN.T + SHIFT
    target += 0.02 * rng.standard_normal(target.shape)
    bad = rng.permutation(100)[:40]
    target[bad] += rng.uniform(-5, 5, (40, 3))
    found = robust_umeyama(source, target)
    print(f"40 % gross, 2 cm noise: scale {found.scale / 2.75 - 1:+.3%}")
    assert found.scale == pytest.approx(2.75, rel=0.01)
    assert found.inlier_share == pytest.approx(0.6, abs=0.06)


def test_the_map_in_slam_units_gives_metres() -> None:
    """The map is 1/2.75 of the world and turned; its points land on the right pixels and depths."""
    depth = wavy_depth()
    x, y = ray_table(CAMERA)
    rays = np.stack(np.broadcast_arrays(x, y, np.ones_like(x * y)), axis=-1).astype(float)
    choice = np.random.default_rng(0).permutation(depth.size)[:300]
    in_camera = (rays * depth[..., None]).reshape(-1, 3)[choice]
    prediction = relative(depth, 0.05, 0.08)
    source = SlamSource()
    found = None
    for position in path(20):
        pose = np.eye(4)
        pose[:3, 3] = position
        slam_pose = np.eye(4)
        slam_pose[:3, :3] = TURN
        slam_pose[:3, 3] = (TURN @ position + SHIFT) / 2.75
        world = in_camera @ slam_pose[:3, :3].T / 2.75 + slam_pose[:3, 3]
        view = SlamView(slam_pose, world)
        try:
            found = source.measure(prediction, frame(depth, pose=pose, slam=view))
        except UnmeasurableError as error:
            assert "has moved" in str(error)
    assert found is not None
    assert found.scale == pytest.approx(0.05, rel=1e-6)
    assert found.shift == pytest.approx(0.08, rel=1e-6)
    source.reset()
    with pytest.raises(UnmeasurableError, match=r"has moved 0.00 m over 1 poses"):
        source.measure(prediction, frame(depth, pose=pose, slam=view))


def test_what_is_missing_is_named() -> None:
    depth = wavy_depth()
    view = SlamView(np.eye(4), np.zeros((0, 3)))
    with pytest.raises(UnmeasurableError, match="no SLAM pose"):
        SlamSource().measure(relative(depth, 1, 0), frame(depth, pose=np.eye(4)))
    with pytest.raises(UnmeasurableError, match="no metric odometry"):
        SlamSource().measure(relative(depth, 1, 0), frame(depth, slam=view))
    with pytest.raises(UnmeasurableError, match="coincide"):
        umeyama(np.ones((5, 3)), path(5))
