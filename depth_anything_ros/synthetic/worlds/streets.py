"""Worlds of towns: narrow streets and wide roads."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from depth_anything_ros.synthetic.rendering.lights import daylight
from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Material, Scene
from depth_anything_ros.synthetic.worlds import outdoors
from depth_anything_ros.synthetic.worlds.buildings import building, gable_roof
from depth_anything_ros.synthetic.worlds.furniture import Maker
from depth_anything_ros.synthetic.worlds.world import World


def street(rng: np.random.Generator, materials: MaterialSampler) -> World:
    """A street along x: road, pavements, houses, cars, poles, trees, people."""
    scene = Scene()
    road, kerb = rng.uniform(2.5, 6.0), rng.uniform(1.2, 4.0)
    scene.plane((0, 0, 0), (0, 0, 1), materials.of("road"))
    pavement = materials.of("pavement")
    white = _white(materials)
    for px in np.arange(-15, 60, rng.uniform(4, 9)):
        scene.at(float(px), 0).box((0, 0, 0), (1.2, 0.07, 0.004), white)
    green = rng.uniform() < 0.3
    for side in (-1, 1):
        ground = materials.of("earth", 0.27) if green and rng.uniform() < 0.6 else pavement
        scene.at(10, side * (road + 20)).box((0, 0, 0), (90, 20, 0.12), ground)
        _houses(scene, rng, materials, side, road + kerb, green)
        for px in np.arange(-8, 50, rng.uniform(4, 11)):
            if rng.uniform() < 0.7:
                maker = outdoors.PAVEMENT[int(rng.integers(len(outdoors.PAVEMENT)))]
                place = scene.at(
                    float(px) + rng.normal(0, 1),
                    side * (road + rng.uniform(0.4, kerb)),
                    0.12,
                    rng.uniform(0, 6.3),
                )
                maker(place, rng, materials)
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
                    materials,
                )
    for _ in range(int(rng.integers(0, 4))):
        lane = float(rng.choice([-1, 1]))
        at = scene.at(rng.uniform(5, 60), lane * road * 0.35, 0, 0.0 if lane < 0 else math.pi)
        outdoors.car(at, rng, materials)
    if rng.uniform() < 0.3:
        wire = materials.of("metal")
        for _ in range(int(rng.integers(1, 4))):
            scene.at(10, rng.uniform(-road, road), rng.uniform(5, 8)).rod(
                (0, 0, 0), 0.02, 60, wire, pitch=math.pi / 2
            )
    scene.light = daylight(rng, materials)
    return World(scene, "street", (-6, -road - kerb * 0.8), (6, road + kerb * 0.8), 6.0)


def road(rng: np.random.Generator, materials: MaterialSampler) -> World:
    """A wide road along x with lanes, traffic, verges and buildings that stand back from it."""
    scene = Scene()
    lane, lanes = rng.uniform(2.8, 3.7), int(rng.integers(1, 5))
    half, verge = lane * lanes, rng.uniform(1.0, 14.0)
    scene.plane((0, 0, 0), (0, 0, 1), materials.of("road"))
    white = _white(materials)
    for number in range(-lanes, lanes + 1):
        if number in (0, -lanes, lanes):
            scene.at(20, number * lane).box((0, 0, 0), (100, 0.07, 0.004), white)
        else:
            for x in np.arange(-30, 60, rng.uniform(7, 12)):
                scene.at(float(x), number * lane).box((0, 0, 0), (1.5, 0.07, 0.004), white)
    cross = rng.uniform(5, 9)
    corners = np.cumsum(rng.uniform(30, 80, 5)) - 90
    blocks = [(float(start + cross), float(end - cross)) for start, end in pairwise(corners)]
    for side in (-1, 1):
        green = rng.uniform() < 0.5
        ground = materials.of("earth", 0.27) if green else materials.of("pavement")
        for start, end in blocks:
            scene.at((start + end) / 2, side * (half + 25)).box(
                (0, 0, 0), ((end - start) / 2, 25, 0.1), ground
            )
            _block(scene, rng, materials, (start, end), side, half + verge, green)
            _roadside(scene, rng, materials, (start, end), side * half, side * verge)
    _traffic(scene, rng, materials, lane, lanes)
    if rng.uniform() < 0.3:
        x = rng.uniform(8, 50)
        scene.at(x, 0).box(
            (0, 0, rng.uniform(5.5, 7)), (rng.uniform(0.2, 5), half + 8, 0.6), materials.of("metal")
        )
    scene.light = daylight(rng, materials)
    return World(scene, "road", (-15, -half - min(verge, 4)), (15, half + min(verge, 4)), 6.0)


def _houses(
    scene: Scene,
    rng: np.random.Generator,
    materials: MaterialSampler,
    side: int,
    edge: float,
    green: bool,
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
                    materials,
                )
            x += 2 * long
            continue
        deep, high = rng.uniform(3, 8), rng.uniform(2, 11)
        at = scene.at(x + long, side * (edge + deep + rng.uniform(0, 1.5)))
        at.box((0, 0, high), (long, deep, high), materials.of("facade"))
        if rng.uniform() < 0.5:
            at.box((0, 0, 2 * high + 0.15), (long + 0.25, deep + 0.25, 0.15), materials.of("paint"))
        else:
            gable_roof(at, long + 0.3, deep + 0.3, 2 * high, rng.uniform(0.4, 1.1), materials)
        front = -side * deep
        for px in np.arange(-long + 1, long - 1, rng.uniform(2, 5)):
            what = rng.uniform()
            if what < 0.3:
                at.box((px, front, 1.1), (0.5, 0.06, 1.1), materials.of("wood"))
            elif what < 0.5:
                at.box((px, front, 1.5), (0.9, 0.05, 0.9), materials.glass())
            elif what < 0.65:
                z = rng.uniform(2.8, 6)
                at.box((px, front - side * 0.5, z), (1.0, 0.5, 0.08), materials.of("paint"))
                at.box((px, front - side, z + 0.5), (1.0, 0.03, 0.45), materials.of("metal"))
        x += 2 * long + (rng.uniform(1, 6) if rng.uniform() < 0.3 else 0)


def _block(
    scene: Scene,
    rng: np.random.Generator,
    materials: MaterialSampler,
    ends: tuple[float, float],
    side: int,
    edge: float,
    low: bool,
) -> None:
    """Buildings between two cross roads, `edge` metres or more from the middle of the road."""
    x, end = ends
    while x < end - 6:
        long = min(rng.uniform(3, 18), (end - x) / 2)
        if rng.uniform() < 0.75:
            deep, back = rng.uniform(3, 10), rng.uniform(0, 8)
            high = rng.uniform(1.5, 4) if low else float(np.exp(rng.uniform(0.7, 3)))
            building(
                scene.at(x + long, side * (edge + back + deep)), rng, materials, long, deep, high
            )
        x += 2 * long + (rng.uniform(1, 15) if rng.uniform() < 0.5 else 0)


def _roadside(
    scene: Scene,
    rng: np.random.Generator,
    materials: MaterialSampler,
    block: tuple[float, float],
    kerb: float,
    verge: float,
) -> None:
    """Trees in a row, poles, signs, people, fences and hedges along one block."""
    start, end = block
    row: Maker = outdoors.tree if rng.uniform() < 0.6 else outdoors.lamp_post
    line = kerb + verge * rng.uniform(0.1, 0.5)
    if rng.uniform() < 0.7:
        for x in np.arange(start + 1, end, rng.uniform(8, 20)):
            row(scene.at(float(x), line, 0.1, rng.uniform(0, 6.3)), rng, materials)
    for x in np.arange(start + 2, end, rng.uniform(9, 25)):
        maker = outdoors.PAVEMENT[int(rng.integers(len(outdoors.PAVEMENT)))]
        at = scene.at(float(x), kerb + verge * rng.uniform(0.1, 1), 0.1, rng.uniform(0, 6.3))
        maker(at, rng, materials)
    if rng.uniform() < 0.2:
        high = rng.uniform(0.3, 1.2)
        wall = materials.of(str(rng.choice(["wall", "leaves", "metal"])))
        scene.at((start + end) / 2, kerb + 0.9 * verge).box(
            (0, 0, high), ((end - start) / 2, 0.15, high), wall
        )


def _traffic(
    scene: Scene, rng: np.random.Generator, materials: MaterialSampler, lane: float, lanes: int
) -> None:
    """Cars and lorries in the lanes and, now and then, parked in the outer ones."""
    crowd = rng.uniform(0.02, 0.3)
    parked = rng.uniform() < 0.5
    for number in range(-lanes, lanes):
        along = 0.0 if number < 0 else math.pi
        outer = parked and number in (-lanes, lanes - 1)
        x = -45 + rng.uniform(0, 10)
        while x < 75:
            if rng.uniform() < (0.5 if outer else crowd):
                y, yaw = (number + 0.5) * lane + rng.normal(0, 0.15), along + rng.normal(0, 0.02)
                at = scene.at(x, y, 0, yaw)
                if rng.uniform() < 0.12:
                    outdoors.lorry(at, rng, materials)
                    x += 6
                else:
                    outdoors.car(at, rng, materials, far=abs(x) > 35)
            x += rng.uniform(5.5, 7) if outer else rng.uniform(7, 14)


def _white(materials: MaterialSampler) -> Material:
    """The paint of lines on a road."""
    return Material((0.7, 0.7, 0.65), (0.95, 0.95, 0.9), materials.of("paint").texture, 1.0)
