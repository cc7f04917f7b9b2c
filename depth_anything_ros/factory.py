"""Settings -> ready parts; the one place that knows every estimator and scaler by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.errors import SettingError
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.metric.fit import FitSettings
from depth_anything_ros.metric.live import AUTO_ORDER, LiveScaler
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.source import ScaleSource
from depth_anything_ros.metric.sources.fixed import FixedScaler, load_calibration
from depth_anything_ros.metric.sources.focal import BaselineSource, FocalSource
from depth_anything_ros.metric.sources.ground import GroundPlaneSource, GroundSettings
from depth_anything_ros.metric.sources.motion import MotionSettings, MotionSource
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.metric.sources.slam import SlamSettings, SlamSource
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.metric.tracking import TrackingSettings
from depth_anything_ros.network.catalogue import EMBEDDED, ModelInfo

if TYPE_CHECKING:
    from depth_anything_ros.inference.gate import Runtime
    from depth_anything_ros.inference.graph_estimator import GraphEstimator
    from depth_anything_ros.network.checkpoints import ModelFile

BACKENDS = ("auto", "torch", "onnxruntime", "openvino", "tensorrt")
"""Every library that runs networks, by name."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16", "int8")
"""Every arithmetic of networks, by name."""

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
class ModelSettings:
    """Which network, and how it runs.

    Attributes:
        model: Catalogue name, path to a .pth, .safetensors or .onnx file, "embedded", or "auto":
            the official Small network where it can be had, else the embedded one.
        device: "auto" (cuda, else mps, else cpu), "cpu", "mps", "cuda" or "cuda:N".
        precision: One of `PRECISIONS`; "int8" needs an export made with calibration pictures.
        input_size: Pixels of the image's shorter side as the network sees it; 0 takes the
            model's own (518 for the official ones).
        num_threads: CPU threads; 0 takes all cores but one.
        backend: One of `BACKENDS`. Where it or `precision` is "auto", the fastest installed way is
            taken whose depth stays within 1 % of float32 with the very weights.
    """

    model: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    input_size: int = 0
    num_threads: int = 0
    backend: str = "auto"


SCALERS = (
    "auto",
    "none",
    "network",
    "fixed",
    "sparse",
    "ground_plane",
    "focal",
    "baseline",
    "motion",
    "slam",
)
"""Every way to metres by name."""


@dataclass(frozen=True)
class ScalerSettings:
    """Which way to metres, and its numbers.

    Attributes:
        scaler: One of `SCALERS`; "auto" takes the best that can measure.
        scale: For "fixed": factor on the network's values; 0 means not given.
        shift: For "fixed": added after the factor.
        calibration: For "fixed": file that was saved before, in place of scale and shift.
        baseline: For "baseline": virtual baseline in metres; 0 means not given.
        fit_shift: Fit a shift beside the scale; None means for relative networks only.
        min_points: Fewest measured points that are trusted.
        refinement: "local" lets measured points correct the depth around them, "none" does not.
        max_age: Seconds for which a scale is held without measurement; may be infinite.
        seed: Of all random choices.
    """

    scaler: str = "auto"
    scale: float = 0.0
    shift: float = 0.0
    calibration: Path | None = None
    baseline: float = 0.0
    fit_shift: bool | None = None
    min_points: int = 6
    refinement: str = "local"
    max_age: float = 2.0
    seed: int = 0


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


def make_scaler(settings: ScalerSettings, model: LoadedModel) -> MetricScaler:
    """Set up one camera's way to metres.

    Args:
        settings: Which way, and its numbers.
        model: The network whose values it will scale.

    Returns:
        A scaler with nothing measured yet; a `LiveScaler` where it follows measurements.

    Raises:
        SettingError: The settings do not fit together or not to the network.
        InputError: The calibration file cannot be used.
    """
    name = settings.scaler
    if name == "none":
        return NetworkScaler()
    if name == "network":
        if model.estimator.kind is PredictionKind.RELATIVE_DISPARITY:
            raise SettingError(
                f"scaler is 'network' but {model.info.name} gives relative depth, which has no "
                "metres; use another scaler or a metric model"
            )
        return NetworkScaler()
    if name == "fixed":
        return _fixed_scaler(settings)
    tracking = TrackingSettings(max_age=settings.max_age)
    sources = _auto_sources(settings, model) if name == "auto" else [_source(settings, model)]
    return LiveScaler(sources, tracking, settings.refinement, seed=settings.seed)


def _auto_sources(settings: ScalerSettings, model: LoadedModel) -> list[ScaleSource]:
    """Every source that the settings and the network allow, best first."""
    metric = model.estimator.kind is PredictionKind.METRIC_DEPTH
    possible = {
        "focal": metric and model.info.train_focal is not None,
        "baseline": not metric and settings.baseline > 0,
        "fixed": settings.scale > 0 or settings.calibration is not None,
    }
    sources: list[ScaleSource] = [
        _source(replace(settings, scaler=name), model)
        for name in AUTO_ORDER
        if possible.get(name, True)
    ]
    return [*sources, NetworkScaler()] if metric else sources


def _source(settings: ScalerSettings, model: LoadedModel) -> ScaleSource:
    """One source of scale by name."""
    fit = FitSettings(settings.fit_shift, settings.min_points, seed=settings.seed)
    name = settings.scaler
    if name == "sparse":
        return SparseSource(fit)
    if name == "ground_plane":
        return GroundPlaneSource(GroundSettings(fit=fit))
    if name == "motion":
        return MotionSource(MotionSettings(fit=fit))
    if name == "slam":
        return SlamSource(SlamSettings(fit=fit))
    if name == "fixed":
        return _fixed_scaler(settings)
    if name == "focal":
        if model.info.train_focal is None:
            raise SettingError(
                f"scaler is 'focal' but the focal length {model.info.name} was trained with is not "
                "known; use a metric Depth Anything V2 model, or another scaler"
            )
        return FocalSource(model.info.train_focal)
    if name == "baseline":
        if not settings.baseline:
            raise SettingError("scaler is 'baseline' but baseline is 0; give it in metres")
        return BaselineSource(settings.baseline)
    raise SettingError(f"scaler is '{name}'; use one of {', '.join(SCALERS)}")


def _fixed_scaler(settings: ScalerSettings) -> FixedScaler:
    if settings.calibration is not None:
        return FixedScaler.from_calibration(load_calibration(settings.calibration))
    if not settings.scale:
        raise SettingError(
            "scaler is 'fixed' but scale is 0; give scale (and shift), or a calibration file"
        )
    return FixedScaler(settings.scale, settings.shift)
