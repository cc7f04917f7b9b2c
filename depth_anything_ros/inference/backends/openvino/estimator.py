"""Any depth network as an ONNX or OpenVINO file, on OpenVINO: the fastest on CPUs."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import CheckpointError, SettingError
from depth_anything_ros.inference.backends.openvino.core import openvino_core
from depth_anything_ros.inference.graph_estimator import GraphEstimator
from depth_anything_ros.inference.onnx_spec import OnnxSpec, resized_spec, spec_of

PRECISIONS = ("fp32", "bf16", "int8")

_KEPT_SIZES = 2  # every compiled size holds the weights once more


class OpenVinoEstimator(GraphEstimator):
    """A DepthEstimator on OpenVINO, on the CPU.

    The graph is compiled for each input size it meets, which takes about a second: `warm_up`.
    Predictions are arrays of their own that the caller may keep and change. One instance serves
    one thread at a time.

    Args:
        path: An .onnx file, or an .xml file with its .bin beside it.
        spec: How to feed it and read it; None for what stands beside or in the file.
        precision: "fp32", "bf16", or "int8" for a quantised graph. Never left to OpenVINO, which
            would take bf16 by itself.
        input_size: Shorter side of the input in pixels; None for the spec's.
        num_threads: Threads of one forward pass; 0 for OpenVINO's own choice.

    Attributes:
        spec: How the network is fed and read.
        precision: As given.

    Raises:
        CheckpointError: The file is missing or damaged, or its spec is missing or invalid.
        SettingError: A setting does not fit the network or this machine.
        MissingExtraError: openvino is not installed.
    """

    backend = "openvino"
    device = "cpu"

    def __init__(
        self,
        path: str | Path,
        spec: OnnxSpec | None = None,
        precision: str = "fp32",
        input_size: int | None = None,
        num_threads: int = 0,
    ) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise CheckpointError(
                f"model file '{self._path}' does not exist; check parameter `model`"
            )
        if num_threads < 0:
            raise SettingError(f"num_threads is {num_threads}; it must be 0 (automatic) or more")
        if precision not in PRECISIONS:
            raise SettingError(
                f"precision is '{precision}'; OpenVINO here runs {' or '.join(PRECISIONS)}"
            )
        self._core = openvino_core()
        bf16 = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bf16" and not bf16:
            raise SettingError(
                "precision is 'bf16' but this CPU has no bf16 arithmetic; use fp32 or auto"
            )
        self.precision = precision
        self._properties = {
            # What an 8-bit graph has left in floating point takes the faster of the two.
            "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" or not bf16 else "bf16",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads,
            # Pinned, two processes share the first cores and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        spec = resized_spec(spec or spec_of(self._path), input_size)
        graph = self._read()
        types = {node.get_type_name() for node in graph.get_ops()}
        if precision == "int8" and "FakeQuantize" not in types:
            raise SettingError(
                f"precision is 'int8' but '{self._path}' is not quantised; use fp32 or bf16"
            )
        inputs = [sorted(port.get_names()) for port in graph.inputs]
        outputs = [sorted(port.get_names()) for port in graph.outputs]
        self._input = _port(spec.input_name, inputs, self._path)
        first = outputs[0][0] if outputs[0] else ""
        self._outputs = [
            _port(name or None, outputs, self._path) for name in spec.tensors(first).values()
        ]
        batch = graph.inputs[self._input].get_partial_shape()[0]
        super().__init__(spec, batch.get_length() if batch.is_static else None)
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def _run(self, pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[np.floating]]:
        """One forward pass; see `GraphEstimator`."""
        if pixels.shape not in self._requests:
            if len(self._requests) >= _KEPT_SIZES:
                self._requests.popitem(last=False)
            self._requests[pixels.shape] = self._compile(pixels.shape)
        self._requests.move_to_end(pixels.shape)
        request = self._requests[pixels.shape]
        answers = request.infer({self._input: pixels}, share_inputs=True, share_outputs=True)
        return [np.asarray(answers[output]) for output in self._outputs]

    def _read(self) -> Any:
        try:
            return self._core.read_model(self._path)
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise CheckpointError(
                f"'{self._path}' cannot be loaded by OpenVINO: {last}; get the file again, or "
                "update openvino if it was made by a newer version"
            ) from error

    def _compile(self, shape: tuple[int, ...]) -> Any:
        """The graph for one input shape, ready to be run."""
        graph = self._read()
        graph.reshape({graph.inputs[self._input]: list(shape)})
        return self._core.compile_model(graph, "CPU", self._properties).create_infer_request()


def last_convolutions(graph: Any) -> list[str]:
    """Names of the convolutions that nothing but point-wise operations follows to the output.

    Args:
        graph: An `openvino.Model`.
    """
    found: dict[str, None] = {}
    seen = set()
    ahead = [result.input_value(0).get_node() for result in graph.get_results()]
    while ahead:
        node = ahead.pop()
        name = node.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        if node.get_type_name() == "Convolution":
            found[name] = None
        else:
            ahead += [port.get_node() for port in node.input_values()]
    return list(found)


def _port(wanted: str | None, ports: list[list[str]], path: Path) -> int:
    """Index of the port of a name; the first one without a name."""
    if wanted is None:
        return 0
    for index, names in enumerate(ports):
        if wanted in names:
            return index
    have = ", ".join(name for names in ports for name in names)
    raise CheckpointError(f"'{path}' has no tensor '{wanted}'; it has {have}")
