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
from official_da3 import (
    GIANT_TAPS,
    cameras,
    differences_nested,
    differences_views,
    official_giant,
    official_nested,
    official_views,
    share,
)
from safetensors.torch import save_model

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.network.checkpoints import load_network, resolve, save_network
from depth_anything_ros.network.families.depth_anything_3 import checkpoint
from depth_anything_ros.network.families.depth_anything_3.any_view import AnyView, AnyViewConfig
from depth_anything_ros.network.families.depth_anything_3.cameras import (
    decode_cameras,
    encode_cameras,
)
from depth_anything_ros.network.families.depth_anything_3.nested import Nested
from depth_anything_ros.network.family import CheckpointHints
from depth_anything_ros.settings import ModelSettings

SIZE = (98, 140)


@pytest.fixture(scope="module")
def small() -> Any:
    return official_views("vits")


@pytest.fixture(scope="module")
def folder(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("da3") / "any"
    folder.mkdir()
    # As its makers save it: with the network as `model`, tensors that are shared once.
    save_model(torch.nn.ModuleDict({"model": small}), str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_name": "da3-small"}))
    return folder


@pytest.mark.parametrize("given", [False, True], ids=["poses-unknown", "poses-given"])
@pytest.mark.parametrize("views", [1, 2, 5])
def test_parity(small: Any, folder: Path, views: int, given: bool) -> None:
    ours, info = load_network(resolve(folder))
    assert isinstance(ours, AnyView)
    assert (info.encoder, info.kind) == ("vits", PredictionKind.RELATIVE_DEPTH)
    images = torch.randn(1, views, 3, *SIZE, generator=torch.Generator().manual_seed(views))
    figures = differences_views(small, ours, images, given)
    print(f"\nvits, {views} views, {'given' if given else 'unknown'} poses: {figures}")
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
    poses, lenses = cameras(4, SIZE)
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


@pytest.fixture(scope="module")
def nested() -> Any:
    return official_nested("vits")


@pytest.fixture(scope="module")
def nested_folder(nested: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nested") / "any"
    folder.mkdir()
    save_model(torch.nn.ModuleDict({"model": nested}), str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"model_name": "da3nested-giant-large"}))
    return folder


def test_nested_parity(nested: Any, nested_folder: Path, tmp_path: Path) -> None:
    ours, info = load_network(resolve(nested_folder))
    assert isinstance(ours, Nested)
    assert (info.canonical_focal, info.kind) == (300.0, PredictionKind.RELATIVE_DEPTH)
    assert info.licence == "CC-BY-NC-4.0"
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(4))
    figures = differences_nested(nested, ours, image)
    print(f"\nnested: {figures}")
    # One factor for all depth is of pixels above a median: rounding may take another one.
    assert figures.pop("depth") <= 1e-3
    assert max(figures.values()) <= 1e-4
    save_network(ours, tmp_path / "mine.safetensors")
    again, _ = load_network(tmp_path / "mine.safetensors")
    assert isinstance(again, Nested)
    with torch.inference_mode():
        pair = torch.cat([image, image.flip(-1)])
        assert torch.allclose(again.named_outputs(pair)["depth"][:1], ours(image), rtol=1e-4)


@torch.inference_mode()
def test_nested_views_are_in_the_unit_of_the_metric_network(nested_folder: Path) -> None:
    ours, _ = load_network(resolve(nested_folder))
    assert isinstance(ours, Nested)
    images = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(5))
    poses, lenses = (each[0] for each in cameras(3, SIZE))
    known = [ours.view_features(each) for each in images]
    answer = ours.answer_views(known, SIZE, poses, lenses)
    plain = ours.da3.answer_views([each[:-1] for each in known], SIZE, poses, lenses)
    ratio = answer.outputs["depth"] / plain.outputs["depth"]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
    torch.testing.assert_close(answer.poses[:, :3, 3], ratio.mean() * plain.poses[:, :3, 3])
    metric = ours.da3_metric.named_outputs(images[:1])
    ground = metric["sky"][0] < 0.3
    sure = ground & (answer.outputs["confidence"] >= answer.outputs["confidence"][ground].median())
    depth, reference = answer.outputs["depth"][sure], metric["depth"][0][sure]
    assert float((depth * reference).sum() / depth.square().sum()) == pytest.approx(1, abs=1e-3)


@torch.inference_mode()
def test_nothing_but_sky_has_no_depth(nested_folder: Path) -> None:
    ours, _ = load_network(resolve(nested_folder))
    assert isinstance(ours, Nested)
    last = ours.da3_metric.depth_head.scratch.get_submodule("sky_output_conv2")
    last.get_parameter("2.bias").add_(1e6)
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(4))
    assert ours(image).isnan().all()


def test_the_giant_network_but_narrow() -> None:
    """SwiGLU, and blocks that turn from its thirteenth; `make parity` has it in its own width."""
    theirs = official_giant(width=128)
    state = {f"model.{name}": tensor for name, tensor in theirs.state_dict().items()}
    hints = CheckpointHints("its name", details={"taps": ",".join(map(str, GIANT_TAPS))})
    ours = checkpoint.build(state, hints, Path("giant"))
    assert isinstance(ours, AnyView)
    assert ours.config.start == AnyViewConfig.official("vitg").start == 13
    assert ours.config.swiglu
    images = torch.randn(1, 2, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    figures = differences_views(theirs, ours, images, given=True)
    print(f"\nnarrow vitg: {figures}")
    assert max(figures.values()) <= 1e-4


def test_what_is_refused(folder: Path) -> None:
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
    assert catalogue()["da3nested_giant_large"].non_commercial
    for name, encoder in (("small", "vits"), ("base", "vitb"), ("large", "vitl")):
        with torch.device("meta"):
            network = AnyView(AnyViewConfig.official(encoder))
        megabytes = sum(tensor.numel() * 4 for tensor in network.state_dict().values()) / 1e6
        print(f"{name}: {megabytes:.1f} MB")
        assert catalogue()[f"da3_{name}"].size_mb == pytest.approx(megabytes, abs=1)
