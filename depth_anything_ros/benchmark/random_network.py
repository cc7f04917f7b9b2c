"""Official architectures with random weights, to be timed without a download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork

V2 = ("vits", "vitb", "vitl", "vitg")
"""Depth Anything V2 by its encoder."""

ANY_VIEW = {"da3_small": "vits", "da3_base": "vitb", "da3_large": "vitl"}
"""Depth Anything 3 for any views, and its encoder."""

MONO = "da3mono_large"
"""Depth Anything 3 for single images."""


def write_random_network(name: str, path: Path) -> None:
    """Write an official architecture with random weights.

    The last convolution is set so that outputs spread: then backends can be compared.

    Args:
        name: One of `V2`, `ANY_VIEW` or `MONO`.
        path: The .safetensors file.

    Raises:
        SettingError: The network is not known.
    """
    import torch

    from depth_anything_ros.network.checkpoints import save_network
    from depth_anything_ros.network.model_info import APACHE

    torch.manual_seed(0)
    network = _network(name).eval().requires_grad_(False)
    for layer, tensor in network.get_submodule("depth_head").named_parameters():
        if tensor.dim() > 1:
            fan_in = tensor[0].numel() if "resize_layers" not in layer else tensor.shape[0]
            tensor.normal_(std=(2 / fan_in) ** 0.5)
    # Those of Depth Anything 3 go through an exponential function.
    mean, deviation = (4.0, 1.0) if name in V2 else (0.0, 0.25)
    last: Any = network.get_submodule("depth_head.scratch.output_conv2.2")
    outputs: list[Tensor] = []
    hook = last.register_forward_hook(lambda module, inputs, out: outputs.append(out))
    network(torch.randn(1, 3, 140, 196))
    hook.remove()
    scale = deviation / outputs[0].std((0, 2, 3))
    last.weight.mul_(scale[:, None, None, None])
    last.bias.mul_(scale).add_(mean - outputs[0].mean((0, 2, 3)) * scale)
    save_network(network, path, licence=APACHE)


def _network(name: str) -> DepthNetwork:
    if name in ANY_VIEW:
        from depth_anything_ros.network.families.depth_anything_3.any_view import (
            AnyView,
            AnyViewConfig,
        )

        return AnyView(AnyViewConfig.official(ANY_VIEW[name]))
    if name == MONO:
        from depth_anything_ros.network.families.depth_anything_3.single_view import (
            SingleView,
            SingleViewConfig,
        )

        return SingleView(SingleViewConfig.official(metric=False))
    if name in V2:
        from depth_anything_ros.network.families.depth_anything.network import (
            DepthAnything,
            DepthAnythingConfig,
        )

        return DepthAnything(DepthAnythingConfig.official(name))
    known = ", ".join((*V2, *ANY_VIEW, MONO))
    raise SettingError(f"encoder is '{name}'; it must be one of {known}")
