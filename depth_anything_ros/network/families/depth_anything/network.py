"""Depth Anything V1 and V2, relative and metric: DINOv2 encoder and DPT head in one module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.families.depth_anything.dpt import DptHead
from depth_anything_ros.network.families.depth_anything.vit import PATCH, VisionTransformer
from depth_anything_ros.network.trainable import TrainableNetwork

Levels = tuple[int, int, int, int]

HEAD_WIDTH = 64
"""Channels per attention head in every DINOv2 encoder."""


def default_taps(depth: int, version: str = "v2") -> Levels:
    """The four blocks the head reads.

    V1 reads the last four (official dpt.py of V1). V2 reads blocks spread over the depth
    (`intermediate_layer_idx` in its dpt.py): the ends of the quarters, except that vitl's first
    is block 4, not 5.

    Args:
        depth: Number of blocks of the encoder.
        version: "v1" or "v2".

    Returns:
        Four block indices, ascending.

    Raises:
        SettingError: The version is unknown or the encoder has fewer than four blocks.
    """
    if version not in ("v1", "v2"):
        raise SettingError(f"version is '{version}'; it must be 'v1' or 'v2'")
    if depth < 4:
        raise SettingError(f"the encoder has {depth} blocks; the head reads four")
    if version == "v1":
        return (depth - 4, depth - 3, depth - 2, depth - 1)
    if depth == 24:
        return (4, 11, 17, 23)
    return (depth // 4 - 1, depth // 2 - 1, 3 * depth // 4 - 1, depth - 1)


@dataclass(frozen=True)
class DepthAnythingConfig:
    """The architecture of one network.

    Attributes:
        width: Channels of an encoder token.
        depth: Encoder blocks.
        heads: Attention heads per block.
        features: Channels of the head's fusion stages.
        out_channels: Channels of the head's four levels.
        taps: Encoder blocks the head reads, ascending.
        max_depth: Metres at the top of the sigmoid of a metric network; None for a relative one.
        swiglu: Whether the encoder uses SwiGLU (vitg).
        grid: Side of the position table in patches.
        head_features: Channels of the head's last hidden convolution.
    """

    width: int
    depth: int
    heads: int
    features: int
    out_channels: Levels
    taps: Levels
    max_depth: float | None = None
    swiglu: bool = False
    grid: int = 37
    head_features: int = 32

    @classmethod
    def official(
        cls, encoder: str, version: str = "v2", max_depth: float | None = None
    ) -> DepthAnythingConfig:
        """The architecture of an official network.

        Args:
            encoder: "vits", "vitb", "vitl" or "vitg".
            version: "v1" or "v2".
            max_depth: Metres at the top of a metric network; None for a relative one.

        Returns:
            The configuration (sizes: official README and dpt.py of Depth Anything V2).

        Raises:
            SettingError: The encoder or version is unknown.
        """
        if encoder not in ENCODERS:
            raise SettingError(f"encoder is '{encoder}'; it must be one of {', '.join(ENCODERS)}")
        width, depth, features, out_channels = ENCODERS[encoder]
        return cls(
            width=width,
            depth=depth,
            heads=width // HEAD_WIDTH,
            features=features,
            out_channels=out_channels,
            taps=default_taps(depth, version),
            max_depth=max_depth,
            swiglu=encoder == "vitg",
        )

    @property
    def kind(self) -> PredictionKind:
        """What the network's numbers mean."""
        if self.max_depth is None:
            return PredictionKind.RELATIVE_DISPARITY
        return PredictionKind.METRIC_DEPTH

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        for name, (width, depth, _, _) in ENCODERS.items():
            if (width, depth) == (self.width, self.depth):
                return name
        return "custom"

    @property
    def version(self) -> str:
        """Either "v1", when the head reads the last four of more blocks, or "v2"."""
        last = default_taps(self.depth, "v1")
        return "v1" if self.taps == last != default_taps(self.depth) else "v2"


