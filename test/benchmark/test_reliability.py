"""How often the error lies within its sigma."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from bench_command import bench

from depth_anything_ros.benchmark.fusion import Scene, synthetic_scenes
from depth_anything_ros.benchmark.reliability import (
    LEVELS,
    Reliability,
    normal_within,
    reliability,
    within,
)
from depth_anything_ros.frames import SparsePoints


def test_shares_are_over_all_pixels_of_all_scenes() -> None:
    found = [
        Reliability("a", 20, 0, np.array([0.5, 1.5, 2.5])),
        Reliability("b", 20, 0, np.array([0.2])),
    ]
    assert within(found, 1) == 0.5
    assert within(found, 2) == 0.75
    assert normal_within(1) == pytest.approx(0.6827, abs=1e-4)
    assert normal_within(2) == pytest.approx(0.9545, abs=1e-4)


def test_too_few_points_have_no_reliability() -> None:
    scene = next(synthetic_scenes(1, 60, 80))
    few = Scene("few", scene.disparity, SparsePoints(*np.ones((3, 20))))
    assert reliability(few, 20, 0) is None


def test_sigma_is_as_large_as_the_error_in_rooms(tmp_path: Path) -> None:
    """Drawn beside a line of what is right."""
    picture, report = tmp_path / "sigma.svg", tmp_path / "sigma.json"
    out = bench("sigma", "--points", 20, "--points", 200, "--plot", picture, "--json", report)
    print(out)
    assert "room 3" in out and "all: " in out
    rows = json.loads(report.read_text())["rows"]
    assert len(rows) == 8
    one, two = (float(np.mean([row["within"][times] for row in rows])) for times in ("1", "2"))
    assert 0.62 <= one <= 0.78
    assert 0.9 <= two <= 0.98
    lines = ElementTree.parse(picture).getroot().findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [len(LEVELS)] * 2 + [2]
