"""The TensorRT backend, with a stand-in for TensorRT that runs on the CPU.

What is real here: ONNX Runtime, the graphs, the cache. What stands in: the making of an engine,
which writes a file where ONNX Runtime would, and refuses one that another driver has made.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
import onnxruntime as ort  # type: ignore[import-untyped]
from tiny_networks import write_red_network

from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.inference.backends import onnxruntime as onnx_estimator
from depth_anything_ros.inference.backends import tensorrt as tensorrt_estimator
from depth_anything_ros.inference.backends.onnxruntime import OnnxEstimator
from depth_anything_ros.inference.backends.tensorrt import PROVIDER, TensorRtEstimator
from depth_anything_ros.inference.export import export_onnx
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.settings import ModelSettings

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class StandIn:
    """ONNX Runtime with a TensorRT of its own."""

    def __init__(self) -> None:
        self.available = [PROVIDER, CUDA, CPU]
        self.loads = True
        self.driver = "1"
        self.engines: list[dict[str, Any]] = []
        self.shapes: list[list[object]] = []
        self.SessionOptions = ort.SessionOptions
        self.GraphOptimizationLevel = ort.GraphOptimizationLevel

    def get_available_providers(self) -> list[str]:
        return self.available

    def InferenceSession(self, path: str, options: Any, providers: list[Any]) -> Any:  # noqa: N802
        session = ort.InferenceSession(path, options, providers=[CPU])
        names = [each if isinstance(each, str) else each[0] for each in providers]
        if PROVIDER not in names:
            return session
        if not self.loads:
            return SimpleNamespace(run=session.run, get_providers=lambda: [CPU])
        (settings,) = (each[1] for each in providers if each[0] == PROVIDER)
        engine = Path(settings["trt_engine_cache_path"]) / "graph.engine"
        if not engine.exists():
            self.engines.append(settings)
            self.shapes.append(session.get_inputs()[0].shape)
            engine.write_text(self.driver)
        elif engine.read_text() != self.driver:
            raise RuntimeError("TensorRT EP could not deserialize engine from cache")
        return SimpleNamespace(run=session.run, get_providers=lambda: names)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    for module in (tensorrt_estimator, onnx_estimator):
        monkeypatch.setattr(module, "require", lambda *_: stand_in)
    return stand_in


@pytest.fixture(scope="module")
def graph(
    small_network: Callable[..., DepthAnything], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("graph") / "network.onnx"
    export_onnx(small_network(20.0), path, 112, "MIT")
    return path


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_it_says_what_the_graph_says_at_every_size(
    runtime: StandIn, graph: Path, tmp_path: Path
) -> None:
    images = [photo(90, 120), photo(90, 120, 1), photo(120, 90)]
    expected = OnnxEstimator(graph, device="cpu", input_size=112).estimate(images)
    estimator = TensorRtEstimator(graph, input_size=112, root=tmp_path)
    assert (estimator.backend, estimator.device, estimator.precision) == (
        *("tensorrt", "cuda:0"),
        "fp16",
    )
    for ours, own in zip(estimator.estimate(images), expected, strict=True):
        np.testing.assert_allclose(ours.values, own.values, atol=1e-4)
        assert ours.input_size == own.input_size
    # Engines are of one shape each: nothing in the graph is left open.
    assert runtime.shapes == [[2, 3, 112, 154], [1, 3, 154, 112]]


def test_an_engine_is_built_once_for_a_size_and_precision(
    runtime: StandIn, graph: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        for precision in ("fp16", "fp32"):
            estimator = TensorRtEstimator(graph, None, "cuda:1", precision, 112, tmp_path)
            estimator.warm_up(90, 120)
            estimator.estimate([photo(90, 120)])
    assert len(runtime.engines) == 2
    half, whole = runtime.engines
    assert half["trt_fp16_enable"] and half["trt_layer_norm_fp32_fallback"]
    assert not whole["trt_fp16_enable"]
    assert half["device_id"] == 1
    assert half["trt_engine_cache_path"] != whole["trt_engine_cache_path"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("trouble", ["damaged", "of another driver"])
def test_an_engine_of_no_use_is_built_anew(
    runtime: StandIn, graph: Path, tmp_path: Path, trouble: str
) -> None:
    TensorRtEstimator(graph, input_size=112, root=tmp_path).warm_up(90, 120)
    if trouble == "damaged":
        (engine,) = tmp_path.glob("*/graph.engine")
        engine.write_text("half of it")
    else:
        runtime.driver = "2"
    for _ in range(2):
        estimator = TensorRtEstimator(graph, input_size=112, root=tmp_path)
        (prediction,) = estimator.estimate([photo(90, 120)])
        assert np.isfinite(prediction.values).all()
    assert len(runtime.engines) == 2


def test_what_ONNX_Runtime_would_do_without_a_word_is_an_error(  # noqa: N802
    runtime: StandIn, graph: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.loads = False
    estimator = TensorRtEstimator(graph, input_size=112, root=tmp_path)
    with pytest.raises(SettingError, match="cannot load TensorRT's libraries"):
        estimator.warm_up(90, 120)
    assert not list(tmp_path.iterdir())
    with pytest.raises(SettingError, match="device is 'cuda' but ONNX Runtime cannot load CUDA"):
        OnnxEstimator(graph, device="cuda")
    fallen = OnnxEstimator(graph)
    assert fallen.device == "cpu"
    assert "the CPU is used" in caplog.text


def test_settings_that_cannot_be(runtime: StandIn, graph: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("cpu", "fp16"), "TensorRT runs on NVIDIA's GPUs only"),
        (("cuda:x", "fp16"), "device is 'cuda:x'"),
        (("auto", "bf16"), "precision is 'bf16'; TensorRT here runs fp32 or fp16"),
    ):
        with pytest.raises(SettingError, match=words):
            TensorRtEstimator(graph, None, *arguments)
    with pytest.raises(CheckpointError, match="does not exist"):
        TensorRtEstimator(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    (tmp_path / "broken.yaml").write_text(graph.with_suffix(".yaml").read_text())
    with pytest.raises(CheckpointError, match=r"broken\.onnx' cannot be loaded"):
        TensorRtEstimator(broken)
    runtime.available = [CUDA, CPU]
    with pytest.raises(SettingError, match="install onnxruntime-gpu and tensorrt"):
        TensorRtEstimator(graph)


def test_the_factory_runs_it(
    runtime: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = write_red_network(tmp_path, "metric_depth")
    settings = ModelSettings(str(model), backend="tensorrt", precision="fp16")
    loaded = make_estimator(settings)
    assert loaded.description()["backend"] == "tensorrt"
    (prediction,) = loaded.estimator.estimate([photo(90, 120)])
    expected = OnnxEstimator(model, device="cpu").estimate([photo(90, 120)])[0]
    np.testing.assert_allclose(prediction.values, expected.values, atol=1e-5)
    assert len(runtime.engines) == 1
