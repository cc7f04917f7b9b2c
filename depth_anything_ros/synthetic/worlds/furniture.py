"""Furniture and objects of rooms, built from solids of realistic sizes in metres."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Material, Place

Maker = Callable[[Place, np.random.Generator, MaterialSampler], None]


def _legs(at: Place, x: float, y: float, height: float, thick: float, material: Material) -> None:
    for sx in (-1, 1):
        for sy in (-1, 1):
            centre = (sx * (x - thick), sy * (y - thick), height / 2)
            at.box(centre, (thick / 2, thick / 2, height / 2), material)


def table(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A table or desk with objects on it."""
    x, y, z = rng.uniform(0.3, 0.6), rng.uniform(0.4, 1.0), rng.uniform(0.42, 0.78)
    material = materials.of("wood", gloss=0.4)
    at.box((0, 0, z), (x, y, 0.02), material)
    if rng.uniform() < 0.7:
        _legs(at, x, y, z - 0.02, rng.uniform(0.03, 0.08), material)
    else:
        at.rod((0, 0, z / 2), 0.05, z / 2, material)
        at.rod((0, 0, 0.02), 0.3, 0.02, material)
    for _ in range(int(rng.integers(0, 6))):
        spot = at.moved(
            rng.uniform(-x, x) * 0.8, rng.uniform(-y, y) * 0.8, z + 0.02, rng.uniform(0, 6.3)
        )
        small_thing(spot, rng, materials)


