"""Any depth network as an ONNX file, on TensorRT through ONNX Runtime: for NVIDIA's GPUs.

TensorRT builds an engine for each input size, which takes minutes; engines are kept on disk.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

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
from depth_anything_ros.inference.backends.onnxruntime import cuda_index, runtime_error
from depth_anything_ros.inference.build_cache import file_hash, get_or_build, versions
from depth_anything_ros.inference.graph_estimator import GraphEstimator, check_tensors, loaded_graph
from depth_anything_ros.inference.onnx_spec import OnnxSpec, resized_spec, spec_of
from depth_anything_ros.network.checkpoints import ModelFile
from depth_anything_ros.settings import ModelSettings

PRECISIONS = ("fp32", "fp16")

PROVIDER = "TensorrtExecutionProvider"
"""ONNX Runtime's name of TensorRT."""

_CUDA = "CUDAExecutionProvider"
_KEPT_SIZES = 2  # every engine holds the weights once more
_BUILT_WITH = (
    *("onnxruntime-gpu", "onnxruntime", "tensorrt"),
    *("tensorrt-cu12", "tensorrt-cu13", "depth_anything_ros"),
)


class TensorRtEstimator(GraphEstimator):
    """A DepthEstimator on TensorRT, on an NVIDIA GPU.

    An engine is built for each input size it meets, which takes minutes the first time and is read
    from the cache after that: `warm_up`. Predictions are arrays of their own that the caller may
    keep and change. One instance serves one thread at a time.

    Args:
        path: The .onnx file.
        spec: How to feed it and read it; None for what stands beside or in the file.
        device: "auto", "cuda" or "cuda:N".
        precision: "fp16" (layer norms stay in float32) or "fp32".
        input_size: Shorter side of the input in pixels; None for the spec's.
        root: Folder of the cache; None for the user's.

    Attributes:
        spec: How the network is fed and read.
        device: "cuda:N".
        precision: As given.

    Raises:
        CheckpointError: The file is missing or damaged, or its spec is missing or invalid.
        SettingError: A setting does not fit the network or this machine.
        MissingExtraError: onnxruntime is not installed.
    """

    backend = "tensorrt"

    def __init__(
        self,
        path: str | Path,
        spec: OnnxSpec | None = None,
        device: str = "auto",
        precision: str = "fp16",
        input_size: int | None = None,
        root: Path | None = None,
    ) -> None:
        self._path, self._root = Path(path), root
        if not self._path.is_file():
            raise CheckpointError(
                f"model file '{self._path}' does not exist; check parameter `model`"
            )
        if precision not in PRECISIONS:
            raise SettingError(
                f"precision is '{precision}'; TensorRT here runs {' or '.join(PRECISIONS)}"
            )
        self._runtime = runtime(device)
        self._index = cuda_index(device)
        self.device = f"cuda:{self._index}"
        self.precision = precision
        spec = resized_spec(spec or spec_of(self._path), input_size)
        plain = self._options()
        plain.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        reader = self._open(plain, ["CPUExecutionProvider"])
        inputs = {node.name: node.shape for node in reader.get_inputs()}
        outputs = [node.name for node in reader.get_outputs()]
        self._input_name = spec.input_name or next(iter(inputs))
        self._outputs = list(spec.tensors(outputs[0]).values())
        check_tensors(self._path, [self._input_name], list(inputs))
        check_tensors(self._path, self._outputs, outputs)
        self._dimensions = inputs[self._input_name]
        batch = self._dimensions[0]
        super().__init__(spec, batch if isinstance(batch, int) else None)
        self._hash = file_hash(self._path)
        self._sessions: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def _run(self, pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[np.floating]]:
        """One forward pass; see `GraphEstimator`."""
        if pixels.shape not in self._sessions:
            if len(self._sessions) >= _KEPT_SIZES:
                self._sessions.popitem(last=False)
            self._sessions[pixels.shape] = self._session(pixels.shape)
        self._sessions.move_to_end(pixels.shape)
        session = self._sessions[pixels.shape]
        answers = session.run(self._outputs, {self._input_name: pixels})
        return [np.asarray(answer) for answer in answers]

    def _session(self, shape: tuple[int, ...]) -> Any:
        """The network for one input shape, from its engine in the cache."""

        def build(folder: Path) -> None:
            self._with_engine(shape, folder)

        sides = "x".join(map(str, shape))
        made_of = {
            "graph": self._hash,
            "shape": sides,
            "precision": self.precision,
            "gpu": _gpu(self._index),
            **versions(_BUILT_WITH),
        }
        name = f"{self._path.stem}-tensorrt-{self.precision}-{sides}"
        folder = get_or_build(name, made_of, build, self._root)
        try:
            return self._with_engine(shape, folder)
        except CheckpointError:
            # Whole, but not for this driver or library: nothing but a new one helps.
            return self._with_engine(
                shape, get_or_build(name, made_of, build, self._root, anew=True)
            )

    def _with_engine(self, shape: tuple[int, ...], folder: Path) -> Any:
        """A session that has run once, with its engine in a folder."""
        options = self._options()
        for wanted, dimension in zip(shape, self._dimensions, strict=True):
            if isinstance(dimension, str):
                options.add_free_dimension_override_by_name(dimension, wanted)
        half = self.precision == "fp16"
        engine = {
            "device_id": self._index,
            "trt_fp16_enable": half,
            "trt_layer_norm_fp32_fallback": half,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(folder),
        }
        cuda = (_CUDA, {"device_id": self._index})
        session = self._open(options, [(PROVIDER, engine), cuda, "CPUExecutionProvider"])
        if PROVIDER not in session.get_providers():
            raise SettingError(
                "backend is 'tensorrt' but ONNX Runtime cannot load TensorRT's libraries; install "
                "the version of tensorrt that your onnxruntime-gpu was built with, or use backend "
                "torch or auto"
            )
        try:
            session.run(self._outputs, {self._input_name: np.zeros(shape, np.float32)})
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise runtime_error(self._path, error) from error
        return session

    def _options(self) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3  # errors only; the runtime warns about harmless things
        return options

    def _open(self, options: Any, providers: list[object]) -> Any:
        try:
            return self._runtime.InferenceSession(str(self._path), options, providers=providers)
        except Exception as error:  # likewise
            raise runtime_error(self._path, error) from error


