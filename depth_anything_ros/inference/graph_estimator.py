"""What all estimators of exported graphs share: feeding and reading them by their spec."""

from __future__ import annotations

import abc
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import CheckpointError
from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind, RgbImage
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.guided_enlargement import enlarge_along_edges
from depth_anything_ros.inference.onnx_spec import OnnxSpec
from depth_anything_ros.inference.outputs import to_prediction
from depth_anything_ros.inference.preprocess import (
    Normaliser,
    check_image,
    network_size,
    resize_aligned,
)
from depth_anything_ros.network.catalogue import EMBEDDED_FILES, embedded_models
from depth_anything_ros.network.checkpoints import ModelFile, log_licence
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.network.outputs import DEPTH

_KEPT_SIZES = 4


class GraphEstimator(abc.ABC):
    """A DepthEstimator whose network is a graph from N x 3 x h x w to maps N [x 1] x h x w.

    Predictions are arrays of their own that the caller may keep and change. One instance serves
    one thread at a time.

    Args:
        spec: How to feed the graph and how to read it.
        fixed_batch: Images per forward pass where the graph has no choice.

    Attributes:
        spec: How the network is fed and read.
        backend: Name of the library that runs it.
        device: Where it runs.
        precision: Arithmetic it runs in.
    """

    backend: str
    device: str
    precision: str

    def __init__(self, spec: OnnxSpec, fixed_batch: int | None) -> None:
        self.spec = spec
        self.kind: PredictionKind = spec.kind
        self._fixed_batch = fixed_batch
        self._kept: OrderedDict[tuple[int, ...], _Buffers] = OrderedDict()

    @abc.abstractmethod
    def _run(self, pixels: npt.NDArray[np.float32]) -> Sequence[npt.NDArray[np.floating]]:
        """One forward pass: the outputs named by `spec.tensors`, in that order.

        They may be overwritten by the next pass.
        """

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """Predict depth for some images; equal sizes share one forward pass where the file can.

        Args:
            images: HxWx3 uint8 RGB each; sizes may differ. Not modified, may be read-only.

        Returns:
            One prediction per image, in order, each at its image's own size: enlarged with
            aligned corners or with aligned pixel centres, by the spec.

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
            step = self._fixed_batch or len(indices)
            for start in range(0, len(indices), step):
                part = indices[start : start + step]
                outputs = self._forward([images[i] for i in part], size, step)
                for place, index in enumerate(part):
                    named = {
                        name: self._to_image(values[place], images[index], name)
                        for name, values in outputs.items()
                    }
                    predictions[index] = to_prediction(named, self.kind, size)
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

    def network_input(self, image: RgbImage) -> npt.NDArray[np.float32]:
        """What the network sees of an image.

        Args:
            image: HxWx3 uint8 RGB.

        Returns:
            N x 3 x h x w, fresh; N is 1 where the graph has the choice.

        Raises:
            InputError: The image is not HxWx3 uint8, has a side of zero or is a thin strip.
        """
        check_image(image)
        size = self._size(image.shape[0], image.shape[1])
        return _Buffers(self.spec, self._fixed_batch or 1, size).fill([image])

    def _size(self, height: int, width: int) -> tuple[int, int]:
        size = self.spec.input_size
        if isinstance(size, int):
            return network_size(height, width, size, self.spec.multiple_of, self.spec.side)
        return size

    def _forward(
        self, images: list[RgbImage], size: tuple[int, int], batch: int
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Images of one size to the network's outputs, batch x h x w (the last ones unused)."""
        key = (batch, *images[0].shape)
        if key not in self._kept:
            if len(self._kept) >= _KEPT_SIZES:
                self._kept.popitem(last=False)
            self._kept[key] = _Buffers(self.spec, batch, size)
        self._kept.move_to_end(key)
        outputs = self._run(self._kept[key].fill(images))
        return {
            name: out.reshape(batch, *out.shape[-2:]).astype(np.float32, copy=False)
            for name, out in zip(self.spec.tensors(""), outputs, strict=True)
        }

    def _to_image(self, values: FloatImage, image: RgbImage, name: str) -> FloatImage:
        """One output at the image's size, fresh."""
        height, width = image.shape[:2]
        if self.spec.guided_enlargement and name == DEPTH:
            out = enlarge_along_edges(values, image)
        elif self.spec.align_corners:
            out = resize_aligned(values, height, width)
        else:
            out = np.empty((height, width), np.float32)
            cv2.resize(values, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        if name == DEPTH and self.spec.max_depth is not None and self.kind.metric:
            np.minimum(out, self.spec.max_depth, out=out)
        return out


def check_tensors(path: Path, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Refuse a spec that names tensors a graph does not have.

    Args:
        path: The graph's file.
        wanted: Names in the spec.
        there: Names that the graph has.

    Raises:
        CheckpointError: One is missing.
    """
    for name in wanted:
        if name not in there:
            raise CheckpointError(f"'{path}' has no tensor '{name}'; it has {', '.join(there)}")


def loaded_graph(file: ModelFile, estimator: GraphEstimator) -> LoadedModel:
    """An estimator of a graph with what is known about the model; the licence is logged.

    Args:
        file: The model, a graph or the weights that were exported.
        estimator: Runs its graph.
    """
    # A published network that was exported keeps what the catalogue knows of it.
    embedded = embedded_models().get(file.name) if file.path in EMBEDDED_FILES.values() else None
    known = (
        file.info
        or embedded
        or ModelInfo(name=file.name, encoder="custom", version="custom", kind=estimator.kind)
    )
    info = replace(
        known,
        kind=estimator.kind,
        max_depth=estimator.spec.max_depth,
        canonical_focal=estimator.spec.canonical_focal,
        licence=estimator.spec.licence,
        size_mb=file.path.stat().st_size / 1e6,
    )
    log_licence(info)
    return LoadedModel(estimator, info)


class _Buffers:
    """The network's input for one image size and batch."""

    def __init__(self, spec: OnnxSpec, batch: int, size: tuple[int, int]) -> None:
        self._normaliser = Normaliser(size, spec.preprocessing)
        self._pixels = np.empty((*size, 3), np.float32)
        self._input = np.zeros((batch, 3, *size), np.float32)

    def fill(self, images: list[RgbImage]) -> npt.NDArray[np.float32]:
        """Batch x 3 x h x w, valid until the next call."""
        for image, out in zip(images, self._input, strict=False):
            self._normaliser.into(image, self._pixels)
            for channel in range(3):
                cv2.extractChannel(self._pixels, channel, out[channel])
        return self._input
