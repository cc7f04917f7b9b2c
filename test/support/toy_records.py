"""A backend and a network family that only tests have.

Run as a program it is the command line, or with --ros-args the depth node, with both registered.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.inference.backend import BACKENDS, AutoPlace, Backend, LoadedModel
from depth_anything_ros.inference.constant_estimator import ConstantEstimator
from depth_anything_ros.network.checkpoints import ModelFile
from depth_anything_ros.network.family import (
    FAMILIES,
    CheckpointHints,
    NetworkFamily,
    with_weights,
)
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ModelSettings

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.network.depth_network import DepthNetwork

TOY_METRES = 7.0


class ToyEstimator(ConstantEstimator):
    """Answers 7 m everywhere."""

    backend = "toy"
    precision = "fp32"

    def __init__(self) -> None:
        super().__init__(0.0, TOY_METRES)


def _load(file: ModelFile, settings: ModelSettings) -> LoadedModel:
    info = ModelInfo(file.name, "none", "v1", PredictionKind.METRIC_DEPTH, licence="MIT")
    return LoadedModel(ToyEstimator(), info)


TOY_BACKEND = Backend(
    name="toy",
    meaning="Answers 7 m everywhere",
    rank=999,
    precisions={"cpu": ("fp32",)},
    runs_graphs=True,
    extra="",
    distributions=(),
    auto=(AutoPlace(1, "cpu", "fp32"), AutoPlace(1, "cpu", "fp32", graph=True)),
    available=lambda: ("cpu",),
    load=_load,
)


def _recognises(names: Collection[str]) -> bool:
    return "toy.slope" in names


def _hints(name: str, config: Mapping[str, Any] | None) -> CheckpointHints:
    return CheckpointHints("its name", PredictionKind.METRIC_DEPTH, 50.0, input_size=64)


def _build(state: dict[str, Tensor], hints: CheckpointHints, path: Path) -> DepthNetwork:
    from toy_network import ToyNetwork

    return with_weights(ToyNetwork, state, path, "toy network")


TOY_FAMILY = NetworkFamily(
    name="toy_family",
    meaning="A multiple of the red channel",
    rank=999,
    models=(
        ModelInfo(
            name="toy_model",
            encoder="tiny",
            version="v1",
            kind=PredictionKind.METRIC_DEPTH,
            max_depth=50.0,
            licence="MIT",
            repo="toy/toy-model",
            filename="toy_model.safetensors",
        ),
    ),
    recognises=_recognises,
    hints=_hints,
    build=_build,
)


@contextmanager
def toy_records() -> Iterator[None]:
    """Both registered, until the block ends."""
    BACKENDS.register(TOY_BACKEND)
    FAMILIES.register(TOY_FAMILY)
    try:
        yield
    finally:
        BACKENDS.remove(TOY_BACKEND.name)
        FAMILIES.remove(TOY_FAMILY.name)


if __name__ in ("__main__", "__mp_main__"):  # the latter in the processes of a benchmark
    BACKENDS.register(TOY_BACKEND)
    FAMILIES.register(TOY_FAMILY)

if __name__ == "__main__":
    if "--ros-args" in sys.argv:
        from depth_anything_ros.node.depth_node import main as run_node

        run_node()
    else:
        from depth_anything_ros.cli.main import main

        main()
