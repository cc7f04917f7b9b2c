"""Random cameras: lenses, and poses as on robots, cars, drones and in hands."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.synthetic.worlds.world import World

NARROWEST, WIDEST = 35.0, 110.0
"""Horizontal field of view in degrees."""

_CARRIERS = (
    # share, height over ground (m), tilt upwards mean and deviation (degrees), roll deviation
    (0.25, (0.10, 0.60), 0.0, 6.0, 1.5),  # floor robots
    (0.25, (0.60, 1.50), -4.0, 8.0, 2.0),  # larger robots, cars
    (0.30, (1.20, 1.80), -6.0, 10.0, 4.0),  # phones and heads
    (0.10, (1.30, 2.40), -1.0, 3.0, 1.0),  # on and behind the windscreens of vehicles
    (0.10, (1.50, 5.00), -18.0, 12.0, 4.0),  # drones, masts, cameras under a ceiling
)
_TRIES = 24


def random_camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    """Draw the lens: wide and narrow ones alike, square pixels, centre a little off.

    Args:
        rng: Random generator.
        width: Columns of the image.
        height: Rows of the image.

    Returns:
        An ideal camera.
    """
    angle = math.radians(rng.uniform(NARROWEST, WIDEST))
    focal = width / (2 * math.tan(angle / 2))
    cx = (width - 1) / 2 + rng.normal(0, 0.01) * width
    cy = (height - 1) / 2 + rng.normal(0, 0.01) * height
    return Camera(width, height, focal, focal * float(rng.normal(1, 0.003)), cx, cy)


def random_pose(rng: np.random.Generator, world: World) -> npt.NDArray[np.float64]:
    """Draw a camera pose outside of all solids, with free space ahead.

    Args:
        rng: Random generator.
        world: The world.

    Returns:
        4x4 float64, optical frame -> world.
    """
    carrier = _CARRIERS[int(rng.choice(len(_CARRIERS), p=[row[0] for row in _CARRIERS]))]
    _, heights, tilt_mean, tilt_spread, roll_spread = carrier
    best, best_score = np.eye(4), -1.0
    for _ in range(_TRIES):
        x, y = (
            rng.uniform(low, high) * 0.93 for low, high in zip(world.low, world.high, strict=True)
        )
        above = min(rng.uniform(*heights), world.ceiling - 0.15)
        z = world.ground(x, y) + above
        if world.kind == "street":
            yaw = rng.normal(0, 0.5)
        elif world.kind == "road":
            # Vehicles have cameras all around; most face along the road.
            ahead_or_back = math.pi * (rng.uniform() < 0.4)
            yaw = ahead_or_back + (rng.normal(0, 0.3) if rng.uniform() < 0.6 else 0.0)
            yaw = yaw if rng.uniform() < 0.65 else rng.uniform(-math.pi, math.pi)
        elif world.kind == "corridor":
            yaw = rng.normal(0, 0.4) + math.pi * (rng.uniform() < 0.5)
        else:
            # Rather towards the far side of the place than into the nearest wall.
            yaw = math.atan2(-y, -x) + rng.normal(0, 0.9)
        tilt = math.radians(rng.normal(tilt_mean, tilt_spread))
        roll = math.radians(rng.normal(0, roll_spread))
        ahead = 0.45
        free = world.scene.clearance((x, y, z))
        front = world.scene.clearance((x + ahead * math.cos(yaw), y + ahead * math.sin(yaw), z))
        score = min(free, 0.25) + min(front, 0.3) + 0.2 * min(_reach(world, x, y, yaw), 1.5)
        if score > best_score:
            best, best_score = camera_pose(x, y, z, yaw, tilt, roll), score
        if score >= 0.75:
            break
    return best


def _reach(world: World, x: float, y: float, yaw: float) -> float:
    """Metres to the wall ahead; endless outdoors. A picture of a bare wall has no depth cues."""
    if world.kind in ("street", "road", "nature"):
        return math.inf
    directions = (math.cos(yaw), math.sin(yaw))
    lengths = []
    for place, step, low, high in zip((x, y), directions, world.low, world.high, strict=True):
        edge = high if step > 0 else low
        lengths.append((edge - place) / step if abs(step) > 1e-6 else math.inf)
    return min(lengths)


def camera_pose(
    x: float, y: float, z: float, yaw: float, tilt: float = 0.0, roll: float = 0.0
) -> npt.NDArray[np.float64]:
    """The pose of a camera at a place.

    Args:
        x: Metres in the world (x forward, y left, z up).
        y: Metres.
        z: Metres.
        yaw: Radians from the world's x axis, to the left.
        tilt: Radians upwards.
        roll: Radians clockwise in the image.

    Returns:
        4x4 float64, optical frame (x right, y down, z forward) -> world.
    """
    cy, sy, ct, st = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
    forward = np.array([cy * ct, sy * ct, st])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    cr, sr = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0] = cr * right + sr * down
    pose[:3, 1] = cr * down - sr * right
    pose[:3, 2] = forward
    pose[:3, 3] = x, y, z
    return pose
