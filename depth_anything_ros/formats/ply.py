"""Point clouds as PLY files, which MeshLab, CloudCompare, Open3D and PCL open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError

PLY_FRAMES = {
    "optical": ("x right, y down, z forward", np.eye(3)),
    "ros": ("x forward, y left, z up", np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "gl": ("x right, y up, z backward", np.diag([1, -1, -1])),
}
"""Axes by name: their meaning, and the rotation from the optical frame (REP-103)."""


def write_ply(
    path: Path,
    xyz: npt.NDArray[np.floating],
    rgb: npt.NDArray[np.uint8] | None = None,
    frame: str = "optical",
) -> None:
    """Write a binary little-endian PLY (Stanford, format 1.0).

    Args:
        path: The file to write.
        xyz: Nx3 coordinates in metres in the optical frame; stored as float32.
        rgb: Nx3 uint8 RGB colours, or None.
        frame: Axes of the file, one of `PLY_FRAMES`.

    Raises:
        InputError: The number of colours is not that of the points.
        SettingError: The axes are unknown.
    """
    if frame not in PLY_FRAMES:
        raise SettingError(f"the PLY's frame is '{frame}'; use one of {', '.join(PLY_FRAMES)}")
    meaning, turn = PLY_FRAMES[frame]
    if frame != "optical":
        xyz = xyz @ turn.T
    if rgb is not None and len(rgb) != len(xyz):
        raise InputError(f"a cloud of {len(xyz)} points cannot have {len(rgb)} colours")
    names = ["x", "y", "z"]
    types = ["<f4"] * 3
    if rgb is not None:
        names += ["red", "green", "blue"]
        types += ["u1"] * 3
    vertices = np.empty(len(xyz), np.dtype(list(zip(names, types, strict=True))))
    for axis in range(3):
        vertices[names[axis]] = xyz[:, axis]
        if rgb is not None:
            vertices[names[3 + axis]] = rgb[:, axis]
    words = {"<f4": "float", "u1": "uchar"}
    properties = [f"property {words[kind]} {name}" for name, kind in zip(names, types, strict=True)]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {frame} frame: {meaning}, metres",
        f"element vertex {len(xyz)}",
        *properties,
        "end_header",
    ]
    with path.open("wb") as file:
        file.write(("\n".join(header) + "\n").encode("ascii"))
        file.write(vertices.tobytes())
