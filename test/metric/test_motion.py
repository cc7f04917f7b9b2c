from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from metric_scenes import Array, frame, look_at_plane, relative, texture
from scipy.spatial.transform import Rotation

from depth_anything_ros.frames import Frame, Plane
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.metric.fit import FitSettings, UnmeasurableError, fit_points, values_at
from depth_anything_ros.metric.sources.motion import MotionSettings, MotionSource

CAMERA = Camera(640, 480, 520.0, 520.0, 319.5, 239.5)
SLANTED = Plane((0.0, -0.6, -0.8), 3.2)
IMAGE = texture(3, 2048)


def pose_at(index: int) -> Array:
    """A camera that moves sideways and forward by 6 cm a frame and turns a little."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("yx", [0.6 * index, 0.3 * index], degrees=True).as_matrix()
    pose[:3, 3] = [0.05 * index, 0.01 * index, 0.03 * index]
    return pose


def run(
    source: MotionSource, count: int, spoil: float = 0.0
) -> tuple[list[tuple[float, float]], list[float]]:
    """Scale and shift of every frame that gave one, and the depth errors of its points."""
    fits, errors = [], []
    rng = np.random.default_rng(0)
    for index in range(count):
        pose = pose_at(index)
        rgb, depth = look_at_plane(pose, SLANTED, CAMERA, IMAGE)
        off = depth * np.exp(0.02 * rng.standard_normal(depth.shape)) if spoil else depth
        blocks = cv2.resize(
            (rng.random((24, 32)) < spoil).astype(np.uint8), (640, 480), interpolation=0
        )
        off = np.where(blocks > 0, depth * rng.uniform(2, 5), off)
        try:
            found = source.measure(relative(off, 0.06, 0.02), Frame(rgb, camera=CAMERA, pose=pose))
        except UnmeasurableError:  # the first frames have few points, all at much the same depth
            continue
        assert found.points is not None
        fits.append((found.scale, found.shift))
        errors.append(float(np.median(np.abs(found.points.z / values_at(depth, found.points) - 1))))
    return fits, errors


def test_a_moving_camera_finds_its_scale_in_a_simulated_world() -> None:
    fits, errors = run(MotionSource(), 12)
    scale, shift = fits[-1]
    print(f"points off by {errors[-1]:.2%}; scale {scale:.5f} of 0.06, shift {shift:.5f} of 0.02")
    assert len(fits) >= 8
    assert max(errors) < 0.01
    assert scale == pytest.approx(0.06, rel=0.01)
    assert scale * 4 + shift == pytest.approx(0.06 * 4 + 0.02, rel=0.01)


def test_a_network_wrong_in_40_percent_of_the_image_stays_within_one_percent() -> None:
    fits, _ = run(MotionSource(), 12, spoil=0.4)
    near = 3.0
    depth = [1 / (scale * near + shift) * (0.06 * near + 0.02) for scale, shift in fits[-4:]]
    print(f"depth off by {', '.join(f'{value - 1:+.2%}' for value in depth)}")
    assert np.median(depth) == pytest.approx(1.0, abs=0.01)


def test_odometry_whose_rotation_is_off_is_corrected_by_the_image() -> None:
    source = MotionSource()
    off = Rotation.from_euler("xyz", [0.3, -0.5, 0.4], degrees=True).as_matrix()
    for index in range(10):
        pose = pose_at(index)
        rgb, depth = look_at_plane(pose, SLANTED, CAMERA, IMAGE)
        if index % 2:
            pose[:3, :3] = pose[:3, :3] @ off
        points = source.triangulate(rgb, CAMERA, pose)
    error = float(np.median(points.z / values_at(depth, points) - 1))
    print(f"half a degree off: {len(points)} points, depth off by {error:+.2%}")
    assert len(points) > 100
    assert abs(error) < 0.05


def test_a_camera_that_stands_still_measures_nothing() -> None:
    source = MotionSource()
    rgb, depth = look_at_plane(np.eye(4), SLANTED, CAMERA, IMAGE)
    for _ in range(3):
        with pytest.raises(UnmeasurableError, match="not moved enough"):
            source.measure(relative(depth, 1, 0), Frame(rgb, camera=CAMERA, pose=np.eye(4)))


def test_an_image_without_corners_measures_nothing() -> None:
    source = MotionSource()
    flat = np.full((480, 640, 3), 90, np.uint8)
    depth = np.full((480, 640), 3.0)
    for index in range(3):
        with pytest.raises(UnmeasurableError):
            source.measure(relative(depth, 1, 0), Frame(flat, camera=CAMERA, pose=pose_at(index)))


def test_what_is_missing_is_named() -> None:
    depth = np.full((240, 320), 3.0)
    with pytest.raises(UnmeasurableError, match="no odometry"):
        MotionSource().measure(relative(depth, 1, 0), frame(depth))
    with pytest.raises(UnmeasurableError, match="camera_info"):
        MotionSource().measure(relative(depth, 1, 0), frame(depth, None, pose=np.eye(4)))


@pytest.mark.data
def test_real_motion_recovers_the_scale_of_the_kinect(data_dir: Path) -> None:
    """Five Kinect frames with hand-measured poses; FastDepth's disparity has a true zero."""
    from real_frames import FastDepth, points_of_depth, read, read_rgb

    folder = data_dir / "tum_kinect"
    camera = Camera(640, 480, 518.0, 519.0, 325.5, 253.5)
    settings = MotionSettings(fit=FitSettings(shift=False))
    source, network = MotionSource(settings), FastDepth(data_dir)
    ratios = []
    for index, line in enumerate((folder / "pose.txt").read_text().splitlines()[:5], start=1):
        numbers = np.array(line.split(), float)
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat(numbers[3:]).as_matrix()
        pose[:3, 3] = numbers[:3]
        rgb = read_rgb(folder / "color" / f"{index}.png")
        kinect = read(folder / "depth" / f"{index}.pgm", cv2.IMREAD_UNCHANGED) / 1000.0
        prediction = network(rgb)
        truth = fit_points(prediction, points_of_depth(kinect), settings.fit).scale
        try:
            found = source.measure(prediction, Frame(rgb, camera=camera, pose=pose))
        except UnmeasurableError:
            continue
        ratios.append(found.scale / truth)
        print(f"frame {index}: scale / Kinect's {ratios[-1]:.3f}, {found.inliers} points")
    assert len(ratios) >= 3
    assert ratios[-1] == pytest.approx(1.0, abs=0.1)
    assert np.median(ratios[1:]) == pytest.approx(1.0, abs=0.1)
