"""What a costmap of Nav2 makes of point clouds: the rule of its voxel layer, in NumPy.

Written after nav2_costmap_2d's `plugins/voxel_layer.cpp`, `src/observation_buffer.cpp` and
nav2_voxel_grid's `voxel_grid.hpp` (Jazzy). What tells unknown from free cells is left out: a cell
is lethal or it is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import FloatArray

_ENDS = 1e-5  # how far before the map's end a line of sight stops, as a share of it
_SHORTENED = 2  # cells before a point up to which its line of sight frees


@dataclass(frozen=True)
class ObservationSource:
    """One of the layer's `observation_sources`; fields are named as its parameters.

    Attributes:
        topic: Where its points come from.
        marking: Whether its points are obstacles.
        clearing: Whether its lines of sight are free.
        min_obstacle_height: Points below are dropped, for clearing too; metres.
        max_obstacle_height: Points above are dropped, for clearing too; metres.
        obstacle_min_range: Distance from the sensor up to which points do not mark, metres.
        obstacle_max_range: Distance from the sensor from which on points do not mark, metres.
        raytrace_min_range: Distance up to which a line of sight does not clear, metres.
        raytrace_max_range: Distance up to which it clears, metres.
    """

    topic: str = ""
    marking: bool = True
    clearing: bool = False
    min_obstacle_height: float = 0.0
    max_obstacle_height: float = 0.0
    obstacle_min_range: float = 0.0
    obstacle_max_range: float = 2.5
    raytrace_min_range: float = 0.0
    raytrace_max_range: float = 3.0


@dataclass(frozen=True)
class VoxelLayerSettings:
    """A rolling costmap with one voxel layer; fields are named as its parameters.

    Attributes:
        width: Extent along x in metres.
        height: Extent along y in metres.
        resolution: Edge of a cell in metres.
        robot_radius: Below the robot nothing is lethal; metres.
        origin_z: Height of the lowest voxel's bottom in metres.
        z_resolution: Height of a voxel in metres.
        z_voxels: Number of voxels of a cell.
        min_obstacle_height: Points below do not mark, metres.
        max_obstacle_height: Points above do not mark, metres.
        mark_threshold: Marked voxels of a cell up to which it is not lethal.
        sources: The observation sources by name.
    """

    width: float = 6.0
    height: float = 6.0
    resolution: float = 0.05
    robot_radius: float = 0.22
    origin_z: float = 0.0
    z_resolution: float = 0.125
    z_voxels: int = 16
    min_obstacle_height: float = 0.0
    max_obstacle_height: float = 2.0
    mark_threshold: int = 0
    sources: Mapping[str, ObservationSource] = field(default_factory=dict)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> VoxelLayerSettings:
        """Read the parameters of a costmap as its YAML file has them.

        Args:
            parameters: What stands under `ros__parameters`; `voxel_layer` is the layer.

        Returns:
            The settings; what is not named has Nav2's default.

        Raises:
            InputError: There is no voxel layer, or it names a source without a section.
        """
        layer = parameters.get("voxel_layer")
        if not isinstance(layer, Mapping):
            raise InputError("the costmap's parameters have no section voxel_layer")
        sources = {}
        for name in str(layer.get("observation_sources", "")).split():
            if not isinstance(layer.get(name), Mapping):
                raise InputError(f"voxel_layer names the source {name} but has no section for it")
            sources[name] = ObservationSource(**_known(ObservationSource, layer[name]))
        own = {**_known(cls, parameters), **_known(cls, layer), "sources": sources}
        return cls(**own)


def _known(kind: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)} - {"sources"}
    return {name: value for name, value in parameters.items() if name in names}


class VoxelCostmap:
    """A rolling costmap that point clouds mark and clear.

    Attributes:
        lethal: rows (y) x columns (x) bool, the cells that are lethal.
        corner: Whole numbers (x, y) of cells from the world's origin to the map's corner.
    """

    def __init__(self, settings: VoxelLayerSettings) -> None:
        self._settings = settings
        columns = round(settings.width / settings.resolution)
        rows = round(settings.height / settings.resolution)
        self._marked = np.zeros((rows, columns, settings.z_voxels), np.bool_)
        self.lethal = np.zeros((rows, columns), np.bool_)
        self.corner: tuple[int, int] | None = None

    def update(
        self, robot: tuple[float, float], observations: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> None:
        """One update: move with the robot, clear, then mark.

        Args:
            robot: Its x and y in the world, metres.
            observations: By source: the sensor's place (3 numbers) and its points (Nx3) in the
                world, metres; sources without news are left out.
        """
        self._roll(robot)
        seen = []
        for name, (origin, points) in observations.items():
            source = self._settings.sources[name]
            z = points[:, 2]
            kept = (z >= source.min_obstacle_height) & (z <= source.max_obstacle_height)
            seen.append((source, np.asarray(origin, np.float64), points[kept].astype(np.float64)))
        for source, origin, points in seen:
            if source.clearing and len(points):
                self._clear(source, origin, points)
        for source, origin, points in seen:
            if source.marking:
                self._mark(source, origin, points)
        self._free_footprint(robot)

    def _roll(self, robot: tuple[float, float]) -> None:
        settings = self._settings
        rows, columns = self.lethal.shape
        corner = (
            math.floor((robot[0] - settings.width / 2) / settings.resolution),
            math.floor((robot[1] - settings.height / 2) / settings.resolution),
        )
        if self.corner is not None and corner != self.corner:
            right, up = corner[0] - self.corner[0], corner[1] - self.corner[1]
            for name in ("lethal", "_marked"):
                old = getattr(self, name)
                new = np.zeros_like(old)
                if abs(right) < columns and abs(up) < rows:
                    target = new[max(-up, 0) : rows - max(up, 0)]
                    source = old[max(up, 0) : rows - max(-up, 0)]
                    target[:, max(-right, 0) : columns - max(right, 0)] = source[
                        :, max(right, 0) : columns - max(-right, 0)
                    ]
                setattr(self, name, new)
        self.corner = corner

    def _to_map(self, points: FloatArray) -> FloatArray:
        """World to fractional cells (x, y, z) of the map."""
        settings = self._settings
        assert self.corner is not None
        low = np.array(
            [
                self.corner[0] * settings.resolution,
                self.corner[1] * settings.resolution,
                settings.origin_z,
            ]
        )
        size = np.array([settings.resolution, settings.resolution, settings.z_resolution])
        return np.asarray((points - low) / size)

    def _clear(self, source: ObservationSource, origin: FloatArray, points: FloatArray) -> None:
        """Free the voxels on the lines of sight, short of the points and inside the map."""
        settings = self._settings
        rows, columns, layers = self._marked.shape
        start = self._to_map(origin)
        limits = np.array([columns, rows, layers], np.float64)
        if (start < 0).any() or (start >= limits).any():
            return
        ray = points - origin
        distance = np.linalg.norm(ray, axis=1)
        short = np.maximum(distance - _SHORTENED * settings.resolution, 0) / distance
        step = self._to_map(origin + ray * short[:, None]) - start
        top = limits - np.array([0, 0, 0.01 / settings.z_resolution])
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(step < 0, -start / step, (top - start) / step)
        reach = np.nanmin(np.where(step == 0, np.inf, reach), axis=1)
        share = np.where(reach < 1, np.maximum(reach - _ENDS, 0), 1)
        end = start + step * share[:, None]
        inside = ((end >= 0) & (end < limits)).all(axis=1)
        self._trace(source, start, end[inside])

    def _trace(self, source: ObservationSource, start: FloatArray, ends: FloatArray) -> None:
        """Bresenham's lines from one voxel to others; ranges count in cells, as Nav2's."""
        settings = self._settings
        nearest = math.ceil(source.raytrace_min_range / settings.resolution)
        furthest = math.ceil(source.raytrace_max_range / settings.resolution)
        apart = np.linalg.norm(ends - start, axis=1)
        long = apart.astype(np.int64) >= nearest
        ends, apart = ends[long], apart[long]
        if not len(ends):
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(apart > 0, np.minimum(furthest / apart, 1), 1)
            ahead = np.where(apart > 0, nearest / apart, 0)
        first = (start + (ends - start) * ahead[:, None]).astype(np.int64)
        delta = ends.astype(np.int64) - first
        lines = np.unique(np.concatenate([first, delta], axis=1), axis=0, return_index=True)[1]
        first, delta, scale = first[lines], delta[lines], scale[lines]
        size, sign = np.abs(delta), np.where(delta > 0, 1, -1)
        main = size.max(axis=1)
        count = np.minimum((scale * main).astype(np.int64), main)
        number = np.arange(int(count.max()) + 1)
        # Where the error of the other axes starts at half the main one's length.
        steps = (main // 2)[:, None, None] + number[None, :, None] * size[:, None, :]
        steps //= np.maximum(main, 1)[:, None, None]
        on_main = size == main[:, None]
        steps = np.where(on_main[:, None, :], number[None, :, None], steps)
        cells = (first[:, None, :] + sign[:, None, :] * steps)[number[None, :] <= count[:, None]]
        rows, columns, layers = self._marked.shape
        x, y, z = cells[((cells >= 0) & (cells < (columns, rows, layers))).all(axis=1)].T
        self._marked[y, x, z] = False
        passed = np.zeros_like(self.lethal)
        passed[y, x] = True
        few = self._marked.sum(axis=2) <= settings.mark_threshold
        self.lethal[passed & few] = False

    def _mark(self, source: ObservationSource, origin: FloatArray, points: FloatArray) -> None:
        settings = self._settings
        rows, columns, layers = self._marked.shape
        distance = np.linalg.norm(points - origin, axis=1)
        z = points[:, 2]
        kept = (z >= settings.min_obstacle_height) & (z <= settings.max_obstacle_height)
        kept &= (distance >= source.obstacle_min_range) & (distance < source.obstacle_max_range)
        at = self._to_map(points[kept])
        at[:, 2] = np.maximum(at[:, 2], 0)
        cells = np.floor(at).astype(np.int64)
        inside = ((cells >= 0) & (cells < np.array([columns, rows, layers]))).all(axis=1)
        x, y, z = cells[inside].T
        self._marked[y, x, z] = True
        self.lethal[y, x] |= self._marked[y, x].sum(axis=1) > settings.mark_threshold

    def _free_footprint(self, robot: tuple[float, float]) -> None:
        settings = self._settings
        assert self.corner is not None
        rows, columns = self.lethal.shape
        x = (self.corner[0] + np.arange(columns) + 0.5) * settings.resolution - robot[0]
        y = (self.corner[1] + np.arange(rows) + 0.5) * settings.resolution - robot[1]
        below: npt.NDArray[np.bool_] = np.hypot(x[None, :], y[:, None]) <= settings.robot_radius
        self.lethal[below] = False
