"""A convolutional stem in place of the patch projection, for small encoders trained from scratch.

Early convolutions let a transformer learn from far fewer pictures (Xiao et al. 2021); the head then
reads the stem's two finer maps instead of early transformer blocks, as in DPT-Hybrid (Ranftl et
al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

_GROUPS = 8


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, normalised and activated first, around a skip connection (He 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(_GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to the same."""
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class ConvStem(nn.Module):
    """Image to tokens by convolutions, with the maps in between.

    Args:
        widths: Channels at a half of the image's size, and at four times and twice the patch grid;
            each a multiple of 8.
        width: Channels of a token.
        units: Residual units at each of the two finer grids.
    """

    def __init__(self, widths: Sequence[int], width: int, units: int) -> None:
        super().__init__()
        first, fine, middle = widths
        self.first = nn.Conv2d(3, first, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, first)
        self.fine = nn.Conv2d(first, fine, 3, padding=1)
        self.fine_units = nn.Sequential(*(ResidualUnit(fine) for _ in range(units)))
        self.middle = nn.Conv2d(fine, middle, 3, stride=2, padding=1)
        self.middle_units = nn.Sequential(*(ResidualUnit(middle) for _ in range(units)))
        self.proj = nn.Conv2d(middle, width, 3, stride=2, padding=1)

    def forward(self, image: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor, Tensor]:
        """Encode an image.

        Args:
            image: N x 3 x 14*rows x 14*cols, normalised.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            N x C1 x 4*rows x 4*cols, N x C2 x 2*rows x 2*cols, and tokens N x rows*cols x C.
        """
        x = F.relu(self.norm(self.first(image)))
        # A patch of 14 is 7 pixels of the half-size map: 4 of them are not to be had by strides.
        x = F.interpolate(x, (4 * rows, 4 * cols), mode="bilinear", align_corners=False)
        fine = self.fine_units(self.fine(x))
        middle = self.middle_units(self.middle(fine))
        return fine, middle, self.proj(middle).flatten(2).transpose(1, 2)
