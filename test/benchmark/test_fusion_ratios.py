"""Fusion beside the classical ways on seeded synthetic scenes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from bench_command import bench

from depth_anything_ros.benchmark.fusion import (
    CLASSICAL,
    OURS,
    WAYS,
    Row,
    Scene,
    compare,
    compare_pattern,
    mean,
    means,
    synthetic_scenes,
)
from depth_anything_ros.formats.media import write_image
from depth_anything_ros.frames import SparsePoints
from depth_anything_ros.training.sparse.networks import nearly_right


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


@pytest.mark.parametrize(
    ("given", "of_fit", "of_best"),
    [(100, 0.5, 0.7), (1000, 0.25, 0.8), ("16x12 depth", 0.4, 1.0)],
)
def test_a_network_that_is_nearly_right_is_never_spoilt(
    scenes: list[Scene], given: int | str, of_fit: float, of_best: float
) -> None:
    """Its disparity is the true one, blurred, warped, bent and curved."""
    found = []
    for number, scene in enumerate(scenes):
        depth = scene.truth.z.reshape(scene.disparity.shape).astype(np.float32)
        good = replace(scene, disparity=nearly_right(np.random.default_rng(number), depth))
        row = compare(good, given, 0) if isinstance(given, int) else compare_pattern(good, given)
        assert row is not None
        print(row.scene, given, {way: round(value, 4) for way, value in row.absrel.items()})
        found.append((row.absrel[OURS] / row.absrel["glob"], row.ratio))
    assert np.mean(found, axis=0)[0] <= of_fit
    assert np.mean(found, axis=0)[1] <= of_best
    assert np.max(found, axis=0)[0] <= 1.02


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


def test_bench_fusion_prints_every_way_and_draws(tmp_path: Path) -> None:
    """Of a picture on disk with the embedded network, and its curves."""
    rng = np.random.default_rng(0)
    write_image(tmp_path / "a.png", rng.integers(0, 255, (60, 80, 3), np.uint8))
    v, u = np.mgrid[0:60, 0:80]
    np.save(tmp_path / "a.npy", (1 / (0.1 + 0.004 * u + 0.002 * v)).astype(np.float32))
    (tmp_path / "index.csv").write_text("image,depth\na.png,a.npy\n")
    picture, report = tmp_path / "plot.svg", tmp_path / "fusion.json"
    out = bench(
        *("fusion", tmp_path / "index.csv", "--points", 20, "--points", 200, "--seeds", 2),
        *("--plot", picture, "--json", report),
    )
    assert "ours / best" in out and "200 points: ours / best of four" in out
    drawn = ElementTree.parse(picture).getroot()
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2 * len(WAYS)
    assert all(len(line.attrib["points"].split()) == 2 for line in lines)
    rows = json.loads(report.read_text())["rows"]
    assert [(row["count"], row["seed"]) for row in rows] == [(20, 0), (20, 1), (200, 0), (200, 1)]
    # A plane is linear in inverse depth: the network says nothing of it, interpolation all.
    assert all(row["absrel"]["ours"] < 0.02 for row in rows if row["count"] == 200)


def test_means_are_over_the_rows_of_a_number_of_points() -> None:
    rows = [
        Row("a", 20, 0, dict.fromkeys(CLASSICAL, 0.2) | {OURS: 0.1}),
        Row("b", 20, 0, dict.fromkeys(CLASSICAL, 0.1) | {OURS: 0.1}),
        Row("a", 100, 0, dict.fromkeys(CLASSICAL, 0.1) | {OURS: 0.2}),
    ]
    found = means(rows)
    assert found[20].ratio == pytest.approx(0.75) and found[20].worst == pytest.approx(1.0)
    assert found[20].absrel["glob"] == pytest.approx(0.02**0.5)
    assert found[100].ratio == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "bar"),
    [
        ("16 beams", 0.85),
        ("4 beams", 0.6),
        ("laser scan", 1.15),
        ("16x12 depth", 1.0),
        ("7 points", 1.5),
        ("one range", 0.8),
    ],
)
def test_points_as_sensors_give_them(scenes: list[Scene], name: str, bar: float) -> None:
    rows = [compare_pattern(scene, name) for scene in scenes[:2]]
    for row in rows:
        assert row is not None and row.pattern == name
        print(row.scene, name, row.count, {way: round(x, 4) for way, x in row.absrel.items()})
    assert mean([row for row in rows if row is not None]).ratio <= bar


def test_what_a_pattern_gives() -> None:
    v, u = np.divmod(np.arange(240 * 320), 320)
    truth = SparsePoints(u.astype(float), v.astype(float), 2 + u / 320)
    rgb = np.zeros((240, 320, 3), np.uint8)
    rgb[60:180:40, 40:280] = 255
    scene = Scene("ramp", np.ones((240, 320), np.float32), truth, rgb)
    for name, rows, count in (
        ("4 beams", 4, 1280),
        ("laser scan", 1, 320),
        ("16x12 depth", 12, 192),
        ("7 points", 7, 7),
        ("one range", 1, 1),
    ):
        parts = scene.pattern(name)
        assert parts is not None
        assert (len(np.unique(parts[0].v)), len(parts[0])) == (rows, count)
        given = {(x, y) for x, y in zip(parts[0].u, parts[0].v, strict=True)}
        if name == "one range":
            assert given <= {(159, 119), (159, 120), (160, 119), (160, 120)}
        assert not given & {(x, y) for x, y in zip(parts[1].u, parts[1].v, strict=True)}
    assert scene.pattern("corners") is None or len(scene.pattern("corners")[0]) <= 200  # type: ignore[index]
    every = np.arange(0, len(u), 40)  # as sparse as a LiDAR's returns
    lidar = Scene(
        "lidar", scene.disparity, SparsePoints(truth.u[every], truth.v[every], truth.z[every])
    )
    for name, share in (("16 beams", 16 / 64), ("laser scan", 1 / 64)):
        beams = lidar.pattern(name)
        assert beams is not None and len(beams[0]) == share * len(every)
    assert Scene("no image", scene.disparity, truth).pattern("corners") is None
