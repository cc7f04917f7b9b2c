"""A closed route through a world for a robot: two straights and two half circles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from depth_anything_ros.synthetic.rendering.scene import Scene
from depth_anything_ros.synthetic.rendering.scene_batch import stack
from depth_anything_ros.synthetic.rendering.solids import Kind
from depth_anything_ros.synthetic.worlds.world import World

BODY = 0.25
"""Radius in metres of the free space a robot needs around its axis."""

_BODY_HEIGHTS = (0.3, 0.55, 0.8, 1.0)
"""Where balls of radius `BODY` make up the robot: 5 cm of carpets and road lines pass below."""

_TURN = 0.4
_SHORTEST = 6.0
_CANDIDATES = 400
_SPACING = 0.1


@dataclass(frozen=True)
class Route:
    """The route, driven counter-clockwise, as a function of the distance driven along it.

    Attributes:
        x: Centre in the world in metres.
        y: Centre in the world in metres.
        heading: Direction of the first straight in radians from the world's x axis.
        half: Half the length of a straight in metres, 0 for a circle.
        radius: Radius of the half circles in metres.
    """

    x: float
    y: float
    heading: float
    half: float
    radius: float

    @property
    def length(self) -> float:
        """Metres of one lap."""
        return 4 * self.half + 2 * math.pi * self.radius

    def curvature(self, distance: float) -> float:
        """Curvature of the route, positive to the left.

        Args:
            distance: Metres driven.

        Returns:
            1/m; times the speed it is the yaw rate in rad/s.
        """
        return 1 / self.radius if self._into_lap(distance)[1] >= 2 * self.half else 0.0

    def pose(self, distance: float) -> npt.NDArray[np.float64]:
        """Where a robot is that has driven so far.

        Args:
            distance: Metres driven from the start of the first straight.

        Returns:
            4x4 float64, base (x forward, y left, z up, on the ground) -> world.
        """
        second, along = self._into_lap(distance)
        turned = max(along - 2 * self.half, 0.0) / self.radius
        x = min(along, 2 * self.half) - self.half + self.radius * math.sin(turned)
        y = -self.radius * math.cos(turned)
        if second:  # the second half of the lap is the first one turned about the centre
            x, y, turned = -x, -y, turned + math.pi
        c, s = math.cos(self.heading), math.sin(self.heading)
        yaw = self.heading + turned
        pose = np.eye(4)
        pose[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
        pose[:2, 3] = self.x + c * x - s * y, self.y + s * x + c * y
        return pose

    def _into_lap(self, distance: float) -> tuple[bool, float]:
        """Whether this is the second half of the lap, and the metres into that half."""
        lap = distance % self.length
        half_lap = self.length / 2
        return (True, lap - half_lap) if lap >= half_lap else (False, lap)


def find_route(rng: np.random.Generator, world: World) -> Route | None:
    """Find a long route on which a robot touches nothing.

    Args:
        rng: Random generator.
        world: A world on level ground.

    Returns:
        The route, or None when the world has no space for one of at least 6 m.
    """
    low, high = np.array(world.low) + BODY + 0.1, np.array(world.high) - BODY - 0.1
    reach = float(min(high - low)) / 2
    if reach <= _TURN:
        return None
    candidates = [
        Route(
            x=rng.uniform(low[0], high[0]),
            y=rng.uniform(low[1], high[1]),
            heading=rng.normal(0, 0.1) if world.kind == "street" else rng.uniform(0, 2 * math.pi),
            half=rng.uniform(0, float(max(high - low)) / 2),
            radius=rng.uniform(_TURN, reach),
        )
        for _ in range(_CANDIDATES)
    ]
    boxes = _Boxes(world.scene)
    for route in sorted(candidates, key=lambda route: -route.length):
        if route.length < _SHORTEST:
            return None
        steps = math.ceil(route.length / _SPACING)
        way = np.array([route.pose(k * route.length / steps)[:2, 3] for k in range(steps)])
        if ((way < low) | (way > high)).any():
            continue
        if all(boxes.clear(np.insert(way, 2, height, 1), BODY) for height in _BODY_HEIGHTS):
            return route
    return None


class _Boxes:
    """The bounding boxes of a scene's solids."""

    def __init__(self, scene: Scene) -> None:
        tensors = stack([scene])
        solid = ((tensors.kind[0] >= 0) & (tensors.kind[0] < Kind.PLANE)).numpy()
        self._turn = tensors.turn[0].numpy()[solid]
        self._half = tensors.half[0].numpy()[solid]
        self._offset = np.einsum("nij,nj->ni", self._turn, tensors.centre[0].numpy()[solid])

    def clear(self, points: npt.NDArray[np.float64], radius: float) -> bool:
        """Whether all points (Nx3 metres) keep a distance from all boxes."""
        local = np.einsum("nij,pj->pni", self._turn, points) - self._offset
        outside = np.maximum(np.abs(local) - self._half, 0)
        return not bool(((outside * outside).sum(2) < radius * radius).any())
