"""A robot driving through a procedural world, with cameras, LiDAR and laser scanner."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.synthetic.lidar import FARTHEST, beams
from depth_anything_ros.synthetic.rendering import textures
from depth_anything_ros.synthetic.rendering.render import render, scan
from depth_anything_ros.synthetic.route import Route, find_route
from depth_anything_ros.synthetic.views import camera_pose
from depth_anything_ros.synthetic.worlds import kinds as worlds
from depth_anything_ros.synthetic.worlds.world import World

KINDS = ("room", "street")
"""Kinds of world a robot can drive in: those with level ground and space."""

CAMERA_HEIGHT = 0.85
"""Metres of its cameras above the ground where nothing else is given."""

_CAMERA_AHEAD = 0.15
_LIDAR_HEIGHT = 1.0
# The pattern of Velodyne's VLP-16 at 20 turns per second: 16 lasers 2 degrees apart, shots every
# 0.4 degrees (VLP-16 User Manual).
_BEAMS, _HIGHEST_BEAM_DEG, _SHOTS = 16, 15.0, 900
# A laser scanner as robots carry it in front, low and level: half a degree between shots.
_LASER_AHEAD, _LASER_HEIGHT, _LASER_SHOTS = 0.1, 0.25, 720
_STOPS_APART, _OF_A_TURN = 1.5, 3.0  # metres driven between two turns; what one takes counts as
_WORLDS_TRIED = 50

Pose = npt.NDArray[np.float64]


class Robot:
    """A robot whose world, route and sensor data depend on its seed and the distance driven only.

    Attributes:
        route: The closed path it drives.
        cameras: Its cameras by name.
        base_camera: Pose of each camera by name, 4x4 float64, optical frame -> base.
        base_lidar: Pose of the LiDAR, 4x4 float64, LiDAR frame (as base) -> base.
        base_laser: Pose of the laser scanner, 4x4 float64, its frame (as base) -> base.
        laser_beams: Directions of its shots in that frame, Nx3 unit vectors, counter-clockwise from
            straight ahead.
    """

    def __init__(
        self,
        kind: str,
        seed: int,
        cameras: Mapping[str, Camera],
        camera_height: float = CAMERA_HEIGHT,
        camera_pitch_deg: float = 0.0,
        turns_deg: float = 0.0,
    ) -> None:
        """Build the world and find a route through it.

        Args:
            kind: One of `KINDS`.
            seed: Seed of the world, the route and the start on it.
            cameras: Cameras by name; they face outwards at even angles, the first one forward and
                the next one to its left.
            camera_height: Metres of all of them above the ground.
            camera_pitch_deg: Degrees all of them look down.
            turns_deg: Degrees it turns to both sides wherever it stops, every 1.5 m; as it takes a
                while, a distance grows by 3 m meanwhile. It never stops for 0.

        Raises:
            SettingError: There is no such kind of world, or no route in any world of this seed.
        """
        if kind not in KINDS:
            raise SettingError(f"world is '{kind}'; use one of {', '.join(KINDS)}")
        self.cameras = dict(cameras)
        self._turns = math.radians(turns_deg)
        self.base_camera = {
            name: camera_pose(
                _CAMERA_AHEAD * math.cos(yaw),
                _CAMERA_AHEAD * math.sin(yaw),
                camera_height,
                yaw,
                -math.radians(camera_pitch_deg),
            )
            for number, name in enumerate(self.cameras)
            for yaw in [2 * math.pi * number / len(self.cameras)]
        }
        self.base_lidar = np.eye(4)
        self.base_lidar[2, 3] = _LIDAR_HEIGHT
        self.base_laser = np.eye(4)
        self.base_laser[[0, 2], 3] = _LASER_AHEAD, _LASER_HEIGHT
        self._atlas = textures.build(seed)
        self._world, self.route, self._start = self._find_route(kind, seed)
        # Shot by shot, as the sensor turns: so neighbours in the list are neighbours in space.
        rows = beams(_BEAMS, -_HIGHEST_BEAM_DEG, _HIGHEST_BEAM_DEG, _SHOTS)
        self._beams = rows.reshape(_BEAMS, _SHOTS, 3).swapaxes(0, 1).reshape(-1, 3)
        self.laser_beams = beams(1, 0.0, 0.0, _LASER_SHOTS)

    def pose(self, distance: float) -> Pose:
        """Where the robot is.

        Args:
            distance: Metres driven since its start.

        Returns:
            4x4 float64, base (x forward, y left, z up, on the ground) -> world.
        """
        if not self._turns:
            return self.route.pose(self._start + distance)
        stops, way = divmod(distance, _STOPS_APART + _OF_A_TURN)
        driven = stops * _STOPS_APART + min(way, _STOPS_APART)
        of_turn = max(way - _STOPS_APART, 0) / _OF_A_TURN
        yaw = self._turns * math.sin(2 * math.pi * of_turn)
        turned = np.eye(4)
        turned[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
        return self.route.pose(self._start + driven) @ turned

    def curvature(self, distance: float) -> float:
        """Curvature of its route, positive to the left, in 1/m.

        Args:
            distance: Metres driven since its start.
        """
        return self.route.curvature(self._start + distance)

    @torch.inference_mode()
    def photograph(
        self, name: str, distance: float, coloured: bool = True
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        """Take a picture.

        Args:
            name: Name of the camera.
            distance: Metres driven since the start.
            coloured: Whether to compute the picture; depth alone is several times as fast.

        Returns:
            HxWx3 uint8 RGB (black without), and HxW float32 metres along the optical Z
            axis: infinite for the sky, NaN where the lens has no ray.
        """
        pose = self.pose(distance) @ self.base_camera[name]
        atlas = self._atlas if coloured else None
        return render(self._world.scene, self.cameras[name], pose, atlas)

    @torch.inference_mode()
    def measure(
        self, distance: float, noise: float = 0.0, rng: np.random.Generator | None = None
    ) -> npt.NDArray[np.float32]:
        """Turn the LiDAR once, in an instant.

        Args:
            distance: Metres driven since the start.
            noise: Standard deviation of the ranges in metres.
            rng: Source of the noise; always the same one when not given.

        Returns:
            Nx3 metres in the LiDAR's frame, of what was hit within 100 m.
        """
        ranges = scan(self._world.scene, self.pose(distance) @ self.base_lidar, self._beams)
        hit = ranges < FARTHEST
        rng = np.random.default_rng(0) if rng is None else rng
        lengths = ranges[hit] + rng.normal(0, noise, int(hit.sum()))
        return (lengths[:, None] * self._beams[hit]).astype(np.float32)

    @torch.inference_mode()
    def sweep(
        self, distance: float, noise: float = 0.0, rng: np.random.Generator | None = None
    ) -> npt.NDArray[np.float32]:
        """Turn the laser scanner once, in an instant.

        Args:
            distance: Metres driven since the start.
            noise: Standard deviation of the ranges in metres.
            rng: Source of the noise; always the same one when not given.

        Returns:
            N metres along `laser_beams`; infinite where nothing was hit within 100 m.
        """
        ranges = scan(self._world.scene, self.pose(distance) @ self.base_laser, self.laser_beams)
        rng = np.random.default_rng(0) if rng is None else rng
        noisy = ranges + rng.normal(0, noise, len(ranges))
        return np.where(ranges < FARTHEST, noisy, np.inf).astype(np.float32)

    def _find_route(self, kind: str, seed: int) -> tuple[World, Route, float]:
        for attempt in range(_WORLDS_TRIED):
            rng = np.random.default_rng([seed, attempt])
            world = worlds.build(rng, self._atlas, kind)
            route = find_route(rng, world)
            if route is not None:
                return world, route, float(rng.uniform(0, route.length))
        raise SettingError(f"no {kind} of seed {seed} has space for a robot; use another seed")
