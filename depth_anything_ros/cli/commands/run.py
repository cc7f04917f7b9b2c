"""`depth_anything run`: depth of images, folders and videos, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.camera_options import camera_options
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.model_options import model_options
from depth_anything_ros.cli.support.scale_options import scale_options

if TYPE_CHECKING:
    from depth_anything_ros.cli.support.camera_options import CameraOptions
    from depth_anything_ros.cli.support.scale_options import ScaleOptions
    from depth_anything_ros.settings import ModelSettings


@command("run")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PATH)
@option(
    "--output",
    "-o",
    type=PATH,
    default=Path("depth"),
    help="Folder for the results; made if missing.",
)
@model_options
@option("--recursive", "-r", is_flag=True, help="Look into the folders below, too.")
@option("--pred-only", is_flag=True, help="Preview without the image beside it.")
@option("--grayscale", is_flag=True, help="Preview in grey: near is bright.")
@option("--cloud", is_flag=True, help="Write a point cloud; needs metres and a camera.")
@option("--frames", is_flag=True, help="Write depth (and cloud) of every frame of a video, too.")
@camera_options
@scale_options
def run(
    inputs: tuple[Path, ...],
    output: Path,
    model_settings: ModelSettings,
    recursive: bool,
    pred_only: bool,
    grayscale: bool,
    cloud: bool,
    frames: bool,
    camera_options: CameraOptions,
    scale_options: ScaleOptions,
) -> None:
    """Write the depth of images, folders and videos, in metres where possible.

    An image gives NAME_depth.npy (metres, or disparity of a relative model), NAME_depth.png (16
    bit: millimetres with 0 = unknown, or disparity stretched with near = bright),
    NAME_preview.png, NAME.json and with --cloud NAME_cloud.ply. A video gives NAME_preview.mp4 and
    NAME.json, and with --frames the depth files of every frame as NAME_000000_depth.npy. Where
    metres are asked for but cannot be had, depth is NaN (PNG: 0) and NAME.json says why.
    """
    if cloud and not camera_options.given:
        raise click.BadParameter(
            "a cloud needs the camera: give --intrinsics, --hfov or --camera", param_hint="--cloud"
        )
    scale_options.check(camera_options.given)

    # The libraries behind these take a second to load: too long for --help and typing errors.
    from depth_anything_ros.cli.support.measured import MeasuredOptions
    from depth_anything_ros.cli.support.processing import OutputOptions, process
    from depth_anything_ros.formats.extrinsics import read_extrinsics
    from depth_anything_ros.formats.point_files import read_points

    points, extrinsics = scale_options.points, scale_options.extrinsics
    folder = points if points is not None and points.is_dir() else None
    process(
        inputs,
        recursive,
        model_settings,
        scale_options,
        camera_options.camera_of_size(),
        MeasuredOptions(
            points=read_points(points) if points is not None and folder is None else None,
            folder=folder,
            extrinsics=read_extrinsics(extrinsics) if extrinsics is not None else None,
            ground=scale_options.ground(),
        ),
        OutputOptions(
            folder=output, pred_only=pred_only, grayscale=grayscale, cloud=cloud, frames=frames
        ),
    )


COMMANDS.register(Subcommand("run", run, 10))
