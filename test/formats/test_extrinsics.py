from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.extrinsics import extrinsics_of, read_extrinsics

QUARTER_TURN = np.array([[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], float)
"""A quarter turn about z, then a step of (1, 2, 3)."""


def test_every_way_to_write_a_transform(tmp_path: Path) -> None:
    numbers = [1, 2, 3, 0, 0, np.sqrt(0.5), np.sqrt(0.5)]
    np.testing.assert_allclose(extrinsics_of(numbers, "it"), QUARTER_TURN, atol=1e-12)
    np.testing.assert_allclose(read_extrinsics("1 2 3  0 0 5 5"), QUARTER_TURN, atol=1e-12)
    np.testing.assert_allclose(read_extrinsics("1,2, 3,0 ,0,-5,-5"), QUARTER_TURN, atol=1e-12)
    row_by_row = " ".join(map(str, QUARTER_TURN.ravel()))
    np.testing.assert_array_equal(read_extrinsics(row_by_row), QUARTER_TURN)
    path = tmp_path / "lidar.yaml"
    for text in ("[1, 2, 3, 0, 0, 5, 5]", f"extrinsics: {QUARTER_TURN.tolist()}"):
        path.write_text(text)
        np.testing.assert_allclose(read_extrinsics(str(path)), QUARTER_TURN, atol=1e-12)


def test_a_general_rotation_is_rodrigues() -> None:
    import cv2

    axis = np.array([0.48, -0.6, 0.64])
    for angle in (0.3, 1.7, 3.0):
        quaternion = [*(np.sin(angle / 2) * axis), np.cos(angle / 2)]
        found = extrinsics_of([0, 0, 0, *quaternion], "it")[:3, :3]
        np.testing.assert_allclose(found, cv2.Rodrigues(axis * angle)[0], atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "3 numbers are no transform"),
        ("1 2 3 0 0 0 0", "quaternion has no length"),
        ("nan 2 3 0 0 0 1", "numbers are no transform"),
        (" ".join(["1"] * 16), "no rotation"),
        ("1 0 0 0 0 1 0 0 0 0 -1 0 0 0 0 1", "no rotation"),
        ("nowhere.yaml", "'nowhere.yaml' cannot be read"),
    ],
)
def test_what_is_no_transform_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_extrinsics(text)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lidar.yaml"
    path.write_text("rotation: 1")
    with pytest.raises(InputError, match=r"lidar.yaml"):
        read_extrinsics(str(path))
    path.write_text("[a, b]")
    with pytest.raises(InputError, match=r"lidar.yaml.*write x y z qx"):
        read_extrinsics(str(path))
