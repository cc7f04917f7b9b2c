"""Random worlds: rooms, corridors, halls, streets, roads, nature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.textures import Atlas
from depth_anything_ros.synthetic.worlds.landscape import nature
from depth_anything_ros.synthetic.worlds.rooms import corridor, hall, room
from depth_anything_ros.synthetic.worlds.streets import road, street
from depth_anything_ros.synthetic.worlds.world import World

_WORLDS: tuple[tuple[Callable[[np.random.Generator, MaterialSampler], World], float], ...] = (
    (room, 0.40),
    (corridor, 0.07),
    (hall, 0.11),
    (street, 0.18),
    (road, 0.14),
    (nature, 0.10),
)
KINDS = tuple(make.__name__ for make, _ in _WORLDS)
"""Names of the kinds of world."""


def build(rng: np.random.Generator, atlas: Atlas, kind: str | None = None) -> World:
    """Make a world.

    Args:
        rng: Random generator.
        atlas: Textures to choose from.
        kind: One of `KINDS`; drawn when not given.

    Returns:
        The world.
    """
    makers = {make.__name__: make for make, _ in _WORLDS}
    if kind is None:
        kind = str(rng.choice(KINDS, p=[share for _, share in _WORLDS]))
    return makers[kind](rng, MaterialSampler(rng, atlas))
