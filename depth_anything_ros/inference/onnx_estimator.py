"""Any depth network as an ONNX file, on ONNX Runtime."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import CheckpointError, SettingError, require
from depth_anything_ros.frames import FloatImage, Prediction, PredictionKind, RgbImage
from depth_anything_ros.inference.onnx_spec import OnnxSpec, resized_spec, spec_of
from depth_anything_ros.inference.preprocess import (
    Normaliser,
    check_image,
    network_size,
    resize_aligned,
)

_FLAGS = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
_KEPT_SIZES = 4


class OnnxEstimator:
    """A DepthEstimator on ONNX Runtime.

    Predictions are arrays of their own that the caller may keep and change. One instance serves
    one thread at a time.

    Args:
        path: The .onnx file.
        spec: How to feed it and read it; None for what stands beside or in the file.
        device: "cpu", "cuda", "cuda:N", or "auto": CUDA where this ONNX Runtime has it.
        input_size: Shorter side of the input in pixels; None for the spec's.
        num_threads: Threads of one forward pass on the CPU; 0 for ONNX Runtime's own choice.

    Attributes:
        spec: How the network is fed and read.

    Raises:
        CheckpointError: The file is missing or damaged, or its spec is missing or has no sense.
        SettingError: A setting does not fit the network or this machine.
        MissingExtraError: onnxruntime is not installed.
    """

    backend = "onnxruntime"
    precision = "fp32"

    def __init__(
        self,
        path: str | Path,
        spec: OnnxSpec | None = None,
        device: str = "auto",
        input_size: int | None = None,
        num_threads: int = 0,
    ) -> None:
        path = Path(path)
        if not path.is_file():
            raise CheckpointError(f"model file '{path}' does not exist; check parameter `model`")
        if num_threads < 0:
            raise SettingError(f"num_threads is {num_threads}; it must be 0 (automatic) or more")
        ort = require("onnxruntime", "onnx")
        self.spec = resized_spec(spec or spec_of(path), input_size)
        self.kind: PredictionKind = self.spec.kind
        self.device, providers = _providers(device, ort.get_available_providers())
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 3  # errors only; the runtime warns about harmless things
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            first = str(error).strip().splitlines()[0]
            raise CheckpointError(
                f"'{path}' cannot be loaded by ONNX Runtime: {first}; get the file again, or "
                "update onnxruntime if it was made by a newer version"
            ) from error
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        self._input_name = self.spec.input_name or next(iter(inputs))
        self._output_name = self.spec.output_name or outputs[0]
        for name, names in ((self._input_name, list(inputs)), (self._output_name, outputs)):
            if name not in names:
                raise CheckpointError(f"'{path}' has no tensor '{name}'; it has {', '.join(names)}")
        shape = inputs[self._input_name].shape
        self._fixed_batch = shape[0] if isinstance(shape[0], int) else None
        self._kept: OrderedDict[tuple[int, ...], _Buffers] = OrderedDict()

    def estimate(self, images: Sequence[RgbImage]) -> list[Prediction]:
        """Predict depth for some images; equal sizes share one forward pass where the file can.

        Args:
            images: HxWx3 uint8 RGB each; sizes may differ. Not modified, may be read-only.

        Returns:
            One prediction per image, in order, each at its image's own size: enlarged with
            aligned corners or with aligned pixel centres, as the spec says.

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
                for index, value in zip(
                    part, self._forward([images[i] for i in part], size, step), strict=False
                ):
                    values = self._to_image(value, height, width)
                    predictions[index] = Prediction(values, self.kind, size)
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

    def _size(self, height: int, width: int) -> tuple[int, int]:
        size = self.spec.input_size
        if isinstance(size, int):
            return network_size(height, width, size, self.spec.multiple_of)
        return size

    def _forward(
        self, images: list[RgbImage], size: tuple[int, int], batch: int
    ) -> npt.NDArray[np.float32]:
        """Images of one size to the network's output, batch x h x w (the last ones unused)."""
        key = (batch, *images[0].shape)
        if key not in self._kept:
            if len(self._kept) >= _KEPT_SIZES:
                self._kept.popitem(last=False)
            self._kept[key] = _Buffers(self.spec, batch, size)
        self._kept.move_to_end(key)
        (out,) = self._session.run(
            [self._output_name], {self._input_name: self._kept[key].fill(images)}
        )
        return out.reshape(batch, *out.shape[-2:]).astype(np.float32, copy=False)

    def _to_image(self, values: FloatImage, height: int, width: int) -> FloatImage:
        """One output at the image's size, fresh."""
        if self.spec.align_corners:
            out = resize_aligned(values, height, width)
        else:
            out = np.empty((height, width), np.float32)
            cv2.resize(values, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        if self.spec.max_depth is not None and self.kind is PredictionKind.METRIC_DEPTH:
            np.minimum(out, self.spec.max_depth, out=out)
        return out


class _Buffers:
    """The network's input for one image size and batch."""

    def __init__(self, spec: OnnxSpec, batch: int, size: tuple[int, int]) -> None:
        flag = _FLAGS[spec.interpolation]
        self._normaliser = Normaliser(size, spec.scale, spec.mean, spec.std, flag)
        self._pixels = np.empty((*size, 3), np.float32)
        self._input = np.zeros((batch, 3, *size), np.float32)

    def fill(self, images: list[RgbImage]) -> npt.NDArray[np.float32]:
        """Batch x 3 x h x w, valid until the next call."""
        for image, out in zip(images, self._input, strict=False):
            self._normaliser.into(image, self._pixels)
            for channel in range(3):
                cv2.extractChannel(self._pixels, channel, out[channel])
        return self._input


def _providers(device: str, available: Sequence[str]) -> tuple[str, list[object]]:
    """The device in torch's words and ONNX Runtime's providers for it."""
    cuda = "CUDAExecutionProvider" in available
    kind, _, index = device.partition(":")
    if device == "cpu" or (device in ("auto", "mps") and not cuda):
        return "cpu", ["CPUExecutionProvider"]
    if kind not in ("auto", "cuda") or (index and not index.isdigit()):
        raise SettingError(f"device is '{device}'; use auto, cpu, cuda or cuda:N")
    if not cuda:
        raise SettingError(
            f"device is '{device}' but this ONNX Runtime has no CUDA; install onnxruntime-gpu or "
            "use device auto or cpu"
        )
    number = int(index or 0)
    cuda_provider = ("CUDAExecutionProvider", {"device_id": number})
    return f"cuda:{number}", [cuda_provider, "CPUExecutionProvider"]
