"""The graph of a network's weights for the backends that run graphs, exported once."""

from __future__ import annotations

import shutil
from pathlib import Path

from depth_anything_ros.inference.backends.openvino import convert
from depth_anything_ros.inference.build_cache import file_hash, get_or_build, versions
from depth_anything_ros.network.checkpoints import ModelFile, load_network

_MADE_WITH = ("depth_anything_ros", "torch", "onnx", "onnxscript", "openvino")


def graph_of(file: ModelFile, backend: str, half: bool = False, root: Path | None = None) -> Path:
    """The graph of a model: an ONNX file itself, else the export of its weights.

    Exports come from the cache or are made now (half a minute). They have free batch, height and
    width, so one serves every size.

    Args:
        file: The model.
        backend: "onnxruntime" for an .onnx file, "openvino" for OpenVINO's .xml and .bin.
        half: For "openvino": an export with weights in float16, to be run in bf16. It halves what
            the loading process holds.
        root: Folder of the cache; None for the user's.

    Returns:
        The graph's file, its spec's YAML beside it.

    Raises:
        CheckpointError: The weights cannot be used.
        SettingError: The cache cannot be written.
        MissingExtraError: onnx, onnxscript or openvino is not installed.
    """
    if file.is_onnx:
        return file.path
    suffix = ".xml" if backend == "openvino" else ".onnx"

    def build(folder: Path) -> None:
        if half:
            whole = graph_of(file, backend, root=root)
            convert(whole, folder / whole.name, half=True)
            spec = whole.with_suffix(".yaml")
            shutil.copyfile(spec, folder / spec.name)
            return
        # Late: a graph that is in the cache is used without torch.
        from depth_anything_ros.inference.export import export_onnx

        network, info = load_network(file)
        onnx = folder / "network.onnx"
        export_onnx(network, onnx, info.input_size, info.licence)
        if backend == "openvino":
            convert(onnx, onnx.with_suffix(".xml"))
            onnx.unlink()

    made_of = {
        "weights": file_hash(file.path),
        "name": file.name,  # tells kind and range where the file does not
        "backend": backend,
        **versions(_MADE_WITH),
    }
    name = f"{file.name}-{backend}{'-half' if half else ''}"
    return get_or_build(name, made_of, build, root) / f"network{suffix}"
