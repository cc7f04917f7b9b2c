"""Where a sensor stands to the camera, as people and calibration tools write it down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.yaml_text import load_yaml

_FORMS = "x y z qx qy qz qw, or the 16 numbers of a 4x4 matrix row by row"


def read_extrinsics(text: str) -> npt.NDArray[np.float64]:
    """Read a rigid transform from an option's text or the file it names.

    Args:
        text: 7 or 16 numbers as `extrinsics_of` takes them, between spaces or commas, or the path
            of a YAML file with such a list, bare or as its entry `extrinsics`.

    Returns:
        4x4 float64.

    Raises:
        InputError: It is no such transform.
    """
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        return _read_file(Path(text))
    return extrinsics_of(numbers, f"extrinsics '{text}'")


def extrinsics_of(numbers: Any, name: str) -> npt.NDArray[np.float64]:
    """A rigid transform from its numbers.

    Args:
        numbers: Position in metres and quaternion (x y z qx qy qz qw, of any length), or a 4x4
            matrix, nested or row by row.
        name: What an error calls it.

    Returns:
        4x4 float64.

    Raises:
        InputError: The numbers are none of these, or no rotation.
    """
    try:
        values = np.asarray(numbers, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}; write {_FORMS}") from error
    if len(values) not in (7, 16) or not np.isfinite(values).all():
        raise InputError(f"{name}: {len(values)} numbers are no transform; write {_FORMS}")
    if len(values) == 7:
        length = np.linalg.norm(values[3:])
        if not 1e-9 < length < np.inf:
            raise InputError(f"{name}: the quaternion has no length; no rotation is 0 0 0 1")
        matrix = np.eye(4)
        matrix[:3, :3] = _rotation(values[3:] / length)
        matrix[:3, 3] = values[:3]
        return matrix
    matrix = values.reshape(4, 4)
    turn = matrix[:3, :3]
    rigid = np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0
    if not rigid or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise InputError(
            f"{name}: the matrix is no rotation with a translation; write rows [R t], [0 0 0 1]"
        )
    return matrix


def position_and_quaternion(matrix: npt.NDArray[np.floating[Any]]) -> list[float]:
    """A 4x4 pose as x y z qx qy qz qw, as `extrinsics_of` takes it."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    return [float(number) for number in (*matrix[:3, 3], *turn)]


def _read_file(path: Path) -> npt.NDArray[np.float64]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"extrinsics '{path}' cannot be read: {reason}; write {_FORMS}") from error
    if isinstance(content, dict):
        content = content.get("extrinsics")
    return extrinsics_of(content, str(path))


def _rotation(quaternion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The 3x3 rotation of a unit quaternion (v, w): (w^2 - v.v) I + 2 v v^T + 2 w [v]x."""
    v, w = quaternion[:3], quaternion[3]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    turn: npt.NDArray[np.float64] = (w * w - v @ v) * np.eye(3) + 2 * (np.outer(v, v) + w * cross)
    return turn
