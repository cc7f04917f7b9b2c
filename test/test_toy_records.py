"""A backend and a network family are one record each: nothing else needs to know of them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
import torch
from tiny_networks import write_red_network
from toy_network import ToyNetwork
from toy_records import TOY_METRES, toy_records

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.backend import Runtime
from depth_anything_ros.inference.selection import auto_order, make_estimator
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints import load_network, save_network
from depth_anything_ros.settings import ModelSettings

PROGRAM = Path(__file__).parent / "support" / "toy_records.py"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def registered() -> Iterator[None]:
    with toy_records():
        yield


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = ToyNetwork().eval()
    with torch.no_grad():
        network.toy["slope"].fill_(30.0)
    path = tmp_path / "my_toy.safetensors"
    save_network(network, path, licence="MIT", input_size=64)
    return path


def picture(shape: tuple[int, int] = (64, 80)) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def program(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, PROGRAM, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_backend_is_chosen_by_its_record(
    registered: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    loaded = make_estimator(ModelSettings(str(model), "cpu", backend="toy"))
    assert loaded.description()["backend"] == "toy"
    (prediction,) = loaded.estimator.estimate([picture()])
    assert np.all(prediction.values == TOY_METRES)
    # `auto` tries it first, and passes it over: it is not what the reference says.
    assert auto_order("cpu", graph=True)[0] == Runtime("toy", "fp32")
    with caplog.at_level(logging.WARNING, "depth_anything_ros"):
        assert make_estimator(ModelSettings(str(model), "cpu")).estimator.backend != "toy"
    assert "toy fp32 is not used" in caplog.text
    with pytest.raises(SettingError, match="backend toy runs fp32 only"):
        make_estimator(ModelSettings(str(model), precision="bf16", backend="toy"))
    with pytest.raises(SettingError, match="backend toy runs on cpu only"):
        make_estimator(ModelSettings(str(model), "cuda", backend="toy"))


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_family_is_found_by_its_tensors(
    registered: None, weights: Path, tmp_path: Path, backend: str
) -> None:
    pytest.importorskip("onnxscript")
    network, info = load_network(weights)
    assert isinstance(network, ToyNetwork)
    assert (info.encoder, info.kind, info.max_depth) == ("tiny", PredictionKind.METRIC_DEPTH, 50.0)
    bare = tmp_path / "bare.pth"
    torch.save(network.state_dict(), bare)
    assert isinstance(load_network(bare)[0], ToyNetwork)
    image = picture()
    loaded = make_estimator(ModelSettings(str(weights), "cpu", "fp32", backend=backend))
    (prediction,) = loaded.estimator.estimate([image])
    assert prediction.input_size == (64, 80)
    np.testing.assert_allclose(prediction.values, image[..., 0] * (30 / 255), atol=1e-4)


def test_every_list_has_them(registered: None) -> None:
    from depth_anything_ros.inference.backend import backend_choices

    assert "toy" in backend_choices()
    assert catalogue()["toy_model"].repo == "toy/toy-model"
    pytest.importorskip("rclpy")
    from depth_anything_ros.node.reference import reference

    (row,) = (line for line in reference().splitlines() if line.startswith("| `backend` |"))
    assert "toy" in row


def test_the_command_line_takes_them(weights: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), picture()[..., ::-1])
    model = write_red_network(tmp_path, "metric_depth")
    out = tmp_path / "out"
    program("run", image, "--model", model, "--backend", "toy", "-o", out)
    assert np.all(np.load(out / "image_depth.npy") == TOY_METRES)
    program(
        "run", image, "--model", weights, "--backend", "torch", "--precision", "fp32", "-o", out
    )
    expected = picture()[..., 0] * (30 / 255)
    depth = np.load(out / "image_depth.npy")
    known = np.isfinite(depth)
    np.testing.assert_allclose(depth[known], expected[known], atol=1e-4)
    assert "toy" in program("run", "--help")
    assert "toy_model" in program("models")


def test_the_benchmark_compares_it(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    model = write_red_network(tmp_path, "metric_depth")
    program(
        *("bench", "network", "--model", model, "--size", "64x80", "--rounds", "1"),
        *("--backend", "onnxruntime", "--backend", "toy", "--json", report),
    )
    rows = json.loads(report.read_text())["rows"]
    assert [row["contender"] for row in rows] == ["onnxruntime fp32", "toy fp32"]


def test_the_node_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy")
    from ros_harness import NodeProcess

    monkeypatch.setenv("PYTHONPATH", str(PROGRAM.parent))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    model = write_red_network(tmp_path, "metric_depth")
    process = NodeProcess(
        "toy_records", tmp_path / "node.log", model=model, backend="toy", scaler="network"
    )
    try:
        until = time.monotonic() + 60
        while "with toy" not in process.log and time.monotonic() < until:
            assert process.alive, process.log
            time.sleep(0.1)
        assert "fp32 with toy" in process.log
    finally:
        process.stop()
