"""`depth_anything models`: the published networks, and getting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, SETTINGS, Subcommand, option
from depth_anything_ros.errors import DepthAnythingError

if TYPE_CHECKING:
    from depth_anything_ros.frames import RgbImage


@click.group("models", invoke_without_command=True, context_settings=SETTINGS)
@option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the networks: kinds, licences, sizes, and which ones are on this machine.

    Stereo matchers stand below them: `depth_anything stereo LEFT RIGHT --model NAME`.
    """
    if context.invoked_subcommand is not None:
        return
    rows = _rows()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        _print_table(rows)


def _rows() -> list[dict[str, Any]]:
    from depth_anything_ros.frames import PredictionKind
    from depth_anything_ros.inference.stereo import STEREO_MATCHERS
    from depth_anything_ros.network.catalogue import EMBEDDED_FILES, catalogue, embedded_models
    from depth_anything_ros.network.checkpoints.find import cached_file

    rows: list[dict[str, Any]] = []
    for info in (*catalogue().values(), *embedded_models().values()):
        cached = EMBEDDED_FILES.get(info.name) or cached_file(info)
        rows.append(
            {
                "name": info.name,
                "input": "image",
                "kind": info.kind.value,
                "max_depth": info.max_depth,
                "canonical_focal": info.canonical_focal,
                "licence": info.licence,
                "licence_note": info.licence_note,
                "non_commercial": info.non_commercial,
                "hugging_face": info.hf_repo or info.repo,
                "size_mb": info.size_mb,
                "path": None if cached is None else str(cached),
                "size_on_disk_mb": None if cached is None else cached.stat().st_size / 1e6,
            }
        )
    return rows + [
        {
            "name": matcher.name,
            "input": "stereo pair",
            "kind": PredictionKind.METRIC_DEPTH.value,
            "meaning": matcher.meaning,
            "licence": matcher.licence,
        }
        for matcher in STEREO_MATCHERS
    ]


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from depth_anything_ros.cli.support.terminal import STDOUT, say

    table = Table(box=None, pad_edge=False, header_style="bold")
    # Names stay whole in a narrow terminal: they are there to be copied.
    table.add_column("name", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("gives")
    table.add_column("licence")
    networks = [row for row in rows if row["input"] == "image"]
    for row in networks:
        gives = row["kind"].split("_")[-1] if row["kind"].startswith("relative") else "metres"
        if row["canonical_focal"] is not None:
            gives = "metres by focal length"
        elif row["max_depth"] is not None:
            gives += f" to {row['max_depth']:g}"
        licence = row["licence"] + ("*" if row["licence_note"] else "")
        table.add_row(
            row["name"],
            f"{row['size_mb']:.0f} MB",
            "" if row["path"] is None else "yes",
            gives,
            f"[yellow]{licence}[/yellow]" if row["non_commercial"] else licence,
        )
    for row in rows:
        if row["input"] != "image":
            table.add_row(row["name"], "-", "yes", f"metres of a {row['input']}", row["licence"])
    STDOUT.print(table)
    for note in sorted({row["licence_note"] for row in networks if row["licence_note"]}):
        say(f"* {note}")
    here = [row for row in networks if row["path"] is not None]
    total = sum(row["size_on_disk_mb"] for row in here)
    say(f"on this machine: {len(here)} with {total:.0f} MB; `models pull NAME` gets another one")


@models.command("pull", context_settings=SETTINGS)
@click.argument("name")
def pull(name: str) -> None:
    """Download a network into the Hugging Face cache and print where it is.

    NAME is as `depth_anything models` lists it.
    """
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.network.checkpoints import resolve

    say(str(resolve(name).path))


@models.command("verify", context_settings=SETTINGS)
@click.argument("name")
@option(
    "--picture",
    type=PATH,
    help="COCO val2017 number 39769, for the published numbers.  [default: downloaded]",
)
def verify(name: str, picture: Path | None) -> None:
    """Check a network: whole file, sane depth, and the numbers its makers published.

    NAME is as `depth_anything models` lists it, or a file; it is downloaded if needed. The exit
    code is 1 where a check fails.
    """
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.evaluation.verification import REFERENCES
    from depth_anything_ros.evaluation.verification import verify as checks_of
    from depth_anything_ros.formats.media import read_image
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.network.checkpoints import resolve
    from depth_anything_ros.settings import ModelSettings

    file = resolve(name)
    shown = None
    if picture is not None:
        shown = read_image(picture)
    elif file.name in REFERENCES:
        shown = _reference_picture()
    loaded = make_estimator(ModelSettings(name))
    failed = 0
    for check in checks_of(file, loaded, shown):
        mark = {True: "ok", False: "FAILED", None: "-"}[check.passed]
        say(f"{mark:6} {check.name}: {check.words}")
        failed += check.passed is False
    if failed:
        raise DepthAnythingError(f"{failed} check(s) of {file.name} failed")


def _reference_picture() -> RgbImage | None:
    """The picture of the published numbers; None where it cannot be had."""
    import urllib.request

    import cv2
    import numpy as np

    from depth_anything_ros.evaluation.verification import PICTURE_URL

    try:
        with urllib.request.urlopen(PICTURE_URL, timeout=30) as answer:
            content = np.frombuffer(answer.read(), np.uint8)
    except OSError:
        return None
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1], np.uint8)


COMMANDS.register(Subcommand("models", models, 30))
