"""What the subcommands are made of: lazy groups, options under headings, paths."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from depth_anything_ros.registry import Registry

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "show_default": True,
}
"""Settings of every command's context."""

PATH = click.Path(path_type=Path)
"""An option or argument that is a path; whether it exists is checked where it is used."""

FOLDER_OR_URL = click.Path()
"""An option that is the path of a folder, or a URL, as text."""


@dataclass(frozen=True)
class Subcommand:
    """A subcommand, registered by the module that holds it.

    Attributes:
        name: The word that selects it.
        command: What runs; heavy libraries are imported by it, not by its module.
        rank: Place in the list of `--help`.
    """

    name: str
    command: click.Command
    rank: int


class LateChoice(click.ParamType):
    """One of some registered names, looked up when one is given or when `--help` lists them."""

    name = "NAME"

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        """Make the type.

        Args:
            names: Gives the names.
        """
        self._names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names, for `--help`."""
        return f"[{'|'.join(self._names())}]"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so, for the completion of shells."""
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take a name that is known."""
        names = self._names()
        if value not in names:
            self.fail(f"'{value}' is not one of {', '.join(names)}", param, ctx)
        return value


class RegistryGroup(click.Group):
    """A command whose subcommands are the records of a registry."""

    def __init__(self, registry: Registry[Subcommand], **attributes: Any) -> None:
        """Make the group.

        Args:
            registry: Where its subcommands are registered.
            attributes: As for `click.Group`.
        """
        super().__init__(no_args_is_help=True, context_settings=SETTINGS, **attributes)
        self._registry = registry

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the subcommands."""
        return list(self._registry.names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of a name, None where there is none."""
        if cmd_name not in self._registry.names():
            return None
        return self._registry.get(cmd_name).command


class HeadedOption(click.Option):
    """An option that `--help` lists below a heading of its own."""

    def __init__(self, *arguments: Any, heading: str = "Options", **attributes: Any) -> None:
        """Make the option.

        Args:
            arguments: As for `click.Option`.
            heading: The heading.
            attributes: As for `click.Option`.
        """
        super().__init__(*arguments, **attributes)
        self.heading = heading


class HeadedCommand(click.Command):
    """A command whose `--help` lists options by their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those without a heading first."""
        headings: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                heading = getattr(parameter, "heading", "Options")
                headings.setdefault(heading, []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function whose docstring is its help.

    Args:
        name: The word that selects it.

    Returns:
        The decorator.
    """
    return click.command(name, cls=HeadedCommand, context_settings=SETTINGS)


def option(*declarations: str, heading: str = "Options", **attributes: Any) -> Callable[[F], F]:
    """An option under a heading.

    Args:
        declarations: Its names.
        heading: The heading in `--help`.
        attributes: As for `click.option`.

    Returns:
        The decorator.
    """
    return click.option(*declarations, cls=HeadedOption, heading=heading, **attributes)


def gathered(
    keyword: str, make: Callable[..., object], *options: Callable[[Any], Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options whose values a function gets as one object.

    Args:
        keyword: The function's argument for the object.
        make: Makes the object of the values; its parameters are named as the options.
        options: The options.

    Returns:
        The decorator.
    """
    names = tuple(inspect.signature(make).parameters)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(**values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return function(**{keyword: make(**own)}, **values)

        wrapped: Callable[..., Any] = run
        return stacked(*options)(wrapped)

    return decorate


def stacked(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several decorators as one; the first option is listed first.

    Args:
        decorators: The decorators.

    Returns:
        Their composition.
    """

    def decorate(function: F) -> F:
        for each in reversed(decorators):
            function = each(function)
        return function

    return decorate
