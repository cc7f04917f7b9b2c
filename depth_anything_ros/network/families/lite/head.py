"""A DPT head (Ranftl et al. 2021) that reads the levels of a convolutional encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def _enlarged(x: Tensor) -> Tensor:
    """Twice the rows and columns, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _folded(convolution: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution that does what both did in evaluation, and nothing in place of the other."""
    if not isinstance(norm, nn.BatchNorm2d):
        return convolution, norm
    return fuse_conv_bn_eval(convolution.eval(), norm.eval()), nn.Identity()


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, activation first, around a skip connection."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.first_norm: nn.Module = nn.BatchNorm2d(features)
        self.second = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.second_norm: nn.Module = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to the same."""
        y = F.relu(self.first_norm(self.first(F.relu(x))))
        return x + self.second_norm(self.second(y))

    def fold_normalisation(self) -> None:
        """Make the normalisations part of the convolutions."""
        self.first, self.first_norm = _folded(self.first, self.first_norm)
        self.second, self.second_norm = _folded(self.second, self.second_norm)


class Fusion(nn.Module):
    """Joins a coarser map with the next finer level."""

    def __init__(self, channels: int, features: int, finest: bool) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, features, 1, bias=False)
        self.reduce_norm: nn.Module = nn.BatchNorm2d(features)
        # At the finest level, where a unit costs most, one has to do.
        self.level = nn.Identity() if finest else ResidualUnit(features)
        self.joined = ResidualUnit(features)

    def forward(self, level: Tensor, coarser: Tensor | None) -> Tensor:
        """Join a level (N x channels x h x w) and a map (N x features x h/2 x w/2)."""
        x = self.level(self.reduce_norm(self.reduce(level)))
        return self.joined(x if coarser is None else x + _enlarged(coarser))

    def fold_normalisation(self) -> None:
        """Make the normalisations part of the convolutions."""
        self.reduce, self.reduce_norm = _folded(self.reduce, self.reduce_norm)
        for unit in (self.level, self.joined):
            if isinstance(unit, ResidualUnit):
                unit.fold_normalisation()


class Head(nn.Module):
    """Four levels to one map.

    Args:
        channels: Channels of the levels at strides 4, 8, 16 and 32.
        features: Channels of the fusion.
        head_features: Channels of the last hidden convolution.
    """

    def __init__(self, channels: Sequence[int], features: int, head_features: int) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(
            Fusion(count, features, number == 0) for number, count in enumerate(channels)
        )
        self.hidden = nn.Conv2d(features, head_features, 3, padding=1)
        self.output = nn.Conv2d(head_features, 1, 3, padding=1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's levels.

        Args:
            levels: N x C x h x w at strides 4, 8, 16 and 32.

        Returns:
            N x 1 x H x W at the input's size, before the output's activation.
        """
        x: Tensor | None = None
        for fusion, level in zip(reversed(self.fusions), reversed(levels), strict=True):
            x = fusion(level, x)
        assert x is not None
        x = _enlarged(x)
        return _enlarged(self.output(F.relu(self.hidden(x))))

    def fold_normalisation(self) -> None:
        """Make the normalisations part of the convolutions: for inference, for good."""
        for fusion in self.fusions:
            assert isinstance(fusion, Fusion)
            fusion.fold_normalisation()
