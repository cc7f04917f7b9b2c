"""Which of many points are kriged: not all of those that crowd."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.metric.samples import spread_out

Places = npt.NDArray[np.float64]


def scattered(count: int, seed: int) -> Places:
    return np.random.default_rng(seed).uniform((0, 0), (1, 0.75), (count, 2))


def crowded(count: int, seed: int) -> Places:
    """Two thirds of the points around ten corners of things, the others anywhere."""
    rng = np.random.default_rng(seed)
    around = scattered(10, seed + 100)[rng.integers(0, 10, 2 * count // 3)]
    around += rng.normal(0, 0.004, around.shape)
    return rng.permutation(np.concatenate([around, scattered(count - len(around), seed)]))


def broken_beams(seed: int) -> Places:
    """Beams that bend in the image, of each only every third stretch in view."""
    u, line = (each.ravel() for each in np.meshgrid(np.arange(0, 1, 0.005), np.arange(12)))
    seen = (np.floor(u * 25).astype(int) + line) % 3 == 0
    v = line * 0.06 + 0.15 * (u - 0.5) ** 2
    return np.random.default_rng(seed).permutation(np.stack([u, v], axis=1)[seen])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [60, 200, 2000])
def test_points_anywhere_are_all_taken(count: int, seed: int) -> None:
    assert len(spread_out(scattered(count, seed))) == count


@pytest.mark.parametrize("seed", range(5))
def test_of_points_that_crowd_in_corners_few_of_each_are_taken(seed: int) -> None:
    places = crowded(200, seed)
    kept = spread_out(places)
    squares = np.unique(np.floor(places[kept] / (0.75 / 200) ** 0.5), axis=0)
    print(f"{len(kept)} of 200")
    assert 60 <= len(kept) <= 110
    assert len(squares) > 0.65 * len(kept)


@pytest.mark.parametrize("seed", range(3))
def test_of_beams_that_bend_and_break_a_part_is_taken(seed: int) -> None:
    places = broken_beams(seed)
    kept = spread_out(places)
    lines = np.unique(np.round((places[kept, 1] - 0.15 * (places[kept, 0] - 0.5) ** 2) / 0.06))
    print(f"{len(kept)} of {len(places)}")
    assert len(kept) < 0.6 * len(places)
    assert len(lines) == 12
