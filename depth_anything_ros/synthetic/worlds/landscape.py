"""Worlds of the open country: hills, fields, woods and parks."""

from __future__ import annotations

import math

import numpy as np

from depth_anything_ros.synthetic.rendering.lights import daylight
from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Scene
from depth_anything_ros.synthetic.rendering.terrain import fractal_heights, height_at
from depth_anything_ros.synthetic.worlds import outdoors
from depth_anything_ros.synthetic.worlds.buildings import house
from depth_anything_ros.synthetic.worlds.world import World


def nature(rng: np.random.Generator, materials: MaterialSampler) -> World:
    """Hills, fields, woods and parks."""
    scene = Scene()
    extent = rng.uniform(80, 300)
    flat = rng.uniform() < 0.4
    relief = rng.uniform(0.1, 0.6) if flat else rng.uniform(1, 6)
    heights = fractal_heights(rng, extent, relief, rng.uniform(0.3, 0.5))
    material = materials.of("earth", rng.uniform(0.08, 0.32))
    scene.terrain(heights, extent, material)
    # Behind the terrain's edge the land goes on below its mean height.
    scene.plane((0, 0, float(heights.mean()) - 2 * relief), (0, 0, 1), material)
    for _ in range(int(rng.integers(8, 45))):
        distance, angle = 2 + 40 * rng.uniform() ** 2, rng.uniform(0, 2 * math.pi)
        x, y = distance * math.cos(angle), distance * math.sin(angle)
        maker = outdoors.NATURE[int(rng.integers(len(outdoors.NATURE)))]
        maker(scene.at(x, y, height_at(heights, extent, x, y), rng.uniform(0, 6.3)), rng, materials)
    if rng.uniform() < 0.3:
        x, y = rng.uniform(8, 25), rng.uniform(-12, 12)
        z = height_at(heights, extent, x, y) - 0.5
        house(scene.at(x, y, z, rng.uniform(0, 6.3)), rng, materials)
    scene.light = daylight(rng, materials)
    return World(scene, "nature", (-3, -3), (3, 3), 5.0)
