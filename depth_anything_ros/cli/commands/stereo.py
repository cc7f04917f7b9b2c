"""`depth_anything stereo`: metric depth of rectified stereo pairs, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import (
    PATH,
    LateChoice,
    Subcommand,
    command,
    option,
)
from depth_anything_ros.errors import InputError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from depth_anything_ros.geometry.stereo import StereoRig

_CAMERAS = "Cameras"


def _matchers() -> Sequence[str]:
    from depth_anything_ros.inference.stereo import STEREO_MATCHERS

    return STEREO_MATCHERS.names()


@command("stereo")
@click.argument("left", type=PATH)
@click.argument("right", type=PATH)
@option("--output", "-o", type=PATH, default=Path("depth"), help="Folder for the results.")
@option("--overwrite", is_flag=True, help="Replace files that this program did not write.")
@option("--matcher", type=LateChoice(_matchers), default="sgm", help="How the pair is matched.")
@option(
    "--nearest",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Nearest depth in metres that is looked for; nearer takes longer.  [default: disparities "
    "up to an eighth of the width]",
)
@option("--cloud", is_flag=True, help="Write a point cloud.")
@option(
    "--left-camera", type=PATH, metavar="YAML", heading=_CAMERAS, help="ROS camera_info of LEFT."
)
@option(
    "--right-camera", type=PATH, metavar="YAML", heading=_CAMERAS, help="ROS camera_info of RIGHT."
)
@option(
    "--intrinsics",
    metavar="FX,FY,CX,CY",
    heading=_CAMERAS,
    help="Of the rectified left camera, in place of the files.",
)
@option("--baseline", type=float, heading=_CAMERAS, help="Metres between the cameras.")
@option(
    "--offset",
    type=float,
    default=0.0,
    heading=_CAMERAS,
    help="CX of the right camera less that of the left one, in pixels (doffs of Middlebury).",
)
def stereo(
    left: Path,
    right: Path,
    output: Path,
    overwrite: bool,
    matcher: str,
    nearest: float,
    cloud: bool,
    left_camera: Path | None,
    right_camera: Path | None,
    intrinsics: str | None,
    baseline: float | None,
    offset: float,
) -> None:
    """Write the metric depth of rectified stereo pairs: to compare with, or to scale by.

    LEFT and RIGHT are two rectified images, or two folders with images of the same names. Each
    pair gives NAME_depth.npy, NAME_depth.png, NAME_sigma.npy (from matching both ways),
    NAME_preview.png, NAME.json, with --cloud NAME_cloud.ply, and NAME_points.npz: points that
    `depth_anything run --points` takes to give metres to a network.
    """
    from depth_anything_ros.cli.support.stereo_job import match_pair
    from depth_anything_ros.cli.support.terminal import say, warn

    rig = _rig(left_camera, right_camera, intrinsics, baseline, offset)
    pairs = _pairs(left, right)
    failed = 0
    for one, other in pairs:
        try:
            say(match_pair(one, other, rig, matcher, nearest, output, cloud, overwrite))
        except InputError as error:  # noqa: PERF203 - one broken pair is not the end
            if len(pairs) == 1:
                raise
            warn(f"{error}; left out")
            failed += 1
    if failed == len(pairs):
        raise InputError("none of the pairs gave depth")


def _pairs(left: Path, right: Path) -> list[tuple[Path, Path]]:
    from depth_anything_ros.formats.media import find_media

    if left.is_dir() != right.is_dir():
        raise SettingError(f"{left} and {right} must be two images or two folders")
    if not left.is_dir():
        return [(left, right)]
    images = [file.path for file in find_media([left]) if not file.is_video]
    pairs = [(path, right / path.name) for path in images if (right / path.name).is_file()]
    if not pairs:
        raise InputError(f"{left} and {right} hold no images of the same names")
    return pairs


def _rig(
    left: Path | None,
    right: Path | None,
    intrinsics: str | None,
    baseline: float | None,
    offset: float,
) -> Callable[[int, int], StereoRig]:
    """From (width, height) of an image to the cameras."""
    from depth_anything_ros.cli.support.camera_options import intrinsics_of
    from depth_anything_ros.formats.camera_yaml import read_camera
    from depth_anything_ros.geometry.camera import Camera
    from depth_anything_ros.geometry.stereo import StereoRig

    if left is not None and right is not None and intrinsics is None and baseline is None:
        known = StereoRig.from_cameras(read_camera(left), read_camera(right))
        return lambda width, height: known
    if left is None and right is None and intrinsics is not None and baseline is not None:
        numbers, metres = intrinsics_of(intrinsics), baseline
        return lambda width, height: StereoRig(Camera(width, height, *numbers), metres, offset)
    raise SettingError(
        "the cameras are not known: give --left-camera and --right-camera, or --intrinsics and "
        "--baseline"
    )


COMMANDS.register(Subcommand("stereo", stereo, 17))
