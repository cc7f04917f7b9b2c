"""Loads a model beside the one that runs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.settings import ModelSettings

_WARM_UP_SIZE = (480, 640)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The network in use and those that are asked for a second opinion."""

    model: LoadedModel
    experts: tuple[DepthEstimator, ...] = ()


def load_and_warm(settings: ModelSettings, experts: Sequence[str] = ()) -> Networks:
    """Load a model and its experts, and run each once.

    Args:
        settings: Which model, and how it runs.
        experts: Further models, run the same way.

    Returns:
        The networks, ready.

    Raises:
        DepthAnythingError: One cannot be had; the text says why.
    """
    names = (settings.model, *(name for name in experts if name))
    models = [make_estimator(dataclasses.replace(settings, model=name)) for name in names]
    for model in models:
        model.estimator.warm_up(*_WARM_UP_SIZE)
    return Networks(models[0], tuple(model.estimator for model in models[1:]))


class ModelLoader:
    """Loads in a thread of its own, one model at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def load(
        self,
        settings: ModelSettings,
        experts: Sequence[str],
        done: Callable[[Networks | DepthAnythingError], object],
    ) -> None:
        """Load a model, warm it up and hand it over.

        Args:
            settings: Which model, and how it runs.
            experts: Further models.
            done: Called in the loader's thread with the networks, or with why there are none.
        """
        threading.Thread(
            target=self._run, args=(settings, experts, done), name="model_loader", daemon=True
        ).start()

    def _run(
        self,
        settings: ModelSettings,
        experts: Sequence[str],
        done: Callable[[Networks | DepthAnythingError], object],
    ) -> None:
        with self._lock:
            try:
                result: Networks | DepthAnythingError = load_and_warm(settings, experts)
            except DepthAnythingError as error:
                result = error
            except Exception as error:  # the running model must survive whatever a file does
                result = DepthAnythingError(f"{type(error).__name__}: {error}")
        done(result)
