"""The benchmark counts, compares and reports rightly; how fast anything is, is not tested."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_network import make_small_network
from typer.testing import CliRunner

from depth_anything_ros.benchmark.compute import forward_gflop
from depth_anything_ros.benchmark.drive import HEIGHT, PERIOD_NS, SCALE, SHIFT, drive
from depth_anything_ros.benchmark.implementations import Implementation, NetworkSettings
from depth_anything_ros.benchmark.network_process import network_processes
from depth_anything_ros.benchmark.report import Section
from depth_anything_ros.benchmark.report import report as run_report
from depth_anything_ros.benchmark.scaling import METHODS, Size, scaling_contenders
from depth_anything_ros.benchmark.straightforward import (
    straightforward_cloud,
    straightforward_input,
    straightforward_metres,
)
from depth_anything_ros.benchmark.timing import (
    WARM_UP,
    Cost,
    interleaved,
    machine,
    peak_memory_mb,
    stopwatch,
)
from depth_anything_ros.cli.main import app
from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Prediction, PredictionKind, Quality
from depth_anything_ros.geometry.camera import Camera, ray_table
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.inference.preprocess import Normaliser, network_size
from depth_anything_ros.metric.apply import to_metres


def bench(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output + repr(result.exception)
    return str(result.stdout)


# --- counting -------------------------------------------------------------------------------


def test_contenders_take_turns_and_only_warm_rounds_count() -> None:
    order = []

    def contender(name: str, costs: list[float]) -> Callable[[], Cost]:
        def run() -> Cost:
            order.append(name)
            seconds = costs.pop(0)
            return Cost(seconds, 2 * seconds)

        return run

    cold = [9.0] * WARM_UP
    rounds = list(
        interleaved(
            {"a": contender("a", [*cold, 0.3, 0.1, 0.2]), "b": contender("b", [*cold, 5, 4, 7])}, 3
        )
    )
    assert order == ["a", "b"] * (WARM_UP + 3)
    assert len(rounds) == WARM_UP + 3
    assert rounds[WARM_UP - 1] == {}
    a, b = rounds[-1]["a"], rounds[-1]["b"]
    assert (a.median_ms, a.best_ms, a.cpu_ms) == pytest.approx((200, 100, 400))
    assert b.as_dict() == {"median_ms": 5000, "best_ms": 4000, "cpu_ms": 10000, "rounds": 3}
    with pytest.raises(SettingError, match="rounds is 0"):
        next(interleaved({}, 0))


def test_the_stopwatch_runs_the_job_once_and_knows_work_from_waiting() -> None:
    runs = []

    def wait() -> None:
        runs.append(1)
        time.sleep(0.05)

    cost = stopwatch(wait)()
    assert runs == [1]
    assert cost.seconds >= 0.05 > cost.cpu_seconds


def test_the_machine_is_described_in_plain_json() -> None:
    here = json.loads(json.dumps(machine()))
    assert here["cores"] >= 1
    assert here["processor"]
    assert here["versions"]["numpy"] == np.__version__
    assert here["python"].count(".") == 2
    block = np.ones(30_000_000)  # 240 MB
    assert peak_memory_mb() > block.nbytes / 1e6


# --- the drive ------------------------------------------------------------------------------


def test_the_drive_is_exact_geometry() -> None:
    lap = drive(60, 80, points=2000, images=4)
    assert [frame.stamp for _, frame in lap] == [index * PERIOD_NS for index in range(6)]
    ways = [frame.pose[2, 3] for _, frame in lap if frame.pose is not None]
    assert np.sign(np.diff(ways)).tolist() == [1, 1, 1, -1, -1]
    prediction, frame = lap[0]
    assert frame.camera is not None and frame.points is not None and frame.slam is not None
    # The lowest pixels look at the ground: Z = height / y of the ray.
    depth = 1 / (SCALE * prediction.values + SHIFT)
    ground = HEIGHT / ray_table(frame.camera)[1][-5:]
    assert np.median(np.abs(depth[-5:] / ground - 1)) < 0.15
    u, v, z = frame.points.u, frame.points.v, frame.points.z
    share = np.abs(z / depth[np.rint(v).astype(int), np.rint(u).astype(int)] - 1) < 0.4
    assert len(frame.points) == 2000
    assert 0.9 < share.mean() < 1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_scale_of_the_drive(method: str) -> None:
    scaler = METHODS[method]()
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


# --- the cloud ------------------------------------------------------------------------------


def test_the_reference_cloud_is_the_same_cloud() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 9, (12, 16)).astype(np.float32)
    rgb = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    camera = Camera.from_fov(16, 12, 60.0)
    ours = build_cloud(depth, camera, rgb).data
    reference = straightforward_cloud(depth, camera, rgb)
    for index, name in enumerate(("x", "y", "z")):
        np.testing.assert_allclose(reference[name], ours[..., index], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        np.ascontiguousarray(reference["rgb"]).view(np.uint32), ours.view(np.uint32)[..., 3]
    )


# --- the command ----------------------------------------------------------------------------


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


def test_the_straightforward_way_gives_the_same() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
    size = network_size(120, 160, 140)
    pixels = np.empty((*size, 3), np.float32)
    Normaliser(size).into(rgb, pixels)
    theirs = straightforward_input(np.ascontiguousarray(rgb[..., ::-1]), size)
    np.testing.assert_allclose(theirs[0].transpose(1, 2, 0), pixels, atol=1e-3)
    disparity = rng.uniform(0.1, 1.0, (120, 160)).astype(np.float32)
    prediction = Prediction(disparity, PredictionKind.RELATIVE_DISPARITY, size)
    np.testing.assert_allclose(
        straightforward_metres(disparity, 0.4, 0.02), to_metres(prediction, 0.4, 0.02), rtol=1e-5
    )


def test_bench_scaling_reports(tmp_path: Path) -> None:
    out = bench(
        *("scaling", "--size", "120x160", "--points", 500, "--encoder", "none", "--rounds", 2),
        *("--method", "sparse", "--method", "fixed", "--json", tmp_path / "scaling.json"),
    )
    report = json.loads((tmp_path / "scaling.json").read_text())
    assert [row["method"] for row in report["rows"]] == ["sparse", "fixed"]
    assert report["points"] == 500
    assert "sparse" in out


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
    out = bench("report", page, "--only", "cloud")
    assert str(page) in out.replace("\n", "")
    assert re.search(r"^xyzrgb +720x1280 +\d", page.read_text(), re.MULTILINE)
    assert "## The network" not in page.read_text()


def test_a_process_that_dies_is_reported(tmp_path: Path) -> None:
    settings = NetworkSettings(tmp_path / "gone.pth", "cpu", 1)
    with network_processes([Implementation("torch")], settings) as answer:
        ready, missing = answer
    assert ready == []
    assert "gone.pth' does not exist" in missing["torch fp32"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cloud", "--size", "24"], "'24' is not a size"),
        (["network", "--backend", "tpu"], "'tpu' is not one of"),
        (["network", "--against", "me"], "neither official=PATH nor transformers"),
        (["network", "--against", "transformers:int4"], "neither official=PATH nor transformers"),
        (["report", "page.md", "--only", "speed"], "'speed' is not one of"),
        (["compute", "--size", "480x640"], "must be multiples of 14"),
        (["compute", "--precision", "half"], "'half' is not one of"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["bench", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.fixture
def small_network_file(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    from depth_anything_ros.network.checkpoints import save_network

    path = tmp_path / "small.safetensors"
    save_network(make_small_network(), path)
    return path


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
    text = charts.read_text()
    assert text.count("```mermaid") == 4
    for row in rows:
        assert row["median_ms"] > 0
        assert f'"{row["at"]}"' in text
    lines = [json.loads(found) for found in re.findall(r"^ +line (\[.*\])$", text, re.M)]
    drawn = [value for line in lines for value in line]
    assert drawn == pytest.approx([row["median_ms"] for row in rows], abs=0.011)
