from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.point_cloud2 import hits, read_xyz

XYZ_F4 = [("x", 0, 7), ("y", 4, 7), ("z", 8, 7)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("datatype", "code"),
    [(1, "i1"), (2, "u1"), (3, "i2"), (4, "u2"), (5, "i4"), (6, "u4"), (7, "f4"), (8, "f8")],
)
def test_any_datatype_offset_and_order(datatype: int, code: str, order: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 100, (3, 5, 3))
    point = np.dtype(
        {
            "names": ["z", "x", "y"],
            "formats": [order + code] * 3,
            "offsets": [1, 12, 21],
            "itemsize": 33,
        }
    )
    rows = np.zeros((3, 5), point)
    for axis, name in enumerate("xyz"):
        rows[name] = values[..., axis]
    padded = np.pad(rows.view(np.uint8).reshape(3, -1), ((0, 0), (0, 11)), constant_values=0xFF)
    fields = [("intensity", 29, 7), ("z", 1, datatype), ("x", 12, datatype), ("y", 21, datatype)]
    xyz = read_xyz(padded.tobytes(), fields, 5, 3, 33, 176, is_bigendian=order == ">")
    np.testing.assert_array_equal(xyz, values.reshape(-1, 3))


def test_unordered_cloud_keeps_nan_and_ignores_row_step() -> None:
    points = np.array([[1, 2, 3], [np.nan] * 3], np.float32)
    xyz = read_xyz(points.tobytes(), XYZ_F4, 2, 1, 12, 0)
    np.testing.assert_array_equal(xyz, points)


def test_empty_cloud() -> None:
    assert read_xyz(b"", XYZ_F4, 0, 1, 12, 0).shape == (0, 3)


def test_contradictions_are_refused() -> None:
    with pytest.raises(InputError, match=r"no field z \(fields: x, y\)"):
        read_xyz(bytes(24), XYZ_F4[:2], 2, 1, 12, 24)
    with pytest.raises(InputError, match="has 23 bytes, but 2x1 points need 24"):
        read_xyz(bytes(23), XYZ_F4, 2, 1, 12, 24)
    with pytest.raises(InputError, match="row_step is 20"):
        read_xyz(bytes(60), XYZ_F4, 2, 2, 12, 20)
    with pytest.raises(InputError, match="z ends at byte 12, beyond point_step 8"):
        read_xyz(bytes(48), XYZ_F4, 2, 1, 8, 16)
    with pytest.raises(InputError, match="datatype 9"):
        read_xyz(bytes(48), [*XYZ_F4[:2], ("z", 8, 9)], 2, 1, 12, 24)


def test_beams_without_return_are_no_points() -> None:
    points = np.array(
        [[0, 0, 0], [1, 2, 3], [np.nan] * 3, [np.inf, 0, 0], [1e-4, 0, -1e-4], [0, 0, 0.05]]
    )
    np.testing.assert_array_equal(hits(points), [[1, 2, 3], [0, 0, 0.05]])


hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies


@hypothesis.given(
    height=st.integers(1, 5),
    width=st.integers(1, 6),
    padding=st.integers(0, 9),
    row_step=st.sampled_from(["right", "zero", "whole"]),
    big=st.booleans(),
    double=st.booleans(),
    order=st.permutations("xyz"),
)
def test_every_layout_of_a_cloud_is_read(
    height: int, width: int, padding: int, row_step: str, big: bool, double: bool, order: list[str]
) -> None:
    number = np.dtype((">" if big else "<") + ("f8" if double else "f4"))
    step = 3 * number.itemsize + padding
    expected = np.arange(height * width * 3, dtype=number).reshape(-1, 3)
    data = np.zeros((height * width, step), np.uint8)
    for place, name in enumerate(order):
        column = np.ascontiguousarray(expected[:, "xyz".index(name)])
        start = place * number.itemsize
        data[:, start : start + number.itemsize] = column.view(np.uint8).reshape(len(column), -1)
    fields = [
        (name, place * number.itemsize, 8 if double else 7) for place, name in enumerate(order)
    ]
    steps = {"right": width * step, "zero": 0, "whole": height * width * step}
    found = read_xyz(data.tobytes(), fields, width, height, step, steps[row_step], big)
    np.testing.assert_array_equal(found, expected)


@hypothesis.given(
    fields=st.lists(st.sampled_from(["x", "y", "z", "intensity"]), unique=True),
    size=st.sampled_from([(0, 0), (0, 1), (4, 0)]),
    step=st.integers(0, 16),
)
def test_a_cloud_of_no_points_is_empty_whatever_its_fields(
    fields: list[str], size: tuple[int, int], step: int
) -> None:
    described = [(name, 4 * place, 7) for place, name in enumerate(fields)]
    assert read_xyz(b"", described, *size, step, 0).shape == (0, 3)
