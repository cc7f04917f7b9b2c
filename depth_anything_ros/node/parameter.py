"""ROS parameters as the fields of a dataclass: declared, checked and described in one place."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_full_topic_name import validate_full_topic_name

from depth_anything_ros.errors import SettingError
from depth_anything_ros.formats.yaml_text import load_yaml

LARGEST = 1e9
"""Largest number of parameters that have no limit of their own."""

_YES, _NO = ("true", "yes", "on"), ("false", "no", "off")
_FOREIGN = ("use_sim_time", "qos_overrides.", "diagnostic_updater.", "start_type_description")
"""Parameters that rclpy and diagnostic_updater declare, or the beginning of their names."""

SetT = TypeVar("SetT", bound="ParameterSet")


@dataclasses.dataclass(frozen=True)
class ParameterInfo:
    """Description of one parameter.

    Attributes:
        describe: Gives its meaning; called when needed, since it may list registered things.
        choices: Gives the values it may have; none for any.
        minimum: Smallest number, None without limits.
        maximum: Largest number.
        read_only: It cannot change while the node runs.
        at_load: A change takes effect when a model is loaded.
        topic: It names a topic, or a list of them.
    """

    describe: Callable[[], str]
    choices: Callable[[], tuple[str, ...]] = tuple
    minimum: float | None = None
    maximum: float | None = None
    read_only: bool = False
    at_load: bool = False
    topic: bool = False

    @classmethod
    def of(cls, field: dataclasses.Field[Any]) -> ParameterInfo:
        """What a field of a `ParameterSet` keeps about itself."""
        info = field.metadata["info"]
        assert isinstance(info, cls)
        return info

    def full(self) -> str:
        """Meaning, choices, limits and when a change takes effect."""
        text = self.describe()
        if self.choices():
            text += f" One of {', '.join(self.choices())}."
        if self.minimum is not None and self.maximum is not None:
            text += f" From {self.minimum:g} to {self.maximum:g}."
        if self.read_only:
            text += " Read-only."
        if self.at_load:
            text += " Takes effect at configure and ~/load_model."
        return text


def parameter(
    default: Any,
    description: str | Callable[[], str],
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | Callable[[], tuple[str, ...]] = (),
    read_only: bool = False,
    at_load: bool = False,
    topic: bool = False,
) -> Any:
    """A field of a `ParameterSet`.

    Args:
        default: Its default; a tuple for a list, with an example element where none is the default.
        description: Its meaning, or what gives it.
        minimum: Smallest number.
        maximum: Largest number.
        choices: The values it may have, or what gives them.
        read_only: It cannot change while the node runs.
        at_load: A change takes effect when a model is loaded.
        topic: It names a topic, or a list of them.
    """
    info = ParameterInfo(
        describe=description if callable(description) else lambda: description,
        choices=choices if callable(choices) else lambda: choices,
        minimum=minimum,
        maximum=maximum,
        read_only=read_only,
        at_load=at_load,
        topic=topic,
    )
    return dataclasses.field(default=default, metadata={"info": info})


@dataclasses.dataclass(frozen=True)
class ParameterSet:
    """The values of a node's parameters at one moment; each field is a parameter of its name."""

    def __post_init__(self) -> None:
        """Refuse values that are impossible alone or together.

        Raises:
            SettingError: The text names the parameter, its value and what is possible.
        """
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        self.check_together()

    def check_together(self) -> None:
        """Refuse values that are impossible together.

        Raises:
            SettingError: The text names the parameters and what is possible.
        """

    def changed(self: SetT, values: Mapping[str, Any]) -> SetT:
        """The same parameters with some values changed, all checked together.

        Args:
            values: New values by parameter name, as ROS has them; names of other parameters are
                passed over.

        Returns:
            The new parameters.

        Raises:
            SettingError: A new value is impossible; nothing has changed.
        """
        known = {field.name: field for field in dataclasses.fields(self)}
        return dataclasses.replace(
            self,
            **{name: _meant(known[name], value) for name, value in values.items() if name in known},
        )

    @classmethod
    def declare(cls: type[SetT], node: Node) -> SetT:
        """Declare every parameter on a node and read the values it was started with.

        Values that YAML reads as another type (nan, on, 5, an empty list) are taken for what they
        mean, and the node shows them so.

        Args:
            node: The node.

        Returns:
            The values.

        Raises:
            SettingError: A start value is impossible.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        given = _overrides(node)
        values = {
            name: _meant(field, given[name].value) if name in given else field.default
            for name, field in fields.items()
        }
        known = cls(**values)
        for name, field in fields.items():
            value = _as_ros(field, values[name])
            node.declare_parameter(name, value, _descriptor(field), ignore_override=True)
        if hasattr(node, "add_pre_set_parameters_callback"):  # not in Humble
            node.add_pre_set_parameters_callback(lambda changes: _as_meant(fields, changes))
        return known


def unknown_parameters(node: Node, known: Iterable[str]) -> list[str]:
    """Sentences about parameters that a node was started with but does not have.

    Args:
        node: The node, all of its parameters declared.
        known: Names of its own parameters.
    """
    names = list(known)
    sentences = []
    for name in _overrides(node):
        if node.has_parameter(name) or name.startswith(_FOREIGN):
            continue
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        sentences.append(f"there is no parameter '{name}', so it is ignored{hint}")
    return sentences


def usage(program: str, purpose: str, kind: type[ParameterSet]) -> str:
    """What `--help` prints.

    Args:
        program: Name of the executable.
        purpose: What it does, one sentence.
        kind: Its parameters.
    """
    lines = [
        f"usage: {program} [--help] [--ros-args -p NAME:=VALUE ... -r TOPIC:=NEW "
        "--params-file FILE ...]",
        "",
        purpose,
        "",
        "parameters:",
    ]
    for field in dataclasses.fields(kind):
        lines += [
            f"  {field.name} (default {json.dumps(field.default)})",
            f"      {ParameterInfo.of(field).full()}",
        ]
    return "\n".join(lines)


def _overrides(node: Node) -> Mapping[str, Parameter]:
    """What a node was started with, by name of the parameter."""
    given: Mapping[str, Parameter] = getattr(node, "_parameter_overrides", {})
    return given


def _as_meant(
    fields: Mapping[str, dataclasses.Field[Any]], changes: list[Parameter]
) -> list[Parameter]:
    """Changes with their values as they are meant; what means nothing is left to be refused."""
    meant = []
    for change in changes:
        field = fields.get(change.name)
        try:
            if field is not None:
                value = _as_ros(field, _meant(field, change.value))
                change = Parameter(change.name, value=value)
        except SettingError:
            pass
        meant.append(change)
    return meant


def _as_ros(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value as rclpy takes it; an empty list has no type, so it has one empty element."""
    if not isinstance(value, tuple):
        return value
    return list(value) or ([""] if _element(field) is str else [])


