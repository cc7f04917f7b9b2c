"""Recipes as YAML files, checked against the types of their settings."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.yaml_text import load_yaml

T = TypeVar("T")


def read_recipe(path: Path, kind: type[T]) -> T:
    """Read a recipe from its YAML file.

    Args:
        path: The file.
        kind: `Recipe` or `LabelRecipe`.

    Returns:
        The recipe.

    Raises:
        InputError: The file cannot be read.
        SettingError: A setting is unknown, missing or of another type.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    try:
        recipe = _convert(content, kind, "the recipe")
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error
    assert isinstance(recipe, kind)
    return recipe


def _convert(value: Any, kind: Any, name: str) -> Any:
    """Make a value of a declared type from what YAML gives."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise SettingError(f"{name} is {value!r}; it must be a mapping of settings")
        hints = typing.get_type_hints(kind)
        fields = {entry.name: entry for entry in dataclasses.fields(kind)}
        unknown = sorted(set(map(str, value)) - set(fields))
        if unknown:
            raise SettingError(
                f"{name} has no setting {', '.join(unknown)}; it has {', '.join(fields)}"
            )
        missing = [
            entry.name
            for entry in fields.values()
            if entry.name not in value
            and entry.default is dataclasses.MISSING
            and entry.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise SettingError(f"{name} lacks {', '.join(missing)}")
        return kind(**{key: _convert(item, hints[key], key) for key, item in value.items()})  # type: ignore[operator]
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise SettingError(f"{name} is {value!r}; it must be a list")
        item = typing.get_args(kind)[0]
        return tuple(_convert(part, item, f"{name}[{n}]") for n, part in enumerate(value))
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 5e-6 as text
        except ValueError:
            pass
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        word = kind.__name__ if isinstance(kind, (type, types.GenericAlias)) else str(kind)
        raise SettingError(f"{name} is {value!r}; it must be of type {word}")
    return value
