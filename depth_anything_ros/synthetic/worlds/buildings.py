"""Buildings: houses in gardens, in rows and in towns."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.synthetic.rendering.materials import MaterialSampler
from depth_anything_ros.synthetic.rendering.scene import Place


def house(at: Place, rng: np.random.Generator, materials: MaterialSampler) -> None:
    """A house that stands alone."""
    long, deep, high = rng.uniform(3, 7), rng.uniform(2.5, 5), rng.uniform(1.5, 3.5)
    at.box((0, 0, high), (long, deep, high), materials.of("facade"))
    gable_roof(at, long + 0.4, deep + 0.4, 2 * high, rng.uniform(0.4, 1.1), materials)


def building(
    at: Place,
    rng: np.random.Generator,
    materials: MaterialSampler,
    long: float,
    deep: float,
    high: float,
) -> None:
    """A house, a block of flats or a shed along x; lengths and height are half ones."""
    at.box((0, 0, high), (long, deep, high), materials.of("facade"))
    if high > 4 or rng.uniform() < 0.4:
        at.box((0, 0, 2 * high + 0.15), (long + 0.2, deep + 0.2, 0.15), materials.of("paint"))
    else:
        gable_roof(at, long + 0.3, deep + 0.3, 2 * high, rng.uniform(0.3, 1.0), materials)
    for front in (-1, 1):
        if rng.uniform() < 0.5:
            at.box(
                (rng.uniform(-0.7, 0.7) * long, front * deep, 1.3),
                (rng.uniform(0.5, 2.0), 0.06, 1.3),
                materials.glass(),
            )


def gable_roof(
    at: Place, long: float, deep: float, eaves: float, slope: float, materials: MaterialSampler
) -> None:
    """A roof with its ridge along x, from the height of the eaves on, as a closed mesh."""
    ridge = eaves + slope * deep
    corners = [
        (x, y, eaves) for x, y in ((-long, -deep), (long, -deep), (long, deep), (-long, deep))
    ]
    at.mesh(
        [*corners, (-long, 0, ridge), (long, 0, ridge)],
        [(0, 1, 5), (0, 5, 4), (2, 3, 4), (2, 4, 5), (1, 2, 5), (3, 0, 4), (0, 3, 2), (0, 2, 1)],
        materials.of("roof"),
    )
