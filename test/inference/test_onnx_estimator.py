"""The ONNX backend: the real FastDepth network, our own exports, and bad files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

import onnx

from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.frames import PredictionKind, RgbImage
from depth_anything_ros.inference.backends.onnxruntime import OnnxEstimator
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.onnx_spec import (
    FAST_DEPTH,
    METADATA_KEY,
    TEMPLATE,
    OnnxSpec,
    spec_of,
    write_yaml,
)

METRIC = PredictionKind.METRIC_DEPTH
RELATIVE = PredictionKind.RELATIVE_DISPARITY


@pytest.fixture(scope="module")
def mean_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of any size whose output is the mean of its three input channels."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["pixels"], ["grey"], axes=[1], keepdims=1)],
        "mean",
        [helper.make_tensor_value_info("pixels", float32, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("grey", float32, ["n", 1, "h", "w"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path_factory.mktemp("onnx") / "mean.onnx"
    onnx.save(model, path)
    return path


# --- the real network -----------------------------------------------------------------------


@pytest.mark.data
def test_fastdepth_reproduces_its_authors_output(data_dir: Path) -> None:
    folder = data_dir / "fastdepth"
    estimator = OnnxEstimator(folder / "fastdepth_7.onnx", num_threads=1)
    assert isinstance(estimator, DepthEstimator)
    assert estimator.spec == FAST_DEPTH
    rgb = np.load(folder / "rgb.npy") * 255
    image = rgb.round().astype(np.uint8)
    assert np.abs(rgb - image).max() == 0
    (prediction,) = estimator.estimate([image])
    assert prediction.kind is METRIC
    assert prediction.input_size == (224, 224)
    worst = float(np.abs(prediction.values - np.load(folder / "pred.npy")[0, 0]).max())
    print(f"\nFastDepth against its authors' output: {worst:.1e} m")
    assert worst <= 1e-4


@pytest.mark.data
def test_fastdepth_on_nyu(data_dir: Path, read_rgb: Callable[[Path], RgbImage]) -> None:
    estimator = OnnxEstimator(data_dir / "fastdepth" / "fastdepth_7.onnx")
    colours = sorted((data_dir / "nyu").glob("rgb_*.jpg"))
    depths = sorted((data_dir / "nyu").glob("sync_depth_*.png"))
    images = [read_rgb(path) for path in colours]
    truths = [np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) / 1000 for path in depths]
    assert len(images) == len(truths) == 2
    errors = []
    for prediction, truth in zip(estimator.estimate(images), truths, strict=True):
        assert prediction.values.shape == truth.shape
        known = truth > 0
        errors.append(float(np.mean(np.abs(prediction.values[known] / truth[known] - 1))))
    print(f"\nFastDepth on NYU: AbsRel {errors}")
    assert np.mean(errors) <= 0.15


# --- feeding and reading --------------------------------------------------------------------


def test_spec_scales_shifts_and_enlarges(mean_network: Path) -> None:
    spec = OnnxSpec(METRIC, 28, "shorter", 14, 1 / 255, (0.5,) * 3, (0.25,) * 3, max_depth=1.5)
    estimator = OnnxEstimator(mean_network, spec)
    ramp = np.tile(np.linspace(0, 255, 56).astype(np.uint8), (28, 1))
    image = np.dstack([ramp] * 3)
    (prediction,) = estimator.estimate([image])
    expected = np.minimum((ramp / 255 - 0.5) / 0.25, 1.5)
    assert prediction.input_size == (28, 56)
    np.testing.assert_allclose(prediction.values, expected, atol=1e-5)


def test_batches_and_fresh_arrays(mean_network: Path) -> None:
    spec = OnnxSpec(RELATIVE, (14, 14), mean=(0, 0, 0), std=(1, 1, 1), interpolation="area")
    estimator = OnnxEstimator(mean_network, spec)
    images = [np.full((20, 30, 3), level, np.uint8) for level in (0, 51, 102)]
    images.insert(1, np.full((5, 5, 3), 255, np.uint8))
    estimator.warm_up(20, 30, batch=3)
    values = [prediction.values for prediction in estimator.estimate(images)]
    assert [array.shape for array in values] == [(20, 30), (5, 5), (20, 30), (20, 30)]
    for array, level in zip(values, (0, 1, 0.2, 0.4), strict=True):
        np.testing.assert_allclose(array, level, atol=1e-6)
    kept = values[2].copy()
    estimator.estimate(images[::-1])
    np.testing.assert_array_equal(values[2], kept)


def test_at_its_own_size_the_output_is_the_callers_too(mean_network: Path) -> None:
    for aligned in (False, True):
        spec = OnnxSpec(RELATIVE, (14, 14), mean=(0, 0, 0), std=(1, 1, 1), align_corners=aligned)
        estimator = OnnxEstimator(mean_network, spec)
        first = estimator.estimate([np.full((14, 14, 3), 51, np.uint8)])[0].values
        estimator.estimate([np.zeros((14, 14, 3), np.uint8)])
        np.testing.assert_allclose(first, 0.2, atol=1e-6)


@pytest.mark.data
def test_a_fixed_batch_is_fed_one_by_one(data_dir: Path) -> None:
    estimator = OnnxEstimator(data_dir / "fastdepth" / "fastdepth_7.onnx")
    images = [np.full((30, 40, 3), level, np.uint8) for level in (30, 200)]
    alone = [estimator.estimate([image])[0].values for image in images]
    for one, other in zip(alone, estimator.estimate(images), strict=True):
        np.testing.assert_array_equal(other.values, one)


# --- where the spec comes from --------------------------------------------------------------


def test_yaml_beside_the_file_wins(tmp_path: Path, mean_network: Path) -> None:
    path = tmp_path / "net.onnx"
    shutil.copy(mean_network, path)
    with pytest.raises(CheckpointError, match=r"write 'net\.yaml' beside it") as refused:
        spec_of(path)
    assert TEMPLATE in str(refused.value)
    path.with_suffix(".yaml").write_text(TEMPLATE)
    assert spec_of(path) == OnnxSpec(
        METRIC,
        (224, 224),
        scale=0.00392156862745,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        interpolation="linear",
        align_corners=False,
    )
    spec = OnnxSpec(RELATIVE, 252, max_depth=None, input_name="pixels", output_name="grey")
    write_yaml(spec, path.with_suffix(".yaml"))
    assert spec_of(path) == spec
    assert OnnxEstimator(path, input_size=140).spec.input_size == 140


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: metres", "kind is 'metres'"),
        ("input_size: 5", "kind is None"),
        ("kind: metric_depth\nsize: 3", "'size' is not known"),
        ("kind: metric_depth\nstd: [1, 0, 1]", "mean and std"),
        ("kind: metric_depth\ninput_size: [1, 2, 3]", "input_size is"),
        ("kind: metric_depth\ninput_size: big", "input_size is"),
        ("kind: metric_depth\nmultiple_of: 0", "multiple_of is 0"),
        ("kind: metric_depth\ninterpolation: lanczos", "interpolation is 'lanczos'"),
        ("kind: metric_depth\nmax_depth: far", "max_depth"),
        ("- 1", "no table"),
        ("a: [", "not readable YAML"),
    ],
)
def test_yaml_with_no_sense(tmp_path: Path, mean_network: Path, text: str, words: str) -> None:
    path = tmp_path / "net.onnx"
    shutil.copy(mean_network, path)
    path.with_suffix(".yaml").write_text(text)
    with pytest.raises(CheckpointError, match=r"net\.yaml") as refused:
        spec_of(path)
    assert words in str(refused.value)


def test_metadata_in_the_file(tmp_path: Path, mean_network: Path) -> None:
    model = onnx.load(mean_network)
    onnx.helper.set_model_props(model, {METADATA_KEY: '{"kind": "metric_depth", "max_depth": 9}'})
    path = tmp_path / "own.onnx"
    onnx.save(model, path)
    assert spec_of(path) == OnnxSpec(METRIC, max_depth=9)


def test_files_and_settings_that_cannot_be(tmp_path: Path, mean_network: Path) -> None:
    spec = OnnxSpec(RELATIVE)
    with pytest.raises(CheckpointError, match="does not exist"):
        OnnxEstimator(tmp_path / "gone.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(mean_network.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="damaged or not an ONNX file"):
        OnnxEstimator(broken)
    with pytest.raises(CheckpointError, match="cannot be loaded by ONNX Runtime"):
        OnnxEstimator(broken, spec)
    with pytest.raises(CheckpointError, match="no tensor 'x'; it has pixels"):
        OnnxEstimator(mean_network, OnnxSpec(RELATIVE, input_name="x"))
    with pytest.raises(SettingError, match="num_threads is -1"):
        OnnxEstimator(mean_network, spec, num_threads=-1)
    with pytest.raises(SettingError, match="device is 'tpu'"):
        OnnxEstimator(mean_network, spec, device="tpu")
    with pytest.raises(SettingError, match=r"takes \[224, 224\] only"):
        OnnxEstimator(mean_network, FAST_DEPTH, input_size=518)


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, depth_anything_ros.inference.backends.onnxruntime\n"
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    repository = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
