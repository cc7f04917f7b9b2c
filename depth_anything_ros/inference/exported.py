"""The graph of a network's weights for the backends that run graphs, exported once."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.inference.build_cache import built, file_hash, versions
from depth_anything_ros.network.checkpoints import ModelFile, load_network

_MADE_WITH = ("depth_anything_ros", "torch", "onnx", "onnxscript", "openvino")


def exported_graph(file: ModelFile, backend: str, root: Path | None = None) -> Path:
    """The graph of a weights file, from the cache or exported now (half a minute).

    It has free batch, height and width and is float32, so one serves every size and precision.

    Args:
        file: A .pth or .safetensors file.
        backend: "onnxruntime" for an .onnx file, "openvino" for OpenVINO's .xml and .bin.
        root: Folder of the cache; None for the user's.

    Returns:
        The graph's file, its spec's YAML beside it.

    Raises:
        CheckpointError: The weights cannot be used.
        SettingError: The cache cannot be written.
        MissingExtraError: onnx, onnxscript or openvino is not installed.
    """
    suffix = ".xml" if backend == "openvino" else ".onnx"

    def build(folder: Path) -> None:
        # Late: a graph that is in the cache is used without torch.
        from depth_anything_ros.inference.export import export_onnx

        network, info = load_network(file)
        onnx = folder / "network.onnx"
        export_onnx(network, onnx, licence=info.licence)
        if backend == "openvino":
            from depth_anything_ros.inference.openvino_estimator import convert

            convert(onnx)
            onnx.unlink()

    made_of = {
        "weights": file_hash(file.path),
        "name": file.name,  # tells kind and range where the file does not
        "backend": backend,
        **versions(_MADE_WITH),
    }
    return built(f"{file.name}-{backend}", made_of, build, root) / f"network{suffix}"