def _element(field: dataclasses.Field[Any]) -> type:
    default: Any = field.default
    return type(default[0]) if default else str


def _meant(field: dataclasses.Field[Any], value: Any) -> Any:
    """What a user means by a value; YAML reads nan, on, off, yes and numbers as other types."""
    try:
        if isinstance(field.default, tuple):
            return tuple(_scalar(field, _element(field), each) for each in _listed(value))
        return _scalar(field, type(field.default), value)
    except (TypeError, ValueError, OverflowError):
        wanted = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
        kind = _element(field) if isinstance(field.default, tuple) else type(field.default)
        raise SettingError(f"{field.name} is '{value}'; give {wanted[kind]}") from None


def _listed(value: Any) -> list[Any]:
    """The elements of a list, of one written as text, or the one element that was given."""
    if value is None:
        return []
    if isinstance(value, str):
        if value.strip().startswith("["):
            return list(load_yaml(value))
        return [value]
    if isinstance(value, (bool, int, float)):
        return [value]
    return list(value)


def _scalar(field: dataclasses.Field[Any], kind: type, value: Any) -> Any:
    if isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    if kind is bool and isinstance(value, str) and value.lower() in _YES + _NO:
        return value.lower() in _YES
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, str):
        return int(value)
    if kind is int and isinstance(value, float) and value == int(value):
        return int(value)
    if kind is str:
        return _text(value, ParameterInfo.of(field).choices())
    raise ValueError


def _text(value: Any, choices: tuple[str, ...]) -> str:
    """The text that YAML has read as something else."""
    if isinstance(value, bool):
        words = _YES if value else _NO
        return next((word for word in words if word in choices), words[0])
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return f"{value}"
    raise ValueError


def _shown(value: float) -> str:
    """A number for a message; an integer may have any number of digits."""
    try:
        return f"{value:g}"
    except OverflowError:
        return f"{str(value)[:20]}..."


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    info = ParameterInfo.of(field)
    choices = info.choices()
    if choices and value not in choices:
        raise SettingError(f"{field.name} is '{value}'; use one of {', '.join(choices)}")
    low, high = info.minimum, info.maximum
    if low is not None and high is not None and not low <= value <= high:
        raise SettingError(f"{field.name} is {_shown(value)}; use {low:g} to {high:g}")
    if info.topic:
        names = value if isinstance(value, tuple) else (value,)
        for name in names:
            if name or (not isinstance(value, tuple) and field.default):
                _check_topic(field.name, name)


def _check_topic(parameter_name: str, name: str) -> None:
    if not name:
        raise SettingError(f"{parameter_name} is empty; give the name of a topic")
    try:
        validate_full_topic_name(expand_topic_name(name, "node", "/"))
    except (InvalidTopicNameException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingError(f"{parameter_name} is '{name}', which no topic can be: {reason}") from (
            error
        )


def _descriptor(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    info = ParameterInfo.of(field)
    # rclpy's own check of types would refuse what YAML reads as another type.
    descriptor = ParameterDescriptor(
        description=info.describe(), read_only=info.read_only, dynamic_typing=True
    )
    if info.choices():
        descriptor.additional_constraints = "one of " + ", ".join(info.choices())
    if info.minimum is not None and info.maximum is not None:
        if isinstance(field.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(info.minimum), to_value=float(info.maximum))
            ]
        else:
            descriptor.integer_range = [
                IntegerRange(from_value=int(info.minimum), to_value=int(info.maximum), step=1)
            ]
    return descriptor
