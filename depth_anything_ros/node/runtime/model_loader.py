"""Loads models beside whatever runs, in a thread of its own; the newest request wins."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from depth_anything_ros.errors import CheckpointError, DepthAnythingError
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.node.runtime.memory import return_memory
from depth_anything_ros.settings import ModelSettings

_WARM_UP_SIZE = (480, 640)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The network in use and the experts for confidence."""

    model: LoadedModel
    experts: tuple[DepthEstimator, ...] = ()


Load = Callable[[ModelSettings, Sequence[str]], Networks]
"""Makes a model and its experts ready, as `load_and_warm` does."""

Done = Callable[["Networks | DepthAnythingError"], object]
"""Gets the networks, or why there are none; called in the loader's thread."""


def load_and_warm(settings: ModelSettings, experts: Sequence[str] = ()) -> Networks:
    """Load a model and its experts, and run each once.

    Args:
        settings: Which model, and how it runs.
        experts: Further models, run the same way.

    Returns:
        The networks, ready.

    Raises:
        DepthAnythingError: One cannot be had; the message says why.
    """
    names = (settings.model, *(name for name in experts if name))
    alone = dataclasses.replace(settings, window=1)
    models = [
        _load_one(dataclasses.replace(alone if number else settings, model=name))
        for number, name in enumerate(names)
    ]
    return Networks(models[0], tuple(model.estimator for model in models[1:]))


def _load_one(settings: ModelSettings) -> LoadedModel:
    try:
        model = make_estimator(settings)
        model.estimator.warm_up(*_WARM_UP_SIZE)
    except DepthAnythingError:
        raise
    except Exception as error:  # a damaged file, a broken driver, no memory
        raise CheckpointError(
            f"model '{settings.model}' cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return model


@dataclasses.dataclass(frozen=True)
class _Request:
    settings: ModelSettings
    experts: tuple[str, ...]
    done: Done


class ModelLoader:
    """Loads one model at a time; a request that waits is replaced by a newer one."""

    def __init__(self, load: Load = load_and_warm) -> None:
        """Prepare; the thread starts with the first request.

        Args:
            load: Makes a model and its experts ready.
        """
        self._load = load
        self._condition = threading.Condition()
        self._next: _Request | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a model is being loaded."""
        return self._thread is not None and self._thread.is_alive()

    def load(self, settings: ModelSettings, experts: Sequence[str], done: Done) -> None:
        """Load a model, warm it up and hand it over.

        Args:
            settings: Which model, and how it runs.
            experts: Further models.
            done: Called once, in the loader's thread.
        """
        with self._condition:
            replaced, self._next = self._next, _Request(settings, tuple(experts), done)
            if not self.busy:
                self._thread = threading.Thread(target=self._run, name="model_loader", daemon=True)
                self._thread.start()
        if replaced is not None:
            replaced.done(DepthAnythingError("another model was asked for before it was loaded"))

    def _run(self) -> None:
        while True:
            with self._condition:
                request, self._next = self._next, None
                if request is None:
                    self._thread = None
                    return
            try:
                result: Networks | DepthAnythingError = self._load(
                    request.settings, request.experts
                )
            except DepthAnythingError as error:
                result = error
            except Exception as error:  # the running model must survive whatever a file does
                result = DepthAnythingError(f"{type(error).__name__}: {error}")
            request.done(result)
            del request, result
            return_memory()  # the warm-up took some ten megabytes
