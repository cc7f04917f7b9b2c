"""A drive through a field of coloured panels, with a 16-beam LiDAR: fast, exact, full of edges."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.frames import Frame, SparsePoints
from depth_anything_ros.geometry.camera import Camera, project

Array = npt.NDArray[np.float64]

CAMERA = Camera.from_hfov(320, 240, 70.0)
LIDAR_UP = 0.12
"""Metres by which the LiDAR stands above the camera; its axes are those of the optical frame."""

RATE, SPEED, TURN_RATE = 5.0, 0.5, 0.5
_PANELS, _NEAREST, _FARTHEST = 60, 2.0, 12.0
_SHOT, _BEAM = math.radians(0.4), math.radians(2.0)


class Panels:
    """Upright and leaning quadrilaterals that face the start, in front of a grey sky.

    Args:
        seed: Decides where they stand, their colours and all noise.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        across = rng.uniform(-1.0, 1.0, _PANELS)
        away = rng.uniform(_NEAREST, _FARTHEST, _PANELS) + 4.0
        self._away = np.sort(away)[::-1]
        middle = np.stack([across * self._away, rng.uniform(-1.0, 0.7, _PANELS)], axis=1)
        size = rng.uniform(0.25, 0.9, (_PANELS, 1, 2))
        lean = rng.uniform(-0.7, 0.7, (_PANELS, 1))
        corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * size
        corners[..., 0] += lean * corners[..., 1]
        self._corners = corners + middle[:, None]  # Nx4x2, of the plane z = away
        self._colours = rng.integers(0, 256, (_PANELS, 3))
        self._rng = np.random.default_rng([seed, 1])

    def picture(self, pose: Array) -> npt.NDArray[np.uint8]:
        """The picture from a pose (optical frame -> world), HxWx3 uint8 with noise."""
        image = np.full((CAMERA.height * 2, CAMERA.width * 2, 3), 128, np.uint8)
        world = np.linalg.inv(pose)
        for corners, away, colour in zip(self._corners, self._away, self._colours, strict=True):
            xyz = np.c_[corners, np.full(4, away)] @ world[:3, :3].T + world[:3, 3]
            if xyz[:, 2].min() < 0.3:
                continue
            u = CAMERA.fx * xyz[:, 0] / xyz[:, 2] + CAMERA.cx
            v = CAMERA.fy * xyz[:, 1] / xyz[:, 2] + CAMERA.cy
            drawn = np.stack([2 * u + 0.5, 2 * v + 0.5], axis=1) * 16
            cv2.fillConvexPoly(image, np.rint(drawn).astype(np.int32), colour.tolist(), shift=4)
        small = cv2.resize(image, (CAMERA.width, CAMERA.height), interpolation=cv2.INTER_AREA)
        noise = self._rng.integers(0, 6, small.shape, np.uint8)
        return np.asarray(cv2.add(small, noise), np.uint8)

    def scan(self, pose: Array) -> Array:
        """What the LiDAR measures from a pose of the camera, Nx3 metres in the LiDAR's frame."""
        azimuth = np.arange(-80, 81) * _SHOT * 1.1
        elevation = (np.arange(16) - 7.5) * _BEAM
        azimuth, elevation = (each.ravel() for each in np.meshgrid(azimuth, elevation))
        beams = np.stack([np.tan(azimuth), -np.tan(elevation) / np.cos(azimuth), 0 * azimuth + 1])
        directions = pose[:3, :3] @ beams
        origin = pose[:3, 3] + pose[:3, :3] @ [0.0, -LIDAR_UP, 0.0]
        nearest = np.full(len(azimuth), np.inf)
        for corners, away in zip(self._corners, self._away, strict=True):
            along = (away - origin[2]) / directions[2]
            x, y = origin[:2, None] + along * directions[:2]
            inside = along > 0.3
            for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
            nearest = np.where(inside & (along < nearest), along, nearest)
        hit = np.isfinite(nearest)
        length = nearest[hit] + self._rng.normal(0, 0.01, int(hit.sum()))
        return np.asarray((beams[:, hit] * length).T)


def pose_at(seconds: float) -> Array:
    """Where the camera is: it drives ahead and swings from side to side."""
    heading = TURN_RATE / 0.9 * (1 - math.cos(0.9 * seconds)) - 0.5
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.array([0.0, heading, 0.0]))[0]
    pose[:3, 3] = [0.0, 0.0, SPEED * min(seconds, 6.0)]
    return pose


def drive(
    seconds: float,
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    late: float = 0.0,
    apart: float = 0.0,
    seed: int = 0,
    posed: bool = True,
) -> Iterator[Frame]:
    """Frames whose points are placed as if the LiDAR's pose and stamps were right.

    Args:
        seconds: How long it takes.
        turn_deg: How the LiDAR is turned in truth (up, right, clockwise), which nobody knows.
        late: Seconds by which its scans are older than their stamps.
        apart: Seconds by which their stamps are after the images'.
        seed: Of the world.
        posed: Whether the camera's pose is known.

    Yields:
        Pairs of frames 0.1 s apart; the first of a pair has no points.
    """
    panels = Panels(seed)
    sensor = cv2.Rodrigues(np.radians(np.array(turn_deg)))[0]
    for number in range(round(seconds * RATE)):
        for moment, scanned in ((number / RATE, False), (number / RATE + 0.1, True)):
            points = None
            if scanned:
                # The turned LiDAR's beams in its own frame are those of a straight one's, turned.
                at = pose_at(moment + apart - late)
                local = panels.scan(at) @ sensor
                local[:, 1] -= LIDAR_UP
                points = SparsePoints(*project(CAMERA, local), source="/points", apart=apart)
            pose = pose_at(moment)
            yield Frame(
                panels.picture(pose),
                10**9 + round(moment * 1e9),
                camera=CAMERA,
                points=points,
                pose=pose if posed else None,
            )
