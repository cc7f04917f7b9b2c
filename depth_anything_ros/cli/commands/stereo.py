"""`depth_anything stereo`: metric depth of rectified stereo pairs, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import (
    PATH,
    Subcommand,
    command,
    option,
)
from depth_anything_ros.errors import InputError, SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from depth_anything_ros.geometry.stereo import StereoRig

_CAMERAS = "Cameras"


def _models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names for the completion of shells."""
    from depth_anything_ros.inference.stereo import STEREO_MATCHERS
    from depth_anything_ros.network.catalogue import EMBEDDED_FILES, catalogue

    names = (*STEREO_MATCHERS.names(), *EMBEDDED_FILES, *catalogue())
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@command("stereo")
@click.argument("left", type=PATH)
@click.argument("right", type=PATH)
@option("--output", "-o", type=PATH, default=Path("depth"), help="Folder for the results.")
@option("--overwrite", is_flag=True, help="Replace files that this program did not write.")
@option(
    "--model",
    "-m",
    default="sgm",
    shell_complete=_models,
    help="sgm: depth where the two images agree; a network (as for `run`): its depth of the left "
    "image, in metres by the points that sgm is sure of.",
)
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
    model: str,
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
    NAME_preview.png, NAME.json, with --cloud NAME_cloud.ply, and NAME_points.npz: the surest
    points, which `depth_anything run --points` takes, too.
    """
    from depth_anything_ros.cli.support.stereo_job import PairMatcher
    from depth_anything_ros.cli.support.terminal import say, warn

    rig = _rig(left_camera, right_camera, intrinsics, baseline, offset)
    pairs = _pairs(left, right)
    match = PairMatcher(rig, model, nearest)
    failed = 0
    for one, other in pairs:
        try:
            say(match.write(one, other, output, cloud, overwrite))
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
