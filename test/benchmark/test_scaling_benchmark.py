"""Benchmark of the scale sources."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bench_command import bench

from depth_anything_ros.benchmark.drive import SCALE, SHIFT, drive
from depth_anything_ros.benchmark.scaling import Size, method_scaler, methods, scaling_contenders
from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Quality


@pytest.mark.parametrize("method", methods())
def test_every_method_finds_the_scale_of_the_drive(method: str) -> None:
    scaler = method_scaler(method)
    found = []
    for prediction, frame in drive(240, 320, points=3000):
        scaled = scaler.scale(prediction, frame)
        if scaled.state.quality is Quality.GOOD:
            assert scaled.depth_m is not None
            found.append(float(np.nanmedian(scaled.depth_m * (SCALE * prediction.values + SHIFT))))
    print(f"\n{method}: {len(found)} of 22 good, median depth ratio {np.median(found):.3f}")
    assert len(found) >= 5
    if method != "baseline":  # its baseline is anything
        assert np.median(found) == pytest.approx(1, abs=0.1)


def test_scaling_contenders_say_what_they_cannot() -> None:
    with pytest.raises(SettingError, match="method is 'magic'; use one of sparse"):
        scaling_contenders(Size(), ["magic"])
    (run,) = scaling_contenders(Size(60, 80, 0), ["sparse"]).values()
    with pytest.raises(Exception, match="sparse gives no metres on the drive"):
        run()


def test_bench_scaling_reports(tmp_path: Path) -> None:
    out = bench(
        *("scaling", "--size", "120x160", "--points", 500, "--encoder", "none", "--rounds", 2),
        *("--method", "sparse", "--method", "fixed", "--json", tmp_path / "scaling.json"),
    )
    report = json.loads((tmp_path / "scaling.json").read_text())
    assert [row["method"] for row in report["rows"]] == ["sparse", "fixed"]
    assert report["points"] == 500
    assert "sparse" in out
