"""The ONNX graph of a model: there already, else exported once and kept on disk."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.inference.build_cache import file_hash, find, get_or_build, versions
from depth_anything_ros.network.catalogue import EMBEDDED_FILES
from depth_anything_ros.network.checkpoints import ModelFile, load_network

_MADE_WITH = ("depth_anything_ros", "torch", "onnx", "onnxscript")


def ready_graph(file: ModelFile) -> Path | None:
    """The ONNX graph of a model that needs no export.

    Args:
        file: The model.

    Returns:
        The file itself where it is a graph; for an embedded network the graph beside its weights,
        which refers to them; else None.
    """
    if file.is_onnx:
        return file.path
    return file.path.with_suffix(".onnx") if file.path in EMBEDDED_FILES.values() else None


def onnx_graph(file: ModelFile, root: Path | None = None) -> Path:
    """The ONNX graph of a model: `ready_graph`, else the export of its weights.

    Exports come from the cache or are made now (half a minute). They have free batch, height and
    width, so one serves every size.

    Args:
        file: The model.
        root: Folder of the cache; None for the user's.

    Returns:
        The .onnx file, its spec's YAML beside it.

    Raises:
        CheckpointError: The weights cannot be used.
        SettingError: The cache cannot be written.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    ready = ready_graph(file)
    if ready is not None:
        return ready

    def build(folder: Path) -> None:
        export_into(file, folder)

    return get_or_build(_name(file), made_of(file), build, root) / "network.onnx"


def kept_export(file: ModelFile, root: Path | None = None) -> Path | None:
    """The export that `onnx_graph` has made of a model's weights before; None where it has not.

    Args:
        file: The model, with weights.
        root: Folder of the cache; None for the user's.
    """
    entry = find(_name(file), made_of(file), root)
    return entry / "network.onnx" if entry else None


def _name(file: ModelFile) -> str:
    return f"{file.name}-onnx"


def export_into(file: ModelFile, folder: Path) -> Path:
    """Export the weights of a model.

    Args:
        file: The model, with weights.
        folder: Where `network.onnx` and `network.yaml` are written.

    Returns:
        The .onnx file.
    """
    # Late: a graph that is in the cache is used without torch.
    from depth_anything_ros.inference.export import export_onnx

    network, info = load_network(file)
    onnx = folder / "network.onnx"
    export_onnx(network, onnx, info.input_size, info.licence)
    return onnx


def made_of(file: ModelFile, *libraries: str) -> dict[str, str]:
    """What an export of a model depends on, for the cache.

    Args:
        file: The model.
        libraries: Distributions that take part beside PyTorch and ONNX.
    """
    return {
        "weights": file_hash(file.path),
        "name": file.name,  # tells kind and range where the file does not
        **versions((*_MADE_WITH, *libraries)),
    }
