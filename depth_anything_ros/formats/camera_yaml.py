"""The camera_info YAML that camera_calibration writes and camera_info_manager reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.whole_file import write_whole
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.geometry.camera import Camera


def read_camera(path: Path) -> Camera:
    """Read a calibration.

    Distortion, rectification and projection may be missing; they then mean none, identity and
    the camera matrix.

    Args:
        path: The YAML file.

    Returns:
        The camera, at the size it was calibrated with.

    Raises:
        InputError: The file cannot be read or is not such a calibration; the text names file and
            entry.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a camera_info YAML: {reason}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a camera_info YAML: it has no entries")
    try:
        return Camera.from_fields(
            width=_size(content, "image_width"),
            height=_size(content, "image_height"),
            k=_matrix(content, "camera_matrix", 9),
            d=_matrix(content, "distortion_coefficients"),
            r=_matrix(content, "rectification_matrix", 9),
            p=_matrix(content, "projection_matrix", 12),
            distortion_model=_model(content),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_camera(path: Path, camera: Camera, name: str = "camera") -> None:
    """Write a calibration that camera_info_manager reads.

    Args:
        path: The YAML file to write.
        camera: The calibration; one without distortion is written as plumb_bob with zeros, the
            way ROS drivers do.
        name: Entry `camera_name`.
    """
    distortion = camera.distortion or (0.0,) * 5
    content = {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": name,
        "camera_matrix": _entry(camera.k),
        "distortion_model": camera.distortion_model or "plumb_bob",
        "distortion_coefficients": _entry(np.array([distortion])),
        "rectification_matrix": _entry(camera.r),
        "projection_matrix": _entry(camera.p),
    }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    write_whole(path, text)


def _model(content: dict[str, Any]) -> str:
    """The distortion model; some tools name it `camera_model`, some not at all.

    camera_info_manager takes plumb_bob where none is named.
    """
    named = content.get("distortion_model") or content.get("camera_model") or ""
    model = str(named).strip().lower()
    return "plumb_bob" if model in ("", "pinhole", "none") else model


def _size(content: dict[str, Any], key: str) -> int:
    value = content.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise InputError(f"{key} is {value!r}; it must be a whole number of pixels")
    return int(value)


def _matrix(content: dict[str, Any], key: str, length: int | None = None) -> list[float]:
    """The numbers of an entry; empty when a matrix other than the camera's is missing."""
    entry = content.get(key)
    if entry is None and key != "camera_matrix":
        return []
    data = entry.get("data") if isinstance(entry, dict) else entry
    if not isinstance(data, list):
        raise InputError(f"{key} has no 'data' list (expected: rows, cols, data)")
    try:
        numbers = np.ravel(np.asarray(data, np.float64)).tolist()
    except (TypeError, ValueError) as error:
        raise InputError(f"{key} holds something that is not a number: {data}") from error
    if length is not None and len(numbers) != length:
        raise InputError(f"{key} has {len(numbers)} numbers; it must have {length}")
    return numbers


def _entry(matrix: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    rows, cols = matrix.shape
    return {"rows": rows, "cols": cols, "data": [float(value) for value in matrix.ravel()]}
