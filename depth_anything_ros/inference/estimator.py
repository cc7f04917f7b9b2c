"""The protocol of inference backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from depth_anything_ros.frames import Frame, Prediction, PredictionKind, RgbImage


@runtime_checkable
class DepthEstimator(Protocol):
    """A network that is loaded and ready, on one device, in one precision.

    Attributes:
        kind: What its predictions mean.
        device: Where it runs, in torch's notation ("cpu", "cuda:0", "mps").
        precision: Arithmetic it runs in ("fp32", "fp16", "bf16", "int8").
        backend: Library that runs it ("torch", "onnxruntime", "openvino", "tensorrt").
    """

    kind: PredictionKind
    device: str
    precision: str
    backend: str

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """Predict depth for some images; equal sizes share one forward pass.

        Args:
            images: HxWx3 uint8 RGB each; sizes may differ. Not modified, may be read-only.

        Returns:
            One prediction per image, in order, each at its image's own size.

        Raises:
            InputError: An image is not HxWx3 uint8 or has a side of zero.
        """
        ...

    def warm_up(self, height: int, width: int, batch: int = 1) -> None:
        """Run once at an image size so that the first real frame is as fast as the others.

        Args:
            height: Rows of the images to come.
            width: Columns of the images to come.
            batch: Images per call.
        """
        ...


@runtime_checkable
class ViewsEstimator(DepthEstimator, Protocol):
    """A network that sees an image together with keyframes before it.

    Attributes:
        window: Images it sees together at most, the newest among them; 1 where it was loaded for
            single images.
    """

    window: int

    def estimate_views(self, frame: Frame) -> Prediction:
        """Predict the depth of an image with the help of its keyframes.

        Args:
            frame: The image, its camera, its pose where it is known, and at least one keyframe.

        Returns:
            The prediction at the image's size, with `poses`.

        Raises:
            InputError: The image cannot be used.
        """
        ...


@runtime_checkable
class SequenceEstimator(DepthEstimator, Protocol):
    """A network that may look back at the images before.

    Attributes:
        follows: Whether it does; else `estimate_next` cannot be used.
    """

    follows: bool

    def estimate_next(self, frame: Frame) -> Prediction:
        """Predict the depth of the next image of its sequence.

        Args:
            frame: The image, with `sequence`.

        Returns:
            The prediction at the image's size.

        Raises:
            InputError: The image cannot be used.
        """
        ...
