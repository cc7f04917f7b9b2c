"""What the motion of a camera shows of its ground: kerbs stand out, holes and paint do not."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from metric_scenes import look_at_plane, texture
from road_scene import CAMERA, GROUND, HEIGHT, Mask, drive

from depth_anything_ros.frames import (
    FloatImage,
    Frame,
    Plane,
    Prediction,
    PredictionKind,
    Quality,
    ScaledDepth,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.metric.ground_fusion import GroundFusion, fuse_ground
from depth_anything_ros.metric.ground_parallax import GroundParallax, Parallax, _filled
from depth_anything_ros.metric.sources.ground import inverse_ground_depth
from depth_anything_ros.metric.sources.sparse import subset

SHAPE = (120, 160)


def seen(step: float, **changed: object) -> tuple[Parallax, Mask, Mask]:
    """What is seen after half a metre."""
    compares = GroundParallax()
    camera = changed.pop("camera", CAMERA)
    assert isinstance(camera, Camera)
    assert compares.compare(drive(step, 0.0, camera)[0], GROUND, SHAPE) is None
    frame, road, other = drive(step, 0.45, camera, **changed)  # type: ignore[arg-type]
    parallax = compares.compare(frame, GROUND, SHAPE)
    assert parallax is not None
    assert parallax.floor.shape == SHAPE
    assert min(road.sum(), other.sum()) > 300
    return parallax, road, other


DISTORTED = replace(
    CAMERA, distortion_model="plumb_bob", distortion=(-0.12, 0.02, 0.001, -0.001, 0.0)
)


@pytest.mark.parametrize(
    ("camera", "pitch_deg"), [(CAMERA, 0.0), (DISTORTED, 0.0), (CAMERA, 0.2), (CAMERA, -0.2)]
)
def test_a_kerb_stands_out_and_its_height_is_known(camera: Camera, pitch_deg: float) -> None:
    parallax, road, pavement = seen(0.12, camera=camera, pitch_deg=pitch_deg)
    right, raised = np.mean(parallax.floor[road] > 0), np.mean(parallax.floor[pavement] < -0.15)
    height = parallax.height_m[pavement]
    known = np.isfinite(height)
    off = np.abs(height - 0.12)[known]
    print(f"road {right:.2f}, pavement {raised:.2f}, known {known.mean():.2f}, off {off.max():.3f}")
    assert right > 0.95
    assert raised > 0.9
    assert known.mean() > 0.8
    assert np.percentile(off, 90) < 0.025
    assert np.isnan(parallax.height_m[road]).mean() > 0.98
    assert np.mean(off < 2 * parallax.sigma_m[pavement][known]) > 0.9


def exposed(frame: Frame, gain: float, more: float) -> Frame:
    """The same, as a camera that is exposed in another way sees it."""
    grey = np.rint(gain * frame.rgb.astype(np.float64) + more)
    return replace(frame, rgb=np.clip(grey, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(("gain", "more"), [(1.2, 0.0), (0.8, 0.0), (1.0, 20.0), (1.1, -25.0)])
def test_a_kerb_stands_out_however_the_images_are_exposed(gain: float, more: float) -> None:
    compares = GroundParallax()
    compares.compare(drive(0.12, 0.0)[0], GROUND, SHAPE)
    frame, road, pavement = drive(0.12, 0.45)
    parallax = compares.compare(exposed(frame, gain, more), GROUND, SHAPE)
    assert parallax is not None
    right, raised = np.mean(parallax.floor[road] > 0), np.mean(parallax.floor[pavement] < -0.15)
    off = np.abs(parallax.height_m[pavement] - 0.12)
    print(f"road {right:.2f}, pavement {raised:.2f}, off {np.nanpercentile(off, 90):.3f}")
    assert right > 0.93
    assert raised > 0.9
    assert np.isfinite(off).mean() > 0.75
    assert np.nanpercentile(off, 90) < 0.025


def flickering(frame: Frame, phase: float) -> Frame:
    """The same under a lamp that flickers by 5 %, seen by a rolling shutter."""
    waves = 1.5 * np.arange(frame.rgb.shape[0]) / frame.rgb.shape[0]
    bands = 1 + 0.05 * np.sin(2 * np.pi * waves + phase)
    grey = np.rint(bands[:, None, None] * frame.rgb.astype(np.float64))
    return replace(frame, rgb=np.clip(grey, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("phase", [0.8, 1.9, 3.1])
def test_a_kerb_stands_out_under_lamps_that_flicker(phase: float) -> None:
    compares = GroundParallax()
    compares.compare(flickering(drive(0.12, 0.0)[0], 0.0), GROUND, SHAPE)
    frame, road, pavement = drive(0.12, 0.45)
    parallax = compares.compare(flickering(frame, phase), GROUND, SHAPE)
    assert parallax is not None
    right, raised = np.mean(parallax.floor[road] > 0), np.mean(parallax.floor[pavement] < -0.15)
    off = np.abs(parallax.height_m[pavement] - 0.12)
    print(f"road {right:.2f}, pavement {raised:.2f}, off {np.nanpercentile(off, 90):.3f}")
    assert right > 0.93
    assert raised > 0.9
    assert np.isfinite(off).mean() > 0.75
    assert np.nanpercentile(off, 90) < 0.025


@pytest.mark.parametrize(
    ("turned_deg", "moved"),
    [
        ((0.3, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((0.0, 0.3, -0.3), (0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.01, -0.01, 0.01)),
        ((-0.2, 0.2, 0.3), (0.01, 0.01, -0.015)),
    ],
)
def test_a_kerb_stands_out_where_odometry_trembles(
    turned_deg: tuple[float, ...], moved: tuple[float, ...]
) -> None:
    compares = GroundParallax()
    compares.compare(drive(0.12, 0.0)[0], GROUND, SHAPE)
    frame, road, pavement = drive(0.12, 0.45)
    assert frame.pose is not None
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = cv2.Rodrigues(np.radians(turned_deg))[0], moved
    parallax = compares.compare(replace(frame, pose=frame.pose @ step), GROUND, SHAPE)
    assert parallax is not None
    right, raised = np.mean(parallax.floor[road] > 0), np.mean(parallax.floor[pavement] < -0.15)
    off = np.abs(parallax.height_m[pavement] - 0.12)
    print(f"road {right:.2f}, pavement {raised:.2f}, off {np.nanpercentile(off, 90):.3f}")
    assert right > 0.95
    assert raised > 0.85
    assert np.isfinite(off).mean() > 0.75
    assert np.nanpercentile(off, 90) < 0.03


def test_the_ground_is_not_raised_where_the_other_picture_ends() -> None:
    """A robot that turns sees on one side what it has not seen before."""
    image, level = texture(1), Plane((0.0, 0.0, 1.0), 0.0)
    compares = GroundParallax()
    for turned, ahead in ((0.0, 0.0), (15.0, 0.45)):
        pose = np.eye(4)
        pose[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]  # z of the fixed frame is up
        pose[:3, :3] = cv2.Rodrigues(np.radians([0.0, 0.0, turned]))[0] @ pose[:3, :3]
        pose[:3, 3] = ahead, 0, HEIGHT
        rgb = look_at_plane(pose, level, CAMERA, image)[0]
        frame = Frame(rgb, round(1e9 * (1 + ahead)), camera=CAMERA, ground=GROUND, pose=pose)
        parallax = compares.compare(frame, GROUND, SHAPE)
    assert parallax is not None
    print(f"seen {np.mean(parallax.floor > 0):.2f}, raised {np.mean(parallax.floor < -0.05):.4f}")
    assert np.mean(parallax.floor > 0) > 0.25
    assert np.mean(parallax.floor < -0.05) < 0.001


def test_another_colour_is_no_kerb() -> None:
    parallax, road, other = seen(0.0)
    assert np.mean(parallax.floor[road | other] > 0) > 0.98
    assert np.isnan(parallax.height_m).mean() > 0.99


def test_a_ditch_is_neither_floor_nor_raised() -> None:
    """What lies below is left to the network: the sweep must not fill it."""
    parallax, _, ditch = seen(-0.3)
    assert np.mean(parallax.floor[ditch] > 0.1) < 0.05
    assert np.isfinite(parallax.height_m[ditch]).mean() < 0.02


@pytest.mark.parametrize(("pitch_deg", "yaw_deg"), [(1.5, 0.0), (-3.0, 0.0), (0.0, 1.5)])
def test_poses_that_do_not_fit_the_images_say_nothing(pitch_deg: float, yaw_deg: float) -> None:
    compares = GroundParallax()
    compares.compare(drive(0.12, 0.0)[0], GROUND, SHAPE)
    turned = drive(0.12, 0.45, pitch_deg=pitch_deg, yaw_deg=yaw_deg)[0]
    assert compares.compare(turned, GROUND, SHAPE) is None


@pytest.mark.parametrize("noise", [2.0, 4.0])
def test_a_kerb_stands_out_of_a_road_without_texture(noise: float) -> None:
    """What little the road shows is noise, which fits no pose: the rest tells that they are right.

    The road itself is nothing then, rather than something raised.
    """
    raised = []
    for start in (0.0, 0.37, 0.71):
        compares = GroundParallax()
        compares.compare(drive(0.12, start, road_contrast=0.0, noise=noise)[0], GROUND, SHAPE)
        frame, road, pavement = drive(0.12, start + 0.45, road_contrast=0.0, noise=noise)
        parallax = compares.compare(frame, GROUND, SHAPE)
        assert parallax is not None
        stands = float(np.mean(parallax.floor[pavement] < -0.15))
        height = float(np.nanmedian(parallax.height_m[pavement]))
        raised.append(float(np.isfinite(parallax.height_m[road]).mean()))
        print(f"pavement {stands:.2f} {height:.3f} m, road {raised[-1]:.3f}")
        assert stands > 0.8
        assert height == pytest.approx(0.12, abs=0.02)
    assert np.mean(raised) < 0.05


def test_the_height_of_a_pavement_with_more_contrast_than_the_road_is_known() -> None:
    """Grass beside asphalt matches with larger differences than the asphalt does."""
    compares = GroundParallax()
    pictures = [drive(0.12, moved, road_contrast=1.5, noise=0.3) for moved in (0.0, 0.45)]
    for frame, _, _ in pictures:
        parallax = compares.compare(frame, GROUND, SHAPE)
    pavement = pictures[1][2]
    assert parallax is not None
    height = parallax.height_m[pavement]
    print(f"known {np.isfinite(height).mean():.2f}, {np.nanmedian(height):.3f} m")
    assert np.isfinite(height).mean() > 0.9
    assert np.nanmedian(height) == pytest.approx(0.12, abs=0.015)


def test_a_step_is_as_high_as_where_its_height_is_known() -> None:
    raised = np.zeros((40, 90), np.bool_)
    raised[:, 30:] = True
    spots = np.random.default_rng(0).uniform(size=raised.shape) < 0.15

    def filled(true: FloatImage) -> tuple[FloatImage, FloatImage]:
        known = raised & spots
        height = np.where(known, true, np.nan).astype(np.float32)
        sigma = np.where(known, np.float32(0.02), np.float32(np.nan))
        return _filled(height, sigma, raised)

    level = np.full(raised.shape, 0.12, np.float32)
    height, sigma = filled(level)
    inner = raised & (np.arange(90) > 35)
    assert np.isfinite(height[inner]).mean() > 0.85
    np.testing.assert_allclose(height[inner & np.isfinite(height)], 0.12, atol=1e-3)
    assert np.isnan(height[~raised]).all()
    assert (sigma[inner & ~spots & np.isfinite(height)] > 0.03).all()
    np.testing.assert_array_equal(sigma[raised & spots], np.float32(0.02))
    rows = np.linspace(1.0, 0.0, 40, dtype=np.float32)[:, None]
    for other in (level + 0.4, np.broadcast_to(rows, raised.shape)):  # a table, a wall
        height, _ = filled(np.asarray(other, np.float32))
        assert np.isnan(height[5:-5][(raised & ~spots)[5:-5]]).all()


def test_only_a_known_way_is_compared() -> None:
    start, ahead = drive(0.12, 0.0)[0], drive(0.12, 0.45)[0]
    yaw = np.eye(4)
    yaw[:3, :3] = cv2.Rodrigues(np.array([0.0, 0.1, 0.0]))[0]
    turned = replace(start, stamp=start.stamp + 1, pose=yaw)
    late = replace(ahead, stamp=start.stamp + 60_000_000_000)
    for first, second in (
        (start, replace(ahead, pose=None)),
        (start, replace(ahead, camera=None)),
        (start, turned),
        (start, late),
        (start, replace(ahead, fixed_frame="map")),
        (ahead, start),  # time went back
    ):
        compares = GroundParallax()
        assert compares.compare(first, GROUND, SHAPE) is None
        assert compares.compare(second, GROUND, SHAPE) is None
    upwards = Plane((0.0, -math.cos(1.0), math.sin(1.0)), HEIGHT)
    compares = GroundParallax()
    compares.compare(start, upwards, SHAPE)
    assert compares.compare(ahead, upwards, SHAPE) is None  # no ground in the image


class FlatScaler:
    """A scaler that takes all it sees for the ground, up to a wall 6 m ahead."""

    name = "flat"

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        depth_m = (1 / np.maximum(inverse_ground_depth(CAMERA, GROUND), 1 / 6)).astype(np.float32)
        state = ScaleState("flat", Quality.GOOD, "level")
        return ScaledDepth(depth_m, state, 0.1 * depth_m)


def test_a_kerb_that_the_network_does_not_see_stands_in_the_depth() -> None:
    def heights(poses: bool, points: int = 0) -> tuple[FloatImage, FloatImage, Mask, Mask]:
        fusion, scaler = GroundFusion(), FlatScaler()
        for moved in (0.0, 0.45, 0.62):  # at first sight it contradicts the depth before
            frame, road, pavement = drive(0.12, moved)
            v, u = (each.ravel().astype(float) for each in np.mgrid[0:240:16, 0:320:16])
            many = SparsePoints(u, v, np.full(len(u), 6.0), source="lidar")
            some = subset(many, np.arange(len(u)) < points)
            frame = replace(
                frame, pose=frame.pose if poses else None, points=some if len(some) else None
            )
            values = np.ones((240, 320), np.float32)
            prediction = Prediction(values, PredictionKind.METRIC_DEPTH, values.shape)
            scaled = fusion.scale(scaler, prediction, frame)  # type: ignore[arg-type]
        assert scaled.depth_m is not None
        assert scaled.sigma_m is not None
        height = HEIGHT - scaled.depth_m * ray_table(CAMERA)[1]
        small = (slice(1, None, 2), slice(1, None, 2))
        return height[small], (scaled.sigma_m / scaled.depth_m)[small], road, pavement

    for points in (0, 1):  # a single one leaves nearly all of the image to the motion
        height, relative, road, pavement = heights(poses=True, points=points)
        print(f"pavement {np.median(height[pavement]):.3f} m, {np.median(relative[pavement]):.3f}")
        assert np.median(height[pavement]) == pytest.approx(0.12, abs=0.02)
        assert np.mean((height[pavement] > 0.1) & (relative[pavement] < 0.08)) > 0.6
        assert np.mean(np.abs(height[road]) < 0.02) > 0.98
    without, _, _, pavement = heights(poses=False)
    assert np.mean(np.abs(without[pavement]) < 0.03) > 0.95
    among_many, _, _, pavement = heights(poses=True, points=300)
    assert np.mean(np.abs(among_many[pavement] - 0.12) < 0.02) < 0.1


class SilentScaler:
    """A scaler that has no metres."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.poses: list[bool] = []

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        self.poses.append(frame.pose is not None)
        return ScaledDepth(None, ScaleState(self.name, Quality.INVALID, "no ground is seen"))


