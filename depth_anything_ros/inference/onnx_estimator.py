"""Any depth network as an ONNX file, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import CheckpointError, SettingError, require
from depth_anything_ros.inference.graph_estimator import GraphEstimator
from depth_anything_ros.inference.onnx_spec import OnnxSpec, resized_spec, spec_of


class OnnxEstimator(GraphEstimator):
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
        spec = resized_spec(spec or spec_of(path), input_size)
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
        self._input_name = spec.input_name or next(iter(inputs))
        self._output_name = spec.output_name or outputs[0]
        for name, names in ((self._input_name, list(inputs)), (self._output_name, outputs)):
            if name not in names:
                raise CheckpointError(f"'{path}' has no tensor '{name}'; it has {', '.join(names)}")
        shape = inputs[self._input_name].shape
        super().__init__(spec, shape[0] if isinstance(shape[0], int) else None)

    def _run(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        """One forward pass; see `GraphEstimator`."""
        (out,) = self._session.run([self._output_name], {self._input_name: pixels})
        return np.asarray(out)


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
