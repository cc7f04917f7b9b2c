"""Points measured around one image, as files: .npz and .csv."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, reading
from depth_anything_ros.formats.extrinsics import extrinsics_of

POINT_SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True)
class PointFile:
    """What such a file holds: either `uvz` or `xyz`.

    Attributes:
        uvz: Nx3 float64, column and row in pixels (the first pixel's centre is 0, 0) and metres
            along the optical axis, or None.
        xyz: Nx3 float64 metres in the sensor's own frame, or None.
        extrinsics: 4x4 float64, sensor -> optical frame, where the file brings it along.
    """

    uvz: npt.NDArray[np.float64] | None = None
    xyz: npt.NDArray[np.float64] | None = None
    extrinsics: npt.NDArray[np.float64] | None = None


def read_points(path: Path) -> PointFile:
    """Read the measured points of one image; rows that are not finite are left out.

    Args:
        path: An .npz with arrays `u`, `v`, `z` or with `xyz` (Nx3) and optionally `extrinsics`
            (7 or 16 numbers), or a .csv with a header and columns `u,v,z` or `x,y,z`.

    Returns:
        The points.

    Raises:
        InputError: The file cannot be read or holds something else.
    """
    if path.suffix.lower() not in POINT_SUFFIXES:
        raise InputError(f"{path} is no points file; give a .npz or .csv")
    with reading(path, "points"):
        if path.suffix.lower() == ".csv":
            arrays = _csv_arrays(path)
        else:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
        if {"x", "y", "z"} <= set(arrays):
            arrays["xyz"] = _columns(arrays, "xyz")
        uvz = _columns(arrays, "uvz") if {"u", "v", "z"} <= set(arrays) else None
        xyz = _finite(arrays["xyz"]) if "xyz" in arrays else None
    if (uvz is None) == (xyz is None):
        raise InputError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; it must hold either u, v, z "
            "(pixels and metres) or xyz (metres)"
        )
    extrinsics = None
    if "extrinsics" in arrays:
        extrinsics = extrinsics_of(arrays["extrinsics"], f"{path}, extrinsics")
    return PointFile(uvz, xyz, extrinsics)


def _csv_arrays(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    header, *rows = path.read_text(encoding="utf-8-sig").splitlines() or [""]
    # Spreadsheets of countries with decimal commas separate columns by semicolons.
    separator = next((mark for mark in ";\t" if mark in header), ",")
    if separator != ",":
        rows = [row.replace(",", ".") for row in rows]
    names = [name.strip().lower() for name in header.split(separator)]
    table = np.loadtxt(rows, delimiter=separator, ndmin=2) if rows else np.zeros((0, len(names)))
    if table.shape[1] != len(names):
        raise ValueError(f"{len(names)} names stand above {table.shape[1]} columns")
    return dict(zip(names, table.T, strict=True))


def _columns(arrays: dict[str, npt.NDArray[np.float64]], names: str) -> npt.NDArray[np.float64]:
    return _finite(np.stack([np.ravel(arrays[name]) for name in names], axis=1))


def _finite(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"an array of shape {points.shape} is no list of points (N x 3)")
    return points[np.isfinite(points).all(axis=1)]
