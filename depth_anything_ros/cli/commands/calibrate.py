"""`depth_anything calibrate`: constants of a robot, estimated from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.cli.support.files import check_writable
from depth_anything_ros.cli.support.model_options import model_options
from depth_anything_ros.cli.support.recording_options import topic_options
from depth_anything_ros.cli.support.scale_options import (
    extrinsics_option,
    fit_options,
    fit_shift_of,
)

if TYPE_CHECKING:
    from depth_anything_ros.formats.recording import Topics
    from depth_anything_ros.settings import ModelSettings


_REFINED = "refined"


@command("calibrate")
@click.argument("recording", metavar="BAG", type=PATH)
@option(
    "--output", "-o", type=PATH, required=True, help="YAML file to write, for the node to load."
)
@option("--ground", is_flag=True, help="Find the camera's height, pitch and roll, not a scale.")
@model_options
@topic_options
@extrinsics_option(
    is_flag=False,
    flag_value=_REFINED,
    help="Brings the points into the camera's optical frame; also 16 numbers, or a YAML file with "
    "either. By default /tf_static of the recording. Without a value, after BAG: as "
    "--refine-extrinsics.",
)
@option(
    "--refine-extrinsics",
    is_flag=True,
    help="Find how the LiDAR is turned against its pose, not a scale; --extrinsics or /tf_static "
    "is the start.",
)
@option("--every", type=click.IntRange(min=1), default=1, help="Use each n-th cloud only.")
@fit_options
def calibrate(
    recording: Path,
    output: Path,
    ground: bool,
    model_settings: ModelSettings,
    topics: Topics,
    extrinsics: str | None,
    refine_extrinsics: bool,
    every: int,
    fit_shift: str,
    min_points: int,
) -> None:
    """Estimate scale and shift, how the camera stands, or how the LiDAR does, from a recording.

    BAG is a rosbag2 recording of camera and LiDAR. The scale file is for `scaler: fixed` (the
    node's parameter scale_file, or `run --scale-file`). With --ground the output is a parameter
    file of the node for `scaler: ground_plane`. With a bare --extrinsics it is the LiDAR's pose,
    turned until it fits the images, also as arguments of static_transform_publisher. A file of
    another kind is not replaced.
    """
    from depth_anything_ros.api import load
    from depth_anything_ros.cli.support.calibration import (
        calibrate_ground,
        calibrate_scale,
        check_ground_file,
    )
    from depth_anything_ros.cli.support.extrinsics_job import (
        calibrate_extrinsics,
        check_extrinsics_file,
    )
    from depth_anything_ros.cli.support.terminal import warn
    from depth_anything_ros.formats.extrinsics import read_extrinsics
    from depth_anything_ros.formats.recording import Recording
    from depth_anything_ros.metric.fit import FitSettings
    from depth_anything_ros.metric.scale_file import check_replaceable

    check_writable(output)
    if extrinsics == _REFINED:
        extrinsics, refine_extrinsics = None, True
    if refine_extrinsics and ground:
        raise click.UsageError("--ground and --refine-extrinsics exclude each other; give one")
    known = read_extrinsics(extrinsics) if extrinsics is not None else None
    if refine_extrinsics:
        check_extrinsics_file(output)
        calibrate_extrinsics(
            lambda pose: Recording(recording, topics, pose, report=warn), known, output, every
        )
        return
    (check_ground_file if ground else check_replaceable)(output)
    with Recording(recording, topics, known, report=warn) as source:
        if ground:
            calibrate_ground(source, output, every)
        else:
            model = load(model_settings)
            fit = FitSettings(fit_shift_of(fit_shift), min_points)
            calibrate_scale(source, model, fit, output, every)


COMMANDS.register(Subcommand("calibrate", calibrate, 20))
