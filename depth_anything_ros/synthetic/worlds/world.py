"""A world: a scene, and where a camera may be in it."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.synthetic.rendering.scene import Scene
from depth_anything_ros.synthetic.rendering.terrain import height_at


@dataclass(frozen=True)
class World:
    """A scene and where a camera may be in it.

    Attributes:
        scene: The scene.
        kind: What it is ("room", "corridor", "hall", "street", "road", "nature").
        low: Smallest x and y a camera may have, in metres.
        high: Largest x and y a camera may have, in metres.
        ceiling: Largest height of a camera over the ground in metres.
    """

    scene: Scene
    kind: str
    low: tuple[float, float]
    high: tuple[float, float]
    ceiling: float

    def ground(self, x: float, y: float) -> float:
        """Height of the ground at a place.

        Args:
            x: Metres.
            y: Metres.

        Returns:
            Metres.
        """
        if self.scene.heights is None:
            return 0.0
        return height_at(self.scene.heights, self.scene.extent, x, y)
