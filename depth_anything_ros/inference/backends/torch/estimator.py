"""Depth networks on PyTorch: CPU, CUDA or Apple's MPS."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import Frame, Prediction, PredictionKind, RgbImage
from depth_anything_ros.inference.backends.torch.cuda_graph import Recorder
from depth_anything_ros.inference.backends.torch.devices import (
    DTYPES,
    choose_device,
    choose_precision,
)
from depth_anything_ros.inference.backends.torch.forward_pass import CpuPass, DevicePass
from depth_anything_ros.inference.backends.torch.sequence_pass import SequencePass
from depth_anything_ros.inference.backends.torch.views_pass import ViewsPass
from depth_anything_ros.inference.outputs import to_prediction
from depth_anything_ros.inference.preprocess import check_image, check_input_size, network_size
from depth_anything_ros.network.depth_network import DepthNetwork
from depth_anything_ros.network.sequence import SequenceNetwork
from depth_anything_ros.network.several_views import SeveralViewsNetwork

_KEPT_SIZES = 8  # every number of cameras in a batch is a size of its own


class TorchEstimator:
    """A DepthEstimator on PyTorch.

    For every image size it keeps the buffers of its last call; predictions are arrays of their own
    that the caller may keep and change. One instance serves one thread at a time.

    Args:
        network: The network; it is moved, converted and simplified in place, so it is the
            estimator's now.
        device: As in `choose_device`.
        precision: As in `choose_precision`. The last activation is always float32.
        input_size: Side of the network's input in pixels; None for the network's own.
        window: Images that the network sees together at most; more than 1 needs a network that can.

    Attributes:
        network: The network, on its device and in its precision.
        window: As given.
        follows: Whether the network looks back at the images before.

    Raises:
        SettingError: A setting is not possible on this machine.
    """

    backend = "torch"

    def __init__(
        self,
        network: DepthNetwork,
        device: str = "auto",
        precision: str = "auto",
        input_size: int | None = None,
        window: int = 1,
    ) -> None:
        if window > 1 and not isinstance(network, SeveralViewsNetwork):
            raise SettingError(
                f"window is {window} but the network sees one image at a time; use an any-view "
                "network of Depth Anything 3 (da3_small, da3_base), or window 1"
            )
        self.window = window
        self.follows = isinstance(network, SequenceNetwork)
        rule = network.preprocessing
        self._rule = rule if input_size is None else replace(rule, input_size=input_size)
        check_input_size(self._rule.input_size)
        self._device = choose_device(device)
        self.device = str(self._device)
        self.precision = choose_precision(precision, self._device)
        self.input_size = self._rule.input_size
        self.kind = network.kind
        self._dtype = DTYPES[self.precision]
        self.network = network.eval().requires_grad_(False)
        self.network.simplify()
        # nn.Module.to has no overload for all three at once.
        self.network.to(self._device, self._dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._recorder = Recorder() if self._device.type == "cuda" else None
        self._passes: OrderedDict[tuple[int, ...], CpuPass | DevicePass] = OrderedDict()
        self._views: ViewsPass | None = None
        if isinstance(self.network, SeveralViewsNetwork) and window > 1:
            self._views = ViewsPass(self.network, self._rule, self._device, self._dtype)
        self._sequences: SequencePass | None = None
        if isinstance(self.network, SequenceNetwork):
            where = (self._rule, self._device, self._dtype)
            self._sequences = SequencePass(self.network, *where)

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
            size = self._size(height, width)
            kept = self._pass(len(indices), (height, width, 3), size)
            outputs = kept.run([images[index] for index in indices])
            for index, values in zip(indices, np.moveaxis(outputs, 1, 0), strict=True):
                named = dict(zip(self.network.outputs, values, strict=True))
                predictions[index] = to_prediction(named, self.kind, size)
        return [predictions[index] for index in range(len(images))]

    def estimate_views(self, frame: Frame) -> Prediction:
        """Predict with the help of keyframes; see `ViewsEstimator.estimate_views`.

        Args:
            frame: The image with its camera and keyframes, of which as many are seen as `window`
                allows, the newest ones.

        Returns:
            The prediction at the image's size, with `poses`.

        Raises:
            SettingError: The estimator was made for single images.
            InputError: The image is not HxWx3 uint8, has a side of zero or is a thin strip.
        """
        if self._views is None:
            raise SettingError("window is 1: images are seen alone; load the model with a window")
        check_image(frame.rgb)
        size = self._size(frame.rgb.shape[0], frame.rgb.shape[1])
        seen = frame.keyframes[-(self.window - 1) :]
        outputs, poses = self._views.run(replace(frame, keyframes=seen), size)
        named = dict(zip(self.network.outputs, outputs, strict=True))
        prediction = to_prediction(named, PredictionKind.DEPTH_UP_TO_SCALE, size)
        return replace(prediction, poses=poses)

    def estimate_next(self, frame: Frame) -> Prediction:
        """Predict with the images before; see `SequenceEstimator.estimate_next`.

        Args:
            frame: The image with its sequence.

        Returns:
            The prediction at the image's size.

        Raises:
            SettingError: The network sees every image alone.
            InputError: The image is not HxWx3 uint8, has a side of zero or is a thin strip.
        """
        if self._sequences is None or frame.sequence is None:
            raise SettingError("the network sees every image alone, or the frame has no sequence")
        check_image(frame.rgb)
        size = self._size(frame.rgb.shape[0], frame.rgb.shape[1])
        outputs = self._sequences.run(frame.rgb, frame.sequence, size)
        named = dict(zip(self.network.outputs, outputs, strict=True))
        return to_prediction(named, self.kind, size)

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
        kept = self._pass(batch, images[0].shape, self._size(height, width))
        if isinstance(kept, DevicePass):
            kept.record()

    def _size(self, height: int, width: int) -> tuple[int, int]:
        rule = self._rule
        return network_size(height, width, rule.input_size, rule.multiple_of, rule.side)

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
        where = (self.network, batch, shape, size, self._rule, self._device, self._dtype)
        if self._device.type == "cpu":
            return CpuPass(*where)
        return DevicePass(*where, self._recorder)
