"""Depth Anything networks on PyTorch: CPU, CUDA or Apple's MPS."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Prediction, RgbImage
from depth_anything_ros.inference.cuda_graph import Recorder
from depth_anything_ros.inference.preprocess import check_image, check_input_size, network_size
from depth_anything_ros.inference.torch_pass import CpuPass, DevicePass
from depth_anything_ros.network.catalogue import INPUT_SIZE
from depth_anything_ros.network.families.depth_anything.network import DepthAnything

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_KEPT_SIZES = 8  # every number of cameras in a batch is a size of its own


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
        self._recorder = Recorder() if self._device.type == "cuda" else None
        self._passes: OrderedDict[tuple[int, ...], CpuPass | DevicePass] = OrderedDict()

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
            kept = self._pass(len(indices), (height, width, 3), size)
            values = kept.run([images[index] for index in indices])
            for index, value in zip(indices, values, strict=True):
                predictions[index] = Prediction(value, self.kind, size)
        return [predictions[index] for index in range(len(images))]

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """Run once at an image size so that the first real frame is as fast as the others.

        On CUDA the forward pass of that size is recorded as a CUDA graph, too. One of a size that
        was not warmed up is recorded after some calls: never in the first.

        Args:
            height: Rows of the images to come.
            width: Columns of the images to come.
            batch: Images per call.

        Raises:
            InputError: The size has a side of zero or is a thin strip.
        """
        images = [np.zeros((height, width, 3), np.uint8)] * batch
        self.estimate(images)
        kept = self._pass(batch, images[0].shape, network_size(height, width, self.input_size))
        if isinstance(kept, DevicePass):
            kept.record()

    def _pass(
        self, batch: int, shape: tuple[int, ...], size: tuple[int, int]
    ) -> CpuPass | DevicePass:
        """The kept buffers of an image size, the least recently used ones given up."""
        key = (batch, *shape)
        if key not in self._passes:
            if len(self._passes) >= _KEPT_SIZES:
                self._passes.popitem(last=False)
            self._passes[key] = self._new_pass(batch, shape, size)
        self._passes.move_to_end(key)
        return self._passes[key]

    def _new_pass(
        self, batch: int, shape: tuple[int, ...], size: tuple[int, int]
    ) -> CpuPass | DevicePass:
        where = (self.network, batch, shape, size, self._device, self._dtype)
        if self._device.type == "cpu":
            return CpuPass(*where)
        return DevicePass(*where, self._recorder)
