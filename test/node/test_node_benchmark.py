"""The node's benchmark tells what happened; how fast it was, is not tested."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from ros_harness import Consumer, NodeProcess
from tiny_networks import write_red_network

from depth_anything_ros.benchmark.node.runner import NodeLoad, Usage, measure_node, summed_up
from depth_anything_ros.benchmark.node.stages import (
    EDGES,
    SCALE,
    SHIFT,
    STAGES,
    Calculations,
    NodeStages,
    Scene,
    StraightforwardStages,
)
from depth_anything_ros.benchmark.straightforward import (
    straightforward_cloud,
    straightforward_input,
    straightforward_metres,
)
from depth_anything_ros.cli.main import app
from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.frames import Prediction, PredictionKind
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.messages import info_from_camera, rgb_to_image


def bench(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output + repr(result.exception)
    return str(result.stdout)


def test_bench_node_counts_what_a_slow_network_drops(tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    out = bench(
        *("node", "--network-ms", 150, "--rate", 20, "--size", "120x160", "--points", 500),
        *("--seconds", 3, "--json", file),
    )
    report = json.loads(file.read_text())
    images = report["images"]
    assert images["sent"] >= images["in"] > images["answered"] > 0
    assert images["dropped"] > 0
    assert images["why_dropped"]["newer image came"] > 0
    on_their_way = images["in"] - images["answered"] - images["dropped"]
    assert 0 <= on_their_way <= 2, "one is answered, one waits"
    for output in ("depth/image", "depth/camera_info", "points"):
        assert 0 < images["received"][output] <= images["sent"]
        latency = report["latency_ms"][output]
        assert 0 < latency["count"] < images["received"][output]
        assert 150 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["most"]
        assert output in out
    assert report["network_ms"] >= 150
    assert report["oldest_in_network_times"] >= 1
    assert report["cpu_percent"] > 0
    assert 50 < report["memory_mb"]["start"] <= report["memory_mb"]["most"]
    assert report["ready_s"] > 0
    assert report["load"]["points"] == 500
    assert report["machine"]["processor"] in out


def test_a_node_that_cannot_start_is_reported() -> None:
    load = NodeLoad(network_ms=1.0, parameters=("scaler:=magic",))
    with pytest.raises(DepthAnythingError, match=r"depth_node stopped early:[^$]*magic"):
        measure_node(load, 1.0)


def test_nodes_end_with_the_process_that_started_them() -> None:
    code = (
        "import time\n"
        "from depth_anything_ros.benchmark.node.runner import running\n"
        "with running('depth_node', ['--network-ms', '0']) as node:\n"
        "    print(node.number, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        node = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    node.wait(60)  # raises TimeoutExpired where it goes on


def test_only_stamped_outputs_can_be_listened_to() -> None:
    with pytest.raises(DepthAnythingError, match=r"invalid choice: 'scale_state' \(choose from"):
        measure_node(NodeLoad(outputs=("points", "scale_state")), 1.0)


def test_figures_come_from_the_window_alone() -> None:
    second = 10**9
    stamps = [index * second for index in range(1, 11)]
    arrivals = [(stamp, stamp + stamp // 100) for stamp in stamps]  # 10 ms, 20 ms, ...
    usage = [Usage(float(at), 0.5 * at, 100.0 + at) for at in range(21)]
    counted = {"frames_in": "9", "frames_out": "7", "frames_dropped": "2", "dropped (why)": "2"}
    figures = summed_up(
        stamps,
        {"received": {"points": arrivals, "depth/image": []}, "counted": counted},
        [20.0, 30.0, 1000.0],
        usage,
        (3 * second, 7 * second),
    )
    assert figures["latency_ms"]["depth/image"] == {"count": 0}
    assert figures["latency_ms"]["points"] == {
        **{"count": 5, "p50": 50.0, "p95": 68.0, "p99": 69.6, "most": 70.0}
    }
    assert figures["images"] == {
        **{"sent": 10, "in": 9, "answered": 7, "dropped": 2, "why_dropped": {"why": 2}},
        "received": {"points": 10, "depth/image": 0},
    }
    assert figures["network_ms"] == 30.0
    assert figures["oldest_in_network_times"] == pytest.approx(70 / 30, abs=0.01)
    assert figures["cpu_percent"] == 50.0
    assert figures["cpu_ms_per_answer"] == 2000.0
    assert figures["memory_mb"] == {"start": 100.5, "end": 119.5, "most": 120.0}
    assert figures["memory_drift_percent"] == pytest.approx(100 * 19 / 100.5, abs=0.01)


def test_usage_is_that_of_this_process() -> None:
    before = Usage.of(os.getpid())
    # A mapping of its own: the heap may still hold pages that earlier tests have freed.
    with mmap.mmap(-1, 400_000_000) as held:
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        sum(range(5_000_000))
        after = Usage.of(os.getpid())
    assert after.memory_mb - before.memory_mb == pytest.approx(400, abs=100)
    assert after.cpu_seconds > before.cpu_seconds
    with pytest.raises(DepthAnythingError, match="cannot be observed"):
        Usage.of(2**30)


def test_stages_send_what_the_node_sends(
    start: Callable[..., NodeProcess], consumer: Consumer, tmp_path: Path
) -> None:
    model = write_red_network(tmp_path, "relative_disparity")
    start("depth_node", model=model, scaler="fixed", scale=SCALE, shift=SHIFT)
    outputs = ("depth/image", "depth/camera_info", "points")
    consumer.subscribe(*outputs, "disparity/image")
    consumer.wait_ready()
    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    camera = Camera(160, 120, 130.0, 131.0, 80.4, 59.2)
    consumer.send(rgb, camera)
    answers = {name: consumer.answers(name, 1)[0] for name in (*outputs, "disparity/image")}
    header = answers["points"].header
    disparity = answers["disparity/image"]
    values = np.frombuffer(disparity.data, np.float32).reshape(120, 160)
    scene = Scene(
        rgb_to_image(rgb, header),
        info_from_camera(camera, header),
        Prediction(values, PredictionKind.RELATIVE_DISPARITY, (120, 160)),
    )
    published = []

    def publish(output: str, message: object) -> None:
        published.append(output)
        if isinstance(stages, NodeStages):
            assert message == answers[output]

    stages: NodeStages | StraightforwardStages = NodeStages(scene, publish)
    for job in stages.stages().values():
        job()
    assert sorted(published) == sorted(outputs)
    calculate = Calculations(straightforward_input, straightforward_metres, straightforward_cloud)
    stages = StraightforwardStages(scene, publish, calculate)
    for job in stages.stages().values():
        job()
    for mine, node in ((stages.depth, answers["depth/image"]), (stages.points, answers["points"])):
        floats, expected = (np.frombuffer(each.data, np.float32) for each in (mine, node))
        known = np.isfinite(expected)  # the node leaves flying pixels out
        np.testing.assert_allclose(floats[known], expected[known], rtol=1e-5, atol=1e-6)


def test_bench_stages_reports(tmp_path: Path) -> None:
    file = tmp_path / "stages.json"
    out = bench("stages", "--size", "60x80", "--rounds", 2, "--json", file)
    report = json.loads(file.read_text())
    rows = {row["stage"]: row for row in report["rows"]}
    assert list(rows) == [*STAGES, "depth", "all"]
    for name, row in rows.items():
        assert 0 < row["best_ms"] <= row["median_ms"]
        assert row["rounds"] == 2
        assert ("straightforward" in row) == (name != EDGES)
        assert name in out
