from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.ply import write_ply


def test_points_and_colours_are_laid_out_as_the_header_says(tmp_path: Path) -> None:
    xyz = np.array([[1, 2, 3], [-4.5, 0.25, 1e3]], np.float32)
    rgb = np.array([[255, 0, 7], [1, 2, 3]], np.uint8)
    write_ply(tmp_path / "c.ply", xyz, rgb)
    header, body = (tmp_path / "c.ply").read_bytes().split(b"end_header\n")
    lines = header.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    assert "element vertex 2" in lines
    assert [line.split()[1:] for line in lines if line.startswith("property")] == [
        ["float", "x"], ["float", "y"], ["float", "z"],
        ["uchar", "red"], ["uchar", "green"], ["uchar", "blue"],
    ]  # fmt: skip
    assert len(body) == 2 * 15
    for point in range(2):
        row = body[15 * point : 15 * point + 15]
        np.testing.assert_array_equal(np.frombuffer(row[:12], "<f4"), xyz[point])
        assert list(row[12:]) == list(rgb[point])


def test_points_alone_and_no_points(tmp_path: Path) -> None:
    write_ply(tmp_path / "c.ply", np.ones((3, 3)))
    header, body = (tmp_path / "c.ply").read_bytes().split(b"end_header\n")
    assert b"red" not in header
    np.testing.assert_array_equal(np.frombuffer(body, "<f4"), np.ones(9))
    write_ply(tmp_path / "empty.ply", np.empty((0, 3)))
    assert (tmp_path / "empty.ply").read_bytes().endswith(b"end_header\n")


def test_a_colour_for_every_point(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 points cannot have 2 colours"):
        write_ply(tmp_path / "c.ply", np.ones((3, 3)), np.zeros((2, 3), np.uint8))
