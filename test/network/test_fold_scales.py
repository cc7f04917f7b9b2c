"""Folding the LayerScales away changes the work, not the result."""

from __future__ import annotations

import copy

import pytest

pytest.importorskip("torch")
import torch

from depth_anything_ros.network.families.depth_anything.vit import VisionTransformer


@pytest.mark.parametrize("swiglu", [False, True])
def test_the_encoder_says_the_same_without_its_scales(swiglu: bool) -> None:
    torch.manual_seed(0)
    encoder = VisionTransformer(64, depth=4, heads=2, grid=5, swiglu=swiglu).eval()
    with torch.no_grad():
        for name, tensor in encoder.named_parameters():
            if "gamma" in name:
                tensor.uniform_(0.2, 2.0)
            elif name.endswith(".bias"):
                tensor.normal_()
    folded = copy.deepcopy(encoder)
    folded.fold_scales()
    assert not any("gamma" in name for name in folded.state_dict())
    image = torch.randn(2, 3, 70, 98)
    with torch.no_grad():
        expected, actual = encoder(image, (1, 3)), folded(image, (1, 3))
        folded.fold_scales()  # once more: nothing left to do
        again = folded(image, (1, 3))
    for one, other, third in zip(expected, actual, again, strict=True):
        assert one.std() > 0.1
        worst = float((one - other).abs().max())
        print(f"\nfolded, swiglu {swiglu}: max |difference| {worst:.1e}")
        assert worst <= 1e-4
        assert torch.equal(other, third)
