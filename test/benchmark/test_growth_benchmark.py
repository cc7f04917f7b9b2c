"""Curves of cost over input size, image size, cameras and points."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bench_command import bench


def test_bench_growth_draws_every_curve(tmp_path: Path, small_network_file: Path) -> None:
    charts, report = tmp_path / "growth.md", tmp_path / "growth.json"
    out = bench(
        *("growth", "--model", small_network_file, "--rounds", 1, "--threads", 1),
        *("--markdown", charts, "--json", report),
    )
    assert "LiDAR points per image" in out
    rows = json.loads(report.read_text())["rows"]
    curves = {row["what"] for row in rows}
    assert len(curves) == 4
    sizes = [row["at"] for row in rows if "shorter side" in row["axis"]]
    assert sizes == ["140", "196", "252", "350", "448", "518"]
    text = charts.read_text()
    assert text.count("```mermaid") == 4
    for row in rows:
        assert row["median_ms"] > 0
        assert f'"{row["at"]}"' in text
    lines = [json.loads(found) for found in re.findall(r"^ +line (\[.*\])$", text, re.M)]
    drawn = [value for line in lines for value in line]
    assert drawn == pytest.approx([row["median_ms"] for row in rows], abs=0.011)
