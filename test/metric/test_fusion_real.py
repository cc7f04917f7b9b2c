"""Fusion beside the four classical ways on every real picture with true depth, two networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from real_depth import depth_frames
from real_frames import FastDepth, points_of_depth

from depth_anything_ros.benchmark.fusion import Scene, compare
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.settings import ModelSettings

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def scenes(data_dir: Path) -> dict[str, list[Scene]]:
    """Scenes by network."""
    fastdepth = FastDepth(data_dir)
    embedded = make_estimator(ModelSettings("embedded", "cpu", "fp32")).estimator
    found: dict[str, list[Scene]] = {"fastdepth": [], "embedded": []}
    for frame in depth_frames(data_dir):
        truth = points_of_depth(frame.depth)
        (prediction,) = embedded.estimate([frame.rgb])
        found["embedded"].append(Scene(frame.name, prediction.values, truth))
        found["fastdepth"].append(Scene(frame.name, fastdepth(frame.rgb).values, truth))
    return found


def ratios(scenes: list[Scene], count: int) -> Iterator[float]:
    for scene in scenes:
        row = compare(scene, count, 0)
        if row is not None:
            print(scene.name, count, {way: round(value, 4) for way, value in row.absrel.items()})
            yield row.ratio


@pytest.mark.parametrize(
    ("network", "count", "bar"),
    [
        ("fastdepth", 20, 0.95),
        ("fastdepth", 100, 0.95),
        ("fastdepth", 1000, 0.96),
        ("fastdepth", 5000, 0.99),
        ("embedded", 20, 1.05),
        ("embedded", 100, 0.95),
        ("embedded", 1000, 0.97),
        ("embedded", 5000, 0.99),
    ],
)
def test_beside_the_best_classical_way(
    scenes: dict[str, list[Scene]], network: str, count: int, bar: float
) -> None:
    found = list(ratios(scenes[network], count))
    print(f"{network} N={count}: mean {np.mean(found):.3f} (bar {bar}), worst {max(found):.3f}")
    assert len(found) >= 20
    assert np.mean(found) <= bar
