"""Whole scenes at chance: rooms, corridors, halls, streets, nature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.synthetic import furniture, outdoors
from depth_anything_ros.synthetic.looks import Looks
from depth_anything_ros.synthetic.scene import Light, Place, Rgb, Scene
from depth_anything_ros.synthetic.terrain import fractal_heights, height_at
from depth_anything_ros.synthetic.textures import Atlas


@dataclass(frozen=True)
class World:
    """A scene and where a camera may be in it.

    Attributes:
        scene: The scene.
        kind: What it is ("room", "corridor", "hall", "street", "nature").
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


def room(rng: np.random.Generator, looks: Looks) -> World:
    """A furnished room of a home or an office."""
    x, y, z = rng.uniform(1.5, 4.5), rng.uniform(1.4, 3.5), rng.uniform(2.3, 3.3)
    scene = _shell(rng, looks, x, y, z)
    _decorate(scene, rng, looks, x, y, z)
    for _ in range(int(rng.integers(2, 8))):
        _against_wall(scene, rng, looks, x, y)
    for _ in range(int(rng.integers(1, 9))):
        maker = furniture.FREE[int(rng.integers(len(furniture.FREE)))]
        maker(_free_place(scene, rng, x, y), rng, looks)
    for _ in range(int(rng.integers(0, 6))):
        furniture.small_thing(_free_place(scene, rng, x, y), rng, looks)
    if rng.uniform() < 0.5:
        carpet = (rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.2), 0.006)
        _free_place(scene, rng, x / 2, y / 2).box((0, 0, 0), carpet, looks.of("cloth"))
    scene.light = _indoor_light(rng, x, y, z)
    return World(scene, "room", (-x, -y), (x, y), z)


