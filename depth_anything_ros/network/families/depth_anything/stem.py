"""A convolutional stem in place of the patch projection, for small encoders trained from scratch.

Early convolutions let a transformer learn from far fewer pictures (Xiao et al. 2021); the head then
reads the stem's two finer maps instead of early transformer blocks, as in DPT-Hybrid (Ranftl et
al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a skip connection (He et al. 2016).

    Args:
        inside: Channels it takes.
        out: Channels it gives.
        stride: Of its first convolution.
    """

    def __init__(self, inside: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = inside == out and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inside, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to N x C' x h/stride x w/stride."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.skip(x) + self.bn2(self.conv2(y)))


def _stage(inside: int, out: int, stride: int, units: int) -> nn.Sequential:
    rest = (ResidualUnit(out, out) for _ in range(units - 1))
    return nn.Sequential(ResidualUnit(inside, out, stride), *rest)


class ConvStem(nn.Module):
    """Image to tokens by convolutions, with the maps in between.

    Args:
        widths: Channels at a half of the image's size, and at four times and twice the patch grid.
        width: Channels of a token.
        units: Residual units at each grid.
    """

    def __init__(self, widths: Sequence[int], width: int, units: int) -> None:
        super().__init__()
        half, fine, middle = widths
        self.first = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(half)
        self.fine = _stage(half, fine, 1, units)
        self.middle = _stage(fine, middle, 2, units)
        self.coarse = _stage(middle, width, 2, units)

    def forward(self, image: Tensor, rows: int, cols: int) -> tuple[Tensor, Tensor, Tensor]:
        """Encode an image.

        Args:
            image: N x 3 x 14*rows x 14*cols, normalised.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            N x C1 x 4*rows x 4*cols, N x C2 x 2*rows x 2*cols, and tokens N x rows*cols x C.
        """
        x = F.relu(self.bn(self.first(image)))
        # A patch of 14 is 7 pixels of the half-size map: 4 of them are not to be had by strides.
        x = F.interpolate(x, (4 * rows, 4 * cols), mode="bilinear", align_corners=False)
        fine = self.fine(x)
        middle = self.middle(fine)
        return fine, middle, self.coarse(middle).flatten(2).transpose(1, 2)
