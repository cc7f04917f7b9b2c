"""Scans and clearing points of scenes whose answer is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.scan import ScanLayout, clearing_points, depth_to_scan

CAMERA = Camera.from_hfov(320, 240, 80.0)
BENT = replace(CAMERA, distortion_model="plumb_bob", distortion=(-0.1, 0.02, 0.0005, -0.0005, 0.0))
HALF = math.radians(35)
LAYOUT = ScanLayout(-HALF, HALF, math.radians(1), 0.3, 8.0, 0.1, 1.0)


def mounted(x: float = 0.0, z: float = 0.5, pitch_deg: float = 0.0) -> np.ndarray:
    """Optical frame -> levelled frame of a camera looking forward (down for positive pitch)."""
    pitch = math.radians(pitch_deg)
    level = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    down = np.array(
        [[math.cos(pitch), 0, math.sin(pitch)], [0, 1, 0], [-math.sin(pitch), 0, math.cos(pitch)]]
    )
    transform = np.eye(4)
    transform[:3, :3] = down @ level
    transform[:3, 3] = [x, 0, z]
    return transform


def see(camera: Camera, transform: np.ndarray, wall: float, ground: bool = True) -> np.ndarray:
    """Depth of a wall across x = `wall` of the levelled frame, and of the ground before it."""
    x, y = (part.astype(float) for part in np.broadcast_arrays(*ray_table(camera)))
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ transform[:3, :3].T
    with np.errstate(divide="ignore"):
        depth = (wall - transform[0, 3]) / rays[..., 0]
        depth[rays[..., 0] <= 0] = np.inf
        if ground:
            floor = np.where(rays[..., 2] < 0, -transform[2, 3] / rays[..., 2], np.inf)
            depth = np.minimum(depth, floor)
    return depth.astype(np.float32)


def angles(layout: ScanLayout = LAYOUT) -> np.ndarray:
    return layout.angle_min + np.arange(layout.rays) * layout.angle_increment


@pytest.mark.parametrize("camera", [CAMERA, BENT])
@pytest.mark.parametrize("pitch", [0.0, 12.0])
@pytest.mark.parametrize("forward", [0.0, 0.4])
def test_a_wall_is_seen_where_it_is(camera: Camera, pitch: float, forward: float) -> None:
    transform = mounted(forward, 0.5, pitch)
    ranges = depth_to_scan(see(camera, transform, wall=3.0), camera, transform, LAYOUT)
    assert ranges.dtype == np.float32
    assert ranges.shape == (71,)
    expected = 3.0 / np.cos(angles())
    # The nearest point of a ray's half increment to either side.
    nearest = 3.0 / np.cos(np.maximum(np.abs(angles()) - LAYOUT.angle_increment / 2, 0))
    assert (ranges >= nearest - 1e-4).all()
    assert (ranges <= expected + 1e-4).all()


def test_rays_lie_where_the_message_says() -> None:
    # A post of one column at a known angle comes out on the ray of that angle, not beside it.
    transform = mounted()
    for degrees in (-20, -3, 0, 7, 31):
        column = round(CAMERA.cx - CAMERA.fx * math.tan(math.radians(degrees)))
        depth = np.full((240, 320), np.nan, np.float32)
        depth[:, column] = 2.0
        ranges = depth_to_scan(depth, CAMERA, transform, LAYOUT)
        hit = np.flatnonzero(np.isfinite(ranges))
        assert list(hit) == [35 + degrees]
    assert LAYOUT.last_angle == pytest.approx(HALF)


def test_only_the_height_band_counts() -> None:
    transform = mounted(pitch_deg=12.0)
    depth = see(CAMERA, transform, wall=3.0)
    # The ground itself lies at z = 0, below the band; lower the band and it is a hit.
    low = replace(LAYOUT, min_height=-0.1)
    seen = depth_to_scan(depth, CAMERA, transform, LAYOUT)
    ground = depth_to_scan(depth, CAMERA, transform, low)
    assert (ground < seen - 1.0).all()
    steepest = math.atan(ray_table(CAMERA)[1].max()) + math.radians(12.0)
    assert ground[35] == pytest.approx(0.5 / math.tan(steepest), abs=0.01)
    above = replace(LAYOUT, min_height=2.6, max_height=3.0)
    assert not np.isfinite(depth_to_scan(depth, CAMERA, transform, above)).any()


def test_nothing_there_is_infinite_and_nothing_seen_is_nan() -> None:
    transform = mounted()
    wide = replace(LAYOUT, angle_min=-math.pi, angle_max=math.pi)
    looked = np.abs(angles(wide)) < math.radians(39)
    blind = np.abs(angles(wide)) > math.radians(41)
    for wall in (9.0, np.inf):
        ranges = depth_to_scan(see(CAMERA, transform, wall), CAMERA, transform, wide)
        assert (ranges[looked] == np.inf).all()
        assert np.isnan(ranges[blind]).all()
    unknown = np.full((240, 320), np.nan, np.float32)
    assert np.isnan(depth_to_scan(unknown, CAMERA, transform, wide)).all()
    # Unknown on the left half of the image only.
    half = see(CAMERA, transform, np.inf)
    half[:, :160] = np.nan
    ranges = depth_to_scan(half, CAMERA, transform, LAYOUT)
    assert np.isnan(ranges[angles() > 0.02]).all()
    assert (ranges[angles() < -0.02] == np.inf).all()


def test_a_camera_off_the_middle_sees_free_what_its_own_field_of_view_holds() -> None:
    transform = mounted()
    transform[1, 3] = 2.0
    wide = replace(LAYOUT, angle_min=-math.pi, angle_max=math.pi)
    ends = wide.range_max * np.stack([np.cos(angles(wide)), np.sin(angles(wide))])
    seen_at = np.abs(np.degrees(np.arctan2(ends[1] - 2.0, ends[0])))
    ranges = depth_to_scan(see(CAMERA, transform, np.inf), CAMERA, transform, wide)
    assert (ranges[seen_at < 39] == np.inf).all()
    assert np.isnan(ranges[seen_at > 41]).all()


def test_what_ends_a_line_of_sight_above_the_band_leaves_it_unknown() -> None:
    # A beam just above the band, seen from above: behind it the line of sight enters the band.
    transform = mounted(z=2.0)
    x, y = (part.astype(float) for part in np.broadcast_arrays(*ray_table(CAMERA)))
    beam = (np.abs(x) < 0.3) & (2.0 - 7.0 * y > 1.01) & (2.0 - 7.6 * y < 1.0)
    assert beam.sum() > 100
    depth = np.where(beam, 7.0, np.nan).astype(np.float32)
    assert np.isnan(depth_to_scan(depth, CAMERA, transform, LAYOUT)).all()
    open_view = np.where(beam, np.inf, np.nan).astype(np.float32)
    assert (depth_to_scan(open_view, CAMERA, transform, LAYOUT)[30:41] == np.inf).all()


def test_a_hit_beats_free_space_behind_it() -> None:
    transform = mounted()
    depth = see(CAMERA, transform, np.inf)
    depth[118:122, 100:220] = 2.0
    ranges = depth_to_scan(depth, CAMERA, transform, LAYOUT)
    inner = np.abs(angles()) < math.atan(55 / CAMERA.fx)
    np.testing.assert_allclose(ranges[inner], 2.0 / np.cos(angles()[inner]), rtol=0.01)
    assert (ranges[np.abs(angles()) > math.atan(65 / CAMERA.fx)] == np.inf).all()


def test_ground_that_ends_before_the_range_is_not_free() -> None:
    # Looking down steeply, every line of sight ends on the ground before 8 m.
    transform = mounted(pitch_deg=50.0)
    depth = see(CAMERA, transform, np.inf)
    reach = float(np.nanmax(depth[np.isfinite(depth)]))
    assert reach < 8.0
    assert np.isnan(depth_to_scan(depth, CAMERA, transform, LAYOUT)).all()
    short = replace(LAYOUT, range_max=0.6)
    ranges = depth_to_scan(depth, CAMERA, transform, short)
    assert (ranges[np.abs(angles()) < 0.4] == np.inf).all()


def test_the_sky_above_the_band_says_nothing_about_it() -> None:
    depth = np.full((240, 320), np.nan, np.float32)
    depth[:60] = np.inf
    assert np.isnan(depth_to_scan(depth, CAMERA, mounted(), LAYOUT)).all()


def test_what_is_too_near_is_the_robot_itself() -> None:
    depth = see(CAMERA, mounted(), wall=3.0, ground=False)
    depth[200:, :] = 0.1
    ranges = depth_to_scan(depth, CAMERA, mounted(), replace(LAYOUT, min_height=-1.0))
    assert ranges[35] == pytest.approx(3.0, abs=1e-3)


def test_clearing_points_lie_on_the_rays_that_meet_nothing() -> None:
    depth = np.full((240, 320), 3.0, np.float32)
    depth[:, 100:150] = 12.0
    depth[:, 150:200] = np.inf
    depth[:, 200:220] = np.nan
    for camera in (CAMERA, BENT):
        cloud = clearing_points(depth, camera, 5.0)
        assert cloud.fields == ("x", "y", "z")
        assert cloud.data.shape == (1, 240 * 100, 3)
        assert (cloud.xyz[:, 2] == 5.0).all()
        x = np.broadcast_to(ray_table(camera)[0], depth.shape)[:, 100:200]
        np.testing.assert_allclose(cloud.xyz[:, 0], 5.0 * x.ravel(), rtol=1e-6)
    assert len(clearing_points(depth, CAMERA, 5.0, stride=10).xyz) == 24 * 10
    with pytest.raises(SettingError, match="max_range is inf"):
        clearing_points(depth, CAMERA, math.inf)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"angle_increment": 0.0}, "angle_increment is 0"),
        ({"angle_max": -1.0}, "angle_min is"),
        ({"range_max": 0.2}, "range_min is 0.3"),
        ({"range_max": math.inf}, "finite"),
        ({"min_height": 1.0}, "min_height is 1"),
    ],
)
def test_impossible_layouts_are_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        replace(LAYOUT, **change)


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="depth is 10x20 but its camera is 320x240"):
        depth_to_scan(np.ones((20, 10), np.float32), CAMERA, mounted(), LAYOUT)
