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
from depth_anything_ros.network.preprocessing import Preprocessing
from depth_anything_ros.network.trainable import TrainableNetwork

INPUT_SIZE = 160
"""Shorter side of the input in pixels at which the embedded network was trained."""

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
    """

    variant: str = "lite0"
    features: int = 64
    head_features: int = 32
    canonical_focal: float | None = None


class LiteDepth(TrainableNetwork):
    """EfficientNet-Lite encoder (`backbone`) and DPT head (`head`).

    Args:
        config: The architecture.
    """

    family = "lite"
    align_corners = False

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.canonical_focal = config.canonical_focal
        self.backbone = Encoder(config.variant)
        self.head = Head(self.backbone.channels, config.features, config.head_features)
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
        """Sides are multiples of the encoder's largest stride."""
        return Preprocessing(input_size=INPUT_SIZE, multiple_of=STRIDE)

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
        """The DPT head."""
        return self.head

    @property
    def output_layer(self) -> nn.Conv2d:
        """The head's last convolution."""
        return self.head.output

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Four maps at strides 4, 8, 16 and 32; see `TrainableNetwork.encode`."""
        levels: list[Tensor] = self.backbone(image)
        return levels

    def decode(self, features: Sequence[Tensor], height: int, width: int) -> Tensor:
        """See `TrainableNetwork.decode`."""
        out: Tensor = self.head(features)
        return out.squeeze(1)

    def freeze_start(self, stages: int) -> None:
        """Keep the stem and the first of seven stages; see `TrainableNetwork.freeze_start`."""
        if not 0 <= stages <= len(self.backbone.stages):
            raise SettingError(
                f"frozen_stages is {stages}; this encoder has {len(self.backbone.stages)} stages"
            )
        if stages:
            self.backbone.stem.requires_grad_(False)
            self.backbone.stages[:stages].requires_grad_(False)
