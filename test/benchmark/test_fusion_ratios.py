"""Fusion beside the classical ways on seeded synthetic scenes."""

from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.benchmark.fusion import (
    CLASSICAL,
    OURS,
    Row,
    Scene,
    compare,
    synthetic_scenes,
)
from depth_anything_ros.frames import SparsePoints


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return list(synthetic_scenes())


@pytest.mark.parametrize(
    ("count", "mean_bar", "worst_bar"),
    [(20, 1.15, 1.8), (100, 0.9, 1.15), (1000, 0.93, 1.15)],
)
def test_nothing_simple_is_better(
    scenes: list[Scene], count: int, mean_bar: float, worst_bar: float
) -> None:
    rows = [compare(scene, count, seed) for scene in scenes for seed in range(2)]
    ratios = [row.ratio for row in rows if row is not None]
    for row in rows:
        assert isinstance(row, Row)
        print(row.scene, count, {way: round(value, 4) for way, value in row.absrel.items()})
    print(f"N={count}: mean {np.mean(ratios):.3f}, worst {max(ratios):.3f}")
    assert len(ratios) == 8
    assert np.mean(ratios) <= mean_bar
    assert max(ratios) <= worst_bar


def test_classical_ways_know_what_they_should() -> None:
    """A plane under a perfect network: linear in inverse depth, and so is every fit."""
    v, u = np.mgrid[0:60, 0:80].astype(float)
    inverse = 0.1 + 0.004 * u + 0.002 * v
    truth = SparsePoints(u.ravel(), v.ravel(), 1 / inverse.ravel())
    row = compare(Scene("plane", (3 * inverse - 0.1).astype(np.float32), truth), 200, 0)
    assert row is not None
    assert list(row.absrel) == [*CLASSICAL, OURS]
    assert row.absrel["glob"] < 1e-5 and row.absrel["knn"] < 1e-4
    assert row.absrel["lin"] < 0.01 < row.absrel["idw"] < 0.1
    assert row.absrel[OURS] < 0.003


def test_a_scene_with_too_few_points_is_left_out(scenes: list[Scene]) -> None:
    few = Scene("few", scenes[0].disparity, SparsePoints(*np.ones((3, 20))))
    assert compare(few, 20, 0) is None
