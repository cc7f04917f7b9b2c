"""Depth Anything 3's any-view networks say what the official code does with their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")
import torch
from safetensors.torch import save_file, save_model
from scipy.spatial.transform import Rotation

from depth_anything_ros.errors import CheckpointError, InputError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints import load_network, resolve, save_network
from depth_anything_ros.network.families.depth_anything_3.any_view import AnyView, AnyViewConfig
from depth_anything_ros.network.families.depth_anything_3.cameras import (
    decode_cameras,
    encode_cameras,
)
from depth_anything_ros.settings import ModelSettings

SIZE = (98, 140)


def official(encoder: str) -> Any:
    """The official network of a size, from its own configuration."""
    cfg = pytest.importorskip("depth_anything_3.cfg")
    registry = pytest.importorskip("depth_anything_3.registry")
    names = {"vits": "da3-small", "vitb": "da3-base"}
    return cfg.create_object(cfg.load_config(registry.MODEL_REGISTRY[names[encoder]])).eval()


@torch.no_grad()
def randomise(network: Any) -> None:
    """Weights with which every part of the network has a say in the result."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.named_parameters():
        if name.endswith("gamma"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() > 1 and "pos_embed" not in name and "token" not in name:
            fan_in = tensor.shape[0] if "resize_layers" in name else tensor[0].numel()
            gain = 2 if name.startswith("head") else 1
            tensor.normal_(std=(gain / fan_in) ** 0.5, generator=generator)
        elif "norm" in name and name.endswith("weight"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            tensor.normal_(std=0.1, generator=generator)
    network.cam_dec.fc_fov[0].bias.fill_(2.0)  # fields of view behind a ReLU
    last = network.head.scratch.output_conv2
    raw: list[torch.Tensor] = []
    hook = last.register_forward_hook(lambda module, inputs, out: raw.append(out))
    network(torch.randn(1, 1, 3, *SIZE, generator=generator))
    hook.remove()
    for channel in range(2):  # before exponential functions
        scale = 0.25 / raw[0][:, channel].std()
        mean = raw[0][:, channel].mean()
        last[2].weight[channel].mul_(scale)
        last[2].bias[channel].mul_(scale).sub_(mean * scale)


def cameras(views: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses along a bend, relative to the first and in units of their median distance from it."""
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (1, views, 1, 1))
    for view in range(1, views):
        poses[0, view, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.4, 3)).as_matrix()
        poses[0, view, :3, 3] = rng.normal(0, 1, 3)
    intrinsics = np.tile(np.eye(3), (1, views, 1, 1))
    intrinsics[..., 0, 0], intrinsics[..., 1, 1] = 120.0, 118.0
    intrinsics[..., 0, 2], intrinsics[..., 1, 2] = SIZE[1] / 2, SIZE[0] / 2
    return torch.from_numpy(poses).float(), torch.from_numpy(intrinsics).float()


@pytest.fixture(scope="module")
def small() -> Any:
    network = official("vits")
    randomise(network)
    return network


@pytest.fixture(scope="module")
def folder(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("da3") / "any"
    folder.mkdir()
    # As its makers save it: with the network as `model`, tensors that are shared once.
    save_model(torch.nn.ModuleDict({"model": small}), str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    return folder


def share(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference as a share of the standard deviation."""
    return float((ours - theirs.reshape(ours.shape)).abs().max() / theirs.std())


@pytest.mark.parametrize("given", [False, True], ids=["poses-unknown", "poses-given"])
@pytest.mark.parametrize("views", [1, 2, 5])
def test_parity(small: Any, folder: Path, views: int, given: bool) -> None:
    ours, info = load_network(resolve(folder))
    assert isinstance(ours, AnyView)
    assert (info.encoder, info.kind) == ("vits", PredictionKind.RELATIVE_DEPTH)
    images = torch.randn(1, views, 3, *SIZE, generator=torch.Generator().manual_seed(views))
    poses, lenses = cameras(views) if given else (None, None)
    with torch.inference_mode():
        theirs = small(images, poses, lenses)
        mine = ours.views(images, poses, lenses)
    figures = {
        "depth": share(mine.depth, theirs.depth),
        "confidence": share(mine.confidence, theirs.depth_conf),
        "extrinsics": share(mine.extrinsics, theirs.extrinsics),
        "focal": float(((mine.intrinsics - theirs.intrinsics).abs() / SIZE[1]).max()),
    }
    print(f"\nvits, {views} views, {'given' if given else 'unknown'} poses: {figures}")
    assert float(theirs.depth.std()) > 0.05
    assert max(figures.values()) <= 1e-4


def test_rays(small: Any, folder: Path) -> None:
    ours, _ = load_network(resolve(folder))
    assert isinstance(ours, AnyView)
    images = torch.randn(1, 2, 3, *SIZE, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        feats, _ = small.backbone(images, cam_token=None, export_feat_layers=[])
        theirs = small.head(feats, *SIZE, patch_start_idx=0)
        taken = ours.pretrained.encode(images, ours.config.taps)
        tokens = [each.tokens.flatten(0, 1) for each in taken]
        rays, confidence = ours.depth_head.rays(tokens, SIZE[0] // 14, SIZE[1] // 14)
    assert share(rays, theirs["ray"]) <= 1e-4
    assert share(confidence, theirs["ray_conf"]) <= 1e-4


def test_cameras_come_back_from_their_nine_numbers() -> None:
    poses, lenses = cameras(4)
    numbers = encode_cameras(torch.linalg.inv(poses), lenses, SIZE)
    again, lenses_again = decode_cameras(numbers, SIZE)
    np.testing.assert_allclose(again, poses[..., :3, :], atol=1e-5)
    np.testing.assert_allclose(lenses_again, lenses, rtol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_a_single_view_is_a_model_like_any_other(folder: Path, backend: str) -> None:
    pytest.importorskip("onnxscript")
    if backend != "torch":
        pytest.importorskip(backend)
    image = np.random.default_rng(3).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    loaded = make_estimator(ModelSettings(str(folder), "cpu", "fp32", 168, 1, backend))
    first, second = loaded.estimator.estimate([image, image[:, ::-1].copy()])
    assert first.kind is PredictionKind.RELATIVE_DEPTH
    assert first.input_size == (98, 168)
    assert first.confidence is not None and first.sky is None
    assert first.confidence.min() > 1
    assert not np.allclose(first.values, second.values)
    reference = make_estimator(ModelSettings(str(folder), "cpu", "fp32", 168, 1, "torch"))
    (theirs,) = reference.estimator.estimate([image])
    assert theirs.confidence is not None
    for ours, own in ((first.values, theirs.values), (first.confidence, theirs.confidence)):
        worst = float(np.abs(ours - own).max() / own.std())
        print(f"\n{backend}: {worst:.1e}")
        assert worst <= 1e-3


def test_our_own_file_of_it(folder: Path, tmp_path: Path) -> None:
    network, _ = load_network(resolve(folder))
    assert isinstance(network, AnyView)
    save_network(network, tmp_path / "mine.safetensors", licence="Apache-2.0")
    again, _ = load_network(tmp_path / "mine.safetensors")
    assert isinstance(again, AnyView)
    assert again.config == network.config == AnyViewConfig.official("vits")


def test_what_is_refused(small: Any, folder: Path, tmp_path: Path) -> None:
    state = {f"model.da3.{name}": tensor.clone() for name, tensor in small.state_dict().items()}
    state["model.da3_metric.head.norm.bias"] = torch.zeros(1)
    save_file(state, tmp_path / "nested.safetensors")
    with pytest.raises(CheckpointError, match="nested network"):
        load_network(tmp_path / "nested.safetensors")
    network, _ = load_network(resolve(folder))
    assert isinstance(network, AnyView)
    with pytest.raises(InputError, match="both extrinsics and intrinsics"):
        network.views(torch.zeros(1, 1, 3, *SIZE), torch.eye(4)[None, None])
    with pytest.raises(InputError, match="multiples of 14"):
        network(torch.zeros(1, 3, 98, 99))


def test_licences_and_sizes_of_the_catalogue() -> None:
    licences = {name: catalogue()[f"da3_{name}"].licence for name in ("small", "base", "large")}
    assert licences == {"small": "Apache-2.0", "base": "Apache-2.0", "large": "CC-BY-NC-4.0"}
    assert catalogue()["da3_giant"].non_commercial
    for name, encoder in (("small", "vits"), ("base", "vitb"), ("large", "vitl")):
        with torch.device("meta"):
            network = AnyView(AnyViewConfig.official(encoder))
        megabytes = sum(tensor.numel() * 4 for tensor in network.state_dict().values()) / 1e6
        print(f"{name}: {megabytes:.1f} MB")
        assert catalogue()[f"da3_{name}"].size_mb == pytest.approx(megabytes, abs=1)
