"""Things that stand outdoors, built from solids; sizes in metres are those of real ones."""

from __future__ import annotations

import math

import numpy as np

from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Material, Place
from depth_anything_ros.synthetic.worlds.furniture import Maker, carton, person


def car(at: Place, rng: np.random.Generator, materials: MaterialSampler, far: bool = False) -> None:
    """A car, or now and then a van; with `far` without wheels and lamps."""
    paint, glass = materials.of("paint", gloss=0.8), materials.glass()
    tyre = Material((0.05, 0.05, 0.05), (0.12, 0.12, 0.12), materials.texture("plain"), 0.3)
    length, width = rng.uniform(1.8, 2.4), rng.uniform(0.82, 0.95)
    van = rng.uniform() < 0.25
    body = rng.uniform(0.3, 0.38)
    at.box((0, 0, 0.3 + body), (length, width, body), paint)
    roof = rng.uniform(0.5, 0.75) if van else rng.uniform(0.24, 0.32)
    middle, long = (-0.25, length * 0.85) if van else (-0.15, length * 0.5)
    z = 0.3 + 2 * body + roof
    at.box((middle, 0, z), (long, width * 0.88, roof), paint)
    for side in (-1, 1):
        at.box((middle, side * width * 0.885, z), (long * 0.9, 0.01, roof * 0.75), glass)
        end = middle + side * long
        at.box((end, 0, z - 0.02), (0.02, width * 0.82, roof * 1.1), glass, pitch=-side * 0.6)
    if far:
        at.box((0, 0, 0.25), (length * 0.8, width * 0.9, 0.25), tyre)
        return
    for x in (-0.62, 0.62):
        for y in (-1, 1):
            at.rod((x * length, y * width * 0.93, 0.32), 0.32, 0.1, tyre, roll=math.pi / 2)
            at.rod(
                (x * length, y * width * 0.97, 0.32),
                0.19,
                0.1,
                materials.of("metal"),
                roll=math.pi / 2,
            )
    for side in (-1, 1):
        at.box((length, side * width * 0.7, 0.65), (0.02, 0.16, 0.08), materials.lamp())
        red = Material((0.6, 0.02, 0.02), (0.8, 0.05, 0.05), materials.texture("plain"))
        at.box((-length, side * width * 0.75, 0.75), (0.02, 0.12, 0.09), red)


