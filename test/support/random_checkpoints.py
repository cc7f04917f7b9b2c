"""Files of networks as their makers lay them out, small and with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from depth_anything_ros.network.families.depth_anything.network import DepthAnythingConfig
from depth_anything_ros.network.families.prior_depth_anything.network import PriorDepthAnything
from depth_anything_ros.network.families.video_depth_anything.network import VideoDepthAnything

VIDEO = DepthAnythingConfig(64, 4, 1, 32, (32, 32, 64, 32), (0, 1, 2, 3), grid=5)
PRIOR = DepthAnythingConfig(64, 4, 1, 16, (8, 8, 8, 8), (0, 1, 2, 3), grid=5)


def make_video(metric: bool = False) -> VideoDepthAnything:
    """A network of Video Depth Anything that answers about 20 everywhere."""
    network = VideoDepthAnything(VIDEO, metric).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            fan = tensor[0].numel() if tensor.dim() > 1 else 4
            tensor.normal_(0, fan**-0.5, generator=generator)
            if name.endswith("output_conv2.2.bias"):
                tensor.fill_(20.0)  # before a ReLU
        for name, buffer in network.named_buffers():
            if name.endswith(".pe"):
                buffer.copy_(_waves(buffer.shape[2])[None])
    return network


def write_video(folder: Path, metric: bool) -> Path:
    """The official file of such a network."""
    name = "metric_video_depth_anything_mine" if metric else "video_depth_anything_mine"
    state = {
        key.replace("depth_head.", "head."): tensor
        for key, tensor in make_video().state_dict().items()
    }
    torch.save(state, folder / f"{name}.pth")
    return folder / f"{name}.pth"


def make_prior() -> PriorDepthAnything:
    """A second stage of Prior Depth Anything."""
    network = PriorDepthAnything(PRIOR).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            fan = tensor[0].numel() if tensor.dim() > 1 else 4
            tensor.normal_(0, fan**-0.5, generator=generator)
            if name.endswith("output_conv2.0.2.bias"):
                tensor.fill_(5.0)
    return network


def write_prior(folder: Path) -> Path:
    """The official file of such a network."""
    state = {f"module.{name}": tensor for name, tensor in make_prior().state_dict().items()}
    torch.save({"model": state}, folder / "prior.pth")
    return folder / "prior.pth"


def _waves(width: int) -> torch.Tensor:
    """Sines and cosines of 32 places (Vaswani et al. 2017, section 3.5)."""
    rates = 10000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(32)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
