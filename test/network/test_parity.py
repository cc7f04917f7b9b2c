"""Our networks against transformers' and against PyTorch's own interpolation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")
import torch
import torch.nn.functional as F

from depth_anything_ros.network.families.depth_anything import hugging_face_keys
from depth_anything_ros.network.families.depth_anything.network import (
    ENCODERS,
    DepthAnything,
    DepthAnythingConfig,
)
from depth_anything_ros.network.families.depth_anything.vit import position_table

SIZES = [(518, 518), (518, 686), (364, 518)]


def official_positions(pos_embed: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """The official rule, through PyTorch's bicubic resize."""
    if rows == cols == 37:
        return pos_embed
    table = pos_embed[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
    scale = ((rows + 0.1) / 37, (cols + 0.1) / 37)
    table = F.interpolate(table, scale_factor=scale, mode="bicubic")
    assert table.shape[-2:] == (rows, cols)
    return torch.cat([pos_embed[:, :1], table.flatten(2).transpose(1, 2)], 1)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize(
    ("rows", "cols"), [(37, 37), (37, 49), (26, 37), (1, 1), (5, 90), (74, 74), (38, 36)]
)
def test_position_table_is_the_official_interpolation(rows: int, cols: int) -> None:
    pos_embed = torch.randn(1, 1 + 37 * 37, 8, generator=torch.Generator().manual_seed(0))
    difference = position_table(pos_embed, rows, cols) - official_positions(pos_embed, rows, cols)
    assert difference.abs().max() <= 1e-5
    if rows == cols == 37:
        assert difference.abs().max() == 0


def transformers_network(encoder: str, version: str, max_depth: float | None) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    width, depth, features, out_channels = ENCODERS[encoder]
    taps = DepthAnythingConfig.official(encoder, version).taps
    backbone = transformers.Dinov2Config(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        image_size=518,
        patch_size=14,
        out_indices=[tap + 1 for tap in taps],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=width,
        neck_hidden_sizes=list(out_channels),
        fusion_hidden_size=features,
        depth_estimation_type="relative" if max_depth is None else "metric",
        max_depth=int(max_depth or 1),
    )
    torch.manual_seed(3)
    network = transformers.DepthAnythingForDepthEstimation(config).eval()
    # A fresh network is nearly constant and ends in zero ReLUs: give every part something to say.
    for name, tensor in network.named_parameters():
        if "layer_scale" in name:
            tensor.uniform_(0.2, 1.0)
        elif "norm" in name:
            tensor.add_(torch.randn_like(tensor), alpha=0.1)
        elif name.endswith(".bias") or "cls_token" in name:
            tensor.normal_(std=0.1)
        elif "position_embeddings" in name:
            tensor.normal_(std=0.5)
        elif "neck" in name or "head" in name:
            tensor.normal_(std=(2 / tensor[0].numel()) ** 0.5)

    embeddings = network.backbone.embeddings

    def interpolate(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return official_positions(embeddings.position_embeddings, height // 14, width // 14)

    embeddings.interpolate_pos_encoding = interpolate
    return network


@pytest.mark.parametrize("encoder", ["vits", "vitb"])
@pytest.mark.parametrize(
    ("version", "max_depth"), [("v1", None), ("v2", None), ("v2", 20.0)], ids=["v1", "v2", "metric"]
)
def test_equals_transformers(encoder: str, version: str, max_depth: float | None) -> None:
    theirs = transformers_network(encoder, version, max_depth)
    ours = DepthAnything(DepthAnythingConfig.official(encoder, version, max_depth)).eval()
    generator = torch.Generator().manual_seed(4)
    # Sizes matter to all networks alike: a large one sees each of them once.
    sizes = SIZES if version == "v2" and max_depth is None else SIZES[-1:]
    images = [torch.randn(1, 3, height, width, generator=generator) for height, width in sizes]
    # Scale the last convolution so that outputs are of the order of 1 and hardly ever cut to 0.
    last = theirs.head.conv3
    small = F.interpolate(images[-1], (140, 196), mode="bilinear")
    theirs.head.activation2 = torch.nn.Identity()
    raw = theirs(pixel_values=small).predicted_depth / theirs.head.max_depth
    theirs.head.activation2 = torch.nn.ReLU() if max_depth is None else torch.nn.Sigmoid()
    scale = (1.0 if max_depth is None else 0.5) / raw.std()
    shift = (4.0 if max_depth is None else 0.0) - raw.mean() * scale
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(shift)
    ours.load_state_dict(hugging_face_keys.to_official(theirs.state_dict()), strict=True)
    for image in images:
        expected = theirs(pixel_values=image).predicted_depth
        actual = ours(image)
        assert actual.shape == expected.shape
        assert expected.std() > 0.1
        assert (expected > 0).float().mean() > 0.9
        worst = float((actual - expected).abs().max())
        print(
            f"\n{encoder} {version} {max_depth or 'relative'} {tuple(image.shape[2:])}: "
            f"max |difference| {worst:.1e} of values {expected.mean():.2f} +- {expected.std():.2f}"
        )
        assert worst <= 1e-4
