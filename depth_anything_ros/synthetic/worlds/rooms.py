"""Worlds indoors: rooms, corridors, halls."""

from __future__ import annotations

import math

import numpy as np

from depth_anything_ros.synthetic.rendering.lights import indoor_light
from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Place, Scene
from depth_anything_ros.synthetic.worlds import furniture
from depth_anything_ros.synthetic.worlds.world import World


def room(rng: np.random.Generator, materials: MaterialSampler) -> World:
    """A furnished room of a home or an office."""
    x, y, z = rng.uniform(1.5, 4.5), rng.uniform(1.4, 3.5), rng.uniform(2.3, 3.3)
    scene = _shell(rng, materials, x, y, z)
    _decorate(scene, rng, materials, x, y, z)
    for _ in range(int(rng.integers(2, 8))):
        _against_wall(scene, rng, materials, x, y)
    for _ in range(int(rng.integers(1, 9))):
        maker = furniture.FREE[int(rng.integers(len(furniture.FREE)))]
        maker(_free_place(scene, rng, x, y), rng, materials)
    for _ in range(int(rng.integers(0, 6))):
        furniture.small_thing(_free_place(scene, rng, x, y), rng, materials)
    if rng.uniform() < 0.5:
        carpet = (rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.2), 0.006)
        _free_place(scene, rng, x / 2, y / 2).box((0, 0, 0), carpet, materials.of("cloth"))
    scene.light = indoor_light(rng, x, y, z)
    return World(scene, "room", (-x, -y), (x, y), z)


def corridor(rng: np.random.Generator, materials: MaterialSampler) -> World:
    """A long passage with doors, pipes and things along its walls."""
    x, y, z = rng.uniform(5, 16), rng.uniform(0.7, 1.6), rng.uniform(2.2, 3.2)
    scene = _shell(rng, materials, x, y, z)
    _decorate(scene, rng, materials, x, y, z)
    door, frame = materials.of("wood"), materials.of("paint")
    for side in (-1, 1):
        position = -x + rng.uniform(0.8, 2)
        while position < x - 0.8:
            at = scene.at(position, side * y)
            at.box((0, 0, 1.02), (0.5, 0.03, 1.05), frame)
            at.box((0, 0, 1.0), (0.44, 0.05, 1.0), door)
            at.ball(
                (0.36, -side * 0.09, 1.02), (0.05, 0.02, 0.02), materials.of("metal", gloss=0.9)
            )
            position += rng.uniform(1.4, 5)
    for _ in range(int(rng.integers(0, 4))):
        pipe = rng.uniform(0.02, 0.12)
        scene.at(0, rng.uniform(-0.9, 0.9) * y, z - 2 * pipe).rod(
            (0, 0, 0), pipe, x, materials.of("metal", gloss=0.4), pitch=math.pi / 2
        )
    for _ in range(int(rng.integers(0, 7))):
        makers = (
            furniture.plant,
            furniture.carton,
            furniture.barrel,
            furniture.chair,
            furniture.person,
        )
        at = scene.at(rng.uniform(-x, x), rng.choice([-1, 1]) * (y - 0.3), 0, rng.uniform(0, 6.3))
        makers[int(rng.integers(len(makers)))](at, rng, materials)
    scene.light = indoor_light(rng, x, y, z)
    return World(scene, "corridor", (-x, -y), (x, y), z)


def hall(rng: np.random.Generator, materials: MaterialSampler) -> World:
    """A warehouse, workshop or garage."""
    x, y, z = rng.uniform(5, 14), rng.uniform(4, 10), rng.uniform(3.5, 8)
    scene = _shell(rng, materials, x, y, z)
    _decorate(scene, rng, materials, x, y, z)
    column = materials.of("paint")
    if rng.uniform() < 0.5:
        for px in np.arange(-x + 2, x, rng.uniform(3, 6)):
            for py in (-y / 2, y / 2):
                scene.at(float(px), py).box((0, 0, z / 2), (0.18, 0.18, z / 2), column)
    yaw = float(rng.choice([0, math.pi / 2]))
    for row in np.arange(-y + 1, y, rng.uniform(2.5, 4.5)):
        for px in np.arange(-x + 1.5, x - 1, 2.9):
            if rng.uniform() < 0.45:
                furniture.rack(
                    scene.at(float(px), float(row), 0, yaw + math.pi / 2), rng, materials
                )
    for _ in range(int(rng.integers(4, 14))):
        maker = furniture.STORED[int(rng.integers(len(furniture.STORED)))]
        maker(_free_place(scene, rng, x, y), rng, materials)
    scene.light = indoor_light(rng, x, y, z)
    return World(scene, "hall", (-x, -y), (x, y), 3.0)


