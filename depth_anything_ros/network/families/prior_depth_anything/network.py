"""The second stage of Prior Depth Anything: an image and three maps of depth to finished depth.

Wang et al. 2025. Names follow the official depth_anything_v2/ of that code, so its files load
strictly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.network.families.depth_anything.dpt import DptHead
from depth_anything_ros.network.families.depth_anything.network import DepthAnythingConfig
from depth_anything_ros.network.families.depth_anything.vit import (
    PATCH,
    PatchEmbed,
    VisionTransformer,
)

CONDITIONS = 3
"""Maps beside the image: where points are, the global fit and the coarse depth as disparities."""


class _ConditionedPatches(PatchEmbed):
    """Tokens of an image and of the maps beside it, added."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.alpha_proj = nn.Conv2d(CONDITIONS, width, kernel_size=PATCH, stride=PATCH)

    def forward(self, image: Tensor) -> Tensor:
        """N x (3 + CONDITIONS) x H x W to N x (H/14 * W/14) x C."""
        maps = self.alpha_proj(image[:, 3:])
        return (self.proj(image[:, :3]) + maps).flatten(2).transpose(1, 2)


class _Head(DptHead):
    """A DPT head with the names and numbers of that code."""

    def __init__(self, widths: Sequence[int], features: int, out_channels: Sequence[int]) -> None:
        super().__init__(widths, features, out_channels)
        del self.scratch["refinenet4"].resConfUnit1
        self.scratch["output_conv2"] = nn.Sequential(self.scratch["output_conv2"], nn.ReLU())


class PriorDepthAnything(nn.Module):
    """Image and condition to disparity, in the unit of the condition's.

    Args:
        config: The architecture, without `max_depth`.
    """

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        self.config = config
        self.pretrained = VisionTransformer(
            config.width, config.depth, config.heads, config.grid, mask_token=False
        )
        self.pretrained.patch_embed = _ConditionedPatches(config.width)
        self.depth_head = _Head((config.width,) * 4, config.features, config.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Predict.

        Args:
            image: N x (3 + CONDITIONS) x H x W: the image in the order blue, green, red, normalised
                by ImageNet's mean and deviation of red, green, blue (as the official raw2input has
                it), then the maps; H and W multiples of 14.

        Returns:
            N x H x W float32 >= 0.
        """
        rows, cols = image.shape[-2] // PATCH, image.shape[-1] // PATCH
        tokens = self.pretrained(image, self.config.taps)
        out: Tensor = self.depth_head(tokens, rows, cols)
        return F.relu(out.float()).squeeze(1)