def chair(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A chair with four legs or on a column."""
    seat, frame = materials.of("cloth"), materials.of("wood", gloss=0.4)
    z, w = rng.uniform(0.4, 0.5), rng.uniform(0.2, 0.26)
    at.box((0, 0, z), (w, w, rng.uniform(0.015, 0.05)), seat)
    if rng.uniform() < 0.6:
        _legs(at, w, w, z, 0.035, frame)
    else:
        at.rod((0, 0, z / 2), 0.03, z / 2, frame)
        for k in range(5):
            yaw = k * 2 * math.pi / 5
            at.box(
                (0.14 * math.cos(yaw), 0.14 * math.sin(yaw), 0.06),
                (0.14, 0.02, 0.015),
                frame,
                yaw=yaw,
            )
    high = rng.uniform(0.18, 0.32)
    at.box((-w, 0, z + 0.12 + high), (0.015, w, high), seat, pitch=-rng.uniform(0, 0.25))


def sofa(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """An armchair or sofa with cushions."""
    material = materials.of("cloth")
    w, d = rng.uniform(0.4, 1.2), rng.uniform(0.38, 0.5)
    at.box((0, 0, 0.22), (d, w, 0.2), material)
    at.box((-d, 0, 0.45), (0.1, w, 0.4), material)
    for side in (-1, 1):
        at.box((0, side * w, 0.3), (d, 0.09, 0.3), material)
    for _ in range(int(rng.integers(0, 4))):
        at.ball(
            (-d + 0.22, rng.uniform(-w, w) * 0.7, 0.58),
            (0.09, 0.22, 0.18),
            materials.of("cloth"),
            yaw=rng.uniform(-0.5, 0.5),
        )


def bed(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A bed with pillows."""
    w = rng.uniform(0.45, 0.9)
    at.box((0, 0, 0.18), (1.0, w, 0.12), materials.of("wood"))
    at.box((0, 0, 0.4), (0.98, w * 0.98, 0.1), materials.of("cloth"))
    at.box((-1.02, 0, 0.5), (0.03, w, 0.5), materials.of("wood", gloss=0.3))
    for side in (-0.5, 0.5):
        at.ball((-0.75, side * w, 0.54), (0.2, 0.35 * w, 0.1), materials.of("cloth"))


def cupboard(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A closed cupboard, fridge or cabinet with doors and handles."""
    d, w, h = rng.uniform(0.2, 0.35), rng.uniform(0.25, 0.8), rng.uniform(0.35, 1.1)
    sort = str(rng.choice(["wood", "paint", "metal"]))
    material, handle = materials.of(sort, gloss=0.5), materials.of("metal", gloss=0.8)
    at.box((0, 0, h), (d, w, h), material)
    doors = int(rng.integers(1, 4))
    for k in range(doors):
        y = w * (2 * (k + 0.5) / doors - 1)
        at.box((d, y, h), (0.012, w / doors * 0.95, h * 0.95), material)
        at.rod((d + 0.035, y + 0.7 * w / doors, h), 0.012, 0.08, handle)
    if rng.uniform() < 0.5:
        small_thing(at.moved(0, rng.uniform(-w, w) * 0.5, 2 * h), rng, materials)


def shelf(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """An open shelf, full of things."""
    d, w, h = rng.uniform(0.13, 0.3), rng.uniform(0.3, 0.8), rng.uniform(0.5, 1.15)
    material = materials.of("wood")
    boards = int(rng.integers(3, 6))
    for side in (-1, 1):
        at.box((0, side * w, h), (d, 0.015, h), material)
    if rng.uniform() < 0.7:
        at.box((-d, 0, h), (0.01, w, h), material)
    pitch = 2 * h / boards
    for k in range(boards + 1):
        at.box((0, 0, min(max(k * pitch, 0.02), 2 * h)), (d, w, 0.012), material)
        if k == boards:
            break
        if rng.uniform() < 0.5:
            share = rng.uniform(0.5, 0.95)
            at.box(
                (-0.03, -(1 - share) * w, k * pitch + 0.36 * pitch),
                (d * 0.75, w * share, 0.34 * pitch),
                materials.goods(),
            )
        else:
            for _ in range(int(rng.integers(1, 4))):
                small_thing(
                    at.moved(0, rng.uniform(-w, w) * 0.8, k * pitch + 0.012),
                    rng,
                    materials,
                    0.75 * pitch,
                )


def small_thing(
    at: Place, rng: np.random.Generator, materials: MaterialSampler, tallest: float = 0.4
) -> None:
    """A bottle, cup, box, ball, book, vase, screen or lamp that stands on something."""
    size = min(tallest, 0.4)
    match int(rng.integers(0, 8)):
        case 0:
            r, h = rng.uniform(0.03, 0.05), rng.uniform(0.3, 0.45) * size
            material = materials.of("paint", gloss=0.9)
            at.rod((0, 0, h), r, h, material)
            at.rod((0, 0, 2.2 * h), r * 0.4, 0.2 * h, material)
        case 1:
            h = min(rng.uniform(0.04, 0.07), size / 2)
            at.rod((0, 0, h), 0.04, h, materials.of("paint", gloss=0.6))
        case 2 | 3:
            h = rng.uniform(0.1, 0.5) * size
            at.box(
                (0, 0, h),
                (rng.uniform(0.04, 0.18), rng.uniform(0.04, 0.18), h),
                materials.of("any"),
                yaw=rng.uniform(0, 3),
            )
        case 4:
            r = rng.uniform(0.1, 0.5) * size
            at.ball((0, 0, r), (r, r, r), materials.of("any", gloss=0.5))
        case 5:
            z = 0.0
            for _ in range(int(rng.integers(1, 6))):
                h = rng.uniform(0.006, 0.025)
                at.box(
                    (0, 0, z + h),
                    (0.11, 0.15, h),
                    materials.of("paint"),
                    yaw=rng.uniform(-0.4, 0.4),
                )
                z += 2 * h
        case 6:
            at.box((0, 0, 0.02), (0.1, 0.12, 0.012), materials.of("metal"))
            w, h = rng.uniform(0.2, 0.35), min(rng.uniform(0.13, 0.2), size / 2)
            at.box((0, 0, 0.06 + h), (0.012, w, h), materials.of("metal"))
            at.box((0.013, 0, 0.06 + h), (0.002, w * 0.96, h * 0.94), materials.picture(2 * w))
        case _:
            h = 0.4 * size
            at.rod((0, 0, h), 0.012, h, materials.of("metal"))
            at.cone(
                (0, 0, 2 * h),
                0.11,
                0.08,
                materials.lamp() if rng.uniform() < 0.5 else materials.of("cloth"),
            )


def plant(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A potted plant."""
    r, h = rng.uniform(0.1, 0.22), rng.uniform(0.1, 0.2)
    at.rod((0, 0, h), r, h, materials.of("paint"))
    material, tall = materials.of("leaves", 0.3), rng.uniform(0.2, 0.9)
    for _ in range(int(rng.integers(5, 14))):
        x, y, z = rng.normal(0, 0.16, 3)
        at.ball(
            (x, y, 2 * h + tall * rng.uniform(0.2, 1) + 0.2 * z),
            (0.16, 0.05, 0.02),
            material,
            yaw=rng.uniform(0, 6.3),
            pitch=rng.uniform(-1.2, 1.2),
        )
    at.rod((0, 0, 2 * h + tall / 2), 0.012, tall / 2, materials.of("bark"))


def floor_lamp(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A lamp on a thin stand."""
    h = rng.uniform(0.6, 0.95)
    metal = materials.of("metal", gloss=0.7)
    at.rod((0, 0, h), 0.012, h, metal)
    at.rod((0, 0, 0.012), 0.15, 0.012, metal)
    at.cone((0, 0, 2 * h), rng.uniform(0.14, 0.25), 0.16, materials.of("cloth"))


def carton(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A pile of cartons or crates."""
    z = 0.0
    for _ in range(int(rng.integers(1, 5))):
        x, y, h = rng.uniform(0.12, 0.35), rng.uniform(0.12, 0.4), rng.uniform(0.08, 0.25)
        at.box(
            (rng.normal(0, 0.03), rng.normal(0, 0.03), z + h),
            (x, y, h),
            materials.of("any") if rng.uniform() < 0.4 else materials.of("wood", 0.08),
            yaw=rng.uniform(-0.2, 0.2),
        )
        z += 2 * h


def barrel(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A barrel, bin or bucket."""
    r, h = rng.uniform(0.12, 0.32), rng.uniform(0.14, 0.5)
    material = materials.of("paint", gloss=0.4)
    at.rod((0, 0, h), r, h, material)
    for z in (0.05, 1.0, 1.95):
        at.rod((0, 0, z * h), r * 1.04, 0.015, material)


def rack(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A warehouse rack with loaded levels."""
    d, w, levels = rng.uniform(0.4, 0.55), rng.uniform(0.9, 1.4), int(rng.integers(2, 4))
    post, beam = materials.of("paint", 0.6), materials.of("paint", 0.07)
    h = levels * 1.15
    for sx in (-1, 1):
        for sy in (-1, 1):
            at.box((sx * d, sy * w, h / 2), (0.04, 0.04, h / 2), post)
    for k in range(levels):
        z = 0.12 + k * 1.15
        for sx in (-1, 1):
            at.box((sx * d, 0, z), (0.025, w, 0.05), beam)
        for y in (-0.5, 0.5):
            if rng.uniform() < 0.8:
                high = rng.uniform(0.15, 0.45)
                at.box(
                    (rng.normal(0, 0.04), y * w, z + 0.05 + high),
                    (d * 0.85, w * rng.uniform(0.25, 0.44), high),
                    materials.of("wood", 0.08) if rng.uniform() < 0.5 else materials.of("any"),
                )


def person(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A person, standing or walking."""
    tall = rng.uniform(0.88, 1.1)
    trousers, shirt = materials.of("cloth"), materials.of("cloth")
    skin = materials.of("paint", 0.06)
    stride = rng.uniform(0, 0.35)
    for side in (-1, 1):
        lean = side * stride
        at.ball(
            (0.4 * math.sin(lean), side * 0.09, 0.45 * tall),
            (0.085, 0.085, 0.47 * tall),
            trousers,
            pitch=lean,
        )
        at.box(
            (0.86 * math.sin(lean) * -0.9 + 0.05, side * 0.09, 0.04),
            (0.13, 0.045, 0.04),
            materials.of("paint"),
        )
        swing = rng.uniform(-0.5, 0.5)
        at.ball(
            (-0.25 * math.sin(swing), side * 0.25, 1.12 * tall),
            (0.05, 0.05, 0.32),
            shirt,
            pitch=swing,
            roll=side * -0.1,
        )
    at.ball((0, 0, 1.15 * tall), (0.14, 0.21, 0.34 * tall), shirt)
    at.ball((0, 0, 1.58 * tall), (0.1, 0.085, 0.125), skin)
    at.ball((-0.02, 0, 1.62 * tall), (0.1, 0.09, 0.11), materials.of("bark"))
    at.rod((0, 0, 1.45 * tall), 0.05, 0.06, skin)


BY_THE_WALL: tuple[Maker, ...] = (cupboard, shelf, shelf, sofa, bed, table, cupboard, plant)
"""Objects that stand against a wall."""

FREE: tuple[Maker, ...] = (
    table,
    chair,
    chair,
    chair,
    plant,
    floor_lamp,
    carton,
    barrel,
    person,
    sofa,
)
"""Objects that stand anywhere in a room."""

STORED: tuple[Maker, ...] = (carton, barrel, rack, rack, carton, cupboard, person)
"""Objects of halls and warehouses."""
