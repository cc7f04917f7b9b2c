"""Benchmark of point clouds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from bench_command import bench

from depth_anything_ros.benchmark.straightforward import (
    straightforward_cloud,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud


def test_the_reference_cloud_is_the_same_cloud() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 9, (12, 16)).astype(np.float32)
    rgb = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    camera = Camera.from_hfov(16, 12, 60.0)
    ours = build_cloud(depth, camera, rgb).data
    reference = straightforward_cloud(depth, camera, rgb)
    for index, name in enumerate(("x", "y", "z")):
        np.testing.assert_allclose(reference[name], ours[..., index], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        np.ascontiguousarray(reference["rgb"]).view(np.uint32), ours.view(np.uint32)[..., 3]
    )


def test_bench_cloud_reports(tmp_path: Path) -> None:
    out = bench("cloud", "--size", "24x32", "--rounds", 2, "--json", tmp_path / "cloud.json")
    report = json.loads((tmp_path / "cloud.json").read_text())
    rows = {row["cloud"]: row for row in report["rows"]}
    assert rows["straightforward"]["speed"] == 1
    for name, row in rows.items():
        assert row["image"] == "24x32"
        assert row["rounds"] == 2
        assert 0 < row["best_ms"] <= row["median_ms"]
        assert name in out
    assert report["machine"]["processor"] in out
