"""`depth_anything run`: depth of images, videos and recordings, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.camera_options import camera_options
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.engine_options import engine_options
from depth_anything_ros.cli.support.limit_options import limit_options
from depth_anything_ros.cli.support.model_options import model_options
from depth_anything_ros.cli.support.output_options import output_options
from depth_anything_ros.cli.support.recording_options import topic_options
from depth_anything_ros.cli.support.scale_options import scale_options

if TYPE_CHECKING:
    from depth_anything_ros.cli.support.camera_options import CameraOptions
    from depth_anything_ros.cli.support.engine_options import EngineOptions
    from depth_anything_ros.cli.support.limit_options import LimitOptions
    from depth_anything_ros.cli.support.output_options import OutputOptions
    from depth_anything_ros.cli.support.scale_options import ScaleOptions
    from depth_anything_ros.formats.recording import Topics
    from depth_anything_ros.settings import ModelSettings


@command("run")
@click.argument("inputs", metavar="INPUT...", nargs=-1)
@model_options
@option(
    "--webcam",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Take this webcam until Ctrl-C, as webcam:NUMBER.",
)
@option("--recursive", "-r", is_flag=True, help="Include subfolders.")
@output_options
@camera_options
@scale_options
@limit_options
@topic_options
@engine_options
def run(
    inputs: tuple[str, ...],
    model_settings: ModelSettings,
    recursive: bool,
    output_options: OutputOptions,
    camera_options: CameraOptions,
    scale_options: ScaleOptions,
    limit_options: LimitOptions,
    topics: Topics,
    webcam: int | None,
    engine_options: EngineOptions,
) -> None:
    """Write the depth of images, videos and recordings, in metres where possible.

    INPUT is an image, a folder of them, a video, a rosbag2 recording (its camera_info and LiDAR are
    used), a pattern such as '*.jpg', webcam:0 until Ctrl-C, or - for an image on standard input.

    An image gives NAME_depth.npy (metres, or disparity of a relative model), NAME_depth.png (16
    bit: millimetres with 0 = unknown, or disparity stretched with near = bright, its range in the
    JSON), NAME_preview.png, NAME.json and with --cloud NAME_cloud.ply; metres also NAME_sigma.npy
    and NAME_sigma.png, how unsure they are (bright is 30 % and more). A video or recording gives
    NAME_preview.mp4 and NAME.json, and with --frames the depth files of every frame as
    NAME_000000_depth.npy. Where metres are asked for but cannot be had, depth is NaN (PNG: 0) and
    NAME.json says why. What is done already is not done again.
    """
    if webcam is not None:
        inputs = (*inputs, f"webcam:{webcam}")
    if not inputs:
        raise click.UsageError("Missing argument 'INPUT...', or --webcam")
    if output_options.cloud and not camera_options.given and not _has_recording(inputs):
        raise click.BadParameter(
            "a cloud needs the camera: give --intrinsics, --hfov or --camera", param_hint="--cloud"
        )
    scale_options.check(camera_options.given or _has_recording(inputs))

    # The libraries behind these take a second to load: too long for --help and typing errors.
    from depth_anything_ros.cli.support.measured import MeasuredOptions
    from depth_anything_ros.cli.support.processing import process
    from depth_anything_ros.cli.support.run_request import request_of
    from depth_anything_ros.formats.extrinsics import read_extrinsics

    points, extrinsics = scale_options.points, scale_options.extrinsics
    process(
        inputs,
        recursive,
        model_settings,
        scale_options,
        camera_options,
        MeasuredOptions(
            points,
            read_extrinsics(extrinsics) if extrinsics is not None else None,
            scale_options.ground(),
        ),
        limit_options.limits(),
        output_options,
        topics,
        request_of(
            model_settings, scale_options, camera_options, limit_options, output_options, topics
        ),
        engine_options,
    )


def _has_recording(inputs: tuple[str, ...]) -> bool:
    """Whether an input brings a camera of its own; what is stored elsewhere may."""
    from pathlib import Path

    from depth_anything_ros.formats.bags import is_recording
    from depth_anything_ros.formats.remote import is_stored

    return any(
        is_stored(each) or (Path(each).exists() and is_recording(Path(each))) for each in inputs
    )


COMMANDS.register(Subcommand("run", run, 10))
