"""Every backend says what torch says, for networks of several families."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import torch
from lite_weights import published_like

from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.inference.backends.openvino import graphs
from depth_anything_ros.inference.graph_cache import onnx_graph
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.checkpoints import resolve, save_network
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.network.families.lite.encoder import imagenet_weights
from depth_anything_ros.network.families.lite.network import LiteConfig, LiteDepth
from depth_anything_ros.settings import ModelSettings

SHAPES = [(60, 60), (48, 72), (90, 50)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache is left alone; within this module it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def lite_network() -> LiteDepth:
    """An EfficientNet-Lite with random weights whose outputs spread."""
    torch.manual_seed(3)
    network = LiteDepth(LiteConfig("lite0", 16, 8)).eval()
    network.backbone.load_state_dict(imagenet_weights(published_like("lite0"), "lite0"))
    return network


@pytest.fixture(scope="module", params=["depth_anything", "lite"])
def weights(
    request: pytest.FixtureRequest,
    small_network: Callable[..., DepthAnything],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    network = lite_network() if request.param == "lite" else small_network()
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    save_network(network, path, licence="MIT")
    return path


def answers(weights: Path, backend: str, images: list[RgbImage]) -> list[FloatImage]:
    settings = ModelSettings(str(weights), "cpu", "fp32", 112, 1, backend)
    return [prediction.values for prediction in make_estimator(settings).estimator.estimate(images)]


def test_openvino_takes_the_export_that_is_there(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    file = resolve(weights)
    exported = onnx_graph(file)
    monkeypatch.setattr(graphs, "export_into", lambda *_: pytest.fail("exported again"))
    graph = graphs.openvino_graph(file)
    assert graph.with_suffix(".yaml").read_text() == exported.with_suffix(".yaml").read_text()
    assert not graph.with_suffix(".onnx").exists()
    assert exported.is_file()


def test_every_backend_says_the_same(weights: Path) -> None:
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (len(SHAPES), 9, 12, 3), dtype=np.uint8)
    images = [
        np.asarray(cv2.resize(each, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
        for each, shape in zip(small, SHAPES, strict=True)
    ]
    expected = answers(weights, "torch", images)
    for backend in ("onnxruntime", "openvino"):
        pytest.importorskip(backend)
        for ours, theirs in zip(answers(weights, backend, images), expected, strict=True):
            spread = float(np.ptp(theirs))
            worst = float(np.abs(ours - theirs).max()) / spread
            print(f"\n{weights.stem} on {backend}: {worst:.1e} of the range {spread:.2f}")
            assert spread > 0.05
            assert worst <= 1e-3
