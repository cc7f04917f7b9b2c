"""Weights as the published files of EfficientNet-Lite and FastDepth hold them, but random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime  # type: ignore[import-untyped]
import torch
from torch import Tensor, nn

from depth_anything_ros.network.families.lite.encoder import variant_stages
from depth_anything_ros.network.families.lite.specialist import FastDepth, Separable


def published_like(variant: str) -> dict[str, Tensor]:
    """Random weights under the names of the published files, the same on every machine."""
    rng = np.random.default_rng(7)
    state: dict[str, Tensor] = {}

    def convolution(name: str, norm: str, *shape: int) -> None:
        weight = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        state[f"{name}.weight"] = torch.from_numpy(weight).float()
        for part, values in (
            ("weight", rng.uniform(0.8, 1.2, shape[0])),
            ("bias", rng.normal(size=shape[0]) * 0.1),
            ("running_mean", rng.normal(size=shape[0]) * 0.1),
            ("running_var", rng.uniform(0.5, 1.5, shape[0])),
        ):
            state[f"{norm}.{part}"] = torch.from_numpy(values).float()

    convolution("_conv_stem", "_bn0", 32, 3, 3, 3)
    inputs, block = 32, 0
    for stage in variant_stages(variant):
        for _ in range(stage.repeats):
            inside = inputs * stage.expansion
            name = f"_blocks.{block}"
            if stage.expansion > 1:
                convolution(f"{name}._expand_conv", f"{name}._bn0", inside, inputs, 1, 1)
            kernel = stage.kernel
            convolution(f"{name}._depthwise_conv", f"{name}._bn1", inside, 1, kernel, kernel)
            convolution(f"{name}._project_conv", f"{name}._bn2", stage.channels, inside, 1, 1)
            inputs, block = stage.channels, block + 1
    return state


def published_fastdepth(path: Path) -> onnxruntime.InferenceSession:
    """Write an ONNX file laid out as FastDepth's, with random weights.

    Args:
        path: The file.

    Returns:
        The network as ONNX Runtime runs it: 1 x 3 x 224 x 224 to 1 x 1 x 112 x 112.
    """
    rng = np.random.default_rng(2)
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    last = "0"

    def add(kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"n{len(nodes)}"
        nodes.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(values: npt.NDArray[np.float64]) -> str:
        name = f"w{len(tensors)}"
        tensors.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def convolution(module: nn.Conv2d, above: str, six: bool) -> str:
        size, kernel = module.weight.shape, module.kernel_size[0]
        scaled = rng.normal(size=size) * np.sqrt(2 / np.prod(size[1:]))
        found = add(
            "Conv", [above, weight(scaled)], group=module.groups, strides=list(module.stride),
            kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4,
        )  # fmt: skip
        count = size[0]
        norm = [rng.uniform(0.8, 1.2, count), *rng.normal(0, 0.1, (2, count)), np.ones(count)]
        found = add("BatchNormalization", [found, *map(weight, norm)], epsilon=1e-3)
        return add("Clip" if six else "Relu", [found, *(limits if six else [])])

    limits = [weight(np.array(0.0)), weight(np.array(6.0))]
    network = FastDepth()
    last = convolution(network.stem, last, True)
    given = []
    for block in network.blocks:
        assert isinstance(block, Separable)
        last = convolution(block.pointwise, convolution(block.depthwise, last, True), True)
        given.append(last)
    scales = weight(np.array([1.0, 1.0, 2.0, 2.0]))
    for number, stage in enumerate(network.decoder):
        assert isinstance(stage, Separable)
        last = convolution(stage.pointwise, convolution(stage.depthwise, last, False), False)
        if number < 4:
            last = add("Resize", [last, "", scales], mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric")  # fmt: skip
        if 1 <= number <= 3:
            last = add("Add", [last, given[{1: 4, 2: 2, 3: 0}[number]]])
    last = convolution(network.output, last, False)
    shape = [1, 1, 112, 112]
    graph = onnx.helper.make_graph(
        nodes, "fastdepth",
        [onnx.helper.make_tensor_value_info("0", onnx.TensorProto.FLOAT, [1, 3, 224, 224])],
        [onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, shape)], tensors,
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, path)
    return onnxruntime.InferenceSession(model.SerializeToString())
