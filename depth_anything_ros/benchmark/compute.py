"""Arithmetic throughput of a network as a share of that of a large matrix product.

A large matrix product is an upper bound of what a library reaches on a processor. Preprocessing and
copies are not included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from depth_anything_ros.benchmark.timing import Contender, stopwatch
from depth_anything_ros.inference.backends.torch.cuda_graph import recorded
from depth_anything_ros.network.families.depth_anything.network import (
    DepthAnything,
    DepthAnythingConfig,
)

PRODUCT = "matrix product"
"""Name of the contender that the others are compared with."""

_SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}  # of the matrices: large enough for full speed
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
PRECISIONS = tuple(_DTYPES)
"""Precisions that can be measured."""


@dataclass(frozen=True)
class Workload:
    """A measured computation and its number of operations.

    Attributes:
        run: Runs it once and waits for its end.
        gflop: Multiplications and additions of it, in 10^9.
    """

    run: Contender
    gflop: float


def forward_gflop(network: DepthAnything, batch: int, height: int, width: int) -> float:
    """Multiplications and additions of a forward pass, in 10^9 (matrix products, convolutions).

    Args:
        network: The network, anywhere.
        batch: Images.
        height: Rows of the input.
        width: Columns of the input.

    Returns:
        Count of PyTorch's FLOP counter, with attention counted as its two products.
    """
    sketch = DepthAnything(network.config).to("meta").eval().requires_grad_(False)
    image = torch.empty(batch, 3, height, width, device="meta")
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        sketch(image)
    return counter.get_total_flops() / 1e9


def workloads(
    encoders: list[str],
    precision: str,
    batches: list[int],
    size: tuple[int, int],
    device: torch.device,
) -> Iterator[tuple[str, Workload]]:
    """The matrix product, then networks of random weights.

    Args:
        encoders: "vits", "vitb", "vitl" or "vitg" each.
        precision: "fp32", "fp16" or "bf16", of all of them.
        batches: Images per forward.
        size: (height, width) of the input, multiples of 14.
        device: Where they run; on CUDA networks run as recorded graphs.

    Yields:
        Name and workload of each.

    Raises:
        SettingError: An encoder is not known.
    """
    dtype, side = _DTYPES[precision], _SIDE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty(side, side, device=device, dtype=dtype)
    with torch.inference_mode():
        yield (
            PRODUCT,
            Workload(_timed(lambda: torch.mm(left, right, out=product), device), 2 * side**3 / 1e9),
        )
        for encoder in encoders:
            network = DepthAnything(DepthAnythingConfig.official(encoder)).eval()
            network.requires_grad_(False).pretrained.fold_scales()
            network.to(device, dtype)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for batch in batches:
                image = torch.randn(batch, 3, *size, device=device, dtype=dtype)
                image = image.contiguous(memory_format=torch.channels_last)
                name = f"{encoder}, {batch} image{'s' if batch > 1 else ''}"
                run = _forward(network, image, device)
                yield name, Workload(_timed(run, device), forward_gflop(network, batch, *size))


def _forward(
    network: DepthAnything, image: torch.Tensor, device: torch.device
) -> Callable[[], torch.Tensor]:
    @torch.inference_mode()
    def run() -> torch.Tensor:
        return network(image)

    run()
    with torch.inference_mode():
        return (recorded(run, device) if device.type == "cuda" else None) or run


def _timed(job: Callable[[], object], device: torch.device) -> Contender:
    """Measures until the GPU is done: a call only starts its kernels."""

    def run() -> None:
        with torch.inference_mode():
            job()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()

    return stopwatch(run)
