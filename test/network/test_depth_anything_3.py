"""Depth Anything 3 says what the official code (PyPI depth-anything-3) does with its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
import torch
from official_da3 import differences_single, official_single
from safetensors.torch import save_file

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints import load_network, resolve, save_network
from depth_anything_ros.network.families.depth_anything_3.single_view import (
    SingleView,
    SingleViewConfig,
)
from depth_anything_ros.settings import ModelSettings

State = dict[str, torch.Tensor]
SIZES = [(504, 504), (504, 378), (280, 504)]


def official_state(network: Any) -> State:
    """The tensors as the official file names them (the class that is saved holds it as `model`)."""
    return {f"model.{name}": tensor for name, tensor in network.state_dict().items()}


def write_official(network: Any, folder: Path, name: str) -> Path:
    """A folder like a download of the official repository."""
    folder.mkdir(parents=True)
    save_file(official_state(network), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_name": name, "config": {}}))
    return folder


@pytest.fixture(scope="module")
def small() -> Any:
    return official_single("vits")


@pytest.fixture(scope="module")
def folder(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(small, tmp_path_factory.mktemp("da3") / "any_name", "da3mono-large")


@pytest.mark.parametrize("size", SIZES)
def test_parity(small: Any, folder: Path, size: tuple[int, int]) -> None:
    ours, info = load_network(resolve(folder))
    assert isinstance(ours, SingleView)
    assert (info.kind, info.version, info.encoder) == (PredictionKind.RELATIVE_DEPTH, "v3", "vits")
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(2))
    figures = differences_single(small, ours, image)
    print(f"\nvits {size[0]}x{size[1]}: {figures}")
    assert max(figures.values()) <= 1e-4
    if size == SIZES[-1]:
        ours.simplify()
        folded = differences_single(small, ours, image)
        assert max(folded.values()) <= 1e-4


@pytest.mark.slow
def test_parity_of_the_published_size() -> None:
    network = official_single("vitl")
    state = network.state_dict()
    assert len(state) == 406
    ours = SingleView(SingleViewConfig.official(metric=True)).eval()
    ours.load_state_dict(
        {
            name.replace("backbone.pretrained.", "pretrained.").replace("head.", "depth_head.")
            if name.startswith(("backbone.", "head."))
            else name: tensor
            for name, tensor in state.items()
        }
    )
    image = torch.randn(1, 3, 154, 280, generator=torch.Generator().manual_seed(2))
    figures = differences_single(network, ours, image)
    print(f"\nvitl 154x280: {figures}")
    assert max(figures.values()) <= 1e-4
    megabytes = sum(tensor.numel() * 4 for tensor in state.values()) / 1e6
    for info in catalogue().values():
        if info.name in ("da3mono_large", "da3metric_large"):
            assert info.size_mb == pytest.approx(megabytes, abs=1)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_every_backend_says_the_same(folder: Path, backend: str) -> None:
    pytest.importorskip("onnxscript")
    if backend != "torch":
        pytest.importorskip(backend)
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (90, 160, 3), dtype=np.uint8)
    settings = ModelSettings(str(folder), "cpu", "fp32", 168, 1, backend)
    loaded = make_estimator(settings)
    (ours,) = loaded.estimator.estimate([image])
    assert ours.input_size == (98, 168)
    reference = ModelSettings(str(folder), "cpu", "fp32", 168, 1, "torch")
    (theirs,) = make_estimator(reference).estimator.estimate([image])
    worst = float(np.abs(ours.values - theirs.values).max() / theirs.values.std())
    print(f"\n{backend}: {worst:.1e}")
    assert worst <= 1e-3
    assert ours.sky is not None and theirs.sky is not None
    assert 0.02 < theirs.sky.mean() < 0.98
    assert np.mean(ours.sky != theirs.sky) < 1e-3


def test_our_own_file_of_it(folder: Path, tmp_path: Path) -> None:
    network, _ = load_network(resolve(folder))
    path = tmp_path / "mine.safetensors"
    save_network(network, path, licence="Apache-2.0")
    again, info = load_network(path)
    assert isinstance(again, SingleView)
    assert not again.config.metric
    assert info.input_size == 504
    mine = again.state_dict()
    assert all(torch.equal(mine[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("name", "metric"),
    [("DA3METRIC-LARGE", True), ("my_da3metric_large_2", True), ("DA3MONO-LARGE", False)],
)
def test_the_folder_s_name_tells_where_config_json_does_not(
    small: Any, tmp_path: Path, name: str, metric: bool
) -> None:
    folder = write_official(small, tmp_path / name, "")
    network, info = load_network(resolve(folder))
    assert isinstance(network, SingleView)
    assert network.config.metric == metric
    assert info.canonical_focal == (300.0 if metric else None)
    assert info.licence == "Apache-2.0"


def test_what_is_refused(small: Any, tmp_path: Path) -> None:
    folder = write_official(small, tmp_path / "unnamed", "")
    with pytest.raises(CheckpointError, match=r"whether it is DA3MONO-LARGE or DA3METRIC-LARGE"):
        load_network(resolve(folder))
    named = write_official(small, tmp_path / "other", "da3mono-large")
    with pytest.raises(CheckpointError, match=r"relative network .* where a metric one"):
        load_network(resolve(named), max_depth=20.0)
    state = official_state(small)
    del state["model.backbone.pretrained.blocks.3.attn.proj.bias"]
    save_file(state, named / "model.safetensors")
    with pytest.raises(CheckpointError, match="does not fit the vits network of Depth Anything 3"):
        load_network(resolve(named))


def test_the_catalogue() -> None:
    entries = {name: info for name, info in catalogue().items() if info.version == "v3"}
    assert {info.repo for info in entries.values()} >= {
        "depth-anything/DA3MONO-LARGE",
        "depth-anything/DA3METRIC-LARGE",
    }
    assert entries["da3metric_large"].canonical_focal == 300.0
    assert entries["da3mono_large"].licence == "Apache-2.0"
