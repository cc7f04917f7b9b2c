"""`depth_anything models`: the published networks, and getting them."""

from __future__ import annotations

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import SETTINGS, Subcommand


@click.group("models", invoke_without_command=True, context_settings=SETTINGS)
@click.pass_context
def models(context: click.Context) -> None:
    """List the published networks with sizes, kinds and licences."""
    if context.invoked_subcommand is None:
        _print_table()


def _print_table() -> None:
    from rich.table import Table

    from depth_anything_ros.cli.support.terminal import STDOUT, say
    from depth_anything_ros.network.catalogue import EMBEDDED, EMBEDDED_FILE, catalogue

    table = Table(box=None, pad_edge=False, header_style="bold")
    # Names stay whole in a narrow terminal: they are there to be copied.
    table.add_column("name", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("gives")
    table.add_column("licence")
    published = catalogue().values()
    for info in published:
        gives = "disparity" if info.max_depth is None else f"metres, up to {info.max_depth:g}"
        licence = f"[yellow]{info.licence}[/yellow]" if info.non_commercial else info.licence
        table.add_row(
            info.name, f"{info.size_mb:.0f} MB", gives, licence + ("*" if info.licence_note else "")
        )
    size = EMBEDDED_FILE.stat().st_size / 1e6
    table.add_row(EMBEDDED, f"{size:.0f} MB", "disparity", "Apache-2.0")
    STDOUT.print(table)
    for note in sorted({info.licence_note for info in published if info.licence_note}):
        say(f"* {note}")


@models.command("pull", context_settings=SETTINGS)
@click.argument("name")
def pull(name: str) -> None:
    """Download a network into the Hugging Face cache and print where it is.

    NAME is as `depth_anything models` lists it.
    """
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.network.checkpoints import resolve

    say(str(resolve(name).path))


COMMANDS.register(Subcommand("models", models, 30))
