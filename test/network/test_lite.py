"""The lite family: EfficientNet-Lite as published, its checkpoints, its exports."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from lite_weights import published_fastdepth, published_like
from torch import Tensor, nn

from depth_anything_ros.errors import CheckpointError, InputError, SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.preprocess import Normaliser
from depth_anything_ros.network.checkpoints import load_network, save_network
from depth_anything_ros.network.families.lite.checkpoint import build
from depth_anything_ros.network.families.lite.encoder import (
    Encoder,
    imagenet_weights,
)
from depth_anything_ros.network.families.lite.network import LiteConfig, LiteDepth
from depth_anything_ros.network.families.lite.specialist import FastDepth, fastdepth_weights
from depth_anything_ros.network.family import CheckpointHints


def image() -> Tensor:
    pixels = np.random.default_rng(8).normal(size=(1, 3, 96, 96))
    return torch.from_numpy(pixels).float()


PUBLISHED = {
    "lite0": (
        (1.047944, 3.490274, -7.720205, -4.402298, 2.607753),
        (5.945199, 0.948231, 3.054675, -4.067332, 3.177269),
        (-0.241833, 4.88649, -9.38199, -2.428648, 3.65028),
        (-0.712771, 3.602248, 3.544105, -1.738074, 2.396907),
    ),
    "lite2": (
        (1.381771, 2.703062, -8.466069, -2.332286, 3.405469),
        (-1.080571, -9.824056, 0.271777, -5.123936, 4.320331),
        (-7.19027, -3.43897, 6.262035, 5.004393, 4.678818),
        (4.890494, -3.172005, -0.546013, -0.209615, 2.424385),
    ),
}
"""What the module of efficientnet_lite_pytorch 0.1.0 gives for these weights and this
image in float64: per level four values a quarter of the tensor apart, and the mean magnitude."""


@pytest.mark.parametrize("variant", PUBLISHED)
def test_the_encoder_gives_what_the_published_module_gives(variant: str) -> None:
    encoder = Encoder(variant).eval().double()
    encoder.load_state_dict(imagenet_weights(published_like(variant), variant))
    with torch.no_grad():
        levels = encoder(image().double())
    assert [level.shape[-1] for level in levels] == [24, 12, 6, 3]
    for level, expected in zip(levels, PUBLISHED[variant], strict=True):
        values = level.flatten()[:: level.numel() // 4][:4].tolist()
        figures = [*values, float(level.abs().mean())]
        # Folded weights are rounded to float32 once more than those of the published module.
        assert figures == pytest.approx(expected, abs=2e-5 * expected[-1])


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(CheckpointError, match="not those of EfficientNet-lite0"):
        imagenet_weights({"conv1.weight": torch.zeros(1)}, "lite0")
    with pytest.raises(SettingError, match=r"variant is 'lite9'.*lite0, lite1, lite2"):
        Encoder("lite9")


def test_large_images_are_shrunk_as_in_training() -> None:
    """A pattern finer than the input's pixels becomes its mean, not another pattern."""
    rule = LiteDepth(LiteConfig()).preprocessing
    stripes = np.zeros((512, 640, 3), np.uint8)
    stripes[:, ::4] = 255
    seen = np.empty((128, 160, 3), np.float32)
    Normaliser((128, 160), rule).into(stripes, seen)
    grey = (0.25 - np.array(rule.mean)) / np.array(rule.std)
    assert np.abs(seen - grey).max() < 1e-5


@pytest.fixture(scope="module")
def network() -> LiteDepth:
    """Random, but with every normalisation doing something and an output of some size."""
    torch.manual_seed(5)
    built = LiteDepth(LiteConfig("lite0", 16, 8)).eval()
    state = imagenet_weights(published_like("lite0"), "lite0")
    built.backbone.load_state_dict(state)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 5.0, 9.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return built.requires_grad_(False)


def test_the_output_has_the_size_of_the_input(network: LiteDepth) -> None:
    disparity = network(torch.randn(2, 3, 64, 96))
    assert disparity.shape == (2, 64, 96)
    assert disparity.dtype == torch.float32
    assert float(disparity.min()) >= 0
    assert float(disparity.std()) > 1e-3
    with pytest.raises(InputError, match=r"64x100.*multiples of 32"):
        network(torch.randn(1, 3, 64, 100))


