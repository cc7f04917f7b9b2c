"""Depth Anything 3 for single images: DINOv2 encoder, DPT head with depth and sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.depth_network import DepthNetwork
from depth_anything_ros.network.families.depth_anything.dpt import DptHead
from depth_anything_ros.network.families.depth_anything.network import (
    ENCODERS,
    HEAD_WIDTH,
    Levels,
    default_taps,
)
from depth_anything_ros.network.families.depth_anything.vit import PATCH, VisionTransformer
from depth_anything_ros.network.families.depth_anything_3.encoder import NORM_EPS
from depth_anything_ros.network.families.depth_anything_3.models import (
    CANONICAL_FOCAL,
    INPUT_SIZE,
    METRIC,
    MONO,
)
from depth_anything_ros.network.outputs import DEPTH, SKY
from depth_anything_ros.network.preprocessing import AREA_OR_CUBIC, Preprocessing


@dataclass(frozen=True)
class SingleViewConfig:
    """The architecture of one network.

    Attributes:
        width: Channels of an encoder token.
        depth: Encoder blocks.
        heads: Attention heads per block.
        features: Channels of the head's fusion stages.
        out_channels: Channels of the head's four levels.
        taps: Encoder blocks the head reads, ascending.
        metric: Whether it gives the depth of a canonical camera, which becomes metres by the focal
            length; else depth up to scale and shift.
        grid: Side of the position table in patches.
    """

    width: int
    depth: int
    heads: int
    features: int
    out_channels: Levels
    taps: Levels
    metric: bool
    grid: int = 37

    @classmethod
    def official(cls, metric: bool) -> SingleViewConfig:
        """The architecture of DA3MONO-LARGE and DA3METRIC-LARGE (configs/da3mono-large.yaml).

        Args:
            metric: Whether it is the metric one.
        """
        width, depth, features, out_channels = ENCODERS["vitl"]
        heads = width // HEAD_WIDTH
        return cls(width, depth, heads, features, out_channels, default_taps(depth), metric)

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        for name, (width, depth, _, _) in ENCODERS.items():
            if (width, depth) == (self.width, self.depth):
                return name
        return "custom"


class SkyDptHead(DptHead):
    """A DPT head with a second map for the sky.

    Args:
        widths: Channels of the four levels as the encoder gives them.
        features: Channels of the fusion stages.
        out_channels: Channels of the four reassembled levels, finest first.
    """

    def __init__(self, widths: Sequence[int], features: int, out_channels: Sequence[int]) -> None:
        super().__init__(widths, features, out_channels)
        # The coarsest stage has nothing to join, and here no weights for it.
        del self.scratch["refinenet4"].resConfUnit1
        self.scratch["sky_output_conv2"] = nn.Sequential(
            nn.Conv2d(features // 2, 32, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 1, 1),
        )

    def both(self, tokens: Sequence[Tensor], rows: int, cols: int) -> tuple[Tensor, Tensor]:
        """Decode four levels of patch tokens.

        Args:
            tokens: Four times N x (rows*cols) x C.
            rows: Patches along the height.
            cols: Patches along the width.

        Returns:
            Depth and sky before their activations, N x 14*rows x 14*cols each.
        """
        features = self.features(tokens, rows, cols)
        depth = self.scratch["output_conv2"](features)
        return depth.squeeze(1), self.scratch["sky_output_conv2"](features).squeeze(1)


class SingleView(DepthNetwork):
    """Depth and sky of one image.

    The official code fills the sky with the 99th percentile of the other depths; here depth stays
    as the network gives it, and the sky is given beside it.

    Args:
        config: The architecture.
    """

    family = "depth_anything_3"
    kind = PredictionKind.RELATIVE_DEPTH
    version = "v3"
    outputs = (DEPTH, SKY)
    align_corners = False
    preprocessing = Preprocessing(INPUT_SIZE, "longer", interpolation=AREA_OR_CUBIC)

    def __init__(self, config: SingleViewConfig) -> None:
        super().__init__()
        self.config = config
        self.canonical_focal = CANONICAL_FOCAL if config.metric else None
        self.pretrained = VisionTransformer(
            config.width,
            config.depth,
            config.heads,
            config.grid,
            mask_token=False,
            norm_eps=NORM_EPS,
        )
        self.depth_head = SkyDptHead((config.width,) * 4, config.features, config.out_channels)

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        return self.config.encoder

    def metadata(self) -> dict[str, str]:
        """What its tensors do not contain; see `DepthNetwork.metadata`."""
        return {"network": METRIC if self.config.metric else MONO}

    def simplify(self) -> None:
        """Fold every LayerScale; see `DepthNetwork.simplify`."""
        self.pretrained.fold_scales()

    def tables(self, height: int, width: int) -> tuple[Tensor, ...]:
        """The position table of an input size; see `DepthNetwork.tables`."""
        return (self.pretrained.positions(height // PATCH, width // PATCH),)

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth; see `DepthNetwork.forward`."""
        return self.named_outputs(image)[DEPTH]

    def named_outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Predict depth and sky; see `DepthNetwork.named_outputs`.

        Args:
            image: N x 3 x H x W, normalised; H and W multiples of 14.

        Returns:
            Depth > 0 and sky >= 0, N x H x W float32 each.

        Raises:
            InputError: A side is not a multiple of 14.
        """
        height, width = image.shape[-2:]
        if height % PATCH or width % PATCH:
            raise InputError(
                f"network input is {height}x{width}; both sides must be multiples of {PATCH}"
            )
        rows, cols = height // PATCH, width // PATCH
        tokens = self.pretrained(image, self.config.taps)
        depth, sky = self.depth_head.both(tokens, rows, cols)
        return {DEPTH: torch.exp(depth.float()), SKY: torch.relu(sky.float())}
