"""`depth_anything export`: a network as ONNX, or quantised for `precision: int8`."""

from __future__ import annotations

from pathlib import Path

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.files import check_writable


@command("export")
@click.argument("model")
@option("--output", "-o", type=PATH, help="The .onnx file to write.  [default: NAME.onnx]")
@option(
    "--int8",
    type=PATH,
    metavar="FOLDER",
    help="Quantise with the pictures in this folder, some dozens from your camera: then "
    "`precision: int8` runs the network with OpenVINO. Writes no .onnx file.",
)
def export(model: str, output: Path | None, int8: Path | None) -> None:
    """Write a network as ONNX, or quantise it.

    MODEL is a catalogue name or file; the graph has dynamic batch, height and width.
    """
    if output is not None and output.suffix != ".onnx":
        raise click.BadParameter(f"'{output}' does not end in .onnx", param_hint="--output")
    if int8 is not None and output is not None:
        raise click.BadParameter("--int8 keeps its result itself", param_hint="--output")
    if int8 is not None:
        _quantise(model, int8)
    else:
        _export(model, output)


def _quantise(model: str, folder: Path) -> None:
    from depth_anything_ros.cli.support.terminal import STDERR, say, warn
    from depth_anything_ros.formats.media import find_media, read_all_media
    from depth_anything_ros.inference.backends.openvino.int8 import quantise
    from depth_anything_ros.network.checkpoints import resolve

    file = resolve(model)
    files = [found for found in find_media([folder], recursive=True) if not found.is_video]
    pictures = [picture.rgb for picture in read_all_media(files, lambda error: warn(str(error)))]
    with STDERR.status(f"quantising {file.name}"):
        path, difference = quantise(file, pictures)
    say(
        f"{file.name} in int8 differs from float32 by {100 * difference:.2f} % (AbsRel on "
        "pictures not used for it); take it with backend openvino, precision int8"
    )
    say(str(path.parent))


def _export(model: str, output: Path | None) -> None:
    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.network.checkpoints import load_network, resolve

    file = resolve(model)
    if file.is_onnx:
        raise SettingError(f"model '{model}' is ONNX already; give a .pth or .safetensors file")

    from depth_anything_ros.inference.export import export_onnx

    path = output or Path(f"{file.name}.onnx")
    check_writable(path)
    with STDERR.status(f"exporting {file.name}; a large network takes minutes"):
        network, info = load_network(file)
        export_onnx(network, path, info.input_size, info.licence)
    say(str(path))


COMMANDS.register(Subcommand("export", export, 40))