def test_a_file_tells_its_architecture(network: LiteDepth, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_network(network, path, "Apache-2.0", input_size=160)
    loaded, info = load_network(path)
    assert isinstance(loaded, LiteDepth)
    assert loaded.config == network.config
    assert (loaded.family, loaded.encoder, loaded.kind) == (
        "lite",
        "lite0",
        PredictionKind.RELATIVE_DISPARITY,
    )
    assert (info.licence, info.input_size) == ("Apache-2.0", 160)
    assert torch.equal(loaded(image()), network(image()))
    # Without metadata, too: the names of the tensors are enough.
    torch.save(network.state_dict(), tmp_path / "small.pth")
    bare, _ = load_network(tmp_path / "small.pth")
    assert torch.equal(bare(image()), network(image()))


def test_an_incomplete_file_and_metres_are_refused(network: LiteDepth, tmp_path: Path) -> None:
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("backbone.stages.6")}
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match="no complete network of the lite family"):
        load_network(tmp_path / "cut.pth")
    torch.save(network.state_dict(), tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match=r"relative network.*metric one is required"):
        load_network(tmp_path / "whole.pth", max_depth=20.0)


def test_a_network_of_a_canonical_camera(network: LiteDepth, tmp_path: Path) -> None:
    canonical = LiteDepth(replace(network.config, canonical_focal=173.0)).eval()
    canonical.load_state_dict(network.state_dict())
    with torch.no_grad():
        canonical.output_layer.weight *= 0.01
        depth = canonical(image())
        assert torch.allclose(depth, canonical.decode(canonical.encode(image()), 96, 96).exp())
    path = tmp_path / "metres.safetensors"
    save_network(canonical, path, "Apache-2.0", input_size=160)
    loaded, info = load_network(path)
    assert (loaded.canonical_focal, info.canonical_focal) == (173.0, 173.0)
    assert info.kind is PredictionKind.RELATIVE_DEPTH
    assert torch.equal(loaded(image()), depth)
    for details in ({"canonical_focal": "-3"}, {}):
        hints = CheckpointHints("its metadata", PredictionKind.RELATIVE_DEPTH, details=details)
        with pytest.raises(CheckpointError, match="canonical_focal"):
            build(dict(canonical.state_dict()), hints, path)


def test_simplified_it_gives_the_same(network: LiteDepth) -> None:
    simple = LiteDepth(network.config).eval()
    simple.load_state_dict(network.state_dict())
    simple.simplify()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in simple.modules())
    simple.simplify()  # nothing is left to do
    with torch.no_grad():
        assert torch.allclose(simple(image()), network(image()), rtol=1e-4, atol=1e-4)


def test_frozen_stages_and_the_specialist_get_no_gradient() -> None:
    trained = LiteDepth(LiteConfig("lite0", 8, 8, specialist=True))
    trained.freeze_start(3)
    trained(image()).mean().backward()
    touched = {
        name.split(".")[1] for name, p in trained.backbone.named_parameters() if p.grad is not None
    }
    assert touched == {"3", "4", "5", "6"}
    assert trained.backbone.stem.weight.grad is None
    assert trained.specialist is not None and trained.trust is not None
    assert all(p.grad is None for p in trained.specialist.parameters())
    assert trained.trust.score.weight.grad is not None
    with pytest.raises(SettingError, match="frozen_stages is 8; this encoder has 7 stages"):
        trained.freeze_start(8)


def test_the_specialist_is_fastdepth(data_dir: Path) -> None:
    """The authors' picture and answer of the published network (upstream dwofk/fast-depth)."""
    folder = data_dir / "fastdepth"
    fastdepth = FastDepth().eval()
    fastdepth.load_state_dict(fastdepth_weights(folder / "fastdepth_7.onnx"))
    rgb = torch.from_numpy(np.load(folder / "rgb.npy")).permute(2, 0, 1)[None].float()
    answer = torch.from_numpy(np.load(folder / "pred.npy")).squeeze()
    with torch.no_grad():
        # The last enlargement repeats pixels.
        assert torch.allclose(fastdepth.depth(rgb)[0, 0], answer[::2, ::2], atol=1e-5)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        given = fastdepth((rgb - mean[:, None, None]) / std[:, None, None])
    assert given.shape == (1, 1, 224, 224)
    assert float((given[0, 0] / answer - 1).abs().median()) < 0.01


def test_weights_of_a_published_specialist(tmp_path: Path) -> None:
    whole = published_fastdepth(tmp_path / "fastdepth.onnx")
    folded = FastDepth().eval()
    folded.load_state_dict(fastdepth_weights(tmp_path / "fastdepth.onnx"))
    pixels = np.random.default_rng(1).random((1, 3, 224, 224), np.float32)
    (expected,) = whole.run(None, {"0": pixels})
    with torch.no_grad():
        depth = folded.depth(torch.from_numpy(pixels)).numpy()
    assert float(depth.std()) > 1e-3
    assert np.abs(depth - expected).max() <= 1e-4 * np.abs(expected).max()
    onnx.save(onnx.ModelProto(), tmp_path / "empty.onnx")
    with pytest.raises(CheckpointError, match=r"empty.onnx' is no FastDepth; take fastdepth_7"):
        fastdepth_weights(tmp_path / "empty.onnx")
    with pytest.raises(CheckpointError, match=r"nowhere.onnx' cannot be read as an ONNX file"):
        fastdepth_weights(tmp_path / "nowhere.onnx")


