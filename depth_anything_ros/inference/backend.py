"""The record of a backend (a library that runs networks) and the registry of all backends.

A backend is a file or folder in `backends/` that registers its record when it is imported; the
library itself is imported when a network is loaded.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.registry import Registry

if TYPE_CHECKING:
    from depth_anything_ros.network.checkpoints import ModelFile
    from depth_anything_ros.settings import ModelSettings


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run and what is known about it."""

    estimator: DepthEstimator
    info: ModelInfo

    def description(self) -> dict[str, str]:
        """Description for users, by name."""
        return {
            "model": self.info.name,
            "kind": self.estimator.kind.value,
            "licence": self.info.licence,
            "backend": self.estimator.backend,
            "device": self.estimator.device,
            "precision": self.estimator.precision,
        }


@dataclass(frozen=True)
class Runtime:
    """How a network is run.

    Attributes:
        backend: Name of the library.
        precision: Its arithmetic ("fp32", "fp16", "bf16", "int8").
    """

    backend: str
    precision: str

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}"


@dataclass(frozen=True)
class AutoPlace:
    """A place of a backend in the order of `auto`, which tries the fastest first.

    Attributes:
        place: The lower, the earlier. The last one of a device is the reference of the others.
        device: Kind of device: "cpu", "cuda" or "mps".
        precision: Arithmetic.
        graph: Whether this is about models that are graphs (.onnx), else about weights.
    """

    place: int
    device: str
    precision: str
    graph: bool = False


def _same(device: str) -> str:
    return device


@dataclass(frozen=True)
class Backend:
    """A library that runs networks.

    Attributes:
        name: The word that selects it (`backend`).
        meaning: What it is, in one line.
        rank: Its place in lists.
        precisions: Arithmetic it can run in, by kind of device ("cpu", "cuda", "mps").
        runs_graphs: Whether it runs graphs, and weights by their export; else weights only.
        extra: The pip extra of this package that brings it, empty where it is always there.
        distributions: What pip calls the libraries in it; a new version is compared anew.
        auto: Where `auto` tries it.
        available: Kinds of device it can use on this machine now; empty where not installed.
        load: Loads a model to run as some settings say: backend, precision and num_threads of
            them are not "auto" or 0.
        quantised: Precisions that are made beforehand with pictures (`export --int8`).
        several_views: Whether its networks may see several images together.
        device_name: What stands behind the name of a device, for verdicts that depend on it;
            raises SettingError where it is not there.
    """

    name: str
    meaning: str
    rank: int
    precisions: Mapping[str, tuple[str, ...]]
    runs_graphs: bool
    extra: str
    distributions: tuple[str, ...]
    auto: tuple[AutoPlace, ...]
    available: Callable[[], tuple[str, ...]]
    load: Callable[[ModelFile, ModelSettings], LoadedModel]
    quantised: tuple[str, ...] = ()
    several_views: bool = False
    device_name: Callable[[str], str] = _same

    @property
    def devices(self) -> tuple[str, ...]:
        """Kinds of device it runs on."""
        return tuple(self.precisions)

    @property
    def all_precisions(self) -> tuple[str, ...]:
        """Arithmetic it can run in on any device."""
        return tuple(dict.fromkeys(each for some in self.precisions.values() for each in some))


BACKENDS: Registry[Backend] = Registry("backend", "depth_anything_ros.inference.backends")
"""Every backend."""

AUTO = "auto"
"""The choice of a backend or precision that is left to the program."""


def backend_choices() -> tuple[str, ...]:
    """What `backend` may be."""
    return AUTO, *BACKENDS.names()


def precision_choices() -> tuple[str, ...]:
    """What `precision` may be: what any backend can run in."""
    return AUTO, *dict.fromkeys(each for backend in BACKENDS for each in backend.all_precisions)


def is_installed(module: str) -> bool:
    """Whether a library can be imported, without doing so.

    Args:
        module: Its top-level module.
    """
    return importlib.util.find_spec(module) is not None
