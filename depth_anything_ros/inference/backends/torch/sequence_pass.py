"""One pass of a torch network over the next image of a sequence."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from depth_anything_ros.frames import ImageSequence, RgbImage
from depth_anything_ros.inference.preprocess import Normaliser
from depth_anything_ros.network.preprocessing import Preprocessing
from depth_anything_ros.network.sequence import SequenceNetwork


class SequencePass:
    """Image bytes to depth, with a memory for each sequence that lives as long as that does.

    Args:
        network: The network, on the device and in `dtype`, in inference mode.
        rule: How an image becomes the input.
        device: Where the network is.
        dtype: What the network takes.
    """

    def __init__(
        self,
        network: SequenceNetwork,
        rule: Preprocessing,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._network, self._rule = network, rule
        self._device, self._dtype = device, dtype
        self._normaliser = Normaliser((0, 0), rule)
        self._memories: WeakKeyDictionary[ImageSequence, Any] = WeakKeyDictionary()

    @torch.inference_mode()
    def run(
        self, rgb: RgbImage, sequence: ImageSequence, size: tuple[int, int]
    ) -> npt.NDArray[np.float32]:
        """Predict.

        Args:
            rgb: The next image, HxWx3 uint8.
            sequence: What it belongs to; all its images have one size.
            size: (height, width) of the network's input.

        Returns:
            K x H x W float32, the outputs of the network at the image's size.
        """
        if self._normaliser.size != size:
            self._normaliser = Normaliser(size, self._rule)
        if sequence not in self._memories:
            self._memories[sequence] = self._network.new_memory()
        memory = self._memories[sequence]
        pixels = np.empty((*size, 3), np.float32)
        self._normaliser.into(rgb, pixels)
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self._device, self._dtype)
        outputs = torch.stack(list(self._network.next_outputs(image, memory).values()), 1)
        aligned = self._network.align_corners
        resized = F.interpolate(outputs, rgb.shape[:2], mode="bilinear", align_corners=aligned)
        return resized[0].cpu().numpy()
