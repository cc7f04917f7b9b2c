"""Loads a model beside the one that runs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.factory import LoadedModel, ModelSettings, make_estimator

_WARM_UP_SIZE = (480, 640)


def load_and_warm(settings: ModelSettings) -> LoadedModel:
    """Load a model and run it once.

    Args:
        settings: Which model, and how it runs.

    Returns:
        The model, ready.

    Raises:
        DepthAnythingError: It cannot be had; the text says why.
    """
    model = make_estimator(settings)
    model.estimator.warm_up(*_WARM_UP_SIZE)
    return model


class ModelLoader:
    """Loads in a thread of its own, one model at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def load(
        self, settings: ModelSettings, done: Callable[[LoadedModel | DepthAnythingError], object]
    ) -> None:
        """Load a model, warm it up and hand it over.

        Args:
            settings: Which model, and how it runs.
            done: Called in the loader's thread with the model, or with why there is none.
        """
        threading.Thread(
            target=self._run, args=(settings, done), name="model_loader", daemon=True
        ).start()

    def _run(
        self, settings: ModelSettings, done: Callable[[LoadedModel | DepthAnythingError], object]
    ) -> None:
        with self._lock:
            try:
                result: LoadedModel | DepthAnythingError = load_and_warm(settings)
            except DepthAnythingError as error:
                result = error
            except Exception as error:  # the running model must survive whatever a file does
                result = DepthAnythingError(f"{type(error).__name__}: {error}")
        done(result)
