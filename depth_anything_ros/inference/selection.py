"""Settings -> a network ready to run; the one place that knows every backend."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.network.catalogue import EMBEDDED, ModelInfo
from depth_anything_ros.settings import BACKENDS, PRECISIONS, ModelSettings

if TYPE_CHECKING:
    from depth_anything_ros.inference.gate import Runtime
    from depth_anything_ros.inference.graph_estimator import GraphEstimator
    from depth_anything_ros.network.checkpoints import ModelFile

_CPU_WAYS = (
    ("openvino", "bf16"),
    ("openvino", "fp32"),
    ("torch", "bf16"),
    ("onnxruntime", "fp32"),
    ("torch", "fp32"),
)
_CUDA_WAYS = (
    ("tensorrt", "fp16"),
    ("torch", "fp16"),
    ("torch", "bf16"),
    ("tensorrt", "fp32"),
    ("torch", "fp32"),
)
_GRAPH_WAYS = (("openvino", "fp32"), ("onnxruntime", "fp32"))
_GRAPH_CUDA_WAYS = (("tensorrt", "fp16"), ("tensorrt", "fp32"), ("onnxruntime", "fp32"))
"""What "auto" tries, the fastest first, with the reference of the others last."""

_RUN_WITH = (
    *("depth_anything_ros", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu"),
    *("openvino", "tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
)


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run and what is known about it."""

    estimator: DepthEstimator
    info: ModelInfo

    def description(self) -> dict[str, str]:
        """What a person wants to know about it, by name."""
        return {
            "model": self.info.name,
            "kind": self.estimator.kind.value,
            "licence": self.info.licence,
            "backend": self.estimator.backend,
            "device": self.estimator.device,
            "precision": self.estimator.precision,
        }


def make_estimator(settings: ModelSettings) -> LoadedModel:
    """Find, load and set up a network.

    Args:
        settings: Which network, and how it runs.

    Returns:
        The network, ready for its first image.

    Raises:
        CheckpointError: The model cannot be found or used.
        SettingError: The backend, device or precision cannot be had here.
        MissingExtraError: The library for this kind of file is not installed.
    """
    # Late: torch alone takes seconds to import, and an ONNX model needs none of it.
    from depth_anything_ros.network.checkpoints import resolve

    for name, names in (("backend", BACKENDS), ("precision", PRECISIONS)):
        if getattr(settings, name) not in names:
            raise SettingError(
                f"{name} is '{getattr(settings, name)}'; use one of {', '.join(names)}"
            )
    file = resolve(settings.model)
    if settings.backend == "torch" and file.is_onnx:
        raise SettingError(
            f"backend is 'torch' but '{file.path}' is an ONNX graph; use onnxruntime, openvino, "
            "tensorrt or auto"
        )
    threads = settings.num_threads or max((os.cpu_count() or 2) - 1, 1)
    settings = replace(settings, num_threads=threads)
    way = _choose(file, settings)
    return _load(file, replace(settings, backend=way.backend, precision=way.precision))


def _choose(file: ModelFile, settings: ModelSettings) -> Runtime:
    """The backend and precision to take: as given, else the fastest that is right."""
    from depth_anything_ros.inference.build_cache import file_hash, versions
    from depth_anything_ros.inference.cpu import cpu_flags
    from depth_anything_ros.inference.gate import CHECK_SIZE, Runtime, first_that_agrees

    if "auto" not in (settings.backend, settings.precision):
        return Runtime(settings.backend, settings.precision)
    if file.name == EMBEDDED and settings.backend == "auto" and settings.precision == "auto":
        # A forward of it is some milliseconds; an export is twenty seconds at the first start.
        return Runtime("torch", "fp32")
    device, known = _ways(file, settings)
    fitting = [
        Runtime(backend, precision)
        for backend, precision in known
        if settings.backend in ("auto", backend) and settings.precision in ("auto", precision)
        if _installed(backend)
    ]
    if not fitting:  # what is asked for says itself why it cannot be
        usual = "onnxruntime" if file.is_onnx else "torch"
        usual = "openvino" if settings.precision == "int8" else usual
        return Runtime(
            usual if settings.backend == "auto" else settings.backend,
            "fp32" if settings.precision == "auto" else settings.precision,
        )
    if len(fitting) == 1:
        return fitting[0]
    # A graph may have no other size than its own.
    small = replace(settings, input_size=0 if file.is_onnx else CHECK_SIZE)
    return first_that_agrees(
        fitting,
        Runtime(*known[-1]),
        lambda way: (
            _load(file, replace(small, backend=way.backend, precision=way.precision)).estimator
        ),
        file.name,
        {
            "weights": file_hash(file.path),
            "device": device,
            "processor": " ".join(sorted(cpu_flags())),
            **versions(_RUN_WITH),
        },
    )