def lorry(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A lorry with a box, or a bus."""
    paint = materials.of("paint", gloss=0.5)
    tyre = Material((0.05, 0.05, 0.05), (0.12, 0.12, 0.12), materials.texture("plain"), 0.3)
    long, wide, high = rng.uniform(2.5, 6.0), rng.uniform(1.05, 1.25), rng.uniform(1.0, 1.4)
    at.box((0, 0, 0.7 + high), (long, wide, high), paint)
    if rng.uniform() < 0.4:
        for side in (-1, 1):
            at.box((0, side * wide, 0.9 + 1.2 * high), (long * 0.95, 0.01, 0.45), materials.glass())
        at.box((long, 0, 0.8 + high), (0.01, wide * 0.95, high * 0.7), materials.glass())
    else:
        cab = materials.of("paint", gloss=0.8)
        at.box((long + 1.0, 0, 1.4), (0.85, wide * 0.95, 1.0), cab)
        at.box((long + 1.86, 0, 1.85), (0.01, wide * 0.85, 0.4), materials.glass())
    for x in (-0.75, 0.55):
        for y in (-1, 1):
            at.rod((x * long, y * wide * 0.9, 0.48), 0.48, 0.14, tyre, roll=math.pi / 2)


def tree(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A leafy tree, a fir or a bare one."""
    bark, leaves = materials.of("bark", 0.08), materials.of("leaves", rng.uniform(0.17, 0.38))
    tall, thick = rng.uniform(1.2, 3.2), rng.uniform(0.06, 0.25)
    shape = rng.uniform()
    if shape < 0.25:
        at.rod((0, 0, tall / 2), thick, tall / 2, bark)
        for k in range(4):
            at.cone((0, 0, tall * (0.6 + 0.5 * k)), tall * (0.55 - 0.11 * k), tall * 0.45, leaves)
        return
    at.rod((0, 0, tall / 2), thick, tall / 2, bark)
    reach = rng.uniform(0.35, 0.6) * tall
    for _ in range(int(rng.integers(4, 9))):
        yaw, pitch = rng.uniform(0, 6.3), rng.uniform(0.3, 1.0)
        x = reach * math.sin(pitch)
        at.rod(
            (x * math.cos(yaw), x * math.sin(yaw), tall + reach * math.cos(pitch)),
            thick * 0.3,
            reach,
            bark,
            yaw=yaw,
            pitch=pitch,
        )
    if shape < 0.9:
        for _ in range(int(rng.integers(8, 20))):
            x, y, z = rng.normal(0, 0.6, 3) * reach
            r = reach * rng.uniform(0.25, 0.6)
            at.ball(
                (x, y, tall + reach * 0.9 + z),
                (r, r * rng.uniform(0.7, 1.2), r * 0.75),
                leaves,
                yaw=rng.uniform(0, 3),
            )


def bush(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A bush or a piece of hedge."""
    leaves = materials.of("leaves", rng.uniform(0.2, 0.36))
    if rng.uniform() < 0.25:
        h = rng.uniform(0.3, 0.9)
        at.box((0, 0, h), (rng.uniform(0.5, 2.5), 0.35, h), leaves)
        return
    for _ in range(int(rng.integers(3, 8))):
        r = rng.uniform(0.15, 0.5)
        at.ball((rng.normal(0, 0.4), rng.normal(0, 0.4), 0.7 * r), (r, r, r), leaves)


def lamp_post(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A street lamp or a bare pole."""
    h, material = rng.uniform(1.5, 4.0), materials.of("metal", gloss=0.4)
    at.rod((0, 0, h), rng.uniform(0.04, 0.12), h, material)
    if rng.uniform() < 0.6:
        at.rod((0.6, 0, 2 * h), 0.03, 0.6, material, pitch=math.pi / 2)
        at.box((1.2, 0, 2 * h), (0.3, 0.1, 0.05), materials.of("metal"))


def sign(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A traffic sign or a board."""
    h = rng.uniform(0.9, 1.5)
    at.rod((0, 0, h), 0.03, h, materials.of("metal"))
    size = rng.uniform(0.25, 0.5)
    if rng.uniform() < 0.5:
        at.rod((0.04, 0, 2 * h), size, 0.01, materials.picture(size * 2), pitch=math.pi / 2)
    else:
        at.box(
            (0.04, 0, 2 * h),
            (0.01, size, size * rng.uniform(0.5, 1.2)),
            materials.picture(size * 2),
        )


def fence(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A fence or railing with posts."""
    material, h = materials.of(str(rng.choice(["wood", "metal"]))), rng.uniform(0.4, 0.7)
    posts = int(rng.integers(4, 12))
    gap = rng.uniform(0.12, 0.8)
    for k in range(posts):
        at.box(((k - posts / 2) * gap, 0, h), (0.025, 0.025, h), material)
    for z in (0.5, 1.8):
        at.box((-gap / 2, 0, z * h), (posts * gap / 2, 0.015, 0.035), material)


def traffic_cone(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A traffic cone or a bollard."""
    orange = Material((0.9, 0.3, 0.05), (1.0, 0.4, 0.1), materials.texture("stripes", "plain"), 0.5)
    if rng.uniform() < 0.5:
        at.box((0, 0, 0.02), (0.2, 0.2, 0.02), orange)
        at.cone((0, 0, 0.38), 0.17, 0.36, orange)
    else:
        at.rod((0, 0, 0.45), rng.uniform(0.05, 0.12), 0.45, materials.of("paint"))


def bicycle(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A bicycle: two wheels as thin discs' rims of spokes, and a frame of rods."""
    paint = materials.of("paint", gloss=0.5)
    rubber = Material((0.05, 0.05, 0.05), (0.1, 0.1, 0.1), materials.texture("plain"), 0.3)
    for x in (-0.52, 0.52):
        for k in range(8):
            angle = k * math.pi / 4
            at.box(
                (x + 0.32 * math.cos(angle), 0, 0.34 + 0.32 * math.sin(angle)),
                (0.02, 0.018, 0.14),
                rubber,
                pitch=-angle,
            )
    at.rod((0.02, 0, 0.62), 0.018, 0.32, paint, pitch=1.35)
    at.rod((-0.15, 0, 0.58), 0.018, 0.3, paint, pitch=-0.3)
    at.rod((0.42, 0, 0.68), 0.018, 0.36, paint, pitch=-0.3)
    at.rod((0.16, 0, 0.5), 0.018, 0.4, paint, pitch=0.9)
    at.rod((-0.35, 0, 0.34), 0.015, 0.2, paint, pitch=math.pi / 2)
    at.ball((-0.25, 0, 0.92), (0.13, 0.06, 0.04), rubber)
    at.rod((0.33, 0, 1.0), 0.015, 0.27, rubber, roll=math.pi / 2)


def rock(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A few stones, round or with edges."""
    material = materials.of("earth")
    for _ in range(int(rng.integers(1, 5))):
        x, y, z = rng.uniform(0.1, 0.9, 3)
        spot = at.moved(rng.normal(0, 0.6), rng.normal(0, 0.6), 0.2 * z, rng.uniform(0, 6))
        half = np.array([x, y, z * 0.7])
        if rng.uniform() < 0.5:
            spot.ball((0, 0, 0), tuple(half), material, pitch=rng.uniform(-0.4, 0.4))
        else:
            spot.mesh(half * (_OCTAHEDRON + rng.uniform(-0.25, 0.25, (6, 3))), _EIGHT, material)


def trunk(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A log on the ground."""
    r = rng.uniform(0.08, 0.3)
    at.rod((0, 0, r), r, rng.uniform(0.5, 2.0), materials.of("bark", 0.08), pitch=math.pi / 2)


_OCTAHEDRON = np.array([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
_EIGHT = [(k, (k + 1) % 4, 4) for k in range(4)] + [((k + 1) % 4, k, 5) for k in range(4)]

PAVEMENT: tuple[Maker, ...] = (
    lamp_post,
    sign,
    tree,
    bush,
    person,
    person,
    traffic_cone,
    bicycle,
    carton,
    fence,
)
"""Objects of a pavement."""

NATURE: tuple[Maker, ...] = (tree, tree, tree, bush, bush, rock, rock, trunk, fence, person)
"""Objects of parks, woods and fields."""