def after_half_a_metre(scaler: str, poses: bool) -> tuple[ScaledDepth, Mask, Mask]:
    """What is given of the second frame, and where it shows road and pavement."""
    fusion, values = GroundFusion(), np.ones((240, 320), np.float32)
    prediction = Prediction(values, PredictionKind.RELATIVE_DISPARITY, values.shape)
    for moved in (0.0, 0.45):
        frame, road, pavement = drive(0.12, moved)
        frame = replace(frame, pose=frame.pose if poses else None)
        scaled = fusion.scale(SilentScaler(scaler), prediction, frame)  # type: ignore[arg-type]
    return scaled, road, pavement


def test_a_network_says_nothing_of_a_low_step_that_motion_shows() -> None:
    """Faintly on the right; the network's depth is that of the road everywhere."""
    with np.errstate(divide="ignore"):
        road = (1 / np.maximum(inverse_ground_depth(CAMERA, GROUND), 1 / 8)).astype(np.float32)
    floor = np.full(SHAPE, 0.15, np.float32)
    floor[:, 80:] = -0.035
    unknown = np.full(SHAPE, np.nan, np.float32)
    grounded = fuse_ground(
        road, 0.1 * road, CAMERA, GROUND, parallax=Parallax(floor, unknown, unknown)
    )
    assert grounded is not None
    near = road < 4
    near[:, 150:170] = False
    left, right = grounded.floor[:, :160][near[:, :160]], grounded.floor[:, 160:][near[:, 160:]]
    print(f"floor: {left.mean():.2f} on the left, {right.mean():.2f} on the right")
    assert left.mean() > 0.98
    assert right.mean() < 0.05