def runtime(device: str = "auto") -> Any:
    """ONNX Runtime, checked to know TensorRT.

    Args:
        device: "auto", "cuda" or "cuda:N".

    Returns:
        The module.

    Raises:
        SettingError: It was built without, or the device is no GPU.
        MissingExtraError: onnxruntime is not installed.
    """
    if device == "cpu":
        raise SettingError(
            "backend is 'tensorrt' but device is 'cpu'; TensorRT runs on NVIDIA's GPUs only: use "
            "device auto or cuda, or another backend"
        )
    onnxruntime: Any = require("onnxruntime", "onnx")
    if PROVIDER not in onnxruntime.get_available_providers():
        raise SettingError(
            "backend is 'tensorrt' but this ONNX Runtime has no TensorRT; install onnxruntime-gpu "
            "and tensorrt, or use backend torch or auto"
        )
    return onnxruntime


def _gpu(index: int) -> str:
    """What an engine is built for; engines themselves also know their GPU's generation."""
    import torch

    if torch.cuda.is_available() and index < torch.cuda.device_count():
        return f"{torch.cuda.get_device_name(index)} {torch.cuda.get_device_capability(index)}"
    return "unknown"


def _available() -> tuple[str, ...]:
    # ONNX Runtime names providers it was built with, whether or not their libraries are here.
    if not (is_installed("tensorrt") and is_installed("onnxruntime")):
        return ()
    known = PROVIDER in require("onnxruntime", "onnx").get_available_providers()
    return ("cuda",) if known else ()


def _load(file: ModelFile, settings: ModelSettings) -> LoadedModel:
    from depth_anything_ros.inference.graph_cache import onnx_graph

    runtime(settings.device)  # an export would be for nothing where it is not here
    size = settings.input_size or None
    return loaded_graph(
        file, TensorRtEstimator(onnx_graph(file), None, settings.device, settings.precision, size)
    )


BACKENDS.register(
    Backend(
        name="tensorrt",
        meaning="TensorRT through ONNX Runtime: engines for NVIDIA's GPUs, built once per size",
        rank=40,
        precisions={"cuda": PRECISIONS},
        runs_graphs=True,
        extra="onnx",
        distributions=("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
        auto=(
            AutoPlace(10, "cuda", "fp16"),
            AutoPlace(40, "cuda", "fp32"),
            AutoPlace(10, "cuda", "fp16", graph=True),
            AutoPlace(40, "cuda", "fp32", graph=True),
        ),
        available=_available,
        load=_load,
    )
)
