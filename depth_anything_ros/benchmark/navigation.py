"""What Nav2 sees of our depth: a robot drives, its clouds mark a costmap, the world knows better.

A simulated robot drives through rooms and streets. Its pictures go through network, scaler and
limits as in the node, the clouds into a copy of Nav2's voxel layer (`costmap`) as
`config/nav2_depth.yaml` and `config/nav2_voxel_layer.yaml` set them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.benchmark.costmap import (
    ObservationSource,
    VoxelCostmap,
    VoxelLayerSettings,
)
from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import (
    DepthFrame,
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
from depth_anything_ros.geometry.camera import Camera, project, ray_table
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.geometry.cloud_filters import downsample, flying_pixels
from depth_anything_ros.geometry.dropoffs import dropoff_depth
from depth_anything_ros.geometry.scan import clearing_points
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.metric.ground_fusion import on_ground
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.pipeline import DepthLimits, Pipeline, limit_depth
from depth_anything_ros.settings import ScalerSettings
from depth_anything_ros.synthetic.robot import CAMERA_HEIGHT, KINDS, Robot

MIN_RANGE, MAX_RANGE, STRIDE, VOXEL_SIZE = 0.3, 5.0, 2, 0.05
"""min_range, max_range, cloud_stride and voxel_size of `config/nav2_depth.yaml`."""

MIN_DROP = 0.15
"""dropoff_min_depth of the node's defaults."""

EDGE_ANGLE_DEG, MAX_RELATIVE_SIGMA = 8.0, 0.08
"""edge_angle_deg and max_relative_sigma of `config/nav2_depth.yaml`."""

COSTMAP = VoxelLayerSettings(
    min_obstacle_height=-0.3,
    sources={
        "depth": ObservationSource(
            topic="/depth_anything/points",
            marking=True,
            clearing=True,
            min_obstacle_height=0.1,
            max_obstacle_height=2.0,
            obstacle_min_range=0.3,
            obstacle_max_range=8.0,
            raytrace_max_range=8.0,
        ),
        "floor": ObservationSource(
            topic="/depth_anything/points",
            marking=False,
            clearing=True,
            min_obstacle_height=-10.0,
            max_obstacle_height=10.0,
            raytrace_max_range=8.0,
        ),
        "free": ObservationSource(
            topic="/depth_anything/clearing_points",
            marking=False,
            clearing=True,
            min_obstacle_height=-10.0,
            max_obstacle_height=10.0,
            raytrace_max_range=8.0,
        ),
        "dropoffs": ObservationSource(
            topic="/depth_anything/dropoffs",
            marking=True,
            clearing=False,
            min_obstacle_height=-0.3,
            max_obstacle_height=0.3,
            obstacle_min_range=0.3,
            obstacle_max_range=8.0,
        ),
    },
)
"""The costmap of `config/nav2_voxel_layer.yaml`."""

TRUTH = "truth"
"""In place of a network: true depth."""


@dataclass(frozen=True)
class Source:
    """A way to metres.

    Attributes:
        scaler: Name of the scaler.
        sensor: Attribute of `Tick` whose points frames have; None for none.
        ground: Whether frames have the ground plane.
    """

    scaler: str
    sensor: str | None
    ground: bool


SOURCES = {
    "lidar": Source("sparse", "lidar", ground=True),
    "lidar alone": Source("sparse", "lidar", ground=False),
    "laser": Source("sparse", "laser", ground=True),
    "laser alone": Source("sparse", "laser", ground=False),
    "ground plane": Source("ground_plane", None, ground=True),
}
"""Ways to metres by name; a LiDAR alone finds the ground among its points, a laser scanner not."""

NEAR = 0.2
"""Metres between a cell and an obstacle that count as right."""

_CAMERA = "camera"
_SPEED = 0.4  # m/s, the simulated robot's default
_FOUND_WITHIN = 4.0
_TURNED_PER_MM = 0.02  # degrees
_BANDS = 1.5  # of light in an image: lamps at 100 Hz, rows that take 15 ms
_FLOOR = 0.03  # height in metres up to which a true point is floor
_CAMERA_SHAPE = (320, 240)  # columns and rows: the simulated robot's defaults


