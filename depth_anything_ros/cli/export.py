"""`depth_anything export`: a network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from depth_anything_ros.cli.terminal import STDOUT


def export(
    model: Annotated[str, typer.Argument(help="Catalogue name, or a .pth or .safetensors file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The .onnx file to write. [default: NAME.onnx]"),
    ] = None,
) -> None:
    """Write a network as ONNX with dynamic batch, height and width."""
    if output is not None and output.suffix != ".onnx":
        raise typer.BadParameter(f"'{output}' does not end in .onnx", param_hint="--output")

    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.inference.export import export_onnx
    from depth_anything_ros.network.checkpoints import load_network, resolve

    file = resolve(model)
    if file.is_onnx:
        raise SettingError(f"model '{model}' is ONNX already; give a .pth or .safetensors file")
    path = output or Path(f"{file.name}.onnx")
    network, info = load_network(file)
    export_onnx(network, path, licence=info.licence)
    STDOUT.print(str(path), markup=False, soft_wrap=True)
