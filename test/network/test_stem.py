"""The convolutional stem: shapes, any size, saved and loaded, learnt from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.network.checkpoints import load_network, save_network
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.network.families.depth_anything.stem import ConvStem
from depth_anything_ros.training.network_recipe import NetworkRecipe


@pytest.fixture
def network() -> DepthAnything:
    torch.manual_seed(3)
    recipe = NetworkRecipe(
        width=64,
        depth=4,
        heads=1,
        features=16,
        out_channels=(8, 16, 24, 32),
        grid=5,
        head_features=8,
        stem=(8, 16, 24),
        stem_units=1,
    )
    built = recipe.build().eval()
    assert isinstance(built, DepthAnything)
    return built


def test_the_maps_lie_on_the_grids_the_head_expects() -> None:
    stem = ConvStem((8, 16, 24), 64, units=1)
    fine, middle, tokens = stem(torch.zeros(2, 3, 14 * 3, 14 * 5), 3, 5)
    assert fine.shape == (2, 16, 12, 20)
    assert middle.shape == (2, 24, 6, 10)
    assert tokens.shape == (2, 15, 64)


@pytest.mark.parametrize(("rows", "cols"), [(3, 4), (5, 5), (2, 9)])
def test_the_output_has_the_size_of_the_input(network: DepthAnything, rows: int, cols: int) -> None:
    out = network(torch.randn(2, 3, 14 * rows, 14 * cols))
    assert out.shape == (2, 14 * rows, 14 * cols)
    assert float(out.min()) >= 0


def test_a_saved_network_comes_back_the_same(network: DepthAnything, tmp_path: Path) -> None:
    save_network(network, tmp_path / "small.safetensors", "Apache-2.0")
    loaded, info = load_network(tmp_path / "small.safetensors")
    assert loaded.config == network.config
    assert info.encoder == "custom"
    image = torch.randn(1, 3, 42, 56)
    assert torch.equal(loaded(image), network(image))


def test_every_weight_that_is_used_gets_a_gradient(network: DepthAnything) -> None:
    network(torch.randn(1, 3, 42, 56)).sum().backward()
    missing = {name for name, p in network.named_parameters() if p.grad is None}
    unused = {name for name in missing if "refinenet4.resConfUnit1" in name}
    assert missing - unused == {"pretrained.mask_token"}


@pytest.mark.parametrize("stem", [(8, 16), (8, 16, 0), (8, 16, 24, 32)])
def test_channels_that_cannot_be_are_refused(stem: tuple[int, ...]) -> None:
    with pytest.raises(SettingError, match="three numbers above 0"):
        NetworkRecipe(stem=stem).build()