def _ways(file: ModelFile, settings: ModelSettings) -> tuple[str, Sequence[tuple[str, str]]]:
    """The device in words, and what "auto" tries there."""
    from depth_anything_ros.inference.cpu import computes_bf16, may_have_gpu

    device = settings.device
    if settings.backend in ("onnxruntime", "openvino") and device not in ("auto", "cpu"):
        return device, ()
    here = "cpu" if device == "auto" and not may_have_gpu() else device
    if file.is_onnx:
        if here != "cpu" and _onnx_runtime_has("CUDAExecutionProvider"):
            return here, _GRAPH_CUDA_WAYS
        return here, _GRAPH_WAYS if device in ("auto", "cpu") else _GRAPH_WAYS[-1:]
    if here != "cpu":
        import torch

        from depth_anything_ros.inference.backends.torch import choose_device

        chosen = choose_device(here)
        if chosen.type == "cuda":
            return torch.cuda.get_device_name(chosen), _CUDA_WAYS
        if chosen.type != "cpu":
            return chosen.type, _CUDA_WAYS[-1:]
    return "cpu", [way for way in _CPU_WAYS if way[1] != "bf16" or computes_bf16()]


def _installed(backend: str) -> bool:
    if importlib.util.find_spec(backend) is None:
        return False
    # ONNX Runtime names providers it was built with, whether or not their libraries are here.
    return backend != "tensorrt" or _onnx_runtime_has("TensorrtExecutionProvider")


def _onnx_runtime_has(provider: str) -> bool:
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime  # type: ignore[import-untyped]

    return provider in onnxruntime.get_available_providers()


def _load(file: ModelFile, settings: ModelSettings) -> LoadedModel:
    """A network that runs the way the settings name."""
    if settings.backend != "torch":
        return _graph_model(file, settings.backend, settings, settings.num_threads)
    import torch

    from depth_anything_ros.inference.backends.torch import TorchEstimator
    from depth_anything_ros.network.checkpoints import load_network

    torch.set_num_threads(settings.num_threads)
    network, info = load_network(file)
    estimator = TorchEstimator(
        network, settings.device, settings.precision, settings.input_size or info.input_size
    )
    return LoadedModel(estimator, info)


def _graph_model(
    file: ModelFile, backend: str, settings: ModelSettings, threads: int
) -> LoadedModel:
    """A model on a backend that runs graphs: the file itself, or the export of its weights."""
    from depth_anything_ros.inference.exported import graph_of
    from depth_anything_ros.network.checkpoints import log_licence

    if backend == "onnxruntime" and settings.precision != "fp32":
        raise SettingError(
            f"precision is '{settings.precision}' but ONNX Runtime runs a graph in the precision "
            "it was exported in, fp32; use precision auto, or backend openvino or torch"
        )
    if backend == "openvino" and settings.device not in ("auto", "cpu"):
        raise SettingError(
            f"device is '{settings.device}' but OpenVINO is used on the CPU only; use device auto "
            "or cpu, or backend torch"
        )
    size = settings.input_size or None
    graph: GraphEstimator
    if backend == "openvino":
        from depth_anything_ros.inference.backends.openvino import OpenVinoEstimator

        if settings.precision == "int8":
            from depth_anything_ros.inference.int8 import quantised_graph

            path = quantised_graph(file)
        else:
            path = graph_of(file, backend, half=settings.precision == "bf16")
        graph = OpenVinoEstimator(path, None, settings.precision, size, threads)
    elif backend == "tensorrt":
        from depth_anything_ros.inference.backends.tensorrt import TensorRtEstimator, runtime

        runtime(settings.device)  # an export would be for nothing where it is not here
        path = graph_of(file, "onnxruntime")
        graph = TensorRtEstimator(path, None, settings.device, settings.precision, size)
    else:
        from depth_anything_ros.inference.backends.onnxruntime import OnnxEstimator

        graph = OnnxEstimator(graph_of(file, backend), None, settings.device, size, threads)
    # An official network that was exported keeps what the catalogue knows of it.
    known = file.info or ModelInfo(
        name=file.name, encoder="custom", version="custom", kind=graph.kind
    )
    info = replace(
        known,
        kind=graph.kind,
        max_depth=graph.spec.max_depth,
        licence=graph.spec.licence,
        size_mb=file.path.stat().st_size / 1e6,
    )
    log_licence(info)
    return LoadedModel(graph, info)
