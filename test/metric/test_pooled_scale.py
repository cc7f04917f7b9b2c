from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from metric_scenes import RELATIVE, Array

from depth_anything_ros.frames import Plane, Prediction, PredictionKind
from depth_anything_ros.metric.apply import to_inverse
from depth_anything_ros.metric.camera_mount import find_ground, mount_over
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.pooled_scale import pooled_scale
from depth_anything_ros.metric.source import Measurement


def plane_points(plane: Plane, count: int, seed: int = 0) -> Array:
    """Points of a plane before the camera."""
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-4, 4, count), rng.uniform(1, 12, count)
    nx, ny, nz = plane.normal
    return np.stack([x, -(plane.offset + nx * x + nz * z) / ny, z], axis=1)


def plane_of(height: float, pitch_deg: float, roll_deg: float) -> Plane:
    p, r = np.radians([pitch_deg, roll_deg])
    return Plane(
        (-float(np.sin(r) * np.cos(p)), -float(np.cos(r) * np.cos(p)), -float(np.sin(p))), height
    )


def test_frames_that_trade_scale_for_shift_are_pooled_where_the_values_are() -> None:
    rng = np.random.default_rng(0)
    scales = 0.05 * np.exp(0.2 * rng.standard_normal(101))
    shifts = 0.02 + (0.05 - scales) * 6
    frames = [Measurement("sparse", "", s, t) for s, t in zip(scales, shifts, strict=True)]
    frames[:20] = [Measurement("sparse", "", 1.0, 3.0)] * 20
    found = pooled_scale(frames, (4.0, 8.0), RELATIVE)
    middle = found.scale * 6 + found.shift
    print(f"1/Z in the middle {middle:.4f} of 0.32, scale {found.scale:.4f} of 0.05")
    assert middle == pytest.approx(0.32, rel=0.06)
    assert found.method == "sparse"
    with pytest.raises(UnmeasurableError, match="no frame"):
        pooled_scale([], (4.0, 8.0), RELATIVE)


def test_frames_that_agree_give_the_scale_they_agree_on() -> None:
    def pooled(values: tuple[float, float], *found: tuple[float, float]) -> tuple[float, float]:
        saved = pooled_scale([Measurement("sparse", "", *each) for each in found], values, RELATIVE)
        return saved.scale, saved.shift

    assert pooled((4.0, 8.0), (0.05, 0.3), (0.05, 0.3)) == pytest.approx((0.05, 0.3))
    assert pooled((4.0, 8.0), (0.1, 0.0), (0.3, 0.0), (0.2, 0.0)) == pytest.approx((0.2, 0.0))
    for values in ((4.0, 4.0), (8.0, 4.0)):
        with pytest.raises(UnmeasurableError, match="contradict"):
            pooled(values, (0.05, 0.3))


def test_depth_that_is_not_above_0_has_no_inverse() -> None:
    values = np.array([[2.0, 0.5, 0.0, -1.0, np.nan, np.inf]], np.float32)
    found = to_inverse(Prediction(values, PredictionKind.METRIC_DEPTH, (1, 1)), 2.0, 0.0)
    np.testing.assert_array_equal(found, [[0.25, 1.0, np.nan, np.nan, np.nan, 0.0]])


@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (15.0, 0.0), (-8.0, 4.0), (20.0, -6.0)])
def test_height_and_attitude_are_found_among_walls_and_noise(pitch: float, roll: float) -> None:
    ground = plane_points(plane_of(1.3, pitch, roll), 1500)
    rng = np.random.default_rng(1)
    wall = np.stack(
        [rng.uniform(-4, 4, 2000), rng.uniform(-3, 0.5, 2000), np.full(2000, 9.0)], axis=1
    )
    found = mount_over(find_ground(np.concatenate([ground, wall])))
    assert found.height == pytest.approx(1.3, rel=1e-2)
    assert (found.pitch_deg, found.roll_deg) == (
        pytest.approx(pitch, abs=0.3),
        pytest.approx(roll, abs=0.3),
    )
    noisy = ground + 0.01 * rng.standard_normal(ground.shape)
    found = mount_over(find_ground(np.concatenate([noisy, wall])))
    assert found.height == pytest.approx(1.3, rel=0.02)


def test_without_ground_there_is_no_plane() -> None:
    rng = np.random.default_rng(0)
    wall = np.stack([rng.uniform(-4, 4, 500), rng.uniform(-3, 3, 500), np.full(500, 9.0)], axis=1)
    with pytest.raises(UnmeasurableError, match="level"):
        find_ground(wall)
    with pytest.raises(UnmeasurableError, match="too few"):
        find_ground(wall[:5])


@pytest.mark.data
def test_the_kitti_car_carries_its_camera_at_one_metre_and_65(data_dir: Path) -> None:
    """The KITTI authors give 1.65 m for the cameras above the road (Geiger et al. 2013, fig. 3)."""
    from real_frames import kitti_scan

    for name in ("000001", "000002"):
        _, scan = kitti_scan(data_dir / "kitti", name)
        stand = mount_over(find_ground(scan[(scan[:, 2] > 3) & (scan[:, 2] < 25)]))
        print(f"kitti {name}: {stand.height:.3f} m, pitch {stand.pitch_deg:+.2f} degrees")
        assert stand.height == pytest.approx(1.65, abs=0.1)
        assert abs(stand.pitch_deg) < 2 and abs(stand.roll_deg) < 3


def test_a_few_points_of_many_are_no_ground() -> None:
    """100 on a level plane among 10,000 that lie anywhere above it: a table, a kerb."""
    rng = np.random.default_rng(0)
    clutter = np.stack([*rng.uniform(-4, 0.5, (2, 10_000)), rng.uniform(1, 12, 10_000)], axis=1)
    points = np.concatenate([plane_points(plane_of(1.2, 0.0, 0.0), 100), clutter])
    with pytest.raises(UnmeasurableError, match="too few points lie on one level plane"):
        find_ground(points)