@dataclass(frozen=True)
class View:
    """How the robot's camera sees.

    Attributes:
        height: Metres above the ground.
        pitch_deg: Degrees it looks down.
        hfov_deg: Its horizontal field of view in degrees.
    """

    height: float = CAMERA_HEIGHT
    pitch_deg: float = 0.0
    hfov_deg: float = 70.0


@dataclass(frozen=True)
class Told:
    """What is told of the robot, right or wrong, and how its images are lit and exposed.

    Attributes:
        odometry: Whether it publishes odometry.
        height_error: Share by which the camera is said to be higher than it is.
        pitch_error_deg: Degrees by which the camera is said to look down more than it does.
        odometry_noise_mm: Standard deviation of each pose in millimetres, per axis; its attitude
            is off by 0.02 degrees for each of them.
        exposure_noise: Standard deviation of how much brighter each image is, as a share.
        flicker: Share by which the light changes while a rolling shutter takes an image.
    """

    odometry: bool = True
    height_error: float = 0.0
    pitch_error_deg: float = 0.0
    odometry_noise_mm: float = 0.0
    exposure_noise: float = 0.0
    flicker: float = 0.0

    def ground(self, true: Plane) -> Plane:
        """The ground as it is told."""
        turn, _ = cv2.Rodrigues(np.array([np.radians(self.pitch_error_deg), 0.0, 0.0]))
        x, y, z = (float(part) for part in turn @ np.array(true.normal))
        return Plane((x, y, z), true.offset * (1 + self.height_error))

    def pose(self, true: FloatArray, chance: np.random.Generator) -> FloatArray | None:
        """A pose of the camera as it is told."""
        if not self.odometry:
            return None
        step = np.eye(4)
        turned = chance.normal(0, np.radians(_TURNED_PER_MM * self.odometry_noise_mm), 3)
        step[:3, :3], _ = cv2.Rodrigues(turned)
        step[:3, 3] = chance.normal(0, 1e-3 * self.odometry_noise_mm, 3)
        return np.asarray(true @ step)

    def image(self, true: RgbImage, chance: np.random.Generator) -> RgbImage:
        """An image as it is exposed."""
        gain = float(np.exp(chance.normal(0, self.exposure_noise)))
        if self.flicker:
            rows = true.shape[0]
            wave = 2 * np.pi * _BANDS * np.arange(rows) / rows + chance.uniform(0, 2 * np.pi)
            lit = gain * (1 + self.flicker * np.sin(wave))[:, None, None] * true
            return np.clip(np.rint(lit), 0, 255).astype(np.uint8)
        return np.asarray(cv2.addWeighted(true, gain, true, 0, 0), np.uint8)


@dataclass(frozen=True)
class Tick:
    """What the robot's sensors see at one moment.

    Attributes:
        rgb: HxWx3 uint8.
        depth_m: HxW float32, true metres along the optical axis, infinite for sky.
        lidar: Nx3 float32 points in the optical frame.
        laser: Mx3 float32 points of a level laser scanner in the optical frame.
        pose: 4x4 float64, optical frame -> world.
        robot: x and y of the robot's base in the world.
    """

    rgb: RgbImage
    depth_m: FloatImage
    lidar: FloatImage
    laser: FloatImage
    pose: FloatArray
    robot: tuple[float, float]


@dataclass(frozen=True)
class Drive:
    """A drive through one world.

    Attributes:
        kind: Kind of the world.
        seed: Seed of the world and of the route.
        rate: Ticks per second.
        camera: The robot's camera.
        ground: The ground in the camera's optical frame.
        ticks: What was seen.
    """

    kind: str
    seed: int
    rate: float
    camera: Camera
    ground: Plane
    ticks: Sequence[Tick]


