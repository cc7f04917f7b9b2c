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
@option(
    "--refer",
    is_flag=True,
    help="Write the graph beside the .safetensors file MODEL and let it refer to the weights there "
    "instead of holding a copy. ONNX Runtime and OpenVINO read both.",
)
def export(model: str, output: Path | None, int8: Path | None, refer: bool) -> None:
    """Write a network as ONNX, or quantise it.

    MODEL is a catalogue name or file; the graph has dynamic batch, height and width.
    """
    if refer and (output is not None or int8 is not None):
        raise click.BadParameter(
            "the graph is written beside the weights, without --output or --int8",
            param_hint="--refer",
        )
    if output is not None and output.suffix != ".onnx":
        raise click.BadParameter(f"'{output}' does not end in .onnx", param_hint="--output")
    if int8 is not None and output is not None:
        raise click.BadParameter("--int8 keeps its result itself", param_hint="--output")
    if int8 is not None:
        _quantise(model, int8)
    else:
        _export(model, output, refer)


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


def _export(model: str, output: Path | None, refer: bool) -> None:
    from depth_anything_ros.cli.support.terminal import STDERR, say
    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.network.checkpoints import load_network, resolve

    file = resolve(model)
    if file.is_onnx:
        raise SettingError(f"model '{model}' is ONNX already; give a .pth or .safetensors file")

    from depth_anything_ros.inference.export import export_onnx

    path = file.path.with_suffix(".onnx") if refer else output or Path(f"{file.name}.onnx")
    check_writable(path)
    with STDERR.status(f"exporting {file.name}; a large network takes minutes"):
        network, info = load_network(file)
        weights = file.path if refer else None
        export_onnx(network, path, info.input_size, info.licence, weights)
    say(str(path))


COMMANDS.register(Subcommand("export", export, 40))
