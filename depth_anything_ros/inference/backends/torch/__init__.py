"""PyTorch: weights as they are, on CPU, CUDA or Apple's MPS; the reference of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from depth_anything_ros.inference.backend import BACKENDS, AutoPlace, Backend, LoadedModel
from depth_anything_ros.inference.cpu import may_have_gpu

if TYPE_CHECKING:
    from depth_anything_ros.network.checkpoints import ModelFile
    from depth_anything_ros.settings import ModelSettings


def _available() -> tuple[str, ...]:
    if not may_have_gpu():  # PyTorch takes seconds to import
        return ("cpu",)
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("cpu", *(device for device, there in found.items() if there))


def _device_name(device: str) -> str:
    import torch

    from depth_anything_ros.inference.backends.torch.devices import choose_device

    chosen = choose_device(device)
    return torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else chosen.type


def _load(file: ModelFile, settings: ModelSettings) -> LoadedModel:
    import torch

    from depth_anything_ros.inference.backends.torch.estimator import TorchEstimator
    from depth_anything_ros.network.checkpoints import load_network

    torch.set_num_threads(settings.num_threads)
    network, info = load_network(file)
    estimator = TorchEstimator(
        network,
        settings.device,
        settings.precision,
        settings.input_size or info.input_size,
        settings.window,
    )
    return LoadedModel(estimator, replace(info, window=settings.window))


BACKENDS.register(
    Backend(
        name="torch",
        meaning="PyTorch: weights as they are, on CPU, CUDA or Apple's GPU",
        rank=10,
        precisions={
            "cuda": ("fp32", "fp16", "bf16"),
            "mps": ("fp32", "fp16", "bf16"),
            "cpu": ("fp32", "bf16"),
        },
        runs_graphs=False,
        several_views=True,
        extra="",
        distributions=("torch",),
        auto=(
            AutoPlace(30, "cpu", "bf16"),
            AutoPlace(90, "cpu", "fp32"),
            AutoPlace(20, "cuda", "fp16"),
            AutoPlace(30, "cuda", "bf16"),
            AutoPlace(90, "cuda", "fp32"),
            AutoPlace(90, "mps", "fp32"),
        ),
        available=_available,
        load=_load,
        device_name=_device_name,
    )
)
