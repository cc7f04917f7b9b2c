"""Benchmark of arithmetic throughput."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from bench_command import bench
from small_network import make_small_network

from depth_anything_ros.benchmark.compute import forward_gflop


def test_gflop_equals_a_count_by_hand() -> None:
    network = make_small_network().eval()
    config, rows, columns = network.config, 4, 5
    length, width = 1 + rows * columns, config.width
    # Per token and block: q, k, v and the projection, then the feed-forward part; per pair: scores
    # and values. A multiplication and an addition count as two.
    block = 2 * length * (4 * width**2 + 8 * width**2) + 2 * 2 * length**2 * width
    expected = config.depth * block
    outputs: list[int] = []

    def count(layer: torch.nn.Module, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        if isinstance(layer, torch.nn.ConvTranspose2d):
            outputs.append(2 * given[0][0, 0].numel() * weight.numel())
        else:
            outputs.append(2 * out[0, 0].numel() * weight.numel())

    for layer in network.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, 14 * rows, 14 * columns))
    expected += sum(outputs)
    # The position table is two small products more.
    found = forward_gflop(network, 1, 14 * rows, 14 * columns)
    assert found == pytest.approx(expected / 1e9, rel=0.02)
    assert forward_gflop(network, 3, 14 * rows, 14 * columns) > 2.9 * found


def test_bench_compute_reports_shares(tmp_path: Path) -> None:
    out = bench(
        *("compute", "--encoder", "vits", "--precision", "fp32", "--batch", 1, "--rounds", 1),
        *("--size", "56x70", "--peak", 1000, "--device", "cpu", "--threads", 1),
        *("--json", tmp_path / "compute.json"),
    )
    report = json.loads((tmp_path / "compute.json").read_text())
    product, forward = report["rows"]
    assert product["forward"] == "matrix product"
    assert product["share_of_product"] == 1
    assert product["gflop"] == pytest.approx(2 * 2048**3 / 1e9, rel=1e-3)
    assert forward["share_of_product"] > 0
    rate = forward["gflop"] / forward["median_ms"]
    assert forward["tflop_per_s"] == pytest.approx(rate, rel=0.02)
    assert forward["share_of_peak"] == pytest.approx(rate / 1000, rel=0.02)
    assert "of the peak" in out
