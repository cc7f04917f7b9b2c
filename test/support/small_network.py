"""A Depth Anything network small enough to run many times in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth_anything_ros.network.families.depth_anything.network import DepthAnything


def make_small_network(max_depth: float | None = None) -> DepthAnything:
    """A 64-channel network whose outputs spread over a good part of its range."""
    # Late: the tests of ONNX files need no torch.
    import torch

    from depth_anything_ros.network.families.depth_anything.network import (
        DepthAnything,
        DepthAnythingConfig,
    )

    torch.manual_seed(0)
    config = DepthAnythingConfig(
        width=64,
        depth=4,
        heads=1,
        features=16,
        out_channels=(8, 12, 16, 24),
        taps=(0, 1, 2, 3),
        max_depth=max_depth,
    )
    network = DepthAnything(config).eval()
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "depth_head" in name:
                tensor.normal_(std=(2 / max(tensor[0].numel(), 2)) ** 0.5)
            elif "pos_embed" in name or "cls_token" in name:
                tensor.normal_(std=0.5)
        tokens = network.pretrained(torch.randn(1, 3, 140, 196), config.taps)
        raw = network.depth_head(tokens, 10, 14)
        last = network.depth_head.scratch["output_conv2"][2]  # type: ignore[index]
        scale = float(1 / raw.std())
        shift = (4.0 if max_depth is None else 0.0) - float(raw.mean()) * scale
        last.weight.mul_(scale)
        last.bias.mul_(scale).add_(shift)
    return network
