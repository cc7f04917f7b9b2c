"""Our ONNX export against PyTorch, at sizes it was not traced with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
import onnxruntime as ort  # type: ignore[import-untyped]
import torch
from safetensors.torch import save_file

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference import export
from depth_anything_ros.inference.backends.onnxruntime import OnnxEstimator
from depth_anything_ros.inference.backends.torch.estimator import TorchEstimator
from depth_anything_ros.inference.export import export_onnx
from depth_anything_ros.inference.onnx_spec import spec_of
from depth_anything_ros.network.families.depth_anything.network import DepthAnything

Make = Callable[..., DepthAnything]


@pytest.fixture(scope="module")
def exported(small_network: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "small.onnx"
    export_onnx(small_network(20.0), path, input_size=140, licence="Apache-2.0")
    return path


@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [(1, 518, 518), (1, 518, 686), (1, 364, 518), (3, 140, 518), (1, 28, 1036)],
)
def test_equals_torch_at_every_size(
    small_network: Make, exported: Path, batch: int, height: int, width: int
) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(batch, 3, height, width, generator=generator)
    with torch.no_grad():
        expected = small_network(20.0)(image).numpy()
    (actual,) = ort.InferenceSession(str(exported)).run(["depth"], {"image": image.numpy()})
    assert actual.shape == (batch, height, width)
    assert expected.std() > 0.5
    worst = float(np.abs(actual - expected).max())
    print(f"\n{batch}x{height}x{width}: {worst:.1e} m of {expected.mean():.1f} m")
    assert worst <= 1e-3


def test_exported_file_explains_itself(small_network: Make, exported: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (97, 128, 3), dtype=np.uint8) for _ in range(2)]
    expected = TorchEstimator(small_network(20.0), "cpu", input_size=140).estimate(images)
    beside = exported.with_suffix(".yaml")
    spec = spec_of(exported)
    assert (spec.max_depth, spec.licence, spec.input_size) == (20.0, "Apache-2.0", 140)
    text = beside.read_text()
    beside.unlink()
    try:
        assert spec_of(exported) == spec  # from the file's own metadata
        actual = OnnxEstimator(exported).estimate(images)
    finally:
        beside.write_text(text)
    for one, other in zip(actual, expected, strict=True):
        assert (one.kind, one.input_size) == (other.kind, other.input_size)
        np.testing.assert_allclose(one.values, other.values, atol=1e-3)


def test_a_graph_may_refer_to_the_weights_of_a_file(small_network: Make, tmp_path: Path) -> None:
    dtype = torch.float16
    network = small_network(20.0).to(dtype).float()
    weights, path = tmp_path / "small.safetensors", tmp_path / "small.onnx"
    state = {name: value.to(dtype).contiguous() for name, value in network.state_dict().items()}
    save_file(state, weights)
    export_onnx(network, path, weights=weights)
    assert path.stat().st_size < 0.2 * weights.stat().st_size
    image = torch.randn(1, 3, 140, 154, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(image).numpy()
    (actual,) = ort.InferenceSession(str(path)).run(["depth"], {"image": image.numpy()})
    assert np.abs(actual - expected).max() <= 1e-3
    save_file({name: torch.zeros_like(value) for name, value in state.items()}, weights)
    (actual,) = ort.InferenceSession(str(path)).run(["depth"], {"image": image.numpy()})
    assert np.ptp(actual) == 0 != np.ptp(expected)
    for elsewhere in (tmp_path / "other" / "small.safetensors", tmp_path / "small.pth"):
        with pytest.raises(SettingError, match=f"'{elsewhere}' is none in the folder"):
            export_onnx(network, path, weights=elsewhere)


def test_what_cannot_be_exported(small_network: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"must end in \.onnx"):
        export_onnx(small_network(), tmp_path / "x.pt")
    with pytest.raises(SettingError, match="needs float32"):
        export_onnx(small_network().half(), tmp_path / "x.onnx")


def test_weights_beyond_what_a_file_holds_are_refused(
    small_network: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_LARGEST", 1_000_000)
    with pytest.raises(SettingError, match=r"0\.0 GB of weights, .* run it with backend torch"):
        export_onnx(small_network(), tmp_path / "large.onnx")
    assert not list(tmp_path.iterdir())
