"""The report of all benchmarks."""

from __future__ import annotations

import re
from pathlib import Path

from bench_command import bench

from depth_anything_ros.benchmark.report import GPU_SECTIONS, Section
from depth_anything_ros.benchmark.report import report as run_report


def test_bench_report_runs_benchmarks_and_says_what_failed(tmp_path: Path) -> None:
    page = tmp_path / "here.md"
    short = Section("cloud", "Clouds", ("cloud", "--size", "24x32", "--rounds", "1"))
    broken = Section("network", "Nets", ("network", "--rounds", "1"))
    text = "\n".join(run_report([short, broken], ["nobody"]))
    assert "## Clouds" in text
    assert "$ depth_anything bench cloud --size 24x32 --rounds 1" in text
    assert re.search(r"^straightforward +24x32 +\d", text, re.MULTILINE)
    assert "--against nobody" in text
    assert "failed with exit code 2" in text
    assert "neither official=PATH nor transformers" in text
    da3 = Section(
        "da3",
        "DA3",
        ("network", "--backend", "torch:fp32", "--size", "28x28", "--rounds", "1"),
        "da3_small",
    )
    assert re.search(r"^torch fp32 +28x28 +\d", "\n".join(run_report([da3])), re.MULTILINE)
    assert {each.random for each in GPU_SECTIONS} == {"", "vits", "vitb"}
    out = bench("report", page, "--only", "cloud")
    assert str(page) in out.replace("\n", "")
    assert re.search(r"^xyzrgb +720x1280 +\d", page.read_text(), re.MULTILINE)
    assert "## The network" not in page.read_text()
