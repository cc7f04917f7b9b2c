"""The head of Depth Anything 3's any-view networks: depth with confidence, and rays.

Names and order follow the official model/dualdpt.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth_anything_ros.network.families.depth_anything.dpt import (
    FeatureFusionBlock,
    resize,
)
from depth_anything_ros.network.families.depth_anything.vit import PATCH

_HIDDEN = 32  # channels of the last hidden convolution
_RAY = 7  # direction, origin and confidence of a ray
_SHARE = 0.1  # of the place's embedding in what it is added to
_FREQUENCY = 100.0  # base of the embedding's frequencies


def place_embedding(channels: int, height: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of every pixel's place, for the picture's aspect ratio.

    The plane has a half diagonal of 1 and its middle at 0 (create_uv_grid and
    position_grid_to_embed of model/utils/head_utils.py).

    Args:
        channels: A multiple of 4.
        height: Rows.
        width: Columns.
        like: N x C x h x w with the aspect ratio of the picture; gives device and dtype.

    Returns:
        1 x channels x height x width.
    """
    sides = [torch.full((), side, dtype=torch.float32) for side in like.shape[-2:]]
    aspect = sides[1] / sides[0]
    diagonal = (aspect**2 + 1).sqrt()
    rows, cols = (torch.full((), side, dtype=torch.float32) for side in (height, width))
    # From the middle of the first pixel to that of the last.
    down = (2 * torch.arange(height) - (rows - 1)) / rows / diagonal
    across = (2 * torch.arange(width) - (cols - 1)) / cols * aspect / diagonal
    quarter = channels // 4
    frequencies = 1 / _FREQUENCY ** (torch.arange(quarter, dtype=torch.float32) / quarter)

    def waves(place: Tensor) -> Tensor:
        angles = torch.outer(frequencies, place)
        return torch.cat([angles.sin(), angles.cos()])

    half = 2 * quarter
    embedding = torch.cat(
        [
            waves(across)[:, None, :].expand(half, height, width),
            waves(down)[:, :, None].expand(half, height, width),
        ]
    )
    return embedding[None].to(like)


class DualDptHead(nn.Module):
    """Four levels of tokens to depth, its confidence and rays.

    Args:
        width: Channels of a token as the encoder gives it.
        features: Channels of the fusion stages.
        out_channels: Channels of the four reassembled levels, finest first.
    """

    def __init__(self, width: int, features: int, out_channels: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.projects = nn.ModuleList(nn.Conv2d(width, channels, 1) for channels in out_channels)
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
            for chain in ("", "_aux"):
                block = FeatureFusionBlock(features)
                if level == 4:  # it has nothing to join
                    del block.resConfUnit1
                scratch[f"refinenet{level}{chain}"] = block
        half = features // 2
        scratch["output_conv1"] = nn.Conv2d(features, half, 3, padding=1)
        scratch["output_conv2"] = nn.Sequential(
            nn.Conv2d(half, _HIDDEN, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(_HIDDEN, 2, 1)
        )
        # Official files hold these for four levels; only the last one is read.
        scratch["output_conv1_aux"] = nn.ModuleList(_neck(features) for _ in out_channels)
        scratch["output_conv2_aux"] = nn.ModuleList(_ray_layers(half) for _ in out_channels)
        self.scratch = nn.ModuleDict(scratch)

    def forward(self, tokens: Sequence[Tensor], rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Decode depth.

        Args:
            tokens: Four times N x (rows*cols) x C.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            Depth > 0 and its confidence > 1, N x 14*rows x 14*cols float32 each.
        """
        levels = self._levels(tokens, rows, cols)
        x = self.scratch["output_conv1"](self._fused(levels, ""))
        x = resize(x, PATCH * rows, PATCH * cols)
        x = x + _SHARE * place_embedding(x.shape[1], x.shape[2], x.shape[3], x)
        depth, confidence = self.scratch["output_conv2"](x).float().unbind(1)
        return torch.exp(depth), torch.exp(confidence) + 1

    def rays(self, tokens: Sequence[Tensor], rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Decode rays.

        Args:
            tokens: As for `forward`.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            Rays N x 8*rows x 8*cols x 6 and their confidence > 1, N x 8*rows x 8*cols, float32.
        """
        levels = self._levels(tokens, rows, cols)
        x = self.scratch["output_conv1_aux"][-1](self._fused(levels, "_aux"))  # type: ignore[index]
        x = x + _SHARE * place_embedding(x.shape[1], x.shape[2], x.shape[3], x)
        out = self.scratch["output_conv2_aux"][-1](x).float()  # type: ignore[index]
        return out[:, :-1].permute(0, 2, 3, 1), torch.exp(out[:, -1]) + 1

    def _levels(self, tokens: Sequence[Tensor], rows: int, cols: int) -> list[Tensor]:
        """The four levels as maps of the fusion's width, finest first."""
        levels = []
        for level, (x, project, layer) in enumerate(
            zip(tokens, self.projects, self.resize_layers, strict=True), 1
        ):
            x = project(self.norm(x).unflatten(1, (rows, cols)).permute(0, 3, 1, 2))
            x = x + _SHARE * place_embedding(x.shape[1], rows, cols, x)
            levels.append(self.scratch[f"layer{level}_rn"](layer(x)))
        return levels

    def _fused(self, levels: Sequence[Tensor], chain: str) -> Tensor:
        """The levels joined, coarsest first, at twice the size of the finest."""
        x = levels[3]
        for level in (4, 3, 2):
            finer = None if level == 4 else levels[level - 1]
            height, width = levels[level - 2].shape[-2:]
            x = self.scratch[f"refinenet{level}{chain}"](x, finer, height, width)
        height, width = levels[0].shape[-2:]
        return self.scratch[f"refinenet1{chain}"](x, levels[0], 2 * height, 2 * width)


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of N x C x H x W."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _neck(features: int) -> nn.Sequential:
    """Five convolutions before the rays."""
    widths = (features, features // 2) * 3
    return nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths)))


def _ray_layers(channels: int) -> nn.Sequential:
    """The last convolutions of the rays; the identities keep the official numbers."""
    return nn.Sequential(
        nn.Conv2d(channels, _HIDDEN, 3, padding=1),
        nn.Identity(),
        _ChannelNorm(_HIDDEN),
        nn.Identity(),
        nn.ReLU(inplace=True),
        nn.Conv2d(_HIDDEN, _RAY, 1),
    )
