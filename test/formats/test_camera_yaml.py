from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.camera_yaml import read_camera, write_camera
from depth_anything_ros.geometry.camera import Camera

CALIBRATION = """\
image_width: 640
image_height: 480
camera_name: head
camera_matrix:
  rows: 3
  cols: 3
  data: [518.5, 0, 325.25, 0, 519, 253.5, 0, 0, 1]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0.001, 0.002, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [500, 0, 320, 0, 0, 501, 240, 0, 0, 0, 1, 0]}
"""


def read(folder: Path, text: str) -> Camera:
    path = folder / "camera.yaml"
    path.write_text(text)
    return read_camera(path)


def test_a_calibration_is_read(tmp_path: Path) -> None:
    camera = read(tmp_path, CALIBRATION)
    assert (camera.width, camera.height) == (640, 480)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (518.5, 519.0, 325.25, 253.5)
    assert camera.distortion_model == "plumb_bob"
    assert camera.distortion == (0.1, -0.2, 0.001, 0.002, 0.0)
    np.testing.assert_array_equal(camera.p[0], [500, 0, 320, 0])


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", "equidistant", ""])
def test_written_calibrations_read_back(tmp_path: Path, model: str) -> None:
    length = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4, "": 0}[model]
    camera = Camera(
        640, 480, 500.1, 501.3, 1 / 3, 240.7, model, tuple(np.linspace(0.01, 0.1, length)),
        projection=(400.0, 0, 320, -12.5, 0, 400, 240, 0, 0, 0, 1, 0),
    )  # fmt: skip
    write_camera(tmp_path / "out.yaml", camera, "left")
    assert read_camera(tmp_path / "out.yaml") == camera
    assert "camera_name: left" in (tmp_path / "out.yaml").read_text()


def test_only_the_camera_matrix_is_needed(tmp_path: Path) -> None:
    text = CALIBRATION.split("distortion_model")[0]
    assert not read(tmp_path, text).is_distorted


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("image_width: 640", "image_width: wide", "image_width is 'wide'"),
        ("camera_matrix:", "camera_matrices:", "camera_matrix has no 'data'"),
        ("0, 0, 1]\ndist", "0, 0]\ndist", "camera_matrix has 8 numbers; it must have 9"),
        ("[0.1, -0.2", "[many, -0.2", "distortion_coefficients holds something"),
        ("[518.5", "[0.0", "K is zero"),
        ("plumb_bob", "barrel", "'barrel' is not known"),
        ("image_width", "\t", "cannot be read as a camera_info YAML"),
    ],
)
def test_bad_calibrations_name_file_and_entry(
    tmp_path: Path, old: str, new: str, text: str
) -> None:
    assert old in CALIBRATION
    with pytest.raises(InputError, match=text) as raised:
        read(tmp_path, CALIBRATION.replace(old, new))
    assert "camera.yaml" in str(raised.value)


def test_missing_file_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        read_camera(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="no entries"):
        read(tmp_path, "")


hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies


@hypothesis.given(
    model=st.sampled_from(
        [
            ("distortion_model: plumb_bob", "plumb_bob", 5),
            ("distortion_model: PLUMB_BOB", "plumb_bob", 4),
            ("", "plumb_bob", 5),
            ("camera_model: pinhole", "plumb_bob", 5),
            ("camera_model: fisheye", "equidistant", 4),
            ("distortion_model: fisheye", "equidistant", 4),
            ("distortion_model: rational_polynomial", "rational_polynomial", 8),
            ("distortion_model: rational_polynomial", "rational_polynomial", 5),
        ]
    ),
    size=st.sampled_from(["640", "640.0", "6.4e+2"]),
    nested=st.booleans(),
    bare=st.booleans(),
)
def test_calibrations_as_tools_write_them(
    tmp_path_factory: pytest.TempPathFactory,
    model: tuple[str, str, int],
    size: str,
    nested: bool,
    bare: bool,
) -> None:
    line, name, count = model
    d = [-0.2, 0.05, 0.001, 0.0, 0.01, 0.0, 0.0, 0.0][:count]
    k = [[400.0, 0.0, 320.0], [0.0, 400.0, 240.0], [0.0, 0.0, 1.0]]
    matrix = k if nested else [value for row in k for value in row]
    entry = f"{matrix}" if bare else f"{{rows: 3, cols: 3, data: {matrix}}}"
    text = (
        f"image_width: {size}\nimage_height: 480\ncamera_matrix: {entry}\n{line}\n"
        f"distortion_coefficients: {{rows: 1, cols: {count}, data: {d}}}\n"
    )
    path = tmp_path_factory.mktemp("camera") / "ost.yaml"
    path.write_text(text)
    camera = read_camera(path)
    assert (camera.width, camera.fx, camera.cx) == (640, 400.0, 320.0)
    assert (camera.distortion_model, camera.distortion) == (name, tuple(d))