@pytest.fixture(scope="module")
def with_specialist(network: LiteDepth) -> LiteDepth:
    torch.manual_seed(6)
    built = LiteDepth(replace(network.config, specialist=True)).eval()
    built.load_state_dict({**built.state_dict(), **network.state_dict()})
    assert built.specialist is not None
    for module in built.specialist.modules():
        if isinstance(module, nn.Conv2d):  # else it gives next to nothing
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return built.requires_grad_(False)


def trusting(built: LiteDepth, score: float) -> LiteDepth:
    changed = copy.deepcopy(built)
    assert changed.trust is not None
    changed.trust.score.bias.fill_(score)
    return changed


def test_trust_says_how_much_of_the_result_is_the_specialist_s(
    network: LiteDepth, with_specialist: LiteDepth, tmp_path: Path
) -> None:
    path = tmp_path / "two.safetensors"
    save_network(with_specialist, path, "Apache-2.0 AND MIT", input_size=160)
    loaded, _ = load_network(path)
    assert isinstance(loaded, LiteDepth)
    assert loaded.config == with_specialist.config
    assert torch.equal(loaded(image()), with_specialist(image()))
    alone = network(image())
    assert torch.allclose(trusting(with_specialist, -30.0)(image()), alone, atol=1e-5)
    assert with_specialist.specialist is not None
    theirs = 1 / with_specialist.specialist(image())[:, 0]
    ours = trusting(with_specialist, 30.0)(image())
    standard = [(each - each.mean()) / each.std() for each in (theirs, ours)]
    above = ours > 0
    assert torch.allclose(standard[0][above], standard[1][above], atol=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert with_specialist.encode(image())[0].dtype == torch.float32


def test_trust_in_metres(with_specialist: LiteDepth) -> None:
    canonical = LiteDepth(replace(with_specialist.config, canonical_focal=173.0)).eval()
    canonical.load_state_dict(with_specialist.state_dict())
    canonical.requires_grad_(False)
    canonical.output_layer.weight *= 0.01
    assert canonical.specialist is not None
    theirs = canonical.specialist(image())[:, 0]
    assert torch.allclose(trusting(canonical, 30.0)(image()), theirs, rtol=1e-4)
    mixed = (trusting(canonical, -30.0)(image()).log() + theirs.log()) / 2
    assert torch.allclose(trusting(canonical, 0.0)(image()).log().mean(), mixed.mean(), atol=0.3)


def test_only_trust_learns_under_a_frozen_head(with_specialist: LiteDepth) -> None:
    learning = copy.deepcopy(with_specialist).requires_grad_(True).train()
    learning.freeze_start(7)
    learning.freeze_head()
    assert {n for n, p in learning.named_parameters() if p.requires_grad} == {
        "trust.score.weight",
        "trust.score.bias",
    }
    assert not learning.head.fusions[0].training
    assert learning.trust is not None
    optimised = list(learning.decoder_module.parameters())
    assert any(each is learning.trust.score.weight for each in optimised)
    with pytest.raises(SettingError, match="without a specialist nothing is left"):
        LiteDepth(LiteConfig("lite0", 8, 8)).freeze_head()


@pytest.mark.parametrize("size", [(64, 96), (96, 160)])
def test_onnx_and_openvino_agree(
    with_specialist: LiteDepth, tmp_path: Path, size: tuple[int, int]
) -> None:
    import onnxruntime  # type: ignore[import-untyped]
    import openvino  # type: ignore[import-untyped]

    from depth_anything_ros.inference.export import export_onnx

    path = tmp_path / "small.onnx"
    spec = export_onnx(with_specialist, path, 64, "Apache-2.0")
    assert (spec.multiple_of, spec.input_size) == (32, 64)
    pixels = torch.randn(2, 3, *size)
    expected = with_specialist(pixels).numpy()
    spread = float(np.abs(expected).mean())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (by_onnx,) = session.run(None, {"image": pixels.numpy()})
    assert np.abs(by_onnx - expected).max() <= 1e-3 * spread
    core = openvino.Core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    by_openvino = compiled(pixels.numpy())[0]
    assert np.abs(by_openvino - expected).max() <= 1e-3 * spread
