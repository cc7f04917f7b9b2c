"""The depth node's parameters from a parameter file and a command line, without a node."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.node.parameters import NodeParameters

_NODE_NAMES = ("depth_anything", "*", "**")
_KEY = "ros__parameters"


def read_parameters(
    file: Path | None, assignments: Sequence[str], report: Callable[[str], None]
) -> NodeParameters:
    """The parameters as `depth_node --params-file FILE -p NAME:=VALUE` would have them.

    Args:
        file: A ROS 2 parameter file, or None.
        assignments: "NAME:=VALUE", with the value as YAML; they replace those of the file.
        report: Called with names of parameters that do not exist.

    Returns:
        The parameters.

    Raises:
        InputError: The file cannot be read.
        SettingError: An assignment or a value is impossible.
    """
    values = {} if file is None else _of_file(file)
    for text in assignments:
        name, separator, value = text.partition(":=")
        if not separator or not name:
            raise SettingError(f"'{text}' is no parameter; write NAME:=VALUE")
        try:
            values[name.strip()] = load_yaml(value)
        except ValueError as error:
            raise SettingError(f"the value of '{text}' is no YAML: {error}") from error
    known = [field.name for field in dataclasses.fields(NodeParameters)]
    for name in values:
        if name not in known and not name.startswith(("use_sim_time", "qos_overrides")):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            report(f"there is no parameter '{name}', so it is ignored{hint}")
    return NodeParameters().changed(values)


def _of_file(file: Path) -> dict[str, Any]:
    try:
        content = load_yaml(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"parameter file {file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is no parameter file; it must begin with the name of a node")
    values: dict[str, Any] = {}
    for node, parameters in _sections(content):
        if node in _NODE_NAMES:
            values |= parameters
    return values


def _sections(content: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The last part of every node's name, and the parameters below it."""
    for key, value in content.items():
        if key == _KEY and isinstance(value, dict):
            yield name, value
        elif isinstance(value, dict):
            yield from _sections(value, str(key).rpartition("/")[2])
