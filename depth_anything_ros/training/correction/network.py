"""The network that learns the correction, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_anything_ros.errors import require
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.metric.correction import EVIDENCE, LARGEST

_SQUARE = 2  # nodes of a square along a side


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.b(functional.relu(self.a(x))))


class CorrectionNetwork(nn.Module):
    """A U-Net over squares of two by two nodes.

    Args:
        channels: Features at half, quarter and eighth of the resolution.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.stem = nn.Conv2d(len(EVIDENCE) * _SQUARE**2, fine, 3, padding=1)
        self.fine = _Block(fine)
        self.down = nn.Conv2d(fine, middle, 3, 2, 1)
        self.middle = _Block(middle)
        self.down_again = nn.Conv2d(middle, coarse, 3, 2, 1)
        self.coarse = _Block(coarse)
        self.up = nn.Conv2d(coarse, middle, 1)
        self.middle_again = _Block(middle)
        self.up_again = nn.Conv2d(middle, fine, 1)
        self.fine_again = _Block(fine)
        self.answer = nn.Conv2d(fine, _SQUARE**2, 1)
        nn.init.zeros_(self.answer.weight)  # it starts by leaving everything as it is
        assert self.answer.bias is not None
        nn.init.zeros_(self.answer.bias)

    def forward(self, squares: Tensor) -> Tensor:
        """What OpenCV runs: Bx4CxHxW squares of evidence to the Bx4xHxW squares of answers."""
        fine = self.fine(functional.relu(self.stem(squares)))
        middle = self.middle(functional.relu(self.down(fine)))
        coarse = self.coarse(functional.relu(self.down_again(middle)))
        middle = self.middle_again(functional.relu(middle + _twice(self.up(coarse))))
        fine = self.fine_again(functional.relu(fine + _twice(self.up_again(middle))))
        return torch.as_tensor(self.answer(fine))

    def logarithm(self, seen: Tensor) -> Tensor:
        """Logarithm of the factor at every node.

        Args:
            seen: BxCxHxW, both sides multiples of `metric.correction.SIDE`.

        Returns:
            BxHxW float32.
        """
        answer = self(functional.pixel_unshuffle(seen, _SQUARE))
        return LARGEST * torch.tanh(functional.pixel_shuffle(answer, _SQUARE)[:, 0].float())


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def write_onnx(network: CorrectionNetwork, path: Path) -> None:
    """Write the network for OpenCV, from version 4.5.4 on (`metric.correction` reads it).

    Args:
        network: It.
        path: The ONNX file.

    Raises:
        MissingExtraError: onnx is not installed (extra "onnx").
    """
    onnx = require("onnx", "onnx")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    nodes: list[Any] = []
    weights: list[Any] = []
    modules = dict(network.named_modules())

    def add(kind: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def convolution(x: str, name: str) -> str:
        module = modules[name]
        assert isinstance(module, nn.Conv2d)
        for part in ("weight", "bias"):
            value = getattr(module, part).detach().float().cpu().numpy()
            weights.append(array(value, f"{name}.{part}"))
        size, stride = module.kernel_size[0], module.stride[0]
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        sides = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4}
        return add("Conv", inputs, **sides)

    def block(x: str, name: str) -> str:
        inner = convolution(add("Relu", [convolution(x, f"{name}.a")]), f"{name}.b")
        return add("Relu", [add("Add", [x, inner])])

    def twice(x: str) -> str:
        way = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
        return add("Resize", [x, "", "twice"], **way)

    weights.append(array(torch.tensor([1.0, 1.0, 2.0, 2.0]).numpy(), "twice"))
    fine = block(add("Relu", [convolution("evidence", "stem")]), "fine")
    middle = block(add("Relu", [convolution(fine, "down")]), "middle")
    coarse = block(add("Relu", [convolution(middle, "down_again")]), "coarse")
    sums = add("Add", [middle, twice(convolution(coarse, "up"))])
    middle = block(add("Relu", [sums]), "middle_again")
    sums = add("Add", [fine, twice(convolution(middle, "up_again"))])
    answer = convolution(block(add("Relu", [sums]), "fine_again"), "answer")
    tensor, real = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    channels = len(EVIDENCE) * _SQUARE**2
    graph = helper.make_graph(
        nodes,
        "correction",
        [tensor("evidence", real, [1, channels, "rows", "columns"])],
        [tensor(answer, real, [1, _SQUARE**2, "rows", "columns"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model)
    with whole_file(path) as part:
        part.write_bytes(model.SerializeToString())
