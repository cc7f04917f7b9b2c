"""Official architectures with random weights, to be timed without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_random_network(encoder: str, path: Path) -> None:
    """Write an official architecture with random weights.

    The last convolution is set so that outputs spread by 1 around 4: then backends can be compared.

    Args:
        encoder: "vits", "vitb", "vitl" or "vitg".
        path: The .safetensors file.

    Raises:
        SettingError: The encoder is not known.
    """
    import torch

    from depth_anything_ros.network.checkpoints import save_network
    from depth_anything_ros.network.families.depth_anything.network import (
        DepthAnything,
        DepthAnythingConfig,
    )
    from depth_anything_ros.network.model_info import APACHE

    torch.manual_seed(0)
    network = DepthAnything(DepthAnythingConfig.official(encoder)).eval().requires_grad_(False)
    for name, tensor in network.depth_head.named_parameters():
        if tensor.dim() > 1:
            fan_in = tensor[0].numel() if "resize_layers" not in name else tensor.shape[0]
            tensor.normal_(std=(2 / fan_in) ** 0.5)
    tokens = network.pretrained(torch.randn(1, 3, 140, 196), network.config.taps)
    raw = network.depth_head(tokens, 10, 14)
    last: Any = network.depth_head.get_submodule("scratch.output_conv2.2")
    scale = 1 / raw.std()
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(4 - raw.mean() * scale)
    save_network(network, path, licence=APACHE)
