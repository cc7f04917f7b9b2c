"""What the networks of every family share: how they are fed, what they give, what is saved."""

from __future__ import annotations

import abc

from torch import Tensor, nn

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.network.outputs import DEPTH
from depth_anything_ros.network.preprocessing import Preprocessing


class DepthNetwork(nn.Module, abc.ABC):
    """A depth network: normalised images to depth or disparity.

    Attributes:
        family: Name of its family in the registry.
        outputs: Names of what `named_outputs` gives, those of `network.outputs`; depth is first.
        align_corners: Whether its output is enlarged to the image with aligned corners (V1 and
            V2), else pixel centres are aligned.
        guided_enlargement: Whether depth is enlarged with its edges where the image has them; for
            networks whose output is small and blurred.
        canonical_focal: See `ModelInfo`.
    """

    family: str
    outputs: tuple[str, ...] = (DEPTH,)
    align_corners: bool = True
    guided_enlargement: bool = False
    canonical_focal: float | None = None

    @property
    @abc.abstractmethod
    def kind(self) -> PredictionKind:
        """What its numbers mean."""

    @property
    @abc.abstractmethod
    def encoder(self) -> str:
        """Size of the encoder as its family names it, "custom" for one of no official size."""

    @property
    def version(self) -> str:
        """Version of its family, where there are several."""
        return "v1"

    @property
    def max_depth(self) -> float | None:
        """Metres at the top of a metric network; None where nothing bounds it."""
        return None

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input."""
        return Preprocessing()

    @abc.abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Predict depth or disparity, with gradients where they are wanted.

        Args:
            image: N x 3 x H x W, RGB, normalised by `preprocessing`; H and W multiples of
                its `multiple_of`.

        Returns:
            N x H x W float32, in the meaning of `kind`.
        """

    def named_outputs(self, image: Tensor) -> dict[str, Tensor]:
        """All outputs for an image.

        Args:
            image: As for `forward`.

        Returns:
            N x H x W float32 each, by the names and in the order of `outputs`.
        """
        return {DEPTH: self(image)}

    @abc.abstractmethod
    def metadata(self) -> dict[str, str]:
        """What its tensors do not contain, for the metadata of a file; read back by its family."""

    def simplify(self) -> None:
        """Join weights for inference, for good: the same result to rounding, with less to do."""
        return

    def tables(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Tensors computed once for an input size, which a forward pass of that size reads.

        Whoever records a forward pass keeps them, for the network itself may drop them.

        Args:
            height: Rows of the input.
            width: Columns of the input.
        """
        return ()
