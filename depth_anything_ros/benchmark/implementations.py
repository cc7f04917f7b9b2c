"""Implementations of a network that can be compared: our backends, the official code, transformers.

Heavy libraries are imported when an implementation is loaded.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_anything_ros.errors import CheckpointError, SettingError, require
from depth_anything_ros.frames import FloatImage, RgbImage

if TYPE_CHECKING:
    from depth_anything_ros.network.families.depth_anything.network import DepthAnything

OFFICIAL, TRANSFORMERS = "official", "transformers"

Infer = Callable[[list[RgbImage]], list[FloatImage]]
"""Images of one size (HxWx3 uint8 RGB) -> their depths (HxW float32)."""


@dataclass(frozen=True)
class Implementation:
    """A library and precision that run a network.

    Attributes:
        backend: As in `settings.ModelSettings`, or "official" or "transformers".
        precision: "fp32", "fp16", "bf16" or "int8".
        checkout: For "official": folder of the official code.
    """

    backend: str
    precision: str = "fp32"
    checkout: Path | None = None

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True)
class NetworkSettings:
    """Settings that all implementations share.

    Attributes:
        model: The network's file (.pth or .safetensors).
        device: As in `settings.ModelSettings`.
        threads: CPU threads.
        cache: Where exports are kept; None for the user's cache.
    """

    model: Path
    device: str
    threads: int
    cache: Path | None = None


def load(implementation: Implementation, settings: NetworkSettings) -> Infer:
    """Load a network as one implementation runs it.

    Args:
        implementation: Which one.
        settings: File, device and threads.

    Returns:
        Function from images to their depths, HxW float32 each.

    Raises:
        DepthAnythingError: It cannot run here.
    """
    if implementation.backend == OFFICIAL:
        return _official(implementation, settings)
    if implementation.backend == TRANSFORMERS:
        return _transformers(implementation, settings)
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    if settings.cache is not None:
        os.environ["XDG_CACHE_HOME"] = str(settings.cache)
        if implementation.precision == "int8":
            _quantise(settings.model)
    estimator = make_estimator(
        ModelSettings(
            model=str(settings.model),
            device=settings.device,
            precision=implementation.precision,
            num_threads=settings.threads,
            backend=implementation.backend,
        )
    ).estimator
    warm: set[tuple[int, ...]] = set()

    def infer(images: list[RgbImage]) -> list[FloatImage]:
        key = (len(images), *images[0].shape)
        if key not in warm:
            estimator.warm_up(images[0].shape[0], images[0].shape[1], len(images))
            warm.add(key)
        return [prediction.values for prediction in estimator.estimate(images)]

    return infer


def _quantise(model: Path) -> None:
    """Quantise without the accuracy limit: random weights are only timed."""
    from depth_anything_ros.inference.accuracy_gate import check_pictures
    from depth_anything_ros.inference.backends.openvino.int8 import quantise, quantised_graph
    from depth_anything_ros.network.checkpoints import resolve

    file = resolve(model)
    try:
        quantised_graph(file)
    except SettingError:
        quantise(file, check_pictures() * 2, limit=np.inf)


def _official(implementation: Implementation, settings: NetworkSettings) -> Infer:
    """The official code as it is, imported from its checkout, with its own preprocessing."""
    import torch

    checkout = implementation.checkout
    if checkout is None or not (checkout / "depth_anything_v2").is_dir():
        raise SettingError(
            f"'{checkout}' has no folder depth_anything_v2; give a checkout of the "
            "official Depth Anything V2 code"
        )
    network = _weights(settings)
    _stand_in_for_torchvision()
    sys.path.insert(0, str(checkout))
    official: Any = require("depth_anything_v2.dpt", "test").DepthAnythingV2(
        encoder=network.config.encoder,
        features=network.config.features,
        out_channels=list(network.config.out_channels),
    )
    official.load_state_dict(network.state_dict())
    official.eval().to(_device(settings))
    torch.set_num_threads(settings.threads)
    # It takes OpenCV's order of colours.
    return lambda images: [
        official.infer_image(np.ascontiguousarray(image[..., ::-1])) for image in images
    ]


def _stand_in_for_torchvision() -> None:
    """The official code needs one small class of torchvision, which often is not installed."""
    try:
        import torchvision  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: F401
    except ImportError:

        class Compose:
            def __init__(self, steps: list[Callable[[Any], Any]]) -> None:
                self.steps = steps

            def __call__(self, value: Any) -> Any:
                for step in self.steps:
                    value = step(value)
                return value

        transforms = types.ModuleType("torchvision.transforms")
        transforms.Compose = Compose  # type: ignore[attr-defined]
        sys.modules["torchvision"] = types.ModuleType("torchvision")
        sys.modules["torchvision.transforms"] = transforms


def _transformers(implementation: Implementation, settings: NetworkSettings) -> Infer:
    """Hugging Face's network with random weights, between our own pre- and postprocessing."""
    import torch
    import torch.nn.functional as F

    from depth_anything_ros.inference.preprocess import Normaliser, network_size

    transformers: Any = require("transformers", "test")
    config = _weights(settings).config
    backbone = transformers.Dinov2Config(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        image_size=518,
        patch_size=14,
        use_swiglu_ffn=config.swiglu,
        out_indices=[tap + 1 for tap in config.taps],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )
    network: Any = transformers.DepthAnythingForDepthEstimation(
        transformers.DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=config.width,
            neck_hidden_sizes=list(config.out_channels),
            fusion_hidden_size=config.features,
        )
    )
    device = _device(settings)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[
        implementation.precision
    ]
    network.eval().to(device, dtype)
    torch.set_num_threads(settings.threads)

    @torch.inference_mode()
    def infer(images: list[RgbImage]) -> list[FloatImage]:
        shape = images[0].shape[:2]
        size = network_size(*shape)
        pixels = np.empty((len(images), *size, 3), np.float32)
        for image, out in zip(images, pixels, strict=True):
            Normaliser(size).into(image, out)
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device, dtype)
        depth = network(pixel_values=values).predicted_depth.float()
        depth = F.interpolate(depth[:, None], shape, mode="bilinear", align_corners=True)
        return list(depth[:, 0].cpu().numpy())

    return infer


def _weights(settings: NetworkSettings) -> DepthAnything:
    from depth_anything_ros.network.checkpoints import load_as
    from depth_anything_ros.network.families.depth_anything.network import DepthAnything

    network, info = load_as(DepthAnything, settings.model)
    if info.version != "v2" or network.config.max_depth is not None:
        raise CheckpointError(
            f"'{settings.model}' is {info.version} {info.kind.value}; others are compared on "
            "relative V2 networks only"
        )
    return network


def _device(settings: NetworkSettings) -> str:
    from depth_anything_ros.inference.backends.torch.devices import choose_device

    return str(choose_device(settings.device))
