"""What training needs of a network besides its output: encoder and decoder."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from torch import Tensor, nn

from depth_anything_ros.errors import SettingError
from depth_anything_ros.network.depth_network import DepthNetwork


class TrainableNetwork(DepthNetwork):
    """A depth network of an encoder that was trained before, and a decoder that reads it."""

    @property
    @abc.abstractmethod
    def encoder_module(self) -> nn.Module:
        """The encoder."""

    @property
    @abc.abstractmethod
    def decoder_module(self) -> nn.Module:
        """The decoder."""

    @property
    @abc.abstractmethod
    def output_layer(self) -> nn.Conv2d:
        """The decoder's last layer."""

    @abc.abstractmethod
    def encode(self, image: Tensor) -> Sequence[Tensor]:
        """Run the encoder.

        Args:
            image: As for `forward`.

        Returns:
            What the decoder reads, the deepest features last: N x tokens x C or N x C x h x w.
        """

    @abc.abstractmethod
    def decode(self, features: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Run the decoder.

        Args:
            features: What `encode` gave.
            height: Rows of the image.
            width: Columns of the image.

        Returns:
            N x height x width, before the last activation.
        """

    def freeze_head(self) -> None:
        """Let the decoder keep its weights and statistics, where something else can learn.

        Raises:
            SettingError: Nothing would be left to learn.
        """
        raise SettingError("freeze_head is true; only lite networks with a specialist can do that")

    @abc.abstractmethod
    def freeze_start(self, stages: int) -> None:
        """Let the first stages of the encoder keep their weights.

        Args:
            stages: How many, counted from the image; 0 for none.

        Raises:
            SettingError: The encoder has no such stages.
        """