def test_the_motion_tells_the_ground_where_the_network_gives_no_metres() -> None:
    scaled, road, pavement = after_half_a_metre("ground_plane", poses=True)
    assert scaled.depth_m is not None
    assert scaled.sigma_m is not None
    assert scaled.state.quality is Quality.HELD
    assert scaled.state.reason.startswith("no ground is seen; depth is what the camera's motion")
    height = (HEIGHT - scaled.depth_m * ray_table(CAMERA)[1])[1::2, 1::2]
    relative = (scaled.sigma_m / scaled.depth_m)[1::2, 1::2]
    print(
        f"pavement {np.nanmedian(height[pavement]):.3f} m, {np.nanmedian(relative[pavement]):.3f}"
    )
    assert np.mean(np.abs(height[road]) < 0.02) > 0.95
    assert np.mean((np.abs(height[pavement] - 0.12) < 0.03) & (relative[pavement] < 0.08)) > 0.7
    above = np.broadcast_to(ray_table(CAMERA)[1] < 0, scaled.depth_m.shape)
    assert np.isnan(scaled.depth_m[above]).all()  # what is not seen to move is not known


@pytest.mark.parametrize(("scaler", "poses"), [("none", True), ("ground_plane", False)])
def test_no_metres_where_none_are_wanted_or_nothing_moves(scaler: str, poses: bool) -> None:
    assert after_half_a_metre(scaler, poses)[0].depth_m is None


