"""Quantised networks: kept where the depth stays right, refused with the figure elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("nncf")
pytest.importorskip("onnxscript")
pytest.importorskip("torch")
import openvino  # type: ignore[import-untyped]
from click.testing import CliRunner

from depth_anything_ros.cli.main import app
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.inference.accuracy_gate import difference
from depth_anything_ros.inference.backends.openvino.estimator import (
    OpenVinoEstimator,
    last_convolutions,
)
from depth_anything_ros.inference.backends.openvino.graphs import openvino_graph
from depth_anything_ros.inference.backends.openvino.int8 import LIMIT, quantise, quantised_graph
from depth_anything_ros.inference.estimator import DepthEstimator
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.network.checkpoints import ModelFile, resolve, save_network
from depth_anything_ros.network.families.depth_anything.network import DepthAnything
from depth_anything_ros.settings import ModelSettings


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache is left alone; within this module it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "depth_anything_ros"


@pytest.fixture(scope="module")
def model(
    small_network: Callable[..., DepthAnything], tmp_path_factory: pytest.TempPathFactory
) -> ModelFile:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_network(small_network(20.0), path, licence="MIT")
    return resolve(path)


@pytest.fixture(scope="module")
def pictures() -> list[RgbImage]:
    """Twelve smooth ones of two shapes."""
    rng = np.random.default_rng(5)
    return [
        np.asarray(cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size), np.uint8)
        for size in [(160, 120), (120, 120)] * 6
    ]


def values(estimator: DepthEstimator, images: list[RgbImage]) -> list[FloatImage]:
    return [estimator.estimate([image])[0].values for image in images]


def test_a_quantised_network_is_kept_and_runs(model: ModelFile, pictures: list[RgbImage]) -> None:
    with pytest.raises(SettingError, match=r"was not quantised .* export .*small.* --int8 FOLDER"):
        make_estimator(ModelSettings(str(model.path), precision="int8"))
    path, figure = quantise(model, pictures, limit=0.1)
    assert path == quantised_graph(model)
    chosen = make_estimator(ModelSettings(str(model.path), precision="int8", num_threads=1))
    assert (chosen.estimator.backend, chosen.estimator.precision) == ("openvino", "int8")
    assert (chosen.info.licence, chosen.info.max_depth) == ("MIT", 20.0)
    exact = OpenVinoEstimator(openvino_graph(model))
    held_out = pictures[::4]
    again = difference(values(chosen.estimator, held_out), values(exact, held_out), exact.kind)
    print(f"\nint8 differs by {100 * figure:.2f} %")
    assert again == pytest.approx(figure, rel=0.05)
    assert 1e-4 < figure < 0.1

    graph = openvino.Core().read_model(path)
    kinds = [node.get_type_name() for node in graph.get_ops()]
    assert kinds.count("FakeQuantize") > 20
    (last,) = last_convolutions(graph)
    node = next(node for node in graph.get_ops() if node.get_friendly_name() == last)
    assert node.input_value(0).get_node().get_type_name() != "FakeQuantize"
    whole = openvino_graph(model).with_suffix(".bin").stat().st_size
    assert path.with_suffix(".bin").stat().st_size < 0.5 * whole


def test_a_network_is_found_by_its_name_and_by_its_path(
    model: ModelFile, pictures: list[RgbImage], tmp_path: Path
) -> None:
    named = replace(model, name="embedded")
    with pytest.raises(SettingError, match=re.escape(f"export {model.path} --int8")):
        quantised_graph(named, tmp_path)
    graph, _ = quantise(model, pictures, limit=1.0, root=tmp_path)
    assert quantised_graph(named, tmp_path) == graph


def test_what_differs_too_much_is_refused_and_what_was_there_stays(
    model: ModelFile, pictures: list[RgbImage]
) -> None:
    kept, _ = quantise(model, pictures, limit=0.1)
    before = kept.with_suffix(".bin").stat().st_mtime_ns
    with pytest.raises(SettingError, match=r"differs from float32 by \d+\.\d % \(AbsRel on 3 held"):
        quantise(model, pictures, limit=1e-6)
    assert quantised_graph(model).with_suffix(".bin").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"7 picture\(s\) are too few"):
        quantise(model, pictures[:7])
    with pytest.raises(SettingError, match="is not quantised; use fp32 or bf16"):
        OpenVinoEstimator(openvino_graph(model), precision="int8")


@pytest.mark.data
@pytest.mark.slow
def test_fastdepth_stays_within_two_percent(data_dir: Path, tmp_path: Path) -> None:
    graph = data_dir / "fastdepth" / "fastdepth_7.onnx"
    indoors = ("nyu/rgb*.jpg", "tum_kinect/color/[234].png", "prior_da/*/rgb.*", "*/image.png")
    found = [path for pattern in indoors for path in sorted(data_dir.glob(pattern))]
    for number, path in enumerate([*found, data_dir / "middlebury" / "motorcycle_left.png"]):
        (tmp_path / f"{number}{path.suffix}").symlink_to(path)
    result = CliRunner().invoke(
        app, ["export", str(graph), "--int8", str(tmp_path)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 0, result.output
    print(f"\n{result.output}")
    assert "fastdepth_7 in int8 differs from float32 by" in result.output
    unseen = [read_image(data_dir / "tum_kinect" / "color" / "1.png")]
    ours = make_estimator(ModelSettings(str(graph), precision="int8", num_threads=1)).estimator
    exact = OpenVinoEstimator(graph)
    assert 0 < difference(values(ours, unseen), values(exact, unseen), exact.kind) <= LIMIT
