"""OpenVINO: graphs and exported weights, the fastest on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depth_anything_ros.inference.backend import (
    BACKENDS,
    AutoPlace,
    Backend,
    LoadedModel,
    is_installed,
)

if TYPE_CHECKING:
    from depth_anything_ros.network.checkpoints import ModelFile
    from depth_anything_ros.settings import ModelSettings


def _load(file: ModelFile, settings: ModelSettings) -> LoadedModel:
    from depth_anything_ros.inference.backends.openvino.estimator import OpenVinoEstimator
    from depth_anything_ros.inference.backends.openvino.graphs import openvino_graph
    from depth_anything_ros.inference.backends.openvino.int8 import quantised_graph
    from depth_anything_ros.inference.graph_estimator import loaded_graph

    if settings.precision == "int8":
        path = quantised_graph(file)
    else:
        path = openvino_graph(file, half=settings.precision == "bf16")
    size = settings.input_size or None
    estimator = OpenVinoEstimator(path, None, settings.precision, size, settings.num_threads)
    return loaded_graph(file, estimator)


BACKENDS.register(
    Backend(
        name="openvino",
        meaning="OpenVINO: graphs and exported weights, the fastest on CPUs",
        rank=30,
        precisions={"cpu": ("fp32", "bf16", "int8")},
        runs_graphs=True,
        extra="openvino",
        distributions=("openvino",),
        auto=(
            AutoPlace(10, "cpu", "bf16"),
            AutoPlace(20, "cpu", "fp32"),
            AutoPlace(20, "cpu", "fp32", graph=True),
        ),
        available=lambda: ("cpu",) if is_installed("openvino") else (),
        load=_load,
        quantised=("int8",),
    )
)
