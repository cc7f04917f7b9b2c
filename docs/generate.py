"""Writes the generated parts of docs/*.md from the code (`make docs`).

A generated part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from source_texts import doctor_findings, launch_file

import depth_anything_ros
from depth_anything_ros.cli.main import app
from depth_anything_ros.inference.backend import BACKENDS
from depth_anything_ros.metric.source import SCALE_SOURCES
from depth_anything_ros.network.catalogue import catalogue
from depth_anything_ros.node.reference import reference
from depth_anything_ros.node.sros2_policy import policy
from depth_anything_ros.training.augmentation import Strength
from depth_anything_ros.training.correction.recipe import CorrectionRecipe
from depth_anything_ros.training.network_recipe import NetworkRecipe
from depth_anything_ros.training.recipe import LabelRecipe, Recipe
from depth_anything_ros.training.sources import SOURCES, SourceRecipe
from depth_anything_ros.training.wrong_points.recipe import WrongPointsRecipe

DOCS = Path(__file__).parent
RECIPES = {
    "A run": Recipe,
    "network": NetworkRecipe,
    "An entry of sources or validation": SourceRecipe,
    "strong": Strength,
    "Pseudo-labelling": LabelRecipe,
    "Correction": CorrectionRecipe,
    "Wrong points": WrongPointsRecipe,
}
"""Settings of training in the order of their tables."""

POLICY = DOCS.parent / "config" / "sros2_policy.xml"
"""What the node may say and hear."""

_LAUNCH, _CONFIG = DOCS.parent / "launch", DOCS.parent / "config"
_PACKAGE = Path(depth_anything_ros.__file__).parent
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        header: Names of the columns.
        rows: Cells; pipes in them are escaped.

    Returns:
        Lines without a newline at the end.
    """
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *escaped]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def plain(text: str) -> str:
    """Text that Markdown shows as it is; parts between backticks stay code.

    Args:
        text: Any text.

    Returns:
        The text with the signs of links and HTML escaped.
    """
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\[\]*])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def scale_sources() -> str:
    """Every scale source in the order of `auto`."""
    rows = [
        (
            f"`{record.name}`",
            record.meaning,
            ", ".join(sorted(each.value for each in record.inputs)) or "-",
            ", ".join(f"`{name}`" for name in record.settings) or "-",
        )
        for record in SCALE_SOURCES
    ]
    return table(("scaler", "takes metres from", "needs with the image", "settings"), rows)


def models() -> str:
    """Every published network, with notes on licences below the table."""
    notes = list(
        dict.fromkeys(info.licence_note for info in catalogue().values() if info.licence_note)
    )
    rows = [
        (
            f"`{info.name}`",
            info.kind.words + ("" if info.canonical_focal is None else ", metres by focal length"),
            "-" if info.max_depth is None else f"{info.max_depth:g} m",
            f"{info.size_mb:.0f} MB",
            info.licence
            + (f" ({1 + notes.index(info.licence_note)})" if info.licence_note else ""),
        )
        for info in catalogue().values()
    ]
    header = ("name", "gives", "up to", "size", "licence of the weights")
    below = [f"({number}) {note}." for number, note in enumerate(notes, 1)]
    return "\n\n".join([table(header, rows), *below])


def backends() -> str:
    """Every backend and the precisions it offers on each kind of device."""
    rows = [
        (
            f"`{backend.name}`",
            backend.meaning,
            "; ".join(
                f"{device}: {', '.join(each)}" for device, each in backend.precisions.items()
            ),
            f"`{backend.extra}`" if backend.extra else "always there",
        )
        for backend in BACKENDS
    ]
    return table(("backend", "what it is", "precisions", "pip extra"), rows)


def data_sets() -> str:
    """Every kind of training source."""
    return table(
        ("kind", "what it reads"), [(f"`{record.name}`", record.summary) for record in SOURCES]
    )


