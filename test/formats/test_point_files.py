from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.point_files import read_points


def test_pixels_with_depth_from_both_formats(tmp_path: Path) -> None:
    uvz = np.array([[3.0, 4.0, 1.5], [5.5, 6.0, 2.5], [7.0, 8.0, np.nan]])
    u, v, z = uvz.T
    np.savez(tmp_path / "a.npz", u=u.astype(np.float32), v=v.astype(np.float32), z=z)
    (tmp_path / "a.csv").write_text("z, U, V\n1.5, 3, 4\n2.5, 5.5, 6\nnan, 7, 8\n")
    for name in ("a.npz", "a.csv"):
        found = read_points(tmp_path / name)
        assert found.uvz is not None and found.uvz.dtype == np.float64
        np.testing.assert_array_equal(found.uvz, uvz[:2])
        assert found.xyz is None and found.extrinsics is None


def test_points_in_space_from_both_formats(tmp_path: Path) -> None:
    xyz = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [np.inf, 0.0, 0.0]])
    np.savez(tmp_path / "a.npz", xyz=xyz.astype(np.float32), extrinsics=[1, 2, 3, 0, 0, 0, 1])
    (tmp_path / "a.csv").write_text("x,y,z\n1,2,3\n4,5,6\n")
    for name in ("a.npz", "a.csv"):
        found = read_points(tmp_path / name)
        assert found.uvz is None
        np.testing.assert_array_equal(found.xyz, xyz[:2])
    extrinsics = read_points(tmp_path / "a.npz").extrinsics
    assert extrinsics is not None
    np.testing.assert_array_equal(extrinsics[:3, 3], (1, 2, 3))


def test_one_point_and_none_are_points(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("u,v,z\n1,2,3\n")
    np.testing.assert_array_equal(read_points(tmp_path / "a.csv").uvz, [[1, 2, 3]])
    (tmp_path / "a.csv").write_text("u,v,z\n")
    none = read_points(tmp_path / "a.csv").uvz
    assert none is not None and none.shape == (0, 3)


def test_the_real_samples_are_read(data_dir: Path) -> None:
    found = read_points(data_dir / "marigold_dc" / "sparse_100.npz").uvz
    assert found is not None and found.shape == (100, 3)
    truth = np.load(data_dir / "marigold_dc" / "depth.npz")["gt"]
    u, v = found[:, :2].astype(int).T
    np.testing.assert_allclose(truth[v, u], found[:, 2])


def test_what_is_no_points_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for arrays, message in (
        ({"u": np.zeros(3), "v": np.zeros(3)}, "holds u, v; it must hold either u, v, z"),
        ({"xyz": np.zeros((3, 2))}, r"shape \(3, 2\) is no list of points"),
        ({"u": np.zeros(3), "v": np.zeros(2), "z": np.zeros(3)}, "a.npz cannot be read as points"),
        ({"xyz": np.zeros((3, 3)), "extrinsics": np.eye(3)}, "a.npz, extrinsics: 9 numbers"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=message):
            read_points(path)
    path.write_bytes(b"broken")
    with pytest.raises(InputError, match=r"a\.npz cannot be read as points"):
        read_points(path)
    with pytest.raises(InputError, match=r"a.ply is no points file"):
        read_points(tmp_path / "a.ply")
    with pytest.raises(InputError, match=r"gone.csv cannot be read"):
        read_points(tmp_path / "gone.csv")
    table = tmp_path / "a.csv"
    for text in ("", "1,2,3\n4,5,6\n", "u,v,z\n1,2\n", "u,v,z\n1,2,far\n"):
        table.write_text(text)
        with pytest.raises(InputError, match=r"a\.csv"):
            read_points(table)


hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies


@hypothesis.given(
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    space=st.sampled_from(["", " "]),
    upper=st.booleans(),
    separator=st.sampled_from([",", ";", "\t"]),
)
def test_csv_as_spreadsheets_save_it(
    tmp_path_factory: pytest.TempPathFactory,
    mark: str,
    end: str,
    last: bool,
    space: str,
    upper: bool,
    separator: str,
) -> None:
    header = f"u,{space}v,{space}z"
    lines = [header.upper() if upper else header, f"10,{space}20,1.5", "30,40,2.5"]
    if separator != ",":
        lines = [line.replace(",", separator).replace(".", ",") for line in lines]
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_bytes((mark + end.join(lines) + end * last).encode())
    points = read_points(path)
    np.testing.assert_array_equal(points.uvz, [[10, 20, 1.5], [30, 40, 2.5]])