ENCODERS: dict[str, tuple[int, int, int, Levels]] = {
    "vits": (384, 12, 64, (48, 96, 192, 384)),
    "vitb": (768, 12, 128, (96, 192, 384, 768)),
    "vitl": (1024, 24, 256, (256, 512, 1024, 1024)),
    "vitg": (1536, 40, 384, (1536, 1536, 1536, 1536)),
}
"""Width, depth, head features and head out_channels of the official networks."""


class DepthAnything(TrainableNetwork):
    """A Depth Anything network.

    Its state dict has the names and shapes of the official files (`pretrained.*`,
    `depth_head.*`).
    """

    family = "depth_anything"

    def __init__(self, config: DepthAnythingConfig) -> None:
        super().__init__()
        self.config = config
        self.pretrained = VisionTransformer(
            config.width, config.depth, config.heads, config.grid, config.swiglu
        )
        self.depth_head = DptHead(
            (config.width,) * 4, config.features, config.out_channels, config.head_features
        )

    @property
    def kind(self) -> PredictionKind:
        """What the network's numbers mean."""
        return self.config.kind

    @property
    def encoder(self) -> str:
        """Name of the official encoder of this size, else "custom"."""
        return self.config.encoder

    @property
    def version(self) -> str:
        """Either "v1" or "v2"."""
        return self.config.version

    @property
    def max_depth(self) -> float | None:
        """Metres at the top of a metric network; None for a relative one."""
        return self.config.max_depth

    def metadata(self) -> dict[str, str]:
        """What its tensors do not contain; see `DepthNetwork.metadata`."""
        return {"taps": ",".join(str(tap) for tap in self.config.taps)}

    def simplify(self) -> None:
        """Fold every LayerScale; see `DepthNetwork.simplify`."""
        self.pretrained.fold_scales()

    def tables(self, height: int, width: int) -> tuple[Tensor, ...]:
        """The position table of an input size; see `DepthNetwork.tables`."""
        return (self.pretrained.positions(height // PATCH, width // PATCH),)

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth or disparity.

        Args:
            image: N x 3 x H x W, RGB, normalised (mean and deviation of ImageNet); H and W
                multiples of 14, any size.

        Returns:
            N x H x W float32 (the training dtype under autocast is left behind before the last
            activation): metres for a metric network, else disparity >= 0 up to scale and shift.

        Raises:
            InputError: A side is not a multiple of 14.
        """
        height, width = image.shape[-2:]
        if height % PATCH or width % PATCH:
            raise InputError(
                f"network input is {height}x{width}; both sides must be multiples of {PATCH}"
            )
        out = self.decode(self.encode(image), height, width).float()
        if self.config.max_depth is None:
            return F.relu(out)
        return torch.sigmoid(out) * self.config.max_depth

    @property
    def encoder_module(self) -> nn.Module:
        """DINOv2."""
        return self.pretrained

    @property
    def decoder_module(self) -> nn.Module:
        """The DPT head."""
        return self.depth_head

    @property
    def output_layer(self) -> nn.Conv2d:
        """The head's last convolution."""
        last = self.depth_head.get_submodule("scratch.output_conv2.2")
        assert isinstance(last, nn.Conv2d)
        return last

    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Four levels of tokens; see `TrainableNetwork.encode`."""
        tokens: Sequence[Tensor] = self.pretrained(image, self.config.taps)
        return tokens

    def decode(self, features: Sequence[Tensor], height: int, width: int) -> Tensor:
        """See `TrainableNetwork.decode`."""
        out: Tensor = self.depth_head(features, height // PATCH, width // PATCH)
        return out.squeeze(1)

    def freeze_start(self, stages: int) -> None:
        """Refuse: a transformer has no stages; see `TrainableNetwork.freeze_start`."""
        if stages:
            raise SettingError(
                f"frozen_stages is {stages}; a transformer has none, use freeze_encoder"
            )
