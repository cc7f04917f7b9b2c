"""The DPT head (Ranftl et al. 2021), as Depth Anything uses it.

Module names follow the official Depth Anything code, so its state dicts load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.network.families.depth_anything.vit import PATCH


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resize of N x C x h x w, corners aligned."""
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=True)


class ResidualConvUnit(nn.Module):
    """Two 3x3 convolutions, activation first, around a skip connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to the same."""
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class FeatureFusionBlock(nn.Module):
    """Joins a coarser map with the features of the next finer stage and enlarges the result."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1 = ResidualConvUnit(features)
        self.resConfUnit2 = ResidualConvUnit(features)

    def forward(self, x: Tensor, finer: Tensor | None, height: int, width: int) -> Tensor:
        """Join `x` and `finer` (N x C x h x w each) to N x C x height x width."""
        if finer is not None:
            x = x + self.resConfUnit1(finer)
        # A 1x1 convolution and a bilinear resize commute; at the small size it is cheaper.
        return resize(self.out_conv(self.resConfUnit2(x)), height, width)


class DptHead(nn.Module):
    """Four levels of encoder tokens to one map at the input's size.

    Args:
        widths: Channels of the four levels as the encoder gives them.
        features: Channels of the fusion stages.
        out_channels: Channels of the four reassembled levels, finest first.
        head_features: Channels of the last hidden convolution.
    """

    def __init__(
        self,
        widths: Sequence[int],
        features: int,
        out_channels: Sequence[int],
        head_features: int = 32,
    ) -> None:
        super().__init__()
        self.projects = nn.ModuleList(
            nn.Conv2d(width, channels, 1)
            for width, channels in zip(widths, out_channels, strict=True)
        )
        first, second, _, fourth = out_channels
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, stride=2, padding=1),
            ]
        )
        scratch: dict[str, nn.Module] = {}
        for level, channels in enumerate(out_channels, 1):
            scratch[f"layer{level}_rn"] = nn.Conv2d(channels, features, 3, padding=1, bias=False)
            # refinenet4.resConfUnit1 has nothing to join, but official files hold its weights.
            scratch[f"refinenet{level}"] = FeatureFusionBlock(features)
        scratch["output_conv1"] = nn.Conv2d(features, features // 2, 3, padding=1)
        scratch["output_conv2"] = nn.Sequential(
            nn.Conv2d(features // 2, head_features, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(head_features, 1, 1),
        )
        self.scratch = nn.ModuleDict(scratch)

    def forward(self, tokens: Sequence[Tensor], rows: int, cols: int) -> Tensor:
        """Decode four levels of patch tokens.

        Args:
            tokens: Four times N x (rows*cols) x C.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            N x 1 x 14*rows x 14*cols, before the output's activation.
        """
        return self.scratch["output_conv2"](self.features(tokens, rows, cols))

    def features(self, tokens: Sequence[Tensor], rows: int, cols: int) -> Tensor:
        """Decode four levels of patch tokens up to the last convolutions.

        Args:
            tokens: As for `forward`.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            N x C x 14*rows x 14*cols.
        """
        levels = []
        for level, (x, project, to_level) in enumerate(
            zip(tokens, self.projects, self.resize_layers, strict=True), 1
        ):
            # Tokens are channels-last already: this is a view, not a copy.
            x = x.unflatten(1, (rows, cols)).permute(0, 3, 1, 2)
            levels.append(self.scratch[f"layer{level}_rn"](to_level(project(x))))
        x = levels[3]
        for level in (4, 3, 2):
            finer = None if level == 4 else levels[level - 1]
            height, width = levels[level - 2].shape[-2:]
            x = self.scratch[f"refinenet{level}"](x, finer, height, width)
        height, width = levels[0].shape[-2:]
        x = self.scratch["refinenet1"](x, levels[0], 2 * height, 2 * width)
        x = self.scratch["output_conv1"](x)
        return resize(x, PATCH * rows, PATCH * cols)
