"""Networks whose answer is known exactly, as ONNX files a node can load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import yaml
from onnx import TensorProto, helper

SLOPE = 8.0
OFFSET = 1.0


def write_red_network(
    folder: Path, kind: str, input_size: int = 120, heavy_layers: int = 0
) -> Path:
    """A network that answers `1 + 8 * red` (red from 0 to 1), whatever its kind means.

    Args:
        folder: Where to write `<kind>.onnx` and its YAML.
        kind: "metric_depth" or "relative_disparity".
        input_size: Shorter side of the images it sees unchanged.
        heavy_layers: Convolutions whose result is multiplied by zero: makes it slow.

    Returns:
        The path of the ONNX file.
    """
    path = folder / f"{kind}_{heavy_layers}.onnx"
    tensors: dict[str, npt.NDArray[Any]] = {
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
        "slope": np.array(SLOPE, np.float32),
        "offset": np.array(OFFSET, np.float32),
        "zero": np.array(0.0, np.float32),
        "lift": np.full((48, 3, 1, 1), 0.01, np.float32),
        "mix": np.full((48, 48, 3, 3), 1e-3, np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["image", "first", "second", "axis"], ["red"]),
        helper.make_node("Mul", ["red", "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["plain"]),
        helper.make_node("Conv", ["image", "lift"], ["layer_0"]),
    ]
    nodes += [
        helper.make_node("Conv", [f"layer_{i}", "mix"], [f"layer_{i + 1}"], pads=[1, 1, 1, 1])
        for i in range(heavy_layers)
    ]
    nodes += [
        helper.make_node("Slice", [f"layer_{heavy_layers}", "first", "second", "axis"], ["rest"]),
        helper.make_node("Mul", ["rest", "zero"], ["nothing"]),
        helper.make_node("Add", ["plain", "nothing"], ["depth"]),
    ]
    shape: list[str | int | None] = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(
                "depth", TensorProto.FLOAT, ["batch", 1, "height", "width"]
            )
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    spec = {
        "kind": kind,
        "input_size": input_size,
        "multiple_of": 1,
        "scale": 1 / 255,
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
    }
    path.with_suffix(".yaml").write_text(yaml.safe_dump(spec))
    return path


def red_depth(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What such a network answers for a picture of its own input size."""
    return (OFFSET + SLOPE * rgb[..., 0].astype(np.float64) / 255).astype(np.float32)
