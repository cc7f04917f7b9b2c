"""`depth_anything export`: a network as ONNX, or quantised for `precision: int8`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from depth_anything_ros.cli.support.terminal import STDOUT, warn


def export(
    model: Annotated[str, typer.Argument(help="Catalogue name or file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .onnx file to write. [default: NAME.onnx]"),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Quantise with the pictures in this folder, some dozens from your camera: then "
            "`precision: int8` runs the network with OpenVINO. Writes no .onnx file.",
        ),
    ] = None,
) -> None:
    """Write a network as ONNX with dynamic batch, height and width, or quantise it."""
    if output is not None and output.suffix != ".onnx":
        raise typer.BadParameter(f"'{output}' does not end in .onnx", param_hint="--output")
    if int8 is not None and output is not None:
        raise typer.BadParameter("--int8 keeps its result itself", param_hint="--output")

    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.network.checkpoints import load_network, resolve

    file = resolve(model)
    if int8 is not None:
        from depth_anything_ros.formats.media import find_media, read_all_media
        from depth_anything_ros.inference.backends.openvino.int8 import quantise

        files = [found for found in find_media([int8], recursive=True) if not found.is_video]
        pictures = [
            picture.rgb for picture in read_all_media(files, lambda error: warn(str(error)))
        ]
        path, difference = quantise(file, pictures)
        STDOUT.print(
            f"{file.name} in int8 differs from float32 by {100 * difference:.2f} % (AbsRel on "
            "pictures not used for it); take it with backend openvino, precision int8",
            soft_wrap=True,
        )
        STDOUT.print(str(path.parent), markup=False, soft_wrap=True)
        return
    if file.is_onnx:
        raise SettingError(f"model '{model}' is ONNX already; give a .pth or .safetensors file")

    from depth_anything_ros.inference.export import export_onnx

    path = output or Path(f"{file.name}.onnx")
    network, info = load_network(file)
    export_onnx(network, path, info.input_size, info.licence)
    STDOUT.print(str(path), markup=False, soft_wrap=True)