def recipe_settings() -> str:
    """Every setting of a training recipe, with the words of its class."""
    parts = []
    for title, kind in RECIPES.items():
        meanings = attribute_meanings(kind)
        rows = [
            (f"`{field.name}`", _default(field), plain(meanings[field.name]))
            for field in dataclasses.fields(kind)
        ]
        parts.append(f"### {title}\n\n{table(('setting', 'default', 'meaning'), rows)}")
    return "\n\n".join(parts)


def attribute_meanings(kind: type) -> dict[str, str]:
    """The section Attributes of a class's docstring and of those it is made from, by name.

    Args:
        kind: A class with a Google-style docstring.

    Returns:
        One line for each attribute.
    """
    meanings: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        section = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")[2]
        found = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, re.MULTILINE)
        meanings |= {name: " ".join(text.split()) for name, text in found}
    return meanings


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        value = list(field.default) if isinstance(field.default, tuple) else field.default
        return f"`{json.dumps(value, default=str)}`" if value != "" else "-"
    return "below" if field.default_factory is not dataclasses.MISSING else "must be given"


def commands() -> str:
    """Help of every command, from the command line itself."""
    with click.Context(app, info_name="depth_anything") as context:
        return "\n\n".join(_command(app, context, 3))


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            settings = inner.context_settings
            with click.Context(inner, info_name=name, parent=context, **settings) as below:
                yield from _command(inner, below, level)
        return
    yield f"{'#' * level} {context.command_path}"
    if command.help:
        text = re.sub(r"[ \t]*\n[ \t]*", "\n", command.help.strip())
        yield plain(text.replace("\b\n", ""))
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"```text\n{' '.join(usage.split())}\n```"
    rows = [
        (f"`{record[0]}`", plain(record[1]))
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context)) is not None
        and "--help" not in parameter.opts
    ]
    if rows:
        yield table(("option", "meaning"), rows)


def launch_files() -> str:
    """Every launch file with what it declares itself."""
    parts = []
    for path in sorted(_LAUNCH.glob("*.launch.py")):
        summary, arguments = launch_file(path)
        rows = [(f"`{name}`", plain(meaning)) for name, meaning in arguments]
        parts.append(f"### {path.name}\n\n{summary}\n\n{table(('argument', 'meaning'), rows)}")
    return "\n\n".join(parts)


def presets() -> str:
    """Every parameter file with the first sentence of its comment."""
    rows = []
    for path in sorted(_CONFIG.glob("*.yaml")):
        lines = itertools.takewhile(
            lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines()
        )
        sentence = " ".join(line.removeprefix("# ") for line in lines).partition(". ")[0]
        rows.append((f"`{path.name}`", plain(sentence.rstrip("."))))
    return table(("file", "for"), rows)


def findings() -> str:
    """What `doctor` can find, with the remedies."""
    rows = doctor_findings(_PACKAGE / "node" / "doctor")
    return table(("level", "finding", "remedy"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "backends": backends,
    "commands": commands,
    "data_sets": data_sets,
    "findings": findings,
    "launch_files": launch_files,
    "models": models,
    "node": reference,
    "presets": presets,
    "recipe_settings": recipe_settings,
    "scale_sources": scale_sources,
}
"""Generated parts by name."""


def generated(text: str) -> str:
    """A page with its generated parts brought up to date.

    Args:
        text: The page.

    Returns:
        The page with every part made anew.
    """
    return _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}", text)


def main() -> None:
    """Write all pages and the access policy; with --check exit with 1 if one is out of date."""
    stale = []
    pages = {page: generated(page.read_text(encoding="utf-8")) for page in DOCS.glob("*.md")}
    for page, after in sorted({**pages, POLICY: policy()}.items()):
        if not page.exists() or page.read_text(encoding="utf-8") != after:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(after, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"{', '.join(stale)}: out of date; run `python docs/generate.py`")


if __name__ == "__main__":
    main()