@dataclass
class Score:
    """Counts of cells, summed over the ticks of one or several drives.

    Attributes:
        marked: Lethal cells.
        right: Those within `NEAR` of a true obstacle.
        exact: Those within one cell of it.
        seen: Cells with true obstacles that the camera sees within 4 m.
        found: Those within `NEAR` of a lethal cell.
        found_exact: Those within one cell of it.
        floor: Cells of free floor.
        phantom: Those that are lethal.
    """

    marked: int = 0
    right: int = 0
    exact: int = 0
    seen: int = 0
    found: int = 0
    found_exact: int = 0
    floor: int = 0
    phantom: int = 0

    def __add__(self, other: Score) -> Score:
        names = [each.name for each in fields(Score)]
        return Score(*(getattr(self, name) + getattr(other, name) for name in names))

    def percentages(self) -> dict[str, float | None]:
        """Share of marked cells that are right and exact, of true cells found, of phantoms.

        Returns:
            Percentages by name; None where there was nothing to count.
        """

        def share(part: int, whole: int) -> float | None:
            return 100 * part / whole if whole else None

        return {
            "right": share(self.right, self.marked),
            "exact": share(self.exact, self.marked),
            "found": share(self.found, self.seen),
            "found_exact": share(self.found_exact, self.seen),
            "phantom": share(self.phantom, self.floor),
        }


def record(
    kind: str,
    seed: int,
    seconds: float,
    rate: float,
    view: View = View(),
    turns_deg: float = 0.0,
) -> Drive:
    """Drive the simulated robot.

    Args:
        kind: Kind of the world, one of `synthetic.robot.KINDS`.
        seed: Seed of the world and of the route.
        seconds: Length of the drive.
        rate: Ticks per second.
        view: How its camera sees.
        turns_deg: Degrees it turns to both sides wherever it stops; 0 for a robot that never does.

    Returns:
        The drive.

    Raises:
        SettingError: There is no such kind, or no route in any world of this seed.
    """
    if kind not in KINDS:
        raise SettingError(f"world is '{kind}'; use one of {', '.join(KINDS)}")
    camera = Camera.from_hfov(*_CAMERA_SHAPE, view.hfov_deg)
    robot = Robot(kind, seed, {_CAMERA: camera}, view.height, view.pitch_deg, turns_deg)
    mounted = robot.base_camera[_CAMERA]
    of_lidar, of_laser = (
        np.linalg.inv(mounted) @ base for base in (robot.base_lidar, robot.base_laser)
    )
    ticks = []
    for number in range(max(1, round(seconds * rate))):
        distance = _SPEED * number / rate
        rgb, depth_m = robot.photograph(_CAMERA, distance)
        base = robot.pose(distance)
        ticks.append(
            Tick(
                rgb,
                depth_m,
                _moved(robot.measure(distance), of_lidar),
                _moved(_hits(robot.sweep(distance), robot.laser_beams), of_laser),
                base @ mounted,
                (float(base[0, 3]), float(base[1, 3])),
            )
        )
    up = mounted[2, :3]
    ground = Plane((float(up[0]), float(up[1]), float(up[2])), float(mounted[2, 3]))
    return Drive(kind, seed, rate, camera, ground, ticks)


def _hits(ranges: FloatImage, beams: FloatArray) -> FloatImage:
    hit = np.isfinite(ranges)
    return np.asarray(ranges[hit, None] * beams[hit], np.float32)


def _moved(points: FloatImage, pose: FloatArray) -> FloatImage:
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3], np.float32)


