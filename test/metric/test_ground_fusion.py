"""Depth and a known ground: floors become flat, obstacles stay and stand on their feet."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.frames import (
    FloatArray,
    FloatImage,
    Frame,
    Plane,
    Prediction,
    PredictionKind,
    Quality,
    RgbImage,
    ScaledDepth,
    ScaleState,
    SparsePoints,
)
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.dropoffs import dropoff_depth
from depth_anything_ros.metric.ground_fusion import (
    Grounded,
    GroundFusion,
    fuse_ground,
    on_ground,
)
from depth_anything_ros.metric.sources.network import NetworkScaler

CAMERA = Camera.from_hfov(320, 240, 70.0)
HEIGHT = 0.85
GROUND = Plane((0.0, -1.0, 0.0), HEIGHT)
WALL = 4.0


def scene(box: tuple[float, float] | None = None) -> FloatImage:
    """Level floor up to a wall 4 m ahead; a box is (distance, height in metres), 0.6 m wide."""
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    with np.errstate(divide="ignore"):
        depth = np.where(y > 0, np.minimum(HEIGHT / y, WALL), WALL)
    if box is not None:
        distance, height = box
        front = (np.abs(x * distance) < 0.3) & (y * distance > HEIGHT - height)
        with np.errstate(divide="ignore"):
            top = (HEIGHT - height) / y
            on_top = (np.abs(x * top) < 0.3) & (top >= distance) & (top < distance + 0.4)
        depth = np.where(on_top & (top < depth), top, depth)
        depth = np.where(front & (distance < depth), distance, depth)
    return depth.astype(np.float32)


def bent(depth: FloatImage, share: float, noise: float = 0.0) -> FloatImage:
    """The depth as a network may give it: off by a smooth wave, blurred, noisy."""
    v, u = np.mgrid[0:1:240j, 0:1:320j]
    wave = np.exp(share * np.sin(4 * v + 3 * u))
    rng = np.random.default_rng(0)
    log = np.log(cv2.GaussianBlur(depth, (0, 0), 1.5) * wave)
    return np.exp(log + noise * rng.standard_normal(depth.shape)).astype(np.float32)


def heights(depth: FloatImage) -> FloatImage:
    """Heights over the floor in metres."""
    return np.asarray(HEIGHT - depth * ray_table(CAMERA)[1], np.float32)


def test_a_bent_floor_becomes_flat() -> None:
    truth = scene()
    given = bent(truth, 0.15, 0.01)
    grounded = fuse_ground(given, 0.1 * given, CAMERA, GROUND)
    assert grounded is not None
    floor = (heights(truth) < 0.01) & (truth < 3.5)
    before = np.abs(heights(given)[floor])
    after = np.abs(heights(grounded.depth_m)[floor])
    print(
        f"heights of floor: p95 {np.percentile(before, 95):.3f} -> {np.percentile(after, 95):.3f}"
    )
    assert np.percentile(before, 95) > 0.1
    assert np.percentile(after, 95) < 0.025
    assert grounded.floor[floor].mean() > 0.92
    relative = grounded.sigma_m[floor] / grounded.depth_m[floor]
    assert np.median(relative) < 0.04  # the plane is surer than the network


def test_a_pavement_that_exact_depth_shows_stays_though_no_road_is_in_sight() -> None:
    """All that is level lies 0.12 m high: flat, it is believed; bent, it is the network's error."""
    truth = np.minimum(scene(), WALL) * np.float32((HEIGHT - 0.12) / HEIGHT)
    near = (scene() < 3.5) & (heights(scene()) < 0.01)
    state = ScaleState("test", Quality.GOOD, "")
    frame = Frame(np.full((240, 320, 3), 90, np.uint8), 1, camera=CAMERA, ground=GROUND)
    high = []
    for given in (truth, bent(truth, 0.05)):
        scaled = on_ground(ScaledDepth(given, state), frame)
        assert scaled.depth_m is not None
        high.append(np.abs(heights(scaled.depth_m)[near]))
    print(f"{np.median(high[0]):.3f} m where exact, {np.median(high[1]):.3f} m where bent")
    np.testing.assert_allclose(high[0], 0.12, atol=0.005)
    assert np.median(high[1]) < 0.02


