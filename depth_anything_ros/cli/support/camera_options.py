"""Options of the camera's calibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.support.command_line import PATH, gathered, option

if TYPE_CHECKING:
    from depth_anything_ros.geometry.camera import Camera

_CAMERA = "Camera"


@dataclass(frozen=True)
class CameraOptions:
    """The camera as the user gives it; at most one of the three.

    Attributes:
        intrinsics: (fx, fy, cx, cy) in pixels of the images.
        hfov: Horizontal field of view in degrees.
        file: Calibration of this camera, at any size.
    """

    intrinsics: tuple[float, float, float, float] | None = None
    hfov: float | None = None
    file: Path | None = None

    @property
    def given(self) -> bool:
        """Whether anything is known."""
        return not (self.intrinsics is None and self.hfov is None and self.file is None)

    def camera_of_size(self) -> Callable[[int, int], Camera | None]:
        """Read the calibration.

        Returns:
            A function from (width, height) of an image to its camera, None when nothing is known.

        Raises:
            InputError: The file is no calibration.
        """
        from depth_anything_ros.formats.camera_yaml import read_camera
        from depth_anything_ros.geometry.camera import Camera

        if self.intrinsics is not None:
            fx, fy, cx, cy = self.intrinsics
            return lambda width, height: Camera(width, height, fx, fy, cx, cy)
        if self.hfov is not None:
            hfov = self.hfov
            return lambda width, height: Camera.from_hfov(width, height, hfov)
        if self.file is not None:
            return read_camera(self.file).fitted
        return lambda width, height: None


def _camera_options(
    intrinsics: str | None, hfov: float | None, camera: Path | None
) -> CameraOptions:
    named = {"--intrinsics": intrinsics, "--hfov": hfov, "--camera": camera}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other; give one")
    if hfov is not None and not 0 < hfov < 180:
        raise click.BadParameter(f"{hfov:g} is not between 0 and 180", param_hint="--hfov")
    return CameraOptions(
        intrinsics_of(intrinsics) if intrinsics is not None else None, hfov, camera
    )


def intrinsics_of(text: str) -> tuple[float, float, float, float]:
    """The numbers of `--intrinsics`.

    Args:
        text: "FX,FY,CX,CY".

    Returns:
        fx, fy, cx, cy in pixels.

    Raises:
        click.BadParameter: It is something else.
    """
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError:
        fx = fy = cx = cy = math.nan
    if not (fx > 0 and fy > 0 and math.isfinite(fx + fy + cx + cy)):
        raise click.BadParameter(
            f"'{text}' is not a camera like 518.8,519.4,325.5,253.7", param_hint="--intrinsics"
        )
    return fx, fy, cx, cy


camera_options = gathered(
    "camera_options",
    _camera_options,
    option("--intrinsics", metavar="FX,FY,CX,CY", heading=_CAMERA, help="In pixels of the images."),
    option(
        "--hfov", type=float, metavar="DEGREES", heading=_CAMERA, help="Horizontal field of view."
    ),
    option(
        "--camera",
        type=PATH,
        metavar="YAML",
        heading=_CAMERA,
        help="ROS camera_info calibration file.",
    ),
)
"""Adds the options; the function gets them as `camera_options`."""
