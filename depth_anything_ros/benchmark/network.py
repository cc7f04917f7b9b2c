"""What one image costs through a network, for every backend and what one would use instead.

Every contender is a process of its own, so that thread pools do not meet and memory can be told
apart; they take turns all the same.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depth_anything_ros.benchmark.timing import Cost, peak_memory_mb, stopwatch
from depth_anything_ros.errors import CheckpointError, DepthAnythingError, SettingError, require
from depth_anything_ros.frames import FloatImage, RgbImage

if TYPE_CHECKING:
    from depth_anything_ros.network.families.depth_anything.network import DepthAnything

OFFICIAL, TRANSFORMERS = "official", "transformers"
_EXPORTED = ("onnxruntime", "openvino")

Infer = Callable[[list[RgbImage]], list[FloatImage]]


@dataclass(frozen=True)
class Contender:
    """One way to run a network.

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
        """How it is called in tables."""
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True)
class NetworkSettings:
    """What all contenders share.

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


def write_random_network(encoder: str, path: Path) -> None:
    """Write an official architecture with random weights; time does not depend on them.

    The last convolution is set so that outputs spread by 1 around 4: then backends can be compared.

    Args:
        encoder: "vits", "vitb", "vitl" or "vitg".
        path: The .safetensors file.

    Raises:
        SettingError: The encoder is not known.
    """
    import torch

    from depth_anything_ros.network.catalogue import APACHE
    from depth_anything_ros.network.checkpoints import save_network
    from depth_anything_ros.network.families.depth_anything.network import (
        DepthAnything,
        DepthAnythingConfig,
    )

    torch.manual_seed(0)
    network = DepthAnything(DepthAnythingConfig.official(encoder)).eval().requires_grad_(False)
    for name, tensor in network.depth_head.named_parameters():
        if tensor.dim() > 1:
            fan_in = tensor[0].numel() if "resize_layers" not in name else tensor.shape[0]
            tensor.normal_(std=(2 / fan_in) ** 0.5)
    tokens = network.pretrained(torch.randn(1, 3, 140, 196), network.config.taps)
    raw = network.depth_head(tokens, 10, 14)
    last: Any = network.depth_head.get_submodule("scratch.output_conv2.2")
    scale = 1 / raw.std()
    last.weight.mul_(scale)
    last.bias.mul_(scale).add_(4 - raw.mean() * scale)
    save_network(network, path, licence=APACHE)


class Worker:
    """A contender in its process.

    Args:
        contender: What it runs.
        settings: How.

    Raises:
        DepthAnythingError: It cannot run here; the text says why.
    """

    def __init__(self, contender: Contender, settings: NetworkSettings) -> None:
        self.name = contender.name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, contender, settings), daemon=True
        )
        self._process.start()
        theirs.close()
        self._answer()

    def see(self, image: RgbImage, batch: int = 1) -> FloatImage:
        """Set the images of the runs to come.

        Args:
            image: HxWx3 uint8 RGB.
            batch: How often it comes at once.

        Returns:
            HxW float32, what the network says about it.
        """
        return np.asarray(self._ask("see", (image, batch)))

    def run(self) -> Cost:
        """What it takes from an image to its depth: of a batch the share of one."""
        return Cost(*self._ask("run"))

    def peak_memory_mb(self) -> float:
        """Most memory the process ever held, in MB."""
        return float(self._ask("memory"))

    def peak_gpu_memory_mb(self) -> float | None:
        """Most memory PyTorch held on a GPU, in MB; None where it used none."""
        answer: float | None = self._ask("gpu memory")
        return answer

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _ask(self, question: str, value: object = None) -> Any:
        self._pipe.send((question, value))
        return self._answer()

    def _answer(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError as error:
            self._process.join()
            raise DepthAnythingError(
                f"the process of {self.name} ended with code {self._process.exitcode}"
            ) from error
        if isinstance(answer, Exception):
            self.close()
            raise answer
        return answer


@contextlib.contextmanager
def workers(
    contenders: list[Contender], settings: NetworkSettings
) -> Iterator[tuple[list[Worker], dict[str, str]]]:
    """All contenders that can run, each in its process, until the block ends.

    Args:
        contenders: Who takes part.
        settings: What they share.

    Yields:
        Those that are ready, and why the others are not, by name.
    """
    ready: list[Worker] = []
    missing: dict[str, str] = {}
    try:
        for contender in contenders:
            started = _start(contender, settings)
            if isinstance(started, Worker):
                ready.append(started)
            else:
                missing[contender.name] = started
        yield ready, missing
    finally:
        for worker in ready:
            worker.close()


def _start(contender: Contender, settings: NetworkSettings) -> Worker | str:
    """The contender at work, or why it cannot be."""
    try:
        if contender.backend in _EXPORTED:
            # What a first start exports is cached; its memory is not that of later starts.
            Worker(contender, settings).close()
        return Worker(contender, settings)
    except DepthAnythingError as error:
        return str(error)


def _serve(pipe: Connection, contender: Contender, settings: NetworkSettings) -> None:
    """What the process of a contender does until the pipe is closed."""
    try:
        infer = _load(contender, settings)
    except DepthAnythingError as error:
        pipe.send(error)
        return
    pipe.send("ready")
    images: list[RgbImage] = []
    while True:
        try:
            question, value = pipe.recv()
        except EOFError:
            return
        if question == "see":
            image, batch = value
            images = [image] * batch
            pipe.send(infer(images)[0])
        elif question == "run":
            cost = stopwatch(functools.partial(infer, images))()
            pipe.send(Cost(*(seconds / len(images) for seconds in cost)))
        elif question == "gpu memory":
            pipe.send(_peak_gpu_memory_mb())
        else:
            pipe.send(peak_memory_mb())


def _peak_gpu_memory_mb() -> float | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.max_memory_reserved()) / 1e6


def _load(contender: Contender, settings: NetworkSettings) -> Infer:
    if contender.backend == OFFICIAL:
        return _official(contender, settings)
    if contender.backend == TRANSFORMERS:
        return _transformers(contender, settings)
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    if settings.cache is not None:
        os.environ["XDG_CACHE_HOME"] = str(settings.cache)
        if contender.precision == "int8":
            _quantise(settings.model)
    estimator = make_estimator(
        ModelSettings(
            model=str(settings.model),
            device=settings.device,
            precision=contender.precision,
            num_threads=settings.threads,
            backend=contender.backend,
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
    """Random weights have no depth to be kept, only a time to be measured."""
    from depth_anything_ros.inference.gate import check_pictures
    from depth_anything_ros.inference.int8 import quantise, quantised_graph
    from depth_anything_ros.network.checkpoints import resolve

    file = resolve(model)
    try:
        quantised_graph(file)
    except SettingError:
        quantise(file, check_pictures() * 2, limit=np.inf)


def _official(contender: Contender, settings: NetworkSettings) -> Infer:
    """The official code as it is, imported from its checkout, with its own preprocessing."""
    import torch

    if contender.checkout is None or not (contender.checkout / "depth_anything_v2").is_dir():
        raise SettingError(
            f"'{contender.checkout}' has no folder depth_anything_v2; give a checkout of the "
            "official Depth Anything V2 code"
        )
    network = _weights(settings)
    _stand_in_for_torchvision()
    sys.path.insert(0, str(contender.checkout))
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
    """The official code wants one small class of torchvision, which often is not installed."""
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


def _transformers(contender: Contender, settings: NetworkSettings) -> Infer:
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
        contender.precision
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
    from depth_anything_ros.network.checkpoints import load_network

    network, info = load_network(settings.model)
    if info.version != "v2" or network.config.max_depth is not None:
        raise CheckpointError(
            f"'{settings.model}' is {info.version} {info.kind.value}; others are compared on "
            "relative V2 networks only"
        )
    return network


def _device(settings: NetworkSettings) -> str:
    from depth_anything_ros.inference.backends.torch import choose_device

    return str(choose_device(settings.device))