def corridor(rng: np.random.Generator, looks: Looks) -> World:
    """A long passage with doors, pipes and things along its walls."""
    x, y, z = rng.uniform(5, 16), rng.uniform(0.7, 1.6), rng.uniform(2.2, 3.2)
    scene = _shell(rng, looks, x, y, z)
    _decorate(scene, rng, looks, x, y, z)
    door, frame = looks.of("wood"), looks.of("paint")
    for side in (-1, 1):
        position = -x + rng.uniform(0.8, 2)
        while position < x - 0.8:
            at = scene.at(position, side * y)
            at.box((0, 0, 1.02), (0.5, 0.03, 1.05), frame)
            at.box((0, 0, 1.0), (0.44, 0.05, 1.0), door)
            at.ball((0.36, -side * 0.09, 1.02), (0.05, 0.02, 0.02), looks.of("metal", gloss=0.9))
            position += rng.uniform(1.4, 5)
    for _ in range(int(rng.integers(0, 4))):
        pipe = rng.uniform(0.02, 0.12)
        scene.at(0, rng.uniform(-0.9, 0.9) * y, z - 2 * pipe).rod(
            (0, 0, 0), pipe, x, looks.of("metal", gloss=0.4), pitch=math.pi / 2
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
        makers[int(rng.integers(len(makers)))](at, rng, looks)
    scene.light = _indoor_light(rng, x, y, z)
    return World(scene, "corridor", (-x, -y), (x, y), z)


def hall(rng: np.random.Generator, looks: Looks) -> World:
    """A warehouse, workshop or garage."""
    x, y, z = rng.uniform(5, 14), rng.uniform(4, 10), rng.uniform(3.5, 8)
    scene = _shell(rng, looks, x, y, z)
    _decorate(scene, rng, looks, x, y, z)
    column = looks.of("paint")
    if rng.uniform() < 0.5:
        for px in np.arange(-x + 2, x, rng.uniform(3, 6)):
            for py in (-y / 2, y / 2):
                scene.at(float(px), py).box((0, 0, z / 2), (0.18, 0.18, z / 2), column)
    yaw = float(rng.choice([0, math.pi / 2]))
    for row in np.arange(-y + 1, y, rng.uniform(2.5, 4.5)):
        for px in np.arange(-x + 1.5, x - 1, 2.9):
            if rng.uniform() < 0.45:
                furniture.rack(scene.at(float(px), float(row), 0, yaw + math.pi / 2), rng, looks)
    for _ in range(int(rng.integers(4, 14))):
        maker = furniture.STORED[int(rng.integers(len(furniture.STORED)))]
        maker(_free_place(scene, rng, x, y), rng, looks)
    scene.light = _indoor_light(rng, x, y, z)
    return World(scene, "hall", (-x, -y), (x, y), 3.0)


def street(rng: np.random.Generator, looks: Looks) -> World:
    """A street along x: road, pavements, houses, cars, poles, trees, people."""
    scene = Scene()
    road, kerb = rng.uniform(2.5, 6.0), rng.uniform(1.2, 4.0)
    scene.plane((0, 0, 0), (0, 0, 1), looks.of("road"))
    pavement = looks.of("pavement")
    line = looks.of("paint")
    white = type(line)((0.7, 0.7, 0.65), (0.95, 0.95, 0.9), line.texture, 1.0)
    for px in np.arange(-15, 60, rng.uniform(4, 9)):
        scene.at(float(px), 0).box((0, 0, 0), (1.2, 0.07, 0.004), white)
    green = rng.uniform() < 0.3
    for side in (-1, 1):
        ground = looks.of("earth", 0.27) if green and rng.uniform() < 0.6 else pavement
        scene.at(10, side * (road + 20)).box((0, 0, 0), (90, 20, 0.12), ground)
        _houses(scene, rng, looks, side, road + kerb, green)
        for px in np.arange(-8, 50, rng.uniform(4, 11)):
            if rng.uniform() < 0.7:
                maker = outdoors.PAVEMENT[int(rng.integers(len(outdoors.PAVEMENT)))]
                place = scene.at(
                    float(px) + rng.normal(0, 1),
                    side * (road + rng.uniform(0.4, kerb)),
                    0.12,
                    rng.uniform(0, 6.3),
                )
                maker(place, rng, looks)
        parked = rng.uniform() < 0.6
        for px in np.arange(-9, 45, rng.uniform(5.2, 7)):
            if parked and rng.uniform() < 0.5:
                outdoors.car(
                    scene.at(
                        float(px),
                        side * (road - 1.1),
                        0,
                        rng.normal(0, 0.03) + math.pi * (rng.uniform() < 0.5),
                    ),
                    rng,
                    looks,
                )
    for _ in range(int(rng.integers(0, 4))):
        lane = float(rng.choice([-1, 1]))
        at = scene.at(rng.uniform(5, 60), lane * road * 0.35, 0, 0.0 if lane < 0 else math.pi)
        outdoors.car(at, rng, looks)
    if rng.uniform() < 0.3:
        wire = looks.of("metal")
        for _ in range(int(rng.integers(1, 4))):
            scene.at(10, rng.uniform(-road, road), rng.uniform(5, 8)).rod(
                (0, 0, 0), 0.02, 60, wire, pitch=math.pi / 2
            )
    scene.light = _daylight(rng, looks)
    return World(scene, "street", (-6, -road - kerb * 0.8), (6, road + kerb * 0.8), 6.0)


def nature(rng: np.random.Generator, looks: Looks) -> World:
    """Hills, fields, woods and parks."""
    scene = Scene()
    extent = rng.uniform(80, 300)
    flat = rng.uniform() < 0.4
    relief = rng.uniform(0.1, 0.6) if flat else rng.uniform(1, 6)
    heights = fractal_heights(rng, extent, relief, rng.uniform(0.3, 0.5))
    look = looks.of("earth", rng.uniform(0.08, 0.32))
    scene.terrain(heights, extent, look)
    # Behind the terrain's edge the land goes on below its mean height.
    scene.plane((0, 0, float(heights.mean()) - 2 * relief), (0, 0, 1), look)
    for _ in range(int(rng.integers(8, 45))):
        distance, angle = 2 + 40 * rng.uniform() ** 2, rng.uniform(0, 2 * math.pi)
        x, y = distance * math.cos(angle), distance * math.sin(angle)
        maker = outdoors.NATURE[int(rng.integers(len(outdoors.NATURE)))]
        maker(scene.at(x, y, height_at(heights, extent, x, y), rng.uniform(0, 6.3)), rng, looks)
    if rng.uniform() < 0.3:
        x, y = rng.uniform(8, 25), rng.uniform(-12, 12)
        _house(scene, rng, looks, x, y, height_at(heights, extent, x, y) - 0.5)
    scene.light = _daylight(rng, looks)
    return World(scene, "nature", (-3, -3), (3, 3), 5.0)


_WORLDS: tuple[tuple[Callable[[np.random.Generator, Looks], World], float], ...] = (
    (room, 0.42),
    (corridor, 0.08),
    (hall, 0.12),
    (street, 0.26),
    (nature, 0.12),
)
KINDS = tuple(make.__name__ for make, _ in _WORLDS)
"""Names of the kinds of world."""


def build(rng: np.random.Generator, atlas: Atlas, kind: str | None = None) -> World:
    """Make a world.

    Args:
        rng: Source of chance.
        atlas: Textures to choose from.
        kind: One of `KINDS`; drawn when not given.

    Returns:
        The world.
    """
    makers = {make.__name__: make for make, _ in _WORLDS}
    if kind is None:
        kind = str(rng.choice(KINDS, p=[share for _, share in _WORLDS]))
    return makers[kind](rng, Looks(rng, atlas))


# --- parts -----------------------------------------------------------------------------------


def _shell(rng: np.random.Generator, looks: Looks, x: float, y: float, z: float) -> Scene:
    """Floor, ceiling and four walls, now and then with a glossy floor."""
    scene = Scene()
    floor = looks.of("floor", gloss=0.4)
    if rng.uniform() < 0.12:
        floor = type(floor)(
            floor.dark, floor.bright, floor.texture, floor.scale, 0.4, float(rng.uniform(0.05, 0.2))
        )
    scene.plane((0, 0, 0), (0, 0, 1), floor)
    scene.plane((0, 0, z), (0, 0, -1), looks.of("ceiling"))
    wall = looks.of("wall")
    for point, normal in (
        ((x, 0.0, 0.0), (-1.0, 0.0, 0.0)),
        ((-x, 0.0, 0.0), (1.0, 0.0, 0.0)),
        ((0.0, y, 0.0), (0.0, -1.0, 0.0)),
        ((0.0, -y, 0.0), (0.0, 1.0, 0.0)),
    ):
        scene.plane(point, normal, looks.of("wall") if rng.uniform() < 0.3 else wall)
    if rng.uniform() < 0.6:
        board = looks.of("wood")
        for side in (-1, 1):
            scene.at(0, side * y).box((0, 0, 0.05), (x, 0.015, 0.05), board)
            scene.at(side * x, 0).box((0, 0, 0.05), (0.015, y, 0.05), board)
    return scene


def _decorate(
    scene: Scene, rng: np.random.Generator, looks: Looks, x: float, y: float, z: float
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
            frame = looks.of("paint")
            at.box((0, 0, 1.4), (0.03, w + 0.06, h + 0.06), frame)
            at.box((0, 0, 1.4), (0.035, w, h), looks.glass())
            at.box((0.02, 0, 1.4), (0.02, 0.02, h), frame)
            if rng.uniform() < 0.5:
                for end in (-1, 1):
                    for fold in range(4):
                        at.rod(
                            (0.1, end * (w + 0.05 - 0.07 * fold), 1.3),
                            0.05,
                            h + 0.4,
                            looks.of("cloth", 0.1),
                        )
        elif what < 0.45:
            at.box((0, 0, 1.4), (0.02, w * 0.7, h), looks.mirror())
        elif what < 0.75:
            at.box((0, 0, 1.5), (0.02, w, h), looks.of("wood"))
            at.box((0, 0, 1.5), (0.024, w * 0.92, h * 0.92), looks.picture(2 * w))
        elif what < 0.9:
            at.box((0, 0, 1.02), (0.02, 0.5, 1.06), looks.of("paint"))
            at.box((0, 0, 1.0), (0.04, 0.44, 1.0), looks.of("wood", gloss=0.3))
        else:
            at.box(
                (0, 0, z / 2),
                (rng.uniform(0.2, 1.2), rng.uniform(0.1, 0.5), z / 2),
                looks.of("wall"),
            )
    lamp = looks.lamp()
    for _ in range(int(rng.integers(1, 4))):
        at = scene.at(rng.uniform(-0.7, 0.7) * x, rng.uniform(-0.7, 0.7) * y, z)
        if rng.uniform() < 0.5:
            at.box((0, 0, 0), (rng.uniform(0.1, 0.6), 0.15, 0.04), lamp)
        else:
            drop = rng.uniform(0.1, 0.4)
            at.rod((0, 0, -drop), 0.008, drop, looks.of("metal"))
            at.ball((0, 0, -2 * drop), (0.14, 0.14, 0.12), lamp)
    if rng.uniform() < 0.2:
        beam = looks.of("wood")
        for px in np.arange(-x, x, rng.uniform(0.8, 2)):
            scene.at(float(px), 0, z).box((0, 0, 0), (0.08, y, 0.12), beam)


def _against_wall(scene: Scene, rng: np.random.Generator, looks: Looks, x: float, y: float) -> None:
    maker = furniture.BY_THE_WALL[int(rng.integers(len(furniture.BY_THE_WALL)))]
    side = float(rng.choice([-1, 1]))
    if rng.uniform() < 0.5:
        at = scene.at(rng.uniform(-0.9, 0.9) * x, side * (y - 0.4), 0, -side * math.pi / 2)
    else:
        at = scene.at(side * (x - 0.4), rng.uniform(-0.9, 0.9) * y, 0, (1 + side) * math.pi / 2)
    maker(at, rng, looks)


def _free_place(scene: Scene, rng: np.random.Generator, x: float, y: float) -> Place:
    return scene.at(
        rng.uniform(-0.85, 0.85) * x, rng.uniform(-0.85, 0.85) * y, 0, rng.uniform(0, 6.3)
    )


def _houses(
    scene: Scene, rng: np.random.Generator, looks: Looks, side: int, edge: float, green: bool
) -> None:
    """A row of houses, with gaps, or trees where it is green."""
    x = -14.0
    while x < 70:
        long = rng.uniform(3, 12)
        if rng.uniform() < (0.6 if green else 0.12):
            for _ in range(2):
                outdoors.tree(
                    scene.at(x + rng.uniform(0, 2 * long), side * (edge + rng.uniform(1, 7)), 0.1),
                    rng,
                    looks,
                )
            x += 2 * long
            continue
        deep, high = rng.uniform(3, 8), rng.uniform(2, 11)
        at = scene.at(x + long, side * (edge + deep + rng.uniform(0, 1.5)))
        at.box((0, 0, high), (long, deep, high), looks.of("facade"))
        if rng.uniform() < 0.5:
            at.box((0, 0, 2 * high + 0.15), (long + 0.25, deep + 0.25, 0.15), looks.of("paint"))
        else:
            _gable_roof(at, long + 0.3, deep + 0.3, 2 * high, rng.uniform(0.4, 1.1), looks)
        front = -side * deep
        for px in np.arange(-long + 1, long - 1, rng.uniform(2, 5)):
            what = rng.uniform()
            if what < 0.3:
                at.box((px, front, 1.1), (0.5, 0.06, 1.1), looks.of("wood"))
            elif what < 0.5:
                at.box((px, front, 1.5), (0.9, 0.05, 0.9), looks.glass())
            elif what < 0.65:
                z = rng.uniform(2.8, 6)
                at.box((px, front - side * 0.5, z), (1.0, 0.5, 0.08), looks.of("paint"))
                at.box((px, front - side, z + 0.5), (1.0, 0.03, 0.45), looks.of("metal"))
        x += 2 * long + (rng.uniform(1, 6) if rng.uniform() < 0.3 else 0)


def _house(
    scene: Scene, rng: np.random.Generator, looks: Looks, x: float, y: float, z: float
) -> None:
    at = scene.at(x, y, z, rng.uniform(0, 6.3))
    long, deep, high = rng.uniform(3, 7), rng.uniform(2.5, 5), rng.uniform(1.5, 3.5)
    at.box((0, 0, high), (long, deep, high), looks.of("facade"))
    _gable_roof(at, long + 0.4, deep + 0.4, 2 * high, rng.uniform(0.4, 1.1), looks)


def _gable_roof(
    at: Place, long: float, deep: float, eaves: float, slope: float, looks: Looks
) -> None:
    """A roof with its ridge along x, from the height of the eaves on, as a closed mesh."""
    ridge = eaves + slope * deep
    corners = [
        (x, y, eaves) for x, y in ((-long, -deep), (long, -deep), (long, deep), (-long, deep))
    ]
    at.mesh(
        [*corners, (-long, 0, ridge), (long, 0, ridge)],
        [(0, 1, 5), (0, 5, 4), (2, 3, 4), (2, 4, 5), (1, 2, 5), (3, 0, 4), (0, 3, 2), (0, 2, 1)],
        looks.of("roof"),
    )


# --- light -----------------------------------------------------------------------------------


def _indoor_light(rng: np.random.Generator, x: float, y: float, z: float) -> Light:
    """One lamp under the ceiling, or daylight through an unseen window; light from all sides."""
    level = rng.uniform(0.25, 0.7)
    tint = _tint(rng, 0.25)
    lamp = (rng.uniform(-0.6, 0.6) * x, rng.uniform(-0.6, 0.6) * y, z - rng.uniform(0.15, 0.5))
    low_lamp = rng.uniform() < 0.2
    if low_lamp:
        lamp = (lamp[0], lamp[1], rng.uniform(0.8, z - 0.3))
    window = _unit(rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.05, 0.6))
    strength = rng.uniform(0.1, 0.9)
    return Light(
        sun=lamp,
        near=True,
        radius=float(rng.uniform(0.05, 0.6)),
        colour=_times(_tint(rng, 0.3), strength),
        fill=window,
        fill_colour=_times(_tint(rng, 0.25), rng.uniform(0, 0.4)),
        above=_times(tint, level),
        below=_times(tint, level * rng.uniform(0.35, 0.8)),
        occlusion=float(rng.uniform(0.4, 1.2)),
    )


def _daylight(rng: np.random.Generator, looks: Looks) -> Light:
    """Sun from low to high, clear to overcast, now and then fog or dusk."""
    overcast = rng.uniform() < 0.35
    high = rng.uniform(0.1, 1.2)
    around = rng.uniform(0, 2 * math.pi)
    flat = math.cos(high)
    warm = max(0.0, 0.5 - high)
    level = rng.uniform(0.35, 0.8) if overcast else rng.uniform(0.15, 0.4)
    blue = (0.85, 0.95, 1.1) if not overcast else (1.0, 1.0, 1.0)
    sun = 0.0 if overcast else rng.uniform(0.7, 1.6)
    if overcast:
        zenith = _times(_tint(rng, 0.08), rng.uniform(0.5, 0.95))
        horizon = _times(zenith, rng.uniform(0.8, 1.2))
    else:
        zenith = (rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.95))
        horizon = (
            rng.uniform(0.5, 0.9) + warm,
            rng.uniform(0.6, 0.9),
            rng.uniform(0.6, 1.0) - warm,
        )
    dusk = rng.uniform(0.25, 0.7) if rng.uniform() < 0.12 else 1.0
    fog = float(10 ** rng.uniform(-3.5, -2.2)) if rng.uniform() < 0.88 else rng.uniform(0.01, 0.04)
    return Light(
        sun=(flat * math.cos(around), flat * math.sin(around), math.sin(high)),
        radius=float(rng.uniform(0.005, 0.06)),
        colour=_times((1.0, 0.95 - 0.4 * warm, 0.88 - 1.2 * warm), sun * dusk),
        fill=_unit(-math.cos(around), -math.sin(around), 0.5),
        fill_colour=_times(blue, rng.uniform(0, 0.2) * dusk),
        above=_times(blue, level * dusk),
        below=_times((1.0, 0.95, 0.85), level * rng.uniform(0.3, 0.6) * dusk),
        zenith=_times(zenith, dusk),
        horizon=_times(horizon, dusk),
        clouds=float(rng.uniform(0, 0.9)),
        cloud_texture=looks.texture("cloud"),
        fog=fog,
        fog_colour=_times(horizon, 0.9 * dusk),
        occlusion=float(rng.uniform(0.6, 2.0)),
    )


def _tint(rng: np.random.Generator, spread: float) -> Rgb:
    warmth = rng.uniform(-spread, spread)
    return (1.0 + 0.5 * warmth, 1.0, 1.0 - warmth)


def _times(colour: Rgb, factor: float) -> Rgb:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length)
