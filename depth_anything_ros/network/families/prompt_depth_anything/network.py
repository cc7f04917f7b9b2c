"""Prompt Depth Anything: an image and depth of few pixels to depth of all.

Lin et al. 2024; what it does to the prompt follows transformers'
modeling_prompt_depth_anything.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.network.families.depth_anything.dpt import (
    DptHead,
    FeatureFusionBlock,
    resize,
)
from depth_anything_ros.network.families.depth_anything.network import DepthAnythingConfig
from depth_anything_ros.network.families.depth_anything.vit import PATCH, VisionTransformer


class _PromptedFusion(FeatureFusionBlock):
    """A fusion stage that also joins the prompt."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.resConfUnit_depth = nn.Sequential(
            nn.Conv2d(1, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
        )

    def join(
        self, x: Tensor, finer: Tensor | None, height: int, width: int, prompt: Tensor
    ) -> Tensor:
        """Join three maps (N x C x h x w, the prompt N x 1 of any size)."""
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        x = self.resConfUnit2(x)
        small = F.interpolate(prompt, x.shape[-2:], mode="bilinear", align_corners=False)
        return resize(self.out_conv(x + self.resConfUnit_depth(small)), height, width)


class _PromptedHead(DptHead):
    def __init__(self, widths: Sequence[int], features: int, out_channels: Sequence[int]) -> None:
        super().__init__(widths, features, out_channels)
        for level in range(1, 5):
            self.scratch[f"refinenet{level}"] = _PromptedFusion(features)

    def prompted(self, tokens: Sequence[Tensor], rows: int, cols: int, prompt: Tensor) -> Tensor:
        """Decode four levels of patch tokens to N x 1 x 14*rows x 14*cols."""
        levels = []
        for level, (x, project, to_level) in enumerate(
            zip(tokens, self.projects, self.resize_layers, strict=True), 1
        ):
            x = x.unflatten(1, (rows, cols)).permute(0, 3, 1, 2)
            levels.append(self.scratch[f"layer{level}_rn"](to_level(project(x))))
        x = levels[3]
        for level in (4, 3, 2, 1):
            finer = None if level == 4 else levels[level - 1]
            height, width = levels[max(level - 2, 0)].shape[-2:]
            if level == 1:
                height, width = 2 * height, 2 * width
            stage = self.scratch[f"refinenet{level}"]
            assert isinstance(stage, _PromptedFusion)
            x = stage.join(x, finer, height, width, prompt)
        x = resize(self.scratch["output_conv1"](x), PATCH * rows, PATCH * cols)
        return self.scratch["output_conv2"](x)


class PromptDepthAnything(nn.Module):
    """Image and prompt to metres.

    Args:
        config: The architecture, without `max_depth`.
    """

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        self.config = config
        self.pretrained = VisionTransformer(config.width, config.depth, config.heads, config.grid)
        widths = (config.width,) * 4
        self.depth_head = _PromptedHead(widths, config.features, config.out_channels)

    def forward(self, image: Tensor, prompt: Tensor) -> Tensor:
        """Predict.

        Args:
            image: N x 3 x H x W, normalised; H and W multiples of 14.
            prompt: N x 1 x h x w metres, known everywhere.

        Returns:
            N x H x W float32 metres within the range of the prompt.
        """
        flat = prompt.flatten(1)
        low, high = (each[:, None, None, None] for each in (flat.amin(1), flat.amax(1)))
        span = torch.where(high > low, high - low, torch.ones_like(high))
        rows, cols = image.shape[-2] // PATCH, image.shape[-1] // PATCH
        tokens = self.pretrained(image, self.config.taps)
        out = self.depth_head.prompted(tokens, rows, cols, (prompt - low) / span)
        return (torch.sigmoid(out.float()) * span + low).squeeze(1)