def _shell(
    rng: np.random.Generator, materials: MaterialSampler, x: float, y: float, z: float
) -> Scene:
    """Floor, ceiling and four walls, now and then with a glossy floor."""
    scene = Scene()
    floor = materials.of("floor", gloss=0.4)
    if rng.uniform() < 0.12:
        floor = type(floor)(
            floor.dark, floor.bright, floor.texture, floor.scale, 0.4, float(rng.uniform(0.05, 0.2))
        )
    scene.plane((0, 0, 0), (0, 0, 1), floor)
    scene.plane((0, 0, z), (0, 0, -1), materials.of("ceiling"))
    wall = materials.of("wall")
    for point, normal in (
        ((x, 0.0, 0.0), (-1.0, 0.0, 0.0)),
        ((-x, 0.0, 0.0), (1.0, 0.0, 0.0)),
        ((0.0, y, 0.0), (0.0, -1.0, 0.0)),
        ((0.0, -y, 0.0), (0.0, 1.0, 0.0)),
    ):
        scene.plane(point, normal, materials.of("wall") if rng.uniform() < 0.3 else wall)
    if rng.uniform() < 0.6:
        board = materials.of("wood")
        for side in (-1, 1):
            scene.at(0, side * y).box((0, 0, 0.05), (x, 0.015, 0.05), board)
            scene.at(side * x, 0).box((0, 0, 0.05), (0.015, y, 0.05), board)
    return scene


def _decorate(
    scene: Scene, rng: np.random.Generator, materials: MaterialSampler, x: float, y: float, z: float
) -> None:
    """Windows, mirrors, pictures, doors, lamps, beams and wall ends."""
    for _ in range(int(rng.integers(1, 7))):
        long = rng.uniform() < 0.5
        side = float(rng.choice([-1, 1]))
        along = rng.uniform(-0.8, 0.8) * (x if long else y)
        at = scene.at(
            along if long else side * x,
            side * y if long else along,
            0,
            (-side if long else (1 - side)) * math.pi / 2,
        )
        # In this place x leads away from the wall into the room.
        what = rng.uniform()
        w, h = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.6)
        if what < 0.35:
            w, h = w + 0.2, h + 0.15
            frame = materials.of("paint")
            at.box((0, 0, 1.4), (0.03, w + 0.06, h + 0.06), frame)
            at.box((0, 0, 1.4), (0.035, w, h), materials.glass())
            at.box((0.02, 0, 1.4), (0.02, 0.02, h), frame)
            if rng.uniform() < 0.5:
                for end in (-1, 1):
                    for fold in range(4):
                        at.rod(
                            (0.1, end * (w + 0.05 - 0.07 * fold), 1.3),
                            0.05,
                            h + 0.4,
                            materials.of("cloth", 0.1),
                        )
        elif what < 0.45:
            at.box((0, 0, 1.4), (0.02, w * 0.7, h), materials.mirror())
        elif what < 0.75:
            at.box((0, 0, 1.5), (0.02, w, h), materials.of("wood"))
            at.box((0, 0, 1.5), (0.024, w * 0.92, h * 0.92), materials.picture(2 * w))
        elif what < 0.9:
            at.box((0, 0, 1.02), (0.02, 0.5, 1.06), materials.of("paint"))
            at.box((0, 0, 1.0), (0.04, 0.44, 1.0), materials.of("wood", gloss=0.3))
        else:
            at.box(
                (0, 0, z / 2),
                (rng.uniform(0.2, 1.2), rng.uniform(0.1, 0.5), z / 2),
                materials.of("wall"),
            )
    lamp = materials.lamp()
    for _ in range(int(rng.integers(1, 4))):
        at = scene.at(rng.uniform(-0.7, 0.7) * x, rng.uniform(-0.7, 0.7) * y, z)
        if rng.uniform() < 0.5:
            at.box((0, 0, 0), (rng.uniform(0.1, 0.6), 0.15, 0.04), lamp)
        else:
            drop = rng.uniform(0.1, 0.4)
            at.rod((0, 0, -drop), 0.008, drop, materials.of("metal"))
            at.ball((0, 0, -2 * drop), (0.14, 0.14, 0.12), lamp)
    if rng.uniform() < 0.2:
        beam = materials.of("wood")
        for px in np.arange(-x, x, rng.uniform(0.8, 2)):
            scene.at(float(px), 0, z).box((0, 0, 0), (0.08, y, 0.12), beam)


def _against_wall(
    scene: Scene, rng: np.random.Generator, materials: MaterialSampler, x: float, y: float
) -> None:
    maker = furniture.BY_THE_WALL[int(rng.integers(len(furniture.BY_THE_WALL)))]
    side = float(rng.choice([-1, 1]))
    if rng.uniform() < 0.5:
        at = scene.at(rng.uniform(-0.9, 0.9) * x, side * (y - 0.4), 0, -side * math.pi / 2)
    else:
        at = scene.at(side * (x - 0.4), rng.uniform(-0.9, 0.9) * y, 0, (1 + side) * math.pi / 2)
    maker(at, rng, materials)


def _free_place(scene: Scene, rng: np.random.Generator, x: float, y: float) -> Place:
    return scene.at(
        rng.uniform(-0.85, 0.85) * x, rng.uniform(-0.85, 0.85) * y, 0, rng.uniform(0, 6.3)
    )
