"""One forward pass of a torch network for images of one size, with the buffers it keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from depth_anything_ros.frames import RgbImage
from depth_anything_ros.inference.backends.torch.cuda_graph import Job
from depth_anything_ros.inference.guided_enlargement import enlarge_along_edges
from depth_anything_ros.inference.preprocess import DeviceNormaliser, Normaliser, resize_in_8_bits
from depth_anything_ros.network.depth_network import DepthNetwork
from depth_anything_ros.network.preprocessing import Preprocessing

_CALLS_BEFORE_RECORD = 8  # a size that comes once is not worth recording


class CpuPass:
    """Image bytes to depth on the CPU; OpenCV resizes there three times faster than torch does.

    Args:
        network: The network, on the device and in `dtype`, in inference mode.
        batch: Images per call.
        shape: (height, width, 3) of the images.
        size: (height, width) of the network's input.
        rule: How an image becomes the input.
        device: Where the network is.
        dtype: What the network takes.
    """

    def __init__(
        self,
        network: DepthNetwork,
        batch: int,
        shape: tuple[int, ...],
        size: tuple[int, int],
        rule: Preprocessing,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._network, self._shape = network, shape[:2]
        self._normaliser = Normaliser(size, rule)
        self._buffer = np.empty((batch, *size, 3), np.float32)
        self._view = torch.from_numpy(self._buffer).permute(0, 3, 1, 2)
        self._dtype = dtype

    @torch.inference_mode()
    def run(self, images: list[RgbImage]) -> npt.NDArray[np.float32]:
        """Predict.

        Args:
            images: HxWx3 uint8 RGB each, of the prepared number and size.

        Returns:
            K x N x H x W float32, fresh: the K outputs of the network in their order.
        """
        for image, out in zip(images, self._buffer, strict=True):
            self._normaliser.into(image, out)
        outputs = np.asarray(_outputs(self._network, self._view.to(self._dtype), self._shape))
        return _guided(outputs, images) if self._network.guided_enlargement else outputs


class DevicePass:
    """Bytes go to the device as they are; everything else happens there, and depth comes back.

    Where the device cannot resize them as the network requires, they go there resized.

    Args:
        network: The network, on the device and in `dtype`, in inference mode.
        batch: Images per call.
        shape: (height, width, 3) of the images.
        size: (height, width) of the network's input.
        rule: How an image becomes the input.
        device: Where the network is.
        dtype: What the network takes.
        record: Records a job as a CUDA graph; None to run it as it is.
    """

    def __init__(
        self,
        network: DepthNetwork,
        batch: int,
        shape: tuple[int, ...],
        size: tuple[int, int],
        rule: Preprocessing,
        device: torch.device,
        dtype: torch.dtype,
        record: Callable[[Job, torch.device], Job | None] | None = None,
    ) -> None:
        self._network, self._shape, self._size = network, shape[:2], size
        self._device, self._dtype = device, dtype
        self._record = record
        self._pinned = device.type == "cuda"
        self._rule = rule
        self._resized_here = not DeviceNormaliser.resizes(rule)
        sent = (batch, *size, 3) if self._resized_here else (batch, *shape)
        self._host = torch.empty(sent, dtype=torch.uint8, pin_memory=self._pinned)
        self._images = torch.empty(sent, dtype=torch.uint8, device=device)
        self._normaliser = DeviceNormaliser(size, device, rule)
        self._replay: Job | None = None
        self._calls = 0
        self._tables: tuple[torch.Tensor, ...] = ()

    @torch.inference_mode()
    def run(self, images: list[RgbImage]) -> npt.NDArray[np.float32]:
        """Predict.

        Args:
            images: HxWx3 uint8 RGB each, of the prepared number and size.

        Returns:
            K x N x H x W float32, fresh: the K outputs of the network in their order.
        """
        self._calls += 1
        if self._calls == _CALLS_BEFORE_RECORD:
            self.record()
        for image, out in zip(images, self._host.numpy(), strict=True):
            if self._resized_here:
                image = resize_in_8_bits(image, self._size, self._rule.input_size)
            np.copyto(out, image)
        self._images.copy_(self._host, non_blocking=True)
        values = self._forward() if self._replay is None else self._replay()
        # PyTorch keeps freed pinned memory, so this is new to the caller but costs nothing.
        answer = torch.empty(values.shape, dtype=torch.float32, pin_memory=self._pinned)
        answer.copy_(values, non_blocking=self._pinned)
        if self._pinned:
            torch.cuda.current_stream(self._device).synchronize()
        if self._network.guided_enlargement:
            return _guided(np.asarray(answer), images)
        return np.asarray(answer)

    @torch.inference_mode()
    def record(self) -> None:
        """Record the forward pass as a CUDA graph, where that can be had and was not done."""
        record, self._record = self._record, None
        if record is None:
            return
        # The graph reads the tables where they are now, also when the network keeps others by then.
        self._tables = self._network.tables(*self._size)
        self._replay = record(self._forward, self._device)

    def _forward(self) -> torch.Tensor:
        """From the bytes on the device to values at the image's size on the device."""
        pixels = self._normaliser(self._images).to(self._dtype)
        return _outputs(self._network, pixels, self._shape)


def _outputs(network: DepthNetwork, pixels: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """K x N x H x W: all outputs of the network, resized to the image's size.

    Those that the image itself will guide are small yet: K x N x h x w float32.
    """
    outputs = torch.stack(list(network.named_outputs(pixels).values()))
    if network.guided_enlargement:
        return outputs.float()
    aligned = network.align_corners
    return F.interpolate(outputs, shape, mode="bilinear", align_corners=aligned)


def _guided(outputs: npt.NDArray[np.float32], images: list[RgbImage]) -> npt.NDArray[np.float32]:
    """K x N x h x w outputs to K x N x H x W, enlarged along the edges of their images."""
    return np.stack(
        [
            np.stack(
                [enlarge_along_edges(each, rgb) for each, rgb in zip(output, images, strict=True)]
            )
            for output in outputs
        ]
    )