class _World:
    """True obstacles and true floor as cells of the costmap's lattice."""

    def __init__(self, drive: Drive, settings: VoxelLayerSettings) -> None:
        self._cell = settings.resolution
        self._band = settings.sources["depth"].min_obstacle_height
        self._top = settings.max_obstacle_height
        margin = round(max(settings.width, settings.height) / self._cell)
        points = [_in_world(drive.camera, tick.pose, tick.depth_m) for tick in drive.ticks]
        lidar = [tick.lidar @ tick.pose[:3, :3].T + tick.pose[:3, 3] for tick in drive.ticks]
        robots = np.array([tick.robot for tick in drive.ticks])
        reach = (np.floor(robots / self._cell)).astype(np.int64)
        self._low = reach.min(axis=0) - 2 * margin
        shape = (reach.max(axis=0) + 2 * margin - self._low)[::-1]
        self._obstacle = np.zeros(shape, np.bool_)
        self._floor = np.zeros(shape, np.bool_)
        self._seen = []
        for tick, cloud in zip(drive.ticks, points, strict=True):
            self._obstacle[self._cells(cloud[self._high(cloud)])] = True
            self._floor[self._cells(cloud[np.abs(cloud[:, 2]) < _FLOOR])] = True
            apart = np.linalg.norm(cloud - tick.pose[:3, 3], axis=1)
            near = cloud[self._high(cloud) & (apart <= _FOUND_WITHIN) & (apart >= MIN_RANGE)]
            self._seen.append(np.unique(np.stack(self._cells(near)), axis=1))
        for cloud in lidar:
            self._obstacle[self._cells(cloud[self._high(cloud)])] = True
        self._apart = _distance(self._obstacle, self._cell)
        self._floor &= self._apart > NEAR

    def judge(self, number: int, costmap: VoxelCostmap) -> Score:
        """Compare the costmap with the world after one tick."""
        assert costmap.corner is not None
        left, low = costmap.corner[0] - self._low[0], costmap.corner[1] - self._low[1]
        rows, columns = costmap.lethal.shape
        here = (slice(low, low + rows), slice(left, left + columns))
        lethal, apart, floor = costmap.lethal, self._apart[here], self._floor[here]
        y, x = self._seen[number] - np.array([[low], [left]])
        inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
        missed = _distance(lethal, self._cell)[y[inside], x[inside]]
        one = 1.01 * self._cell
        return Score(
            marked=int(lethal.sum()),
            right=int((apart[lethal] <= NEAR).sum()),
            exact=int((apart[lethal] <= one).sum()),
            seen=int(inside.sum()),
            found=int((missed <= NEAR).sum()),
            found_exact=int((missed <= one).sum()),
            floor=int(floor.sum()),
            phantom=int((lethal & floor).sum()),
        )

    def _high(self, cloud: FloatArray) -> npt.NDArray[np.bool_]:
        return np.asarray((cloud[:, 2] >= self._band) & (cloud[:, 2] <= self._top))

    def _cells(self, cloud: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(row, column) of the points that lie on the map."""
        at = np.floor(cloud[:, :2] / self._cell).astype(np.int64) - self._low
        rows, columns = self._obstacle.shape
        at = at[((at >= 0) & (at < (columns, rows))).all(axis=1)]
        return at[:, 1], at[:, 0]


def _distance(cells: npt.NDArray[np.bool_], cell: float) -> FloatImage:
    """Metres from every cell to the nearest one that is True; far more than any map for none."""
    if not cells.any():
        return np.full(cells.shape, np.float32(1e6))
    apart = cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(apart * np.float32(cell) - np.float32(1e-4), np.float32)


def _in_world(camera: Camera, pose: FloatArray, depth_m: FloatImage) -> FloatArray:
    """All points of a true depth image in the world, Nx3."""
    x, y = np.broadcast_arrays(*ray_table(camera))
    known = np.isfinite(depth_m)
    z = depth_m[known].astype(np.float64)
    points = np.stack([z * x[known], z * y[known], z], axis=1)
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3])


def answers(
    drive: Drive,
    network: LoadedModel | None,
    source: str,
    ground_fusion: bool = True,
    told: Told = Told(),
) -> Iterator[DepthFrame]:
    """Depth of every tick, as the node gives it.

    Args:
        drive: The drive.
        network: The network; None for true depth, which needs no source.
        source: One of `SOURCES`.
        ground_fusion: The node's parameter.
        told: What is told of the robot; it does not matter to true depth.

    Yields:
        One answer per tick.
    """
    limits = DepthLimits(MIN_RANGE, MAX_RANGE, max_relative_sigma=MAX_RELATIVE_SIGMA)
    if network is not None:
        scaler = make_scaler(ScalerSettings(scaler=SOURCES[source].scaler), network.info)
        pipeline = Pipeline(network.estimator, scaler, limits, ground_fusion=ground_fusion)
        for frame in frames(drive, source, told):
            yield pipeline.process(frame)
        return
    state = ScaleState(TRUTH, Quality.GOOD, "true depth")
    for tick, frame in zip(drive.ticks, frames(drive, source), strict=True):
        prediction = Prediction(tick.depth_m, PredictionKind.METRIC_DEPTH, tick.depth_m.shape)
        scaled = ScaledDepth(tick.depth_m, state)
        if ground_fusion:
            scaled = on_ground(scaled, frame)
        assert scaled.depth_m is not None
        depth_m = limit_depth(scaled.depth_m, limits)
        yield DepthFrame(frame, prediction, depth_m, None, state, ground=frame.ground)


def frames(drive: Drive, source: str, told: Told = Told()) -> Iterator[Frame]:
    """The frames of a drive with what a source may use and is told."""
    way = SOURCES[source]
    ground = told.ground(drive.ground) if way.ground else None
    chance = np.random.default_rng(drive.seed)
    for number, tick in enumerate(drive.ticks):
        points = None
        if way.sensor is not None:
            seen = project(drive.camera, getattr(tick, way.sensor))
            points = SparsePoints(*seen, source=way.sensor)
        yield Frame(
            told.image(tick.rgb, chance),
            round(number * 1e9 / drive.rate) + 1,
            camera=drive.camera,
            points=points,
            ground=ground,
            pose=told.pose(tick.pose, chance),
        )


def clouds(answer: DepthFrame) -> dict[str, FloatArray]:
    """The clouds of an answer that a costmap reads, by topic, in the optical frame."""
    depth_m, camera = answer.depth_m, answer.frame.camera
    if depth_m is None or camera is None:
        return {}
    hidden = flying_pixels(depth_m, camera, EDGE_ANGLE_DEG)
    points = build_cloud(depth_m, camera, organized=False, stride=STRIDE, hidden=hidden)
    if points.data.size:
        points = downsample(points, VOXEL_SIZE)
    free = clearing_points(depth_m, camera, MAX_RANGE, max(STRIDE, 4))
    by_topic = {"points": points, "clearing_points": free}
    if answer.ground is not None:
        ground = (answer.ground.normal, answer.ground.offset)
        missing = dropoff_depth(depth_m, answer.sigma_m, camera, ground, MIN_DROP, MAX_RANGE)
        by_topic["dropoffs"] = build_cloud(missing, camera, organized=False, stride=STRIDE)
    return {
        f"/depth_anything/{name}": cloud.xyz.astype(np.float64) for name, cloud in by_topic.items()
    }


def navigate(
    drive: Drive, depths: Iterable[DepthFrame], settings: VoxelLayerSettings = COSTMAP
) -> Score:
    """Mark a costmap with the clouds of a drive and judge it after every tick.

    Args:
        drive: The drive.
        depths: An answer for each of its ticks.
        settings: The costmap.

    Returns:
        The counts.
    """
    world = _World(drive, settings)
    costmap = VoxelCostmap(settings)
    total = Score()
    for number, (tick, answer) in enumerate(zip(drive.ticks, depths, strict=True)):
        rotation, origin = tick.pose[:3, :3], tick.pose[:3, 3]
        by_topic = clouds(answer)
        observations = {
            name: (origin, by_topic[source.topic] @ rotation.T + origin)
            for name, source in settings.sources.items()
            if source.topic in by_topic
        }
        costmap.update(tick.robot, observations)
        total += world.judge(number, costmap)
    return total
