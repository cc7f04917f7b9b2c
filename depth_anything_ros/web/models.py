"""The networks that the demo page offers: those that are on this machine; one is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.catalogue import (
    DEFAULT_MODEL,
    EMBEDDED,
    catalogue,
    embedded_models,
)
from depth_anything_ros.network.checkpoints.find import cached_file, resolve
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ModelSettings

if TYPE_CHECKING:
    from depth_anything_ros.inference.backend import LoadedModel


class ModelShelf:
    """Networks by name, loaded when they are first asked for; nothing is ever downloaded.

    Args:
        settings: How networks run, and which is chosen first; "auto" takes the official small one
            where it is on this machine, else the embedded one.

    Attributes:
        first: Name of the network that is chosen first.

    Raises:
        SettingError: The network is not on this machine.
        CheckpointError: It is no network.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        here = {info.name: info for info in catalogue().values() if cached_file(info) is not None}
        self._infos: dict[str, ModelInfo | None] = {**here, **embedded_models()}
        self._files = {name: name for name in self._infos}
        self._loaded: tuple[str, LoadedModel] | None = None
        model = str(settings.model)
        if model == "auto":
            model = DEFAULT_MODEL if DEFAULT_MODEL in here else EMBEDDED
        elif model in catalogue() and model not in here:
            raise SettingError(
                f"model '{model}' is not on this machine; get it with "
                f"`depth_anything models pull {model}`"
            )
        elif model not in self._infos:
            file = resolve(model)
            model = file.name
            self._infos[model] = file.info
            self._files[model] = str(file.path)
        self.first = model

    def describe(self) -> list[dict[str, Any]]:
        """Name, kind, licence and size of each, the first one first; for JSON."""
        return [self._describe(name) for name in sorted(self._infos, key=self.first.__ne__)]

    def is_loaded(self, name: str) -> bool:
        """Whether a network is ready."""
        return self._loaded is not None and self._loaded[0] == name

    def get(self, name: str) -> LoadedModel:
        """A network ready to run; the one before it is forgotten.

        Args:
            name: One of `describe`.

        Returns:
            The network.

        Raises:
            InputError: There is none of this name.
            DepthAnythingError: It cannot be loaded.
        """
        if name not in self._files:
            raise InputError(f"model '{name}' is none of {', '.join(self._files)}")
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # two may not fit into memory
            loaded = make_estimator(replace(self._settings, model=self._files[name]))
            self._loaded = name, loaded
        return self._loaded[1]

    def _describe(self, name: str) -> dict[str, Any]:
        info = self._infos[name]
        if info is not None:
            gives = info.kind.words if info.canonical_focal is None else "metres by focal length"
            return {
                "name": name,
                "gives": gives,
                "metric": info.kind.metric or info.canonical_focal is not None,
                "licence": info.licence,
                "licence_note": info.licence_note,
                "non_commercial": info.non_commercial,
                "size_mb": info.size_mb,
            }
        return {
            "name": name,
            "gives": "",
            "metric": False,
            "licence": "",
            "licence_note": "",
            "non_commercial": False,
            "size_mb": Path(self._files[name]).stat().st_size / 1e6,
        }
