"""Where the ground ends: stairs down and kerbs are found, walls and level floors are not."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import FloatImage
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.dropoffs import dropoff_depth

CAMERA = Camera.from_hfov(320, 240, 70.0)
HEIGHT = 0.85
GROUND = ((0.0, -1.0, 0.0), HEIGHT)
EDGE, WALL = 2.5, 6.0


def surface(levels: list[tuple[float, float]]) -> FloatImage:
    """Depth of level floors up to a wall: (from which Z on, metres above the ground), rising Z."""
    y = np.broadcast_arrays(*ray_table(CAMERA))[1].astype(np.float64)
    depth = np.full(y.shape, WALL)
    with np.errstate(divide="ignore"):
        for number, (start, level) in reversed(list(enumerate(levels))):
            end = levels[number + 1][0] if number + 1 < len(levels) else WALL
            on = np.where(y > 0, (HEIGHT - level) / y, np.inf)
            depth = np.where((on >= start) & (on <= end), on, depth)
            # The riser at its start, where it rises from the level before.
            before = levels[number - 1][1] if number else level
            at_start = HEIGHT - start * y
            rises = (at_start >= before) & (at_start <= level)
            depth = np.where(rises & (start < depth), start, depth)
    return depth.astype(np.float32)


def stairs(steps: int) -> list[tuple[float, float]]:
    return [(0.0, 0.0), *((EDGE + 0.28 * k, -0.17 * (k + 1)) for k in range(steps))]


def found(depth: FloatImage, sigma: FloatImage | None = None) -> np.ndarray:
    missing = dropoff_depth(depth, sigma, CAMERA, GROUND, 0.15, 5.0)
    return np.asarray(missing[np.isfinite(missing)])


def test_stairs_down_begin_at_their_edge() -> None:
    missing = found(surface(stairs(6)))
    assert len(missing) > 500
    assert missing.min() == pytest.approx(EDGE, abs=0.1)
    assert missing.max() <= 5.0
    y = np.broadcast_arrays(*ray_table(CAMERA))[1]
    image = dropoff_depth(surface(stairs(6)), None, CAMERA, GROUND, 0.15, 5.0)
    known = np.isfinite(image)
    assert (image * y)[known] == pytest.approx(HEIGHT, rel=1e-5)  # on the ground plane


def test_a_step_down_counts_from_min_drop_on() -> None:
    for drop, counts in ((0.12, False), (0.18, True)):
        depth = surface([(0.0, 0.0), (EDGE, -drop)])
        missing = found(depth, 0.02 * depth)
        assert bool(len(missing)) is counts, drop


def test_what_is_not_sure_is_none() -> None:
    depth = surface([(0.0, 0.0), (EDGE, -0.3)])
    assert len(found(depth, 0.05 * depth)) > 500
    assert len(found(depth, 0.25 * depth)) == 0


def test_level_floors_walls_and_steps_up_have_none() -> None:
    assert len(found(surface([(0.0, 0.0)]))) == 0
    assert len(found(surface([(0.0, 0.0), (EDGE, 0.15)]))) == 0
    assert len(found(np.full((240, 320), 1.0, np.float32))) == 0
    assert len(found(np.full((240, 320), np.nan, np.float32))) == 0


def test_a_pit_deeper_than_the_range_is_one() -> None:
    depth = surface([(0.0, 0.0), (EDGE, -3.0)])
    depth = np.where(depth > 5.0, np.float32(np.inf), depth)
    missing = found(depth, np.where(np.isfinite(depth), 0.02 * depth, np.nan).astype(np.float32))
    assert len(missing) > 500
    assert missing.min() == pytest.approx(EDGE, abs=0.1)


def test_limits_are_checked() -> None:
    depth = surface([(0.0, 0.0)])
    with pytest.raises(SettingError, match="min_drop is 0"):
        dropoff_depth(depth, None, CAMERA, GROUND, 0.0, 5.0)
    with pytest.raises(SettingError, match="max_range is inf"):
        dropoff_depth(depth, None, CAMERA, GROUND, 0.1, np.inf)
