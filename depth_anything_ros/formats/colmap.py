"""COLMAP's text model: cameras.txt, images.txt, points3D.txt (colmap.github.io/format.html).

COLMAP's pixels have the centre of the top-left one at (0.5, 0.5); here it is (0, 0), as in ROS.
Poses here go from the camera to the world; COLMAP's go the other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.frames import FloatArray
from depth_anything_ros.geometry.camera import Camera

_HALF = 0.5
_UNDISTORTED = {"SIMPLE_PINHOLE": (0, 0, 1, 2), "PINHOLE": (0, 1, 2, 3)}
"""Models without distortion: where fx, fy, cx, cy stand among their parameters."""


@dataclass(frozen=True)
class ColmapImage:
    """One image of a model.

    Attributes:
        name: Path below the folder of images.
        camera: Number of its camera.
        pose: 4x4 float64, optical frame -> world, in the model's units.
        points: Column and row of the model's points that it sees, by their numbers.
    """

    name: str
    camera: int
    pose: FloatArray
    points: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ColmapModel:
    """A model.

    Attributes:
        cameras: By number.
        images: In the order of the file.
        points: Position of each point by number, in the model's units.
    """

    cameras: Mapping[int, Camera]
    images: Sequence[ColmapImage]
    points: Mapping[int, FloatArray]


def read_colmap(folder: Path) -> ColmapModel:
    """Read a text model of undistorted images.

    Args:
        folder: Has cameras.txt, images.txt and points3D.txt.

    Returns:
        The model.

    Raises:
        InputError: A file is missing or cannot be read, or a camera has distortion.
    """
    try:
        cameras = dict(_camera(line) for line in _lines(folder / "cameras.txt"))
        rows = _lines(folder / "images.txt", blank=True)
        images = [_image(head, points) for head, points in zip(rows[::2], rows[1::2], strict=False)]
        points = {
            int(words[0]): np.array(words[1:4], np.float64)
            for words in (line.split() for line in _lines(folder / "points3D.txt"))
        }
    except OSError as error:
        raise InputError(
            f"{folder} is no COLMAP text model: {error}; `colmap model_converter "
            "--output_type TXT` makes one"
        ) from error
    except (ValueError, IndexError) as error:
        raise InputError(f"{folder} cannot be read as a COLMAP text model: {error}") from error
    return ColmapModel(cameras, images, points)


def write_colmap(
    folder: Path, cameras: Sequence[Camera], images: Sequence[ColmapImage],
    xyz: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8],
) -> None:  # fmt: skip
    """Write a text model whose points have no tracks, as an initialisation of 3D Gaussians.

    Args:
        folder: Made if missing.
        cameras: Without distortion; their numbers are their places from 1.
        images: With numbers of cameras.
        xyz: Nx3 metres.
        rgb: Nx3 uint8.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    lines += [
        f"{number} PINHOLE {each.width} {each.height} {each.fx!r} {each.fy!r} "
        f"{each.cx + _HALF!r} {each.cy + _HALF!r}"
        for number, each in enumerate(cameras, 1)
    ]
    _write(folder / "cameras.txt", lines)
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[]"]
    for number, image in enumerate(images, 1):
        inverse = np.linalg.inv(image.pose)
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat().tolist()
        numbers = " ".join(repr(value) for value in (w, x, y, z, *inverse[:3, 3].tolist()))
        lines += [f"{number} {numbers} {image.camera} {image.name}", ""]
    _write(folder / "images.txt", lines)
    lines = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]"]
    lines += [
        f"{number} {x:.5f} {y:.5f} {z:.5f} {r} {g} {b} 0"
        for number, ((x, y, z), (r, g, b)) in enumerate(
            zip(xyz.tolist(), rgb.tolist(), strict=True), 1
        )
    ]
    _write(folder / "points3D.txt", lines)


def _lines(path: Path, blank: bool = False) -> list[str]:
    """Lines without comments; empty ones only where they mean something."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if not line.startswith("#") and (blank or line)]
    if blank and len(kept) % 2:
        kept.append("")
    return kept


def _write(path: Path, lines: Sequence[str]) -> None:
    write_whole(path, "\n".join(lines) + "\n")


def _camera(line: str) -> tuple[int, Camera]:
    words = line.split()
    if words[1] not in _UNDISTORTED:
        raise ValueError(
            f"camera {words[0]} is of model {words[1]}, which has distortion; "
            "`colmap image_undistorter` makes pictures and a model without"
        )
    values = [float(word) for word in words[4:]]
    fx, fy, cx, cy = (values[place] for place in _UNDISTORTED[words[1]])
    return int(words[0]), Camera(int(words[2]), int(words[3]), fx, fy, cx - _HALF, cy - _HALF)


def _image(head: str, points: str) -> ColmapImage:
    words = head.split(maxsplit=9)
    w, x, y, z, *place = (float(word) for word in words[1:8])
    inverse = np.eye(4)
    inverse[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    inverse[:3, 3] = place
    table = np.array(points.split(), np.float64).reshape(-1, 3)
    seen = {
        int(number): (float(u) - _HALF, float(v) - _HALF)
        for u, v, number in table.tolist()
        if number >= 0
    }
    pose = np.asarray(np.linalg.inv(inverse), np.float64)
    return ColmapImage(words[9], int(words[8]), pose, seen)
