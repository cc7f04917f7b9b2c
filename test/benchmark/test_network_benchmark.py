"""Benchmark of the network: backends, batches, processes that fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bench_command import bench

from depth_anything_ros.benchmark.implementations import Implementation, NetworkSettings
from depth_anything_ros.benchmark.network_process import network_processes


def test_bench_network_compares_backends_and_names_who_is_missing(
    tmp_path: Path, small_network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = bench(
        *("network", "--model", small_network_file, "--size", "30x40", "--rounds", 1),
        *("--backend", "torch", "--against", f"official={tmp_path}", "--threads", 1),
        *("--json", tmp_path / "network.json"),
    )
    report = json.loads((tmp_path / "network.json").read_text())
    rows = {row["contender"]: row for row in report["rows"]}
    assert list(rows) == ["torch fp32", "torch bf16"]
    assert rows["torch fp32"]["difference"] == 0
    assert 1e-5 < rows["torch bf16"]["difference"] < 0.3
    assert report["peak_memory_mb"]["torch fp32"] > 50
    assert "has no folder depth_anything_v2" in report["missing"]["official fp32"]
    assert "torch bf16" in out


def test_bench_network_measures_batches(tmp_path: Path, small_network_file: Path) -> None:
    bench(
        *("network", "--model", small_network_file, "--size", "30x40", "--rounds", 1),
        *("--backend", "torch:fp32", "--batch", 1, "--batch", 3, "--threads", 1),
        *("--device", "cpu", "--json", tmp_path / "network.json"),
    )
    report = json.loads((tmp_path / "network.json").read_text())
    assert [row["batch"] for row in report["rows"]] == [1, 3]
    assert report["peak_gpu_memory_mb"] == {}
    settings = NetworkSettings(small_network_file, "cpu", 1)
    implementations = [Implementation("torch")]
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    with network_processes(implementations, settings) as ((process,), _):
        one = process.set_images(image)
        np.testing.assert_allclose(process.set_images(image, 3), one, atol=1e-4)
        assert process.run().seconds > 0


def test_a_process_that_dies_is_reported(tmp_path: Path) -> None:
    settings = NetworkSettings(tmp_path / "gone.pth", "cpu", 1)
    with network_processes([Implementation("torch")], settings) as answer:
        ready, missing = answer
    assert ready == []
    assert "gone.pth' does not exist" in missing["torch fp32"]
