"""A small network of disparity or canonical depth: EfficientNet-Lite encoder and DPT head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.lite.encoder import STRIDE, Encoder
from depth_anything_ros.network.families.lite.head import Head
from depth_anything_ros.network.families.lite.specialist import FastDepth, Trust, like
from depth_anything_ros.network.preprocessing import Preprocessing
from depth_anything_ros.network.trainable import TrainableNetwork

INPUT_SIZE = 160
"""Shorter side of the input in pixels where a file names none."""

CANONICAL_FOCAL = "canonical_focal"
"""The name in a file's metadata of `LiteConfig.canonical_focal`."""


@dataclass(frozen=True)
class LiteConfig:
    """The architecture of one network.

    Attributes:
        variant: "lite0", "lite1" or "lite2".
        features: Channels of the head's fusion.
        head_features: Channels of the head's last hidden convolution.
        canonical_focal: Focal length in pixels at the network's input of the camera for which it
            gives metres (canonical camera, Yin et al. 2023); None for relative disparity.
        specialist: Whether FastDepth looks at every picture, too, and is believed where the
            encoder sees a room.
    """

    variant: str = "lite0"
    features: int = 64
    head_features: int = 32
    canonical_focal: float | None = None
    specialist: bool = False


class LiteDepth(TrainableNetwork):
    """EfficientNet-Lite encoder (`backbone`) and DPT head (`head`).

    With a `specialist` the result is a mixture of the head's and of the specialist's, in the share
    that `trust` reads from the encoder's levels: the vote of two experts.

    Args:
        config: The architecture.
    """

    family = "lite"
    align_corners = False
    guided_enlargement = True

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.canonical_focal = config.canonical_focal
        self.backbone = Encoder(config.variant)
        self.head = Head(self.backbone.channels, config.features, config.head_features)
        self.specialist = FastDepth() if config.specialist else None
        self.trust = Trust(self.backbone.channels) if config.specialist else None
        # The output starts in the middle of where it works: a ReLU at 0 has no gradient.
        assert self.head.output.bias is not None
        nn.init.ones_(self.head.output.bias)

    @property
    def kind(self) -> PredictionKind:
        """Depth that lacks the focal length with a canonical camera, else disparity."""
        if self.canonical_focal is not None:
            return PredictionKind.RELATIVE_DEPTH
        return PredictionKind.RELATIVE_DISPARITY

    @property
    def encoder(self) -> str:
        """The variant of EfficientNet-Lite."""
        return self.config.variant

    @property
    def preprocessing(self) -> Preprocessing:
        """Sides are multiples of the encoder's largest stride; images are shrunk as in training."""
        return Preprocessing(input_size=INPUT_SIZE, multiple_of=STRIDE, interpolation="area")

    def metadata(self) -> dict[str, str]:
        """The canonical camera; the shapes of the tensors tell everything else."""
        if self.canonical_focal is None:
            return {}
        return {CANONICAL_FOCAL: str(self.canonical_focal)}

    def simplify(self) -> None:
        """Fold the head's batch normalisation; see `DepthNetwork.simplify`."""
        self.head.fold_normalisation()

    def forward(self, image: Tensor) -> Tensor:
        """Predict disparity or canonical depth.

        Args:
            image: N x 3 x H x W, RGB, normalised (mean and deviation of ImageNet); H and W
                multiples of 32.

        Returns:
            N x H x W float32: disparity >= 0 up to scale and shift, or depth > 0 in metres of the
            canonical camera.

        Raises:
            InputError: A side is not a multiple of 32.
        """
        height, width = image.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise InputError(
                f"network input is {height}x{width}; both sides must be multiples of {STRIDE}"
            )
        out = self.decode(self.encode(image), height, width).float()
        return F.relu(out) if self.canonical_focal is None else out.exp()

    @property
    def encoder_module(self) -> nn.Module:
        """EfficientNet-Lite."""
        return self.backbone

    @property
    def decoder_module(self) -> nn.Module:
        """The DPT head, and the trust in the specialist where there is one."""
        return self.head if self.trust is None else nn.ModuleList([self.head, self.trust])

    @property
    def output_layer(self) -> nn.Conv2d:
        """The head's last convolution."""
        return self.head.output

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """The specialist's metres where there is one, and maps at strides 4, 8, 16 and 32."""
        levels: list[Tensor] = self.backbone(image)
        return levels if self.specialist is None else [self.specialist(image), *levels]

    def decode(self, features: Sequence[Tensor], height: int, width: int) -> Tensor:
        """See `TrainableNetwork.decode`."""
        if self.trust is None:
            alone: Tensor = self.head(features)
            return alone.squeeze(1)
        metres, *levels = features
        out, share = self.head(levels), self.trust(levels)
        if self.canonical_focal is None:
            # Both are right up to scale and shift only. Below 0 the head means 0.
            out = F.relu(out)
            theirs = like(1 / metres, out)
        else:
            # Metres of NYUv2's camera, as the canonical camera is.
            theirs = metres.log()
        return ((1 - share) * out + share * theirs).squeeze(1)

    def freeze_head(self) -> None:
        """Let all but the trust in the specialist keep its weights and statistics.

        Raises:
            SettingError: There is no specialist, so nothing would learn.
        """
        if self.trust is None:
            raise SettingError("freeze_head is true; without a specialist nothing is left to learn")
        self.head.requires_grad_(False)
        self.head.eval()

    def freeze_start(self, stages: int) -> None:
        """Keep the stem, the first of seven stages and the specialist.

        See `TrainableNetwork.freeze_start`. What a specialist knows of rooms is what it is there
        for: it never learns here.
        """
        if not 0 <= stages <= len(self.backbone.stages):
            raise SettingError(
                f"frozen_stages is {stages}; this encoder has {len(self.backbone.stages)} stages"
            )
        if self.specialist is not None:
            self.specialist.requires_grad_(False)
        if stages:
            self.backbone.stem.requires_grad_(False)
            self.backbone.stages[:stages].requires_grad_(False)
