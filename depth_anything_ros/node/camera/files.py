"""What parameters name for one camera: its calibration, its mask, its scale file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.camera_yaml import read_camera
from depth_anything_ros.formats.media import read_mask
from depth_anything_ros.formats.yaml_text import load_yaml
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.node.parameters import NodeParameters


@dataclass(frozen=True)
class CameraFiles:
    """The content of the files, and the parameters they were read for.

    Attributes:
        calibration: The camera of `camera_info_url`, or None.
        hidden: HxW bool, True where the mask of `mask_file` is black (the robot's own body); or
            None.
        named: The values of the parameters.
    """

    calibration: Camera | None
    hidden: npt.NDArray[np.bool_] | None
    named: tuple[str, str]

    @classmethod
    def read(
        cls, parameters: NodeParameters, camera: str, before: CameraFiles | None = None
    ) -> CameraFiles:
        """Read the files of a camera.

        Args:
            parameters: `camera_info_url` and `mask_file`.
            camera: Name of the camera, empty for the only one.
            before: What was read before; taken again where the parameters have not changed.

        Raises:
            InputError: A file cannot be read.
            SettingError: A table of files cannot be read.
        """
        named = (parameters.camera_info_url, parameters.mask_file)
        if before is not None and before.named == named:
            return before
        url = value_for_camera(parameters.camera_info_url, camera, "camera_info_url")
        mask = value_for_camera(parameters.mask_file, camera, "mask_file")
        calibration = None
        if url:
            calibration = _calibration(file_of_url(url, "camera_info_url"))
        hidden = None
        if mask:
            hidden = read_mask(path_of(mask, "mask_file"))
        return cls(calibration, hidden, named)


def _calibration(path: Path) -> Camera:
    try:
        return read_camera(path)
    except (ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no camera calibration: {error}") from error


def scale_file_of(parameters: NodeParameters, camera: str) -> Path | None:
    """The scale file of a camera, or None where none is named.

    Raises:
        SettingError: The parameter cannot be read.
    """
    name = value_for_camera(parameters.scale_file, camera, "scale_file")
    return path_of(name, "scale_file") if name else None


def value_for_camera(text: str, name: str, parameter: str) -> str:
    """The value of a text parameter for one camera.

    Args:
        text: One value for every camera, or a YAML table from camera to value.
        name: Name of the camera.
        parameter: Name of the parameter, for the message.

    Returns:
        The value, or an empty text.

    Raises:
        SettingError: The table cannot be read.
    """
    if not text.strip().startswith("{"):
        return text
    try:
        value = load_yaml(text).get(name) or ""
    except (ValueError, AttributeError) as error:
        raise SettingError(f"{parameter} is '{text}': {error}; write {{camera: value}}") from error
    return str(value)


def file_of_url(url: str, parameter: str) -> Path:
    """The file that a URL names as camera_info_manager has it: file://, package://, or a path.

    Args:
        url: As "file:///home/robot/front.yaml", "package://my_robot/config/front.yaml" or a path;
            ${ROS_HOME} stands for ROS's folder (~/.ros).
        parameter: Name of the parameter, for the message.

    Returns:
        The path; a file:// or plain path may not exist.

    Raises:
        InputError: The package is not installed, or the URL is of another kind.
    """
    home = os.environ.get("ROS_HOME", "~/.ros")
    text = url.replace("${ROS_HOME}", home).removeprefix("file://")
    if not text.startswith("package://"):
        if "://" in text:
            raise InputError(f"{parameter} is '{url}'; use file://, package:// or a path")
        return path_of(text, parameter)
    package, _, below = text.removeprefix("package://").partition("/")
    prefixes = [each for each in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if each]
    for prefix in prefixes:
        share = Path(prefix) / "share" / package
        if package and share.is_dir():
            return share / below
    raise InputError(
        f"{parameter} is '{url}', but package '{package}' is not installed in "
        f"{', '.join(prefixes) or 'AMENT_PREFIX_PATH, which is empty'}; source its workspace"
    )


def path_of(text: str, parameter: str) -> Path:
    """A path that a parameter gives, with ~ resolved.

    Raises:
        InputError: It names the home of a user that does not exist.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{parameter} is '{text}': {error}; give a full path") from error
