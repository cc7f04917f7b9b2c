"""Settings -> a network ready to run: the backend and precision named, else the fastest right one.

Every name and order comes from the records of the backends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from depth_anything_ros.errors import SettingError
from depth_anything_ros.inference.backend import (
    AUTO,
    BACKENDS,
    Backend,
    LoadedModel,
    Runtime,
    backend_choices,
    precision_choices,
)
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.network.catalogue import EMBEDDED_FILES
from depth_anything_ros.settings import ModelSettings

if TYPE_CHECKING:
    from depth_anything_ros.network.checkpoints import ModelFile

_DEVICES = ("cuda", "mps", "cpu")
"""Kinds of device, in the order in which device auto looks for them."""

_OF_EMBEDDED = Runtime("onnxruntime", "fp32")
"""How `auto` runs the networks of this package on a CPU; their graphs are tested against torch."""

_COMPARED_WITH = ("depth_anything_ros", "onnx", "onnxscript")  # beside the backends' own libraries


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
    # Late: nothing of it is needed to list what can be chosen.
    from depth_anything_ros.network.checkpoints import resolve

    for name, choices in (("backend", backend_choices()), ("precision", precision_choices())):
        if getattr(settings, name) not in choices:
            raise SettingError(
                f"{name} is '{getattr(settings, name)}'; use one of {', '.join(choices)}"
            )
    _refuse_stereo(settings.model)
    file = resolve(settings.model)
    threads = settings.num_threads or max((os.cpu_count() or 2) - 1, 1)
    settings = replace(settings, num_threads=threads)
    if settings.backend != AUTO:
        _check(BACKENDS.get(settings.backend), file, settings)
    runtime = _choose(file, settings)
    return _load(file, settings, runtime)


def _refuse_stereo(model: str) -> None:
    from depth_anything_ros.inference.stereo import STEREO_MATCHERS

    if model in STEREO_MATCHERS.names():
        raise SettingError(
            f"model '{model}' matches the two images of a stereo pair, and here is one: match with "
            f"`{own_command('stereo')} LEFT RIGHT --model {model}`; a node takes the depth image "
            "of a stereo driver as measured points (parameter depth_topics)"
        )


def auto_order(device: str, graph: bool) -> list[Runtime]:
    """What `auto` tries on a kind of device, the fastest first, the reference of the others last.

    Args:
        device: "cpu", "cuda" or "mps".
        graph: Whether the model is a graph, else weights.
    """
    places = [
        (place.place, backend.rank, Runtime(backend.name, place.precision))
        for backend in BACKENDS
        for place in backend.auto
        if (place.device, place.graph) == (device, graph)
    ]
    return [runtime for *_, runtime in sorted(places, key=lambda entry: entry[:2])]


def _check(backend: Backend, file: ModelFile, settings: ModelSettings) -> None:
    """Refuse a backend for what it cannot do anywhere, with those that can."""
    if file.is_onnx and not backend.runs_graphs:
        others = [each.name for each in BACKENDS if each.runs_graphs]
        raise SettingError(
            f"backend is '{backend.name}' but '{file.path}' is an ONNX graph; use "
            f"{', '.join(others)} or auto"
        )
    if settings.precision not in (AUTO, *backend.all_precisions):
        others = [each.name for each in BACKENDS if settings.precision in each.all_precisions]
        raise SettingError(
            f"precision is '{settings.precision}' but backend {backend.name} runs "
            f"{', '.join(backend.all_precisions)} only; use precision auto, or backend "
            f"{' or '.join(others)}"
        )
    if settings.window > 1 and not backend.several_views:
        raise SettingError(
            f"window is {settings.window} but backend {backend.name} runs networks of single "
            "images; use backend torch or auto, or window 1"
        )
    device = _kind(settings.device)
    if device in _DEVICES and device not in backend.devices:
        others = [each.name for each in BACKENDS if device in each.devices]
        raise SettingError(
            f"device is '{settings.device}' but backend {backend.name} runs on "
            f"{', '.join(backend.devices)} only; use device auto or {backend.devices[0]}, or "
            f"backend {' or '.join(others)}"
        )


def _choose(file: ModelFile, settings: ModelSettings) -> Runtime:
    """The backend and precision to take: as given, else the fastest that is right."""
    from depth_anything_ros.inference.accuracy_gate import CHECK_SIZE, first_that_agrees
    from depth_anything_ros.inference.build_cache import file_hash, versions
    from depth_anything_ros.inference.cpu import cpu_flags

    if AUTO not in (settings.backend, settings.precision):
        return Runtime(settings.backend, settings.precision)
    device = _device(file, settings)
    order = _usable(device, auto_order(device, file.is_onnx))
    embedded = file.path in EMBEDDED_FILES.values()
    if embedded and settings.backend == settings.precision == AUTO and order:
        # Its graph is there: half the CPU and memory of torch, and the first answer seconds sooner.
        # Compiling it for OpenVINO takes longer than that gains.
        graph = device == "cpu" and device in BACKENDS.get(_OF_EMBEDDED.backend).available()
        return _OF_EMBEDDED if graph else order[-1]
    fitting = [
        runtime
        for runtime in order
        if settings.backend in (AUTO, runtime.backend)
        and settings.precision in (AUTO, runtime.precision)
        and device in BACKENDS.get(runtime.backend).available()
        and (settings.window == 1 or BACKENDS.get(runtime.backend).several_views)
    ]
    if not fitting:  # loading what was requested raises the reason
        return _asked_for(file, settings, device)
    if len(fitting) == 1:
        return fitting[0]
    # A graph may have no other size than its own.
    small = replace(settings, input_size=0 if file.is_onnx else CHECK_SIZE)
    libraries = (name for backend in BACKENDS for name in backend.distributions)
    return first_that_agrees(
        fitting,
        order[-1],
        lambda runtime: _load(file, small, runtime).estimator,
        file.name,
        {
            "weights": file_hash(file.path),
            "device": BACKENDS.get(order[-1].backend).device_name(settings.device)
            if device != "cpu"
            else device,
            "processor": " ".join(sorted(cpu_flags())),
            **versions((*_COMPARED_WITH, *libraries)),
        },
    )


def _kind(device: str) -> str:
    """The kind of a device by its name ("cuda:1" is "cuda")."""
    return device.partition(":")[0]


def _device(file: ModelFile, settings: ModelSettings) -> str:
    """The kind of device to run on: as named, else the first that the reference can use."""
    if settings.device != AUTO:
        return _kind(settings.device)
    possible = _DEVICES if settings.backend == AUTO else BACKENDS.get(settings.backend).devices
    for device in _DEVICES:
        order = auto_order(device, file.is_onnx)
        if order and device in possible and device in BACKENDS.get(order[-1].backend).available():
            return device
    return "cpu"


def _usable(device: str, order: Sequence[Runtime]) -> list[Runtime]:
    """Without what this processor would only emulate, slower than float32."""
    from depth_anything_ros.inference.cpu import computes_bf16

    bf16 = device != "cpu" or computes_bf16()
    return [runtime for runtime in order if bf16 or runtime.precision != "bf16"]


def _asked_for(file: ModelFile, settings: ModelSettings, device: str) -> Runtime:
    """What comes nearest to settings that `auto` has nothing for."""
    precision = "fp32" if settings.precision == AUTO else settings.precision
    if settings.backend != AUTO:
        return Runtime(settings.backend, precision)
    able = [
        backend
        for backend in BACKENDS
        if precision in backend.all_precisions and (backend.runs_graphs or not file.is_onnx)
    ]
    on_device = [backend for backend in able if device in backend.devices]
    if not able:
        raise SettingError(
            f"precision is '{precision}' but no backend runs '{file.path}' in it; use precision "
            "auto"
        )
    return Runtime((on_device or able)[0].name, precision)


def _load(file: ModelFile, settings: ModelSettings, runtime: Runtime) -> LoadedModel:
    """A network that runs in this way."""
    backend = BACKENDS.get(runtime.backend)
    settings = replace(settings, backend=runtime.backend, precision=runtime.precision)
    _check(backend, file, settings)
    return backend.load(file, settings)
