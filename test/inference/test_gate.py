"""`auto` takes the fastest way to run a network that is right with the very weights."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")
import torch
from tiny_networks import write_red_network

from depth_anything_ros.frames import FloatImage, PredictionKind
from depth_anything_ros.inference.accuracy_gate import LIMIT, check_pictures, difference
from depth_anything_ros.inference.cpu import computes_bf16, may_have_gpu
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.checkpoints import save_network
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.settings import ModelSettings

REPOSITORY = Path(__file__).resolve().parents[2]
RELATIVE, METRIC = PredictionKind.RELATIVE_DISPARITY, PredictionKind.METRIC_DEPTH
needs_bf16 = pytest.mark.skipif(not computes_bf16(), reason="this CPU has no bf16 arithmetic")
pytestmark = pytest.mark.skipif(may_have_gpu(), reason="the order of a CPU is tested")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache is left alone; within this module it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "depth_anything_ros"


@pytest.fixture(scope="module")
def good(
    small_network: Callable[..., DepthAnything], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("weights") / "good.safetensors"
    save_network(small_network(20.0), path, licence="MIT")
    return path


@pytest.fixture(scope="module")
def delicate(
    small_network: Callable[..., DepthAnything], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Equal in float32; in bfloat16 the last layer takes large numbers from larger ones."""
    network = small_network()
    hidden, _, last = network.depth_head.scratch["output_conv2"][:3]  # type: ignore[index]
    with torch.no_grad():
        hidden.bias.add_(20000.0)
        last.bias.sub_(20000.0 * last.weight.sum())
    path = tmp_path_factory.mktemp("weights") / "delicate.safetensors"
    save_network(network, path, licence="MIT")
    return path


def load(model: Path, backend: str = "auto", precision: str = "auto") -> DepthEstimator:
    return make_estimator(ModelSettings(str(model), "auto", precision, 112, 1, backend)).estimator


def way(estimator: DepthEstimator) -> tuple[str, str]:
    return estimator.backend, estimator.precision


def answers(estimator: DepthEstimator) -> list[FloatImage]:
    return [prediction.values for prediction in estimator.estimate(check_pictures())]


def test_the_fastest_is_taken_and_is_right(good: Path) -> None:
    chosen = load(good)
    assert way(chosen) == ("openvino", "bf16" if computes_bf16() else "fp32")
    figure = difference(answers(chosen), answers(load(good, "torch", "fp32")), METRIC)
    print(f"\n{way(chosen)} differs by {100 * figure:.2f} %")
    assert (1e-4 if computes_bf16() else 0) < figure <= LIMIT


@needs_bf16
def test_what_rounds_too_coarsely_is_named_and_passed_over(
    delicate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "depth_anything_ros"):
        chosen = load(delicate)
    assert way(chosen) == ("openvino", "fp32")
    (warning,) = (record.getMessage() for record in caplog.records)
    print(f"\n{warning}")
    assert "openvino bf16 is not used for delicate" in warning
    assert "% on average (AbsRel), more than 1 %" in warning
    reference = answers(load(delicate, "torch", "fp32"))
    assert difference(answers(chosen), reference, RELATIVE) < 1e-3
    coarse = load(delicate, "openvino", "bf16")
    assert difference(answers(coarse), reference, RELATIVE) > LIMIT
    # The one backend named, its precision is chosen the same way.
    assert way(load(delicate, "torch")) == ("torch", "fp32")
    assert way(load(delicate, "openvino")) == ("openvino", "fp32")


def test_what_is_named_is_taken(delicate: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "depth_anything_ros"):
        for named in (("torch", "bf16"), ("torch", "fp32"), ("onnxruntime", "fp32")):
            assert way(load(delicate, *named)) == named
    assert not caplog.records
    assert way(load(delicate, precision="fp32")) == ("openvino", "fp32")


def test_a_library_that_is_not_there_is_passed_over(
    good: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with caplog.at_level(logging.WARNING, "depth_anything_ros"):
        expected = ("torch", "bf16") if computes_bf16() else ("onnxruntime", "fp32")
        assert way(load(good)) == expected
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        assert way(load(good, precision="fp32")) == ("torch", "fp32")
    assert not caplog.records


def test_a_cache_that_cannot_be_written_costs_speed_only(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with caplog.at_level(logging.WARNING, "depth_anything_ros"):
        assert way(load(good)) == ("torch", "fp32")
    assert all("set XDG_CACHE_HOME" in record.getMessage() for record in caplog.records)
    assert caplog.records


def test_the_next_start_neither_compares_nor_needs_torch(good: Path, cache: Path) -> None:
    load(good)
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    code = (
        "import sys\n"
        "from depth_anything_ros.inference.selection import make_estimator\n"
        "from depth_anything_ros.settings import ModelSettings\n"
        f"estimator = make_estimator(ModelSettings({str(good)!r})).estimator\n"
        "print(estimator.backend, 'torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert answer.stdout.split() == ["openvino", "False"]
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


def test_graphs_are_compared_with_onnx_runtime(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_red_network(tmp_path, "metric_depth")
    assert way(load(model)) == ("openvino", "fp32")
    assert any(
        path.name.startswith("metric_depth_0-openvino-fp32-check-") for path in cache.iterdir()
    )
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert way(load(model)) == ("onnxruntime", "fp32")


def test_the_difference_is_absrel() -> None:
    reference = [np.array([[1.0, 2.0], [4.0, 8.0]], np.float32)]
    off = [np.array([[1.1, 2.0], [4.0, 6.0]], np.float32)]
    assert difference(off, reference, METRIC) == pytest.approx((0.1 + 0.25) / 4)
    # Scale and shift of a relative network mean nothing, order does.
    assert difference([3 * reference[0] + 5], reference, RELATIVE) < 1e-6
    assert difference([3 * reference[0] + 5], reference, METRIC) > 1
    assert difference([reference[0].T.copy()], reference, RELATIVE) > 0.1
    far = [np.array([[0.0, 5.0], [10.0, 10.0]], np.float32)]
    near_far = [far[0] + np.array([[0.01, 0.0], [0.0, 0.0]], np.float32)]
    assert difference(near_far, far, RELATIVE) < 0.01
    broken = [np.array([[1.0, np.nan], [4.0, 8.0]], np.float32)]
    assert difference(broken, reference, METRIC) == np.inf


def test_the_pictures_are_always_the_same() -> None:
    first, again = check_pictures(), check_pictures()
    assert len(first) == 4
    for one, other in zip(first, again, strict=True):
        assert one.dtype == np.uint8
        assert one.shape == (252, 336, 3)
        assert one.std() > 30
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], first[1])