def test_motion_that_contradicts_the_network_makes_nothing_sure() -> None:
    """A wall 2 m ahead, which the network sees; motion sees it as 3 m away, or where it is."""
    wall = np.full((240, 320), 2.0, np.float32)
    with np.errstate(divide="ignore"):
        road = (1 / np.maximum(inverse_ground_depth(CAMERA, GROUND), 1e-3)).astype(np.float32)
    depth = np.minimum(road, wall)
    sigma_m = (0.3 * depth).astype(np.float32)
    seen = np.s_[66:90, 60:100]  # coarse pixels: below the horizon, on the wall
    floor = np.where(depth < wall, 1, 0)[1::2, 1::2].astype(np.float32)
    at = np.broadcast_to(ray_table(CAMERA)[1], wall.shape)[1::2, 1::2]
    relative = []
    for metres in (np.nan, 2.0, 3.0):
        height, sigma = (np.full(SHAPE, np.nan, np.float32) for _ in range(2))
        height[seen] = HEIGHT - metres * at[seen]
        sigma[seen] = 0.03 * HEIGHT
        parallax = Parallax(floor, height, sigma)
        grounded = fuse_ground(depth, sigma_m, CAMERA, GROUND, parallax=parallax)
        assert grounded is not None
        share = (grounded.sigma_m / grounded.depth_m)[1::2, 1::2][seen]
        relative.append(float(np.median(share)))
    nothing, same, other = relative
    print(f"sigma alone {nothing:.3f}, where both agree {same:.3f}, where not {other:.3f}")
    assert same < 0.9 * nothing
    assert other > 0.95 * nothing


def test_a_kerb_is_seen_without_odometry() -> None:
    """The road itself tells how far the robot went; the network sees a flat road everywhere."""
    fusion, scaler = GroundFusion(), SilentScaler("ground_plane")
    for number in range(9):
        frame, road, pavement = drive(0.12, 0.12 * number)
        frame = replace(frame, pose=None)
        prediction = Prediction(
            np.ones((240, 320), np.float32), PredictionKind.RELATIVE_DISPARITY, (240, 320)
        )
        scaled = fusion.scale(scaler, prediction, frame)  # type: ignore[arg-type]
    assert scaler.poses == 9 * [False]  # its metres are the ground's, no odometry of a scaler's
    assert scaled.depth_m is not None
    plane = inverse_ground_depth(CAMERA, GROUND)[::2, ::2]
    with np.errstate(invalid="ignore"):
        height = HEIGHT * (1 - scaled.depth_m[::2, ::2] * plane)
    print(
        f"road {np.nanmedian(height[road]):.3f} m, pavement {np.nanmedian(height[pavement]):.3f} m"
    )
    assert abs(np.nanmedian(height[road])) < 0.01
    assert np.nanmedian(height[pavement]) == pytest.approx(0.12, abs=0.04)
