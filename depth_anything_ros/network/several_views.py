"""Networks that see several images of one scene together."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from depth_anything_ros.network.depth_network import DepthNetwork

Features = tuple[Tensor, ...]
"""What a network computes of one image alone, before it looks at the others; no batch."""


@dataclass(frozen=True)
class ViewsAnswer:
    """Output of a network for images of one scene.

    Attributes:
        outputs: Of the first image: H x W float32 each, by the names and in the order of
            `DepthNetwork.outputs`.
        poses: S x 4 x 4 float32, optical frame -> a world of the network's own, in the unit of its
            depth.
    """

    outputs: Mapping[str, Tensor]
    poses: Tensor


class SeveralViewsNetwork(DepthNetwork, abc.ABC):
    """A depth network that may see more than one image at once."""

    @abc.abstractmethod
    def view_features(self, image: Tensor) -> Features:
        """What is computed of an image alone; may be kept and given again.

        Args:
            image: 3 x H x W, normalised; H and W as for `forward`.
        """

    @abc.abstractmethod
    def answer_views(
        self,
        features: Sequence[Features],
        size: tuple[int, int],
        extrinsics: Tensor | None = None,
        intrinsics: Tensor | None = None,
    ) -> ViewsAnswer:
        """Predict the depth of the first image, and where all were taken.

        Args:
            features: Of S images, as `view_features` gives them.
            size: (height, width) of the network's input.
            extrinsics: S x 4 x 4, world -> optical frame, of known cameras in one length unit;
                None where they are not known.
            intrinsics: S x 3 x 3 in pixels of the network's input, with `extrinsics`.
        """
