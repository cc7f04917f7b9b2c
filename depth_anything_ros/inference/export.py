"""A network as an ONNX file that any size of image and batch can go through."""

from __future__ import annotations

import contextlib
import json
import logging
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.errors import SettingError, require
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.inference.onnx_spec import METADATA_KEY, OnnxSpec, write_yaml
from depth_anything_ros.network.depth_network import DepthNetwork
from depth_anything_ros.network.model_info import UNKNOWN_LICENCE
from depth_anything_ros.network.outputs import CONFIDENCE, DEPTH, SKY
from depth_anything_ros.network.sequence import SequenceNetwork

OPSET = 18
"""ONNX operator set of the file: read by ONNX Runtime >= 1.14, OpenVINO and TensorRT alike."""


_LARGEST = 2**31 - 2**24
"""Bytes of weights in one file: protobuf's limit, less the graph."""


def export_onnx(
    network: DepthNetwork,
    path: str | Path,
    input_size: int | None = None,
    licence: str = UNKNOWN_LICENCE,
    weights: Path | None = None,
) -> OnnxSpec:
    """Write a network as ONNX, with its spec inside and as YAML beside it.

    Batch, height and width stay free (multiples of the patch). The position table is interpolated
    inside the graph by the official rule, so every size is right, not only the one traced.

    Args:
        network: A float32 network on the CPU.
        path: File to write, ending in .onnx; the YAML gets the same stem.
        input_size: Side of the input the spec recommends, in pixels; None for the network's own.
        licence: SPDX name of the weights' licence, kept in the spec.
        weights: The .safetensors file the network was loaded from, in the folder of `path`: the
            graph then refers to the tensors in it and holds no copy of them.

    Returns:
        The spec written: image N x 3 x H x W normalised float32 -> depth N x H x W.

    Raises:
        SettingError: The path does not end in .onnx, `weights` is no .safetensors file of its
            folder, or the network is not float32 on the CPU, looks back at the images before or is
            too large for one file.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise SettingError(f"'{path}' must end in .onnx")
    if weights is not None and (
        weights.suffix != ".safetensors" or weights.resolve().parent != path.resolve().parent
    ):
        raise SettingError(
            f"a graph can refer to the weights of a .safetensors file in its own folder only, and "
            f"'{weights}' is none in the folder of '{path}'"
        )
    if isinstance(network, SequenceNetwork):
        raise SettingError(
            "the network looks back at the images before, which a graph of single images cannot; "
            "run it with backend torch"
        )
    weight = next(network.parameters())
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        raise SettingError(
            f"the network is {weight.dtype} on {weight.device}; export needs float32 on the CPU"
        )
    size = sum(each.numel() * each.element_size() for each in network.parameters())
    if size > _LARGEST:
        raise SettingError(
            f"the network has {size / 1e9:.1f} GB of weights, and an ONNX file holds at most 2 GB; "
            "run it with backend torch"
        )
    require("onnxscript", "onnx")
    onnx = require("onnx", "onnx")
    rule = network.preprocessing
    multiple = rule.multiple_of
    spec = OnnxSpec(
        kind=network.kind,
        input_size=rule.input_size if input_size is None else input_size,
        side=rule.side,
        multiple_of=multiple,
        scale=rule.scale,
        mean=rule.mean,
        std=rule.std,
        interpolation=rule.interpolation,
        max_depth=network.max_depth,
        input_name="image",
        align_corners=network.align_corners,
        guided_enlargement=network.guided_enlargement,
        output_name=DEPTH,
        sky_name=SKY if SKY in network.outputs else None,
        confidence_name=CONFIDENCE if CONFIDENCE in network.outputs else None,
        canonical_focal=network.canonical_focal,
        licence=licence,
    )
    rows, cols = torch.export.Dim("rows", min=2, max=300), torch.export.Dim("cols", min=2, max=300)
    batch = torch.export.Dim("batch", max=64)
    shapes = {"image": {0: batch, 2: multiple * rows, 3: multiple * cols}}
    # Odd, unequal sizes, so that nothing in the graph can mistake one for another or for 37.
    example = torch.zeros(2, 3, 5 * multiple, 7 * multiple)
    with torch.no_grad(), _quiet_exporter():
        program = torch.onnx.export(
            _NamedOutputs(network).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=list(network.outputs),
            dynamic_shapes=shapes,
            verbose=False,
            # Batch normalisation folded into weights would be none of the file's; runtimes fold it.
            optimize=weights is None,
        )
    assert program is not None  # what dynamo=True returns
    model = program.model_proto
    _forget_source(model.graph)
    if weights is not None:
        _refer_to(weights, model)
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(spec.as_dict())})
    write_whole(path, model.SerializeToString())
    write_yaml(spec, path.with_suffix(".yaml"))
    return spec


def _forget_source(graph: Any) -> None:
    """Take out what the exporter notes of the code each node comes from, paths of it included."""
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("metadata_props")


_STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


def _refer_to(weights: Path, model: Any) -> None:
    """Let a graph take its initial values from a .safetensors file, as external data of ONNX.

    The file is the length of its header (8 bytes, little-endian), the header (JSON: type, shape and
    place of each tensor) and the tensors one after the other.

    Args:
        weights: The file that the network was loaded from.
        model: ONNX's ModelProto of it, not optimised; changed.
    """
    onnx = require("onnx", "onnx")
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    types = {
        torch.float16: onnx.TensorProto.FLOAT16,
        torch.bfloat16: onnx.TensorProto.BFLOAT16,
        torch.float32: onnx.TensorProto.FLOAT,
    }
    casts = []
    for tensor in model.graph.initializer:
        entry = header.get(tensor.name.removeprefix("network."))
        if entry is None or entry["shape"] != list(tensor.dims) or entry["dtype"] not in _STORED:
            continue
        begin, end = entry["data_offsets"]
        stored = _STORED[entry["dtype"]]
        kept = torch.frombuffer(
            bytearray(_part(weights, 8 + length + begin, end - begin)), dtype=stored
        )
        own = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()).flatten()
        if not torch.equal(kept.float(), own):
            continue  # what loading has changed is the graph's own
        name = tensor.name
        if stored != torch.float32:
            tensor.name = f"{name}.stored"
            casts.append(
                onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
            )
        tensor.data_type = types[stored]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = {"location": weights.name, "offset": 8 + length + begin, "length": end - begin}
        tensor.external_data.extend(
            onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items()
        )
    for number, cast in enumerate(casts):  # before whatever uses them
        model.graph.node.insert(number, cast)


def _part(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


class _NamedOutputs(nn.Module):
    """A network whose forward gives every output, as a graph must."""

    def __init__(self, network: DepthNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.named_outputs(image).values())


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what users cannot act on: deprecations inside, torchvision not installed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
