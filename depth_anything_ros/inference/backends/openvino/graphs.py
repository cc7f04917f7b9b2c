"""A model as OpenVINO's graph: the file itself, or the export of its weights, kept on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from depth_anything_ros.errors import require
from depth_anything_ros.inference.backends.openvino.core import openvino_core
from depth_anything_ros.inference.build_cache import get_or_build
from depth_anything_ros.inference.graph_cache import (
    export_into,
    kept_export,
    made_of,
    ready_graph,
)
from depth_anything_ros.network.checkpoints import ModelFile


def openvino_graph(file: ModelFile, half: bool = False, root: Path | None = None) -> Path:
    """The graph of a model for OpenVINO.

    Args:
        file: The model.
        half: An export with weights in float16, to be run in bf16. It halves what the loading
            process holds.
        root: Folder of the cache; None for the user's.

    Returns:
        The graph's file, .onnx where there is one already or .xml, its spec's YAML beside it.

    Raises:
        CheckpointError: The weights cannot be used.
        SettingError: The cache cannot be written.
        MissingExtraError: onnx, onnxscript or openvino is not installed.
    """
    ready = ready_graph(file)
    if file.is_onnx or (ready is not None and not half):
        return ready or file.path

    def build(folder: Path) -> None:
        if half:
            whole = openvino_graph(file, root=root)
            convert(whole, folder / "network.xml", half=True)
            shutil.copyfile(whole.with_suffix(".yaml"), folder / "network.yaml")
            return
        kept = kept_export(file, root)
        onnx = kept or export_into(file, folder)
        convert(onnx, folder / "network.xml")
        if kept:
            shutil.copyfile(onnx.with_suffix(".yaml"), folder / "network.yaml")
        else:
            onnx.unlink()

    name = f"{file.name}-openvino{'-half' if half else ''}"
    return get_or_build(name, made_of(file, "openvino"), build, root) / "network.xml"


def convert(source: Path, target: Path, half: bool = False) -> None:
    """Write a graph in OpenVINO's own format, which needs less memory to load.

    Args:
        source: An .onnx or .xml file.
        target: The .xml file to write; its weights go to a .bin beside it.
        half: Keep the weights in float16, which loses nothing that bfloat16 would keep.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    openvino = require("openvino", "openvino")
    openvino.save_model(openvino_core().read_model(source), target, compress_to_fp16=half)
