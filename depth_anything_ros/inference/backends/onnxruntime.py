"""Any depth network as an ONNX file, on ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import CheckpointError, SettingError, require
from depth_anything_ros.inference.backend import (
    BACKENDS,
    AutoPlace,
    Backend,
    LoadedModel,
    is_installed,
)
from depth_anything_ros.inference.cpu import may_have_gpu
from depth_anything_ros.inference.graph_estimator import GraphEstimator, check_tensors, loaded_graph
from depth_anything_ros.inference.onnx_spec import OnnxSpec, resized_spec, spec_of
from depth_anything_ros.network.checkpoints import ModelFile
from depth_anything_ros.settings import ModelSettings

logger = logging.getLogger("depth_anything_ros")

_CUDA = "CUDAExecutionProvider"


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
        CheckpointError: The file is missing or damaged, or its spec is missing or invalid.
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
        # A plan of all buffers, one for every input size, costs 150 MB with vits and gains no time.
        options.enable_mem_pattern = False
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise runtime_error(path, error) from error
        if self.device != "cpu" and _CUDA not in self._session.get_providers():
            # ONNX Runtime only writes a line about it, and goes on with the CPU.
            trouble = (
                "ONNX Runtime cannot load CUDA's libraries; install the CUDA and cuDNN that your "
                "onnxruntime-gpu was built with"
            )
            if device != "auto":
                raise SettingError(f"device is '{device}' but {trouble}, or use device cpu")
            logger.warning("the CPU is used: %s", trouble)
            self.device = "cpu"
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        self._input_name = spec.input_name or next(iter(inputs))
        self._outputs = list(spec.tensors(outputs[0]).values())
        check_tensors(path, [self._input_name], list(inputs))
        check_tensors(path, self._outputs, outputs)
        shape = inputs[self._input_name].shape
        super().__init__(spec, shape[0] if isinstance(shape[0], int) else None)

    def _run(self, pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[np.floating]]:
        """One forward pass; see `GraphEstimator`."""
        answers = self._session.run(self._outputs, {self._input_name: pixels})
        return [np.asarray(answer) for answer in answers]


def runtime_error(path: Path, error: Exception) -> CheckpointError:
    """ONNX Runtime's error for a file it cannot use, with the remedy.

    Args:
        path: The .onnx file.
        error: What was raised.

    Returns:
        The error to raise instead.
    """
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CheckpointError(
        f"'{path}' cannot be loaded by ONNX Runtime: {first}; get the file again, or update "
        "onnxruntime if it was made by a newer version"
    )


def cuda_index(device: str) -> int:
    """Number of the GPU a device name stands for.

    Args:
        device: "auto", "cuda" or "cuda:N".

    Raises:
        SettingError: It is something else.
    """
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cuda") or (index and not index.isdigit()):
        raise SettingError(f"device is '{device}'; use auto, cpu, cuda or cuda:N")
    return int(index or 0)


def _providers(device: str, available: Sequence[str]) -> tuple[str, list[object]]:
    """The device in torch's notation and ONNX Runtime's providers for it."""
    cuda = _CUDA in available
    if device == "cpu" or (device in ("auto", "mps") and not cuda):
        return "cpu", ["CPUExecutionProvider"]
    number = cuda_index(device)
    if not cuda:
        raise SettingError(
            f"device is '{device}' but this ONNX Runtime has no CUDA; install onnxruntime-gpu or "
            "use device auto or cpu"
        )
    return f"cuda:{number}", [(_CUDA, {"device_id": number}), "CPUExecutionProvider"]


def _available() -> tuple[str, ...]:
    if not is_installed("onnxruntime"):
        return ()
    # Checked only where there may be one: ONNX Runtime takes some tenths of a second to import.
    cuda = may_have_gpu() and _CUDA in require("onnxruntime", "onnx").get_available_providers()
    return ("cpu", "cuda") if cuda else ("cpu",)


def _load(file: ModelFile, settings: ModelSettings) -> LoadedModel:
    from depth_anything_ros.inference.graph_cache import onnx_graph

    size = settings.input_size or None
    graph = onnx_graph(file)
    return loaded_graph(
        file, OnnxEstimator(graph, None, settings.device, size, settings.num_threads)
    )


BACKENDS.register(
    Backend(
        name="onnxruntime",
        meaning="ONNX Runtime: graphs as they were exported, on CPU or CUDA",
        rank=20,
        precisions={"cpu": ("fp32",), "cuda": ("fp32",)},
        runs_graphs=True,
        extra="onnx",
        distributions=("onnxruntime", "onnxruntime-gpu"),
        auto=(
            AutoPlace(40, "cpu", "fp32"),
            AutoPlace(90, "cpu", "fp32", graph=True),
            AutoPlace(90, "cuda", "fp32", graph=True),
        ),
        available=_available,
        load=_load,
    )
)
