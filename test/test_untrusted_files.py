"""Files that would run code or reach other files do neither."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.errors import CheckpointError, InputError
from depth_anything_ros.formats.depth_files import read_depth
from depth_anything_ros.formats.point_files import read_points
from depth_anything_ros.network.checkpoints.read import read_checkpoint


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_the_payload_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pth", "raw.pth"])
def test_a_pickle_runs_nothing(tmp_path: Path, name: str) -> None:
    path, payload = tmp_path / name, Payload(tmp_path / "mark")
    if name == "a.npy":
        np.save(path, np.array([payload], object), allow_pickle=True)
        with pytest.raises(InputError, match=r"a\.npy cannot be read as depth.*allow_pickle"):
            read_depth(path)
    elif name == "a.npz":
        np.savez(path, xyz=np.array([[payload] * 3], object))
        with pytest.raises(InputError, match=r"a\.npz cannot be read as points.*allow_pickle"):
            read_points(path)
    else:
        torch = pytest.importorskip("torch")
        if name == "raw.pth":
            path.write_bytes(pickle.dumps({"a": payload}))
        else:
            torch.save({"a": payload}, path)
        with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
            read_checkpoint(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("place", ["beside.bin", "../outside.bin", "{absolute}", "link.bin"])
def test_a_graph_reads_weights_beside_it_only(tmp_path: Path, runtime: str, place: str) -> None:
    library, onnx = pytest.importorskip(runtime), pytest.importorskip("onnx")
    folder = tmp_path / "model"
    folder.mkdir()
    weights = np.arange(4, dtype=np.float32)
    for path in (folder / "beside.bin", tmp_path / "outside.bin"):
        weights.tofile(path)
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    tensor = onnx.TensorProto(
        name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL
    )
    location = place.format(absolute=tmp_path / "outside.bin")
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    ends = [onnx.helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
    node = onnx.helper.make_node("Add", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [tensor])
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    path = folder / "a.onnx"
    path.write_bytes(model.SerializeToString())
    zeros = np.zeros(4, np.float32)

    def run() -> np.ndarray:
        if runtime == "openvino":
            return np.asarray(library.Core().compile_model(str(path), "CPU")(zeros)[0])
        session = library.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"x": zeros})[0])

    if place == "beside.bin":
        np.testing.assert_array_equal(run(), weights)
    else:
        with pytest.raises(Exception, match=r"(?i)external data|plugin|core"):
            run()
