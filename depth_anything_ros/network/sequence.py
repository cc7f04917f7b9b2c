"""Networks whose answer about an image depends on the images before it."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor

from depth_anything_ros.network.depth_network import DepthNetwork


class SequenceNetwork(DepthNetwork, abc.ABC):
    """A depth network for images that follow each other.

    `forward` takes every image as the first of its sequence.
    """

    @abc.abstractmethod
    def new_memory(self) -> Any:
        """What is kept of a sequence, before its first image."""

    @abc.abstractmethod
    def next_outputs(self, image: Tensor, memory: Any) -> dict[str, Tensor]:
        """All outputs for the next image of a sequence.

        Args:
            image: 1 x 3 x H x W, as for `forward`; of the same size for all images of a sequence.
            memory: Of the sequence; changed in place.

        Returns:
            1 x H x W float32 each, by the names and in the order of `outputs`.
        """
