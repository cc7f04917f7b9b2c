"""Depth Anything networks on PyTorch: CPU, CUDA or Apple's MPS."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Prediction, RgbImage
from depth_anything_ros.inference.preprocess import (
    Normaliser,
    check_image,
    check_input_size,
    network_size,
    normalise_on_device,
)
from depth_anything_ros.network.catalogue import INPUT_SIZE
from depth_anything_ros.network.depth_anything import DepthAnything

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_KEPT_SIZES = 4


def choose_device(device: str = "auto") -> torch.device:
    """The device a name stands for, checked to be there.

    Args:
        device: "auto" (cuda, else mps, else cpu), "cpu", "mps", "cuda" or "cuda:N".

    Returns:
        The device, a CUDA one with its index.

    Raises:
        SettingError: The name has no sense or the device is not there.
    """
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda:0" if cuda else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda", "mps"):
        raise SettingError(f"device is '{device}'; use auto, cpu, mps, cuda or cuda:N")
    if chosen.type == "cuda":
        chosen = torch.device("cuda", chosen.index or 0)
        if chosen.index >= cuda:
            have = f"only {cuda} CUDA device(s) are here" if cuda else "PyTorch sees no CUDA device"
            raise SettingError(
                f"device is '{device}' but {have}; use device auto or cpu, or install the driver "
                "and a CUDA build of PyTorch"
            )
    if chosen.type == "mps" and not mps:
        raise SettingError("device is 'mps' but PyTorch sees no Apple GPU; use device auto or cpu")
    return chosen


def choose_precision(precision: str, device: torch.device) -> str:
    """The precision a name stands for on a device.

    Args:
        precision: "auto" (fp16 on CUDA, else fp32), "fp32", "fp16" or "bf16".
        device: Where the network runs.

    Returns:
        "fp32", "fp16" or "bf16".

    Raises:
        SettingError: The name has no sense, or is fp16 on a CPU (slower and coarser than fp32).
    """
    if precision == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if precision not in _DTYPES:
        raise SettingError(f"precision is '{precision}'; use auto, {', '.join(_DTYPES)}")
    if precision == "fp16" and device.type == "cpu":
        raise SettingError("precision is 'fp16' on the CPU, which has no use for it; use bf16")
    return precision


class TorchEstimator:
    """A DepthEstimator on PyTorch.

    For every image size it keeps the buffers of its last call; predictions are arrays of their own
    that the caller may keep and change. One instance serves one thread at a time.

    Args:
        network: The network; it is moved, converted and simplified in place, so it is the
            estimator's now.
        device: As in `choose_device`.
        precision: As in `choose_precision`. The last activation is always float32.
        input_size: Shorter side of the network's input in pixels.

    Attributes:
        network: The network, on its device and in its precision.

    Raises:
        SettingError: A setting has no sense on this machine.
    """

    backend = "torch"

    def __init__(
        self,
        network: DepthAnything,
        device: str = "auto",
        precision: str = "auto",
        input_size: int = INPUT_SIZE,
    ) -> None:
        check_input_size(input_size)
        self._device = choose_device(device)
        self.device = str(self._device)
        self.precision = choose_precision(precision, self._device)
        self.input_size = input_size
        self.kind = network.config.kind
        self._dtype = _DTYPES[self.precision]
        self.network = network.eval().requires_grad_(False)
        self.network.pretrained.fold_scales()
        # nn.Module.to has no overload for all three at once.
        self.network.to(self._device, self._dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._inputs: OrderedDict[tuple[int, ...], _CpuInput | _DeviceInput] = OrderedDict()

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """Predict depth for some images; equal sizes share one forward pass.

        Args:
            images: HxWx3 uint8 RGB each; sizes may differ. Not modified, may be read-only.

        Returns:
            One prediction per image, in order, each at its image's own size. The predictions of
            one call and size lie in one allocation.

        Raises:
            InputError: An image is not HxWx3 uint8, has a side of zero or is a thin strip.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            check_image(image)
            groups.setdefault((image.shape[0], image.shape[1]), []).append(index)
        predictions: dict[int, Prediction] = {}
        for (height, width), indices in groups.items():
            size = network_size(height, width, self.input_size)
            values = self._forward([images[index] for index in indices], size)
            for index, value in zip(indices, values, strict=True):
                predictions[index] = Prediction(value, self.kind, size)
        return [predictions[index] for index in range(len(images))]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """Run once at an image size so that the first real frame is as fast as the others.

        Args:
            height: Rows of the images to come.
            width: Columns of the images to come.
            batch: Images per call.

        Raises:
            InputError: The size has a side of zero or is a thin strip.
        """
        self.estimate([np.zeros((height, width, 3), np.uint8)] * batch)

    @torch.inference_mode()
    def _forward(self, images: list[RgbImage], size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Images of one size to values at that size, N x H x W, fresh."""
        shape = images[0].shape
        values = self.network(self._input(len(images), shape, size).fill(images))
        values = F.interpolate(values[:, None], shape[:2], mode="bilinear", align_corners=True)
        return np.asarray(values[:, 0].cpu())

    def _input(
        self, batch: int, shape: tuple[int, ...], size: tuple[int, int]
    ) -> _CpuInput | _DeviceInput:
        """The kept buffers of an image size, the least recently used ones given up."""
        key = (batch, *shape)
        if key not in self._inputs:
            if len(self._inputs) >= _KEPT_SIZES:
                self._inputs.popitem(last=False)
            kind = _CpuInput if self._device.type == "cpu" else _DeviceInput
            self._inputs[key] = kind(batch, shape, size, self._device, self._dtype)
        self._inputs.move_to_end(key)
        return self._inputs[key]


class _CpuInput:
    """OpenCV resizes on the CPU three times faster than torch does."""

    def __init__(
        self,
        batch: int,
        shape: tuple[int, ...],
        size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._normaliser = Normaliser(size)
        self._buffer = np.empty((batch, *size, 3), np.float32)
        self._view = torch.from_numpy(self._buffer).permute(0, 3, 1, 2)
        self._dtype = dtype

    def fill(self, images: list[RgbImage]) -> torch.Tensor:
        """N x 3 x h x w on the device, valid until the next call."""
        for image, out in zip(images, self._buffer, strict=True):
            self._normaliser.into(image, out)
        return self._view.to(self._dtype)


class _DeviceInput:
    """Bytes go to the device as they are and are resized there."""

    def __init__(
        self,
        batch: int,
        shape: tuple[int, ...],
        size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._size, self._dtype = size, dtype
        self._host = torch.empty((batch, *shape), dtype=torch.uint8)
        if device.type == "cuda":
            self._host = self._host.pin_memory()
        self._images = torch.empty((batch, *shape), dtype=torch.uint8, device=device)

    def fill(self, images: list[RgbImage]) -> torch.Tensor:
        """N x 3 x h x w on the device, valid until the next call."""
        for image, out in zip(images, self._host.numpy(), strict=True):
            np.copyto(out, image)
        self._images.copy_(self._host, non_blocking=True)
        return normalise_on_device(self._images, self._size).to(self._dtype)
