"""Files that are damaged at random are read, or refused in one sentence that names them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_bag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depth_anything_ros.errors import DepthAnythingError
from depth_anything_ros.evaluation.pairs import read_pairs
from depth_anything_ros.evaluation.vote import Ballot, Question
from depth_anything_ros.formats.camera_yaml import read_camera, write_camera
from depth_anything_ros.formats.depth_files import read_depth, write_npy
from depth_anything_ros.formats.depth_index import DepthSample, read_index, write_index
from depth_anything_ros.formats.extrinsics import read_extrinsics
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.formats.picture_folder import PictureFolder
from depth_anything_ros.formats.point_files import read_points
from depth_anything_ros.formats.recording import Recording, Topics
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.frames import PredictionKind
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.inference.onnx_spec import TEMPLATE, spec_of
from depth_anything_ros.metric.scale_file import SavedScale, load_scale, save_scale
from depth_anything_ros.network.checkpoints.read import read_checkpoint
from depth_anything_ros.training.pseudo_labels import PseudoLabels, write_labels
from depth_anything_ros.training.recipe import Recipe
from depth_anything_ros.training.recipe_file import read_recipe

RGB = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)


def _sample(folder: Path) -> None:
    write_image(folder / "a.png", RGB)
    write_npy(folder / "a.npy", np.ones((8, 12), np.float32))


def _index(path: Path) -> None:
    _sample(path.parent)
    write_index(
        path, [DepthSample(path.parent / "a.png", path.parent / "a.npy", 2.0, (1, 2, 3, 4))]
    )


def _pairs(path: Path) -> None:
    _ballot(path.parent / "ballot.json")
    (path.parent / "annotations.json").rename(path)


def _ballot(path: Path) -> None:
    question = Question((1, 2), (3, 4), ["point1"] * 4, "point1")
    Ballot(path.parent, list("abcd"), path.parent, {"a.png": [question]}).save()


def _read_ballot(path: Path) -> None:
    Ballot.load(path.parent)


def _labels(path: Path) -> None:
    (path.parent / "pictures").mkdir(exist_ok=True)
    _sample(path.parent / "pictures")
    pictures = PictureFolder(str(path.parent / "pictures"))
    label = [np.arange(96, dtype=np.float32).reshape(8, 12)]
    write_labels(pictures, ResultFolder(str(path.parent)), lambda images: label, 1, 1)


def _read_labels(path: Path) -> None:
    PseudoLabels(path.parent / "pictures", path.parent).sample(0)


def _safetensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.ones(3)}, path, {"family": "lite"})


def _pth(path: Path) -> None:
    import torch

    torch.save({"a": torch.ones(3)}, path)


def _bag(storage: str, path: Path) -> None:
    folder = path.parent / "bag"
    shutil.rmtree(folder, ignore_errors=True)
    recorded = [small_bag.image("/image", 0), small_bag.info("/camera_info", 0)]
    small_bag.write_bag(folder, recorded, storage)
    next(each for each in folder.iterdir() if each.suffix == path.suffix).replace(path)


def _read_bag(path: Path) -> None:
    with Recording(path, Topics()) as recording:
        list(recording.frames())


FILES: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "a.png": (lambda path: write_image(path, RGB), read_image),
    "a.jpg": (lambda path: write_image(path, RGB), read_image),
    "a.tif": (lambda path: write_image(path, RGB), read_image),
    "a.bmp": (lambda path: write_image(path, RGB), read_image),
    "a.exr": (lambda path: path.write_bytes(b"v/1\x01\x02\x00\x00\x00channels"), read_image),
    "a.hdr": (lambda path: cv2.imwrite(str(path), RGB.astype(np.float32)), read_image),
    "depth.npy": (lambda path: write_npy(path, np.ones((4, 6), np.float32)), read_depth),
    "depth.png": (lambda path: cv2.imwrite(str(path), np.ones((4, 6), np.uint16)), read_depth),
    "points.npz": (lambda path: np.savez_compressed(path, xyz=np.ones((3, 3))), read_points),
    "points.csv": (lambda path: path.write_text("u,v,z\n1,2,3\n4,5,6\n"), read_points),
    "camera.yaml": (partial(write_camera, camera=Camera(8, 6, 5, 5, 3, 2)), read_camera),
    "scale.yaml": (partial(save_scale, SavedScale(PredictionKind.METRIC_DEPTH, 2.0)), load_scale),
    "extrinsics.yaml": (
        lambda path: path.write_text("extrinsics: [0, 0, 0, 0, 0, 0, 1]"),
        lambda path: read_extrinsics(str(path)),
    ),
    "index.csv": (_index, read_index),
    "recipe.yaml": (
        lambda path: path.write_text("output: out\nsteps: 3\nnetwork: {encoder: vits}\n"),
        lambda path: read_recipe(path, Recipe),
    ),
    "network.yaml": (
        lambda path: path.write_text(TEMPLATE),
        lambda path: spec_of(path.with_suffix(".onnx")),
    ),
    "network.onnx": (lambda path: path.write_bytes(b"\x08\x07\x12\x04test"), spec_of),
    "ballot.json": (_ballot, _read_ballot),
    "pairs.json": (_pairs, read_pairs),
    "shard-000000.zip": (_labels, _read_labels),
    "a.safetensors": (_safetensors, read_checkpoint),
    "a.pth": (_pth, read_checkpoint),
    "a.mcap": (partial(_bag, "MCAP"), _read_bag),
    "a.db3": (partial(_bag, "SQLITE3"), _read_bag),
}
"""What writes and what reads a kind of file."""

DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(
        st.just("bytes"), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=9)
    ),
    st.tuples(st.just("insert"), st.tuples(st.floats(0, 1), st.binary(max_size=40))),
    st.tuples(st.just("repeat"), st.floats(0, 1)),
    st.tuples(st.just("other"), st.binary(max_size=60)),
    st.tuples(
        st.just("text"),
        st.text(st.sampled_from(list("[]{}:,-&*!?|>'\"\n #%@`~0123456789.eEaxu_/é")), max_size=60),
    ),
    st.tuples(
        st.just("value"),
        st.sampled_from(
            ["9" * 5000, "[" * 4000, "2001-99-99", "!!python/object:os.system x", "!!timestamp x",
             "!!bool x", ".nan", "null", "-0x1", "1e999", "{a: &a [*a]}"]
        ),
    ),
)  # fmt: skip


def damaged(content: bytes, how: str, value: Any) -> bytes:
    """The bytes of a file after some damage."""
    if how == "cut":
        return content[: round(value * len(content))]
    if how == "bytes":
        changed = bytearray(content)
        for place, byte in value:
            if changed:
                changed[min(round(place * len(changed)), len(changed) - 1)] = byte
        return bytes(changed)
    if how == "insert":
        place = round(value[0] * len(content))
        return content[:place] + value[1] + content[place:]
    if how == "repeat":
        return content[round(value * len(content)) :] + content
    if how == "other":
        return bytes(value)
    if how == "text":
        return str(value).encode()
    # A value of YAML or CSV in place of one that was there.
    lines = content.split(b": ")
    return b": ".join([*lines[:-1], str(value).encode()])


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_refused_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("files")
    path = folder / name
    write, read = FILES[name]
    write(path)
    whole = path.read_bytes()

    @settings(suppress_health_check=list(HealthCheck))
    @given(DAMAGE)
    def check(damage: tuple[str, Any]) -> None:
        path.write_bytes(damaged(whole, *damage))
        before = sorted(each.name for each in folder.iterdir())
        try:
            read(path)
        except DepthAnythingError as error:
            said = str(error)
            assert name in said or path.stem in said
            assert len(said) < 20_000
        assert sorted(each.name for each in folder.iterdir()) == before

    check()


def test_whole_files_are_read(tmp_path: Path) -> None:
    """Else the damage would tell nothing."""
    for name, (write, read) in FILES.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        write(folder / name)
        if name not in ("a.exr", "network.onnx", "recipe.yaml", "network.yaml"):
            read(folder / name)
