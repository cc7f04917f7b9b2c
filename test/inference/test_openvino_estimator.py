"""The OpenVINO backend against torch and ONNX Runtime, and on the real FastDepth network."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("onnxscript")
pytest.importorskip("torch")

from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.frames import PredictionKind, RgbImage
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.backends.openvino.estimator import OpenVinoEstimator
from depth_anything_ros.inference.cpu import computes_bf16
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.onnx_spec import FAST_DEPTH
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.checkpoints import save_network
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.settings import ModelSettings

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPES = [(60, 60), (48, 72), (90, 50)]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache is left alone; within this module it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def weights(
    small_network: Callable[..., DepthAnything], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_network(small_network(20.0), path, licence="MIT")
    return path


def load(weights: Path, backend: str, precision: str = "fp32") -> LoadedModel:
    settings = ModelSettings(str(weights), "cpu", precision, 112, 1, backend)
    return make_estimator(settings)


def photo(height: int, width: int, seed: int = 0) -> RgbImage:
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_backend_gives_the_same_metres(weights: Path, backend: str) -> None:
    torch_model, model = load(weights, "torch"), load(weights, backend)
    assert model.estimator.backend == backend
    assert model.estimator.precision == "fp32"
    assert model.estimator.kind is PredictionKind.METRIC_DEPTH
    assert (model.info.max_depth, model.info.licence) == (20.0, "MIT")
    images = [photo(*shape, seed) for seed, shape in enumerate([*SHAPES, SHAPES[0]])]
    expected = torch_model.estimator.estimate(images)
    for ours, theirs in zip(model.estimator.estimate(images), expected, strict=True):
        assert ours.input_size == theirs.input_size
        assert theirs.values.std() > 0.5
        worst = float(np.abs(ours.values - theirs.values).max())
        print(f"\n{backend} {ours.input_size}: max |difference to torch| {worst:.1e} m")
        assert worst <= 1e-3


def test_precision_is_what_is_asked_for(weights: Path) -> None:
    if not computes_bf16():
        with pytest.raises(SettingError, match="no bf16 arithmetic"):
            load(weights, "openvino", "bf16")
        return
    image = photo(60, 80)
    fp32, bf16 = (load(weights, "openvino", name).estimator for name in ("fp32", "bf16"))
    assert (fp32.precision, bf16.precision) == ("fp32", "bf16")
    exact, coarse = (each.estimate([image])[0].values for each in (fp32, bf16))
    difference = float(np.abs(exact - coarse).mean() / exact.mean())
    print(f"\nbf16 against fp32: mean relative difference {difference:.1e}")
    # bfloat16 has 8 bits: were it float32 after all, this would be 1e-6.
    assert 1e-4 < difference < 2e-2


def test_predictions_are_the_callers(weights: Path) -> None:
    estimator = load(weights, "openvino").estimator
    assert isinstance(estimator, DepthEstimator)
    first = estimator.estimate([photo(112, 112)])[0].values  # the network's own size
    kept = first.copy()
    estimator.estimate([photo(112, 112, seed=9)])
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(estimator.estimate([photo(112, 112)])[0].values, kept)


def test_the_export_is_kept_and_the_next_start_needs_no_torch(weights: Path, cache: Path) -> None:
    load(weights, "openvino")
    entries = sorted((cache / "depth_anything_ros").glob("small-openvino-*/*"))
    assert {path.name for path in entries} == {
        "network.xml",
        "network.bin",
        "network.yaml",
        "sha256.json",
    }
    code = (
        "import sys\n"
        "from depth_anything_ros.inference.selection import make_estimator\n"
        "from depth_anything_ros.settings import ModelSettings\n"
        f"settings = ModelSettings({str(weights)!r}, 'cpu', 'fp32', backend='openvino')\n"
        "model = make_estimator(settings)\n"
        "model.estimator.warm_up(20, 30)\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert answer.stdout.strip() == "[]"


def test_ctrl_c_is_noted_when_networks_are_gone(weights: Path, cache: Path) -> None:
    """Two cores that had gone in this order left signal handlers no stack."""
    load(weights, "openvino")
    code = (
        "import signal, sys\n"
        "from depth_anything_ros.inference.backends.openvino.estimator import OpenVinoEstimator\n"
        "first, second = OpenVinoEstimator(sys.argv[1]), OpenVinoEstimator(sys.argv[1])\n"
        "del first\n"
        "del second\n"
        "signal.signal(signal.SIGINT, lambda *_: print('noted'))\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(next(cache.rglob("network.xml")))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (answer.stdout.strip(), answer.returncode) == ("noted", 0), answer.stderr


@pytest.mark.data
def test_fastdepth_reproduces_its_authors_output(data_dir: Path) -> None:
    folder = data_dir / "fastdepth"
    estimator = OpenVinoEstimator(folder / "fastdepth_7.onnx", num_threads=1)
    assert estimator.spec == FAST_DEPTH
    image = (np.load(folder / "rgb.npy") * 255).round().astype(np.uint8)
    (prediction, again) = estimator.estimate([image, image])  # it takes one at a time
    worst = float(np.abs(prediction.values - np.load(folder / "pred.npy")[0, 0]).max())
    print(f"\nFastDepth against its authors' output: {worst:.1e} m")
    assert worst <= 1e-4
    np.testing.assert_array_equal(prediction.values, again.values)


def test_settings_that_cannot_be(weights: Path, tmp_path: Path) -> None:
    model = str(weights)
    for settings, words in (
        (ModelSettings(model, backend="tensorflow"), "backend is 'tensorflow'; use one of auto"),
        (ModelSettings(model, "cuda", backend="openvino"), "backend openvino runs on cpu only"),
        (
            ModelSettings(model, precision="fp16", backend="openvino"),
            "'fp16' but backend openvino runs",
        ),
        (
            ModelSettings(model, precision="bf16", backend="onnxruntime"),
            "onnxruntime runs fp32 only",
        ),
    ):
        with pytest.raises(SettingError, match=words):
            make_estimator(settings)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(SettingError, match=r"backend is 'torch' but .*broken\.onnx' is an ONNX"):
        make_estimator(ModelSettings(str(broken), backend="torch"))
    with pytest.raises(CheckpointError, match="cannot be loaded by OpenVINO"):
        OpenVinoEstimator(broken, FAST_DEPTH)
    with pytest.raises(CheckpointError, match="does not exist"):
        OpenVinoEstimator(tmp_path / "gone.xml")
    with pytest.raises(SettingError, match="num_threads is -1"):
        OpenVinoEstimator(broken, FAST_DEPTH, num_threads=-1)