@pytest.mark.parametrize("height", [0.15, 0.3, 0.6])
def test_an_obstacle_stays_one(height: float) -> None:
    truth = scene((2.0, height))
    given = bent(truth, 0.05)
    grounded = fuse_ground(given, 0.1 * given, CAMERA, GROUND)
    assert grounded is not None
    high = (heights(truth) > 0.1) & (heights(truth) < 0.9 * height) & (truth < 2.3)
    high = cv2.erode(high.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    kept = heights(grounded.depth_m)[high] > 0.08
    print(f"{high.sum()} pixels of a box {height} m high: {kept.mean():.1%} are no floor")
    assert high.sum() > 100
    assert kept.mean() > 0.95


def test_an_obstacle_comes_to_the_distance_of_its_foot() -> None:
    truth = scene()
    wall = (heights(truth) > 0.3) & (heights(truth) < 1.2)
    given = np.where(truth >= WALL, 1.15 * truth, truth).astype(np.float32)
    given = np.asarray(cv2.GaussianBlur(given, (0, 0), 1.5), np.float32)
    grounded = fuse_ground(given, 0.1 * given, CAMERA, GROUND)
    assert grounded is not None
    ratio = float(np.median(grounded.depth_m[wall]) / WALL)
    print(f"wall at {ratio:.3f} of its distance, {np.median(given[wall]) / WALL:.3f} before")
    assert 0.97 < ratio < 1.07


@pytest.mark.parametrize(
    ("height", "down_deg", "distance", "near", "sure"),
    [
        (1.0, 30.0, 2.0, 1.0, 0.04),
        (0.5, 25.0, 2.0, 1.0, 0.06),
        (0.3, 0.0, 2.0, 0.87, 0.08),
        (0.3, 0.0, 3.0, 0.87, 0.11),
    ],
)
def test_walls_stand_on_their_feet_before_low_cameras_and_such_as_look_down(
    height: float, down_deg: float, distance: float, near: float, sure: float
) -> None:
    """Exact walls stay where they are, others come nearer to where they stand."""
    down = np.radians(down_deg)
    up = (0.0, -float(np.cos(down)), -float(np.sin(down)))
    y = np.broadcast_arrays(*ray_table(CAMERA))[1]
    ahead = np.cos(down) - np.sin(down) * y
    lowers = np.sin(down) + np.cos(down) * y
    floor_z = np.where(lowers > 0, height / np.maximum(lowers, 1e-6), np.inf)
    truth = np.minimum(floor_z, distance / ahead).astype(np.float32)
    stands = floor_z > truth
    given = np.where(stands, near * truth, truth).astype(np.float32)
    given = np.asarray(cv2.GaussianBlur(given, (0, 0), 1.5), np.float32)
    grounded = fuse_ground(given, np.float32(0.1) * given, CAMERA, Plane(up, height))
    assert grounded is not None
    lower_half = stands & (floor_z > 1.1 * truth) & (floor_z < 2 * truth)
    before, after = (np.abs(np.log(each / truth))[lower_half] for each in (given, grounded.depth_m))
    relative = (grounded.sigma_m / grounded.depth_m)[lower_half]
    print(f"off by {before.mean():.3f} -> {after.mean():.3f}, sigma {np.median(relative):.3f}")
    assert after.mean() < max(0.75 * before.mean(), 0.015)
    assert np.median(relative) < sure


def test_colours_show_the_row_of_the_foot() -> None:
    """A network that smears the foot of a wall; the wall is green, the floor grey and grained."""
    truth = scene()
    wall = (heights(truth) > 0.3) & (heights(truth) < 1.2)
    y = np.broadcast_arrays(*ray_table(CAMERA))[1]
    given = np.asarray(1 / cv2.GaussianBlur(1 / truth, (0, 0), 16.0), np.float32)
    rgb = np.full((*truth.shape, 3), 120, np.uint8)
    rgb[y * WALL < HEIGHT] = (60, 130, 70)
    rgb += np.random.default_rng(0).integers(0, 20, rgb.shape).astype(np.uint8)

    def distance(image: RgbImage | None) -> float:
        grounded = fuse_ground(given, 0.1 * given, CAMERA, GROUND, None, image)
        assert grounded is not None
        return float(np.median(grounded.depth_m[wall]))

    print(f"wall at {distance(rgb):.3f} m, {distance(None):.3f} m without colours, of {WALL} m")
    assert distance(rgb) == pytest.approx(WALL, rel=0.03)
    assert abs(distance(None) - WALL) > 2 * abs(distance(rgb) - WALL)


def test_a_foot_without_an_edge_in_the_image_is_less_sure() -> None:
    truth = scene()
    given = np.where(truth >= WALL, 1.1 * truth, bent(truth, 0.05)).astype(np.float32)
    y = np.broadcast_arrays(*ray_table(CAMERA))[1]
    two = np.where((y * WALL < HEIGHT)[..., None], (60, 130, 70), (120, 120, 120)).astype(np.uint8)
    wall = (heights(truth) > 0.2) & (heights(truth) < 0.7)

    def relative_sigma(image: RgbImage) -> float:
        grounded = fuse_ground(given, 0.1 * given, CAMERA, GROUND, None, image)
        assert grounded is not None
        return float(np.median((grounded.sigma_m / grounded.depth_m)[wall]))

    edge, none = relative_sigma(two), relative_sigma(np.full_like(two, 120))
    print(f"sigma {edge:.3f} with an edge, {none:.3f} without")
    assert edge < 0.115 < 0.14 < none


def test_what_hangs_over_the_floor_beside_its_leg_is_less_sure() -> None:
    """A seat 1.8 m ahead, 0.34 m above the floor; columns beside its leg see floor to 3 m."""
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    seat = (np.abs(x) < 0.2) & (y < HEIGHT / 3.0) & (y > 0.12)
    leg = (np.abs(x) < 0.04) & (y >= HEIGHT / 3.0) & (y < HEIGHT / 1.8)
    beside = seat & (np.abs(x) > 0.07) & (np.abs(x) < 0.12)

    def relative_sigma(depth: FloatImage) -> float:
        grounded = fuse_ground(depth, 0.1 * depth, CAMERA, GROUND)
        assert grounded is not None
        return float(np.median((grounded.sigma_m / grounded.depth_m)[beside]))

    hangs = np.where(seat, np.float32(1.8), scene())
    stands = np.where(leg, np.float32(1.8), hangs)
    print(f"sigma {relative_sigma(stands):.3f} beside a leg, {relative_sigma(hangs):.3f} without")
    assert relative_sigma(stands) > 1.2 * relative_sigma(hangs)


def test_where_nothing_confirms_depth_sigma_grows_with_it() -> None:
    """Above the horizon a wall 12 m ahead is less sure than one 4 m ahead, but for points."""
    y = np.broadcast_arrays(*ray_table(CAMERA))[1]
    with np.errstate(divide="ignore"):
        floor = np.where(y > 0, HEIGHT / y, np.inf)

    def relative_sigma(distance: float, points: SparsePoints | None) -> float:
        depth = np.minimum(floor, distance).astype(np.float32)
        grounded = fuse_ground(depth, 0.02 * depth, CAMERA, GROUND, points)
        assert grounded is not None
        return float(np.median((grounded.sigma_m / grounded.depth_m)[:60]))

    near, far = relative_sigma(4.0, None), relative_sigma(12.0, None)
    print(f"sigma {near:.3f} at 4 m, {far:.3f} at 12 m")
    assert 0.15 < near < 0.25
    assert far > 0.36
    measured = _points(np.minimum(floor, 12.0).astype(np.float32), 2000)
    assert relative_sigma(12.0, measured) < 0.05


def test_colours_do_not_overrule_exact_depth() -> None:
    """A mat of the wall's colour on the floor stays floor."""
    truth = scene()
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    rgb = np.where((y * WALL < HEIGHT)[..., None], (60, 130, 70), (120, 120, 120)).astype(np.uint8)
    rgb[(np.abs(x * truth) < 0.4) & (truth > 2.0) & (truth < 3.0)] = (60, 130, 70)
    grounded = fuse_ground(truth, None, CAMERA, GROUND, None, rgb)
    assert grounded is not None
    floor = (heights(truth) < 0.001) & (truth < 0.95 * WALL)
    assert grounded.floor[floor].mean() > 0.99


def test_what_hangs_over_the_floor_stays_in_front_of_it() -> None:
    """The lower edge of a box at 1.8 m, 0.34 m above the floor, hides the floor beyond 3 m."""
    given = scene()
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    box = (np.abs(x) < 0.25) & (y < HEIGHT / 3.0) & (y > -0.2)
    given[box] = 1.8
    grounded = fuse_ground(given, 0.1 * given, CAMERA, GROUND)
    assert grounded is not None
    inner = cv2.erode(box.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    print(np.percentile(grounded.depth_m[inner], [0, 50, 100]))
    assert np.median(grounded.depth_m[inner]) == pytest.approx(1.8, rel=0.1)


def test_a_strip_of_floor_does_not_tell_how_it_lies() -> None:
    strip = np.minimum(scene(), np.float32(1.66))
    assert fuse_ground(strip, None, CAMERA, GROUND) is None
    assert fuse_ground(np.minimum(scene(), np.float32(1.9)), None, CAMERA, GROUND) is not None


def test_true_depth_is_left_alone() -> None:
    truth = scene((2.0, 0.4))
    grounded = fuse_ground(truth, None, CAMERA, GROUND)
    assert grounded is not None
    off = np.abs(grounded.depth_m / truth - 1)
    print(f"mean {off.mean():.5f}, largest {off.max():.3f}")
    assert off.mean() < 0.0005
    assert np.percentile(off, 99) < 0.001


def test_a_pavement_is_no_floor() -> None:
    """A level 0.15 m above the road on more than half of the image."""
    x, y = np.broadcast_arrays(*ray_table(CAMERA))
    with np.errstate(divide="ignore"):
        road = np.where(y > 0, np.minimum(HEIGHT / y, 30), 30)
        raised = np.where(y > 0, np.minimum((HEIGHT - 0.15) / y, 30), 30)
    depth = np.where(x * road < -0.5, raised, road).astype(np.float32)
    grounded = fuse_ground(depth, None, CAMERA, GROUND)
    assert grounded is not None
    near = depth < 5
    pavement = near & (x * road < -0.6)
    print(f"road {grounded.floor[near & (x * road > -0.4)].mean():.2f}")
    assert grounded.floor[near & (x * road > -0.4)].mean() > 0.99
    assert grounded.floor[pavement].mean() < 0.03


def test_no_floor_no_change() -> None:
    wall = np.full((240, 320), 1.0, np.float32)  # before the floor of the image's last row
    assert fuse_ground(wall, None, CAMERA, GROUND) is None
    looks_down = Plane((0.0, 0.0, -1.0), HEIGHT)
    assert fuse_ground(wall, None, CAMERA, looks_down) is None
    assert fuse_ground(wall, None, CAMERA, Plane((0.0, -1.0, 0.0), -1.0)) is None


def _points(depth: FloatImage, count: int) -> SparsePoints:
    chosen = np.random.default_rng(0).permutation(depth.size)[:count]
    v, u = np.divmod(chosen, depth.shape[1])
    return SparsePoints(u.astype(float), v.astype(float), depth.ravel()[chosen].astype(float))


def test_measured_points_are_believed_where_they_are() -> None:
    """A floor with 4 cm of unevenness: at the points it stays, far from them it is the plane."""
    v, u = np.mgrid[0:1:240j, 0:1:320j]
    truth = scene()
    floor = (heights(truth) < 0.01) & (truth < 3.0)
    given = np.where(floor, truth * (1 - 0.05 * np.sin(9 * u + 7 * v)), truth).astype(np.float32)
    rows, columns = np.nonzero(floor & (u < 0.35))
    chosen = np.random.default_rng(0).permutation(len(rows))[:600]
    v_of, u_of = rows[chosen], columns[chosen]
    points = SparsePoints(u_of.astype(float), v_of.astype(float), given[v_of, u_of].astype(float))
    grounded = fuse_ground(given, 0.01 * given, CAMERA, GROUND, points)
    bare = fuse_ground(given, 0.01 * given, CAMERA, GROUND)
    assert grounded is not None and bare is not None
    both = grounded.floor & bare.floor
    far = floor & (u > 0.6) & both
    near = np.zeros_like(floor)
    near[v_of, u_of] = True

    def moved(answer: Grounded, where: npt.NDArray[np.bool_]) -> float:
        return float(np.mean(np.abs(np.log(answer.depth_m / given))[where & both]))

    def sigma(answer: Grounded, where: npt.NDArray[np.bool_]) -> float:
        return float(np.median((answer.sigma_m / answer.depth_m)[where & both]))

    for where in (near, far):
        print(*(f"{each(x, where):.4f}" for each in (moved, sigma) for x in (grounded, bare)))
    assert moved(bare, near) > 0.02 and moved(grounded, near) < 0.1 * moved(bare, near)
    assert sigma(grounded, near) == pytest.approx(0.01, rel=0.1)
    # They also show that the floor is uneven, so that the plane counts less everywhere.
    assert moved(grounded, far) < 0.6 * moved(bare, far)
    assert sigma(grounded, far) > 1.5 * sigma(bare, far)


def test_only_frames_that_know_the_ground_are_changed() -> None:
    given = bent(scene(), 0.15)
    state = ScaleState("ground_plane", Quality.GOOD, "test")
    scaled = ScaledDepth(given, state, 0.1 * given)
    frame = Frame(np.zeros((240, 320, 3), np.uint8), camera=CAMERA)
    assert on_ground(scaled, frame) is scaled
    assert on_ground(ScaledDepth(None, state), replace(frame, ground=GROUND)).depth_m is None
    changed = on_ground(scaled, replace(frame, ground=GROUND))
    assert changed.depth_m is not None
    assert changed.state is state
    assert not np.allclose(changed.depth_m, given, rtol=0.01)


def test_depth_that_contradicts_its_points_is_not_sure() -> None:
    truth = np.full((240, 320), 1.0, np.float32)  # a wall hides the floor
    state = ScaleState("sparse", Quality.HELD, "test")
    scaled = ScaledDepth(1.3 * truth, state, 0.02 * truth)
    frame = Frame(np.zeros((240, 320, 3), np.uint8), camera=CAMERA, ground=GROUND)
    doubted = on_ground(scaled, replace(frame, points=_points(truth, 200)))
    assert doubted.sigma_m is not None
    assert doubted.sigma_m / (1.3 * truth) == pytest.approx(np.log(1.3), rel=1e-4)
    right = on_ground(replace(scaled, depth_m=truth), replace(frame, points=_points(truth, 200)))
    assert right.sigma_m is not None
    assert right.sigma_m.max() == pytest.approx(0.02)


def _measured(depth: FloatImage, seconds: float, known: Plane | None = None) -> Frame:
    rgb = np.zeros((240, 320, 3), np.uint8)
    stamp = round(seconds * 1e9)
    return Frame(rgb, stamp, camera=CAMERA, points=_points(depth, 2000), ground=known)


class Keeps(NetworkScaler):
    """Gives the same depth to every frame and keeps the frames."""

    def __init__(self, depth: FloatImage) -> None:
        super().__init__()
        self.depth = depth
        self.frames: list[Frame] = []

    def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
        self.frames.append(frame)
        return ScaledDepth(self.depth.copy(), ScaleState("test", Quality.GOOD, "test"))


def test_the_ground_of_points_is_kept_between_frames() -> None:
    """Seen twice, it is known; one scan without floor, then one of a bench top, change nothing."""
    given = bent(scene(), 0.15)
    scaler, fusion = Keeps(given), GroundFusion()
    prediction = Prediction(given, PredictionKind.METRIC_DEPTH, given.shape)

    def floor_height(frame: Frame) -> float:
        scaled = fusion.scale(scaler, prediction, frame)
        assert scaled.depth_m is not None
        floor = (heights(scene()) < 0.01) & (scene() < 3.0)
        return float(np.median(heights(scaled.depth_m)[floor]))

    alone = np.median(heights(given)[(heights(scene()) < 0.01) & (scene() < 3.0)])
    assert abs(alone) > 0.05
    assert abs(floor_height(_measured(scene(), 0.5))) > 0.05
    assert floor_height(_measured(scene(), 1.0)) == pytest.approx(0, abs=0.01)
    empty = replace(_measured(scene(), 1.5), points=_points(scene(), 20))
    assert floor_height(empty) == pytest.approx(0, abs=0.01)
    bench = (scene() * np.float32(0.6)).astype(np.float32)  # all that is seen lies higher
    floor_height(_measured(bench, 2.0))
    assert floor_height(replace(empty, stamp=2_500_000_000)) == pytest.approx(0, abs=0.01)
    fusion = GroundFusion()
    assert abs(floor_height(empty)) > 0.05  # without what was seen before


def _ahead(metres: float) -> FloatArray:
    """Pose of a camera that has moved along its optical axis."""
    pose = np.eye(4)
    pose[2, 3] = metres
    return pose


def test_low_points_of_before_reach_the_scaler() -> None:
    scaler, fusion = Keeps(scene()), GroundFusion()
    prediction = Prediction(scene(), PredictionKind.METRIC_DEPTH, scene().shape)
    for number in range(3):
        frame = replace(_measured(scene(), 1.0 + number), pose=_ahead(0.1 * number))
        fusion.scale(scaler, prediction, frame)
    _, now, with_before = scaler.frames
    assert now.points is not None
    assert with_before.points is not None
    assert len(now.points) == 2000
    assert len(with_before.points) > 2200


def test_wrong_points_are_named_among_those_of_the_frame_and_tell_no_floor() -> None:
    """A mirror on the left at half the distance, of this frame and of the one before."""
    truth = scene()
    points = _points(truth, 2000)
    mirrored = (points.u < 100) & (points.v > 150)
    spoilt = replace(points, z=np.where(mirrored, 0.5 * points.z, points.z))
    frames = [
        replace(_measured(truth, 1.0 + number, GROUND), points=spoilt, pose=_ahead(0.1 * number))
        for number in range(2)
    ]

    class Judges(Keeps):
        def scale(self, prediction: Prediction, frame: Frame) -> ScaledDepth:
            scaled = super().scale(prediction, frame)
            assert frame.points is not None
            right = truth[np.rint(frame.points.v).astype(int), np.rint(frame.points.u).astype(int)]
            return replace(scaled, wrong_points=frame.points.z < 0.8 * right)

    given = bent(truth, 0.1)
    prediction = Prediction(given, PredictionKind.METRIC_DEPTH, given.shape)
    fusion = GroundFusion()
    answers = [fusion.scale(Judges(given), prediction, frame) for frame in frames]
    for answer in answers:
        assert answer.wrong_points is not None
        assert answer.wrong_points.tolist() == mirrored.tolist()
        assert answer.depth_m is not None
        floor = (heights(truth) < 0.01) & (truth < 3.0)
        print(f"floor off by p95 {np.percentile(np.abs(heights(answer.depth_m)[floor]), 95):.3f}")
        assert np.percentile(np.abs(heights(answer.depth_m)[floor]), 95) < 0.025


@pytest.mark.parametrize("measured", [False, True])
def test_a_hole_in_the_floor_stays_one(measured: bool) -> None:
    """Floor to 2.5 m, then 0.5 m lower to a wall: neither filled nor made a wall at its edge."""
    y = np.broadcast_arrays(*ray_table(CAMERA))[1]
    with np.errstate(divide="ignore"):
        near = np.where(y > 0, HEIGHT / y, 99.0)
        lower = np.where(y > 0, (HEIGHT + 0.5) / y, 99.0)
    truth = np.where(near <= 2.5, near, np.minimum(lower, 6.0)).astype(np.float32)
    given = bent(truth, 0.03, 0.005)
    points = _points(truth, 600) if measured else None
    grounded = fuse_ground(given, 0.04 * given, CAMERA, GROUND, points)
    assert grounded is not None
    hole = cv2.erode(((heights(truth) < -0.45) & (truth < 5)).astype(np.uint8), np.ones((5, 5)))
    assert hole.sum() > 1000
    assert grounded.floor[hole > 0].mean() < 0.02
    off = np.abs(grounded.depth_m / given - 1)[hole > 0]
    print(f"hole moved by p95 {np.percentile(off, 95):.3f}")
    assert np.percentile(off, 95) < 0.03


def test_far_points_alone_show_no_hole_where_no_floor_is_seen() -> None:
    """A scale that fits far points and nothing near makes all that is near a pit."""
    depth = np.full((240, 320), 9.0, np.float32)
    far = SparsePoints(np.arange(140.0, 180.0), np.full(40, 122.0), np.full(40, 9.0))
    state = ScaleState("sparse", Quality.GOOD, "")
    frame = Frame(np.zeros((240, 320, 3), np.uint8), 1, camera=CAMERA, points=far, ground=GROUND)
    fused = on_ground(ScaledDepth(depth, state, np.float32(0.02) * depth), frame)
    assert fused.depth_m is not None
    assert fused.sigma_m is not None
    np.testing.assert_array_equal(fused.depth_m, depth)
    relative = fused.sigma_m / depth
    assert relative[122, 160] == pytest.approx(0.02)
    # At the lower edge the floor is 1.6 m away.
    assert relative[230, 20] > 1.5
    assert dropoff_depth(depth, fused.sigma_m, CAMERA, (GROUND.normal, HEIGHT), 0.15, 5.0)[
        150:
    ] == pytest.approx(np.nan, nan_ok=True)
