"""Options of what `run` writes, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from depth_anything_ros.cli.support.command_line import PATH, gathered, option

_OUTPUT = "Output"


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where.

    Attributes:
        folder: Where results go.
        overwrite: Replace what is there, whoever wrote it.
        pred_only: Preview without the image beside it.
        grayscale: Preview in grey.
        cloud: Write point clouds.
        frames: Write depth and cloud of every frame of a video.
        png_scale: Units of the 16-bit PNG per metre.
        ply_frame: Axes of the cloud.
    """

    folder: Path
    overwrite: bool = False
    pred_only: bool = False
    grayscale: bool = False
    cloud: bool = False
    frames: bool = False
    png_scale: float = 1000.0
    ply_frame: str = "optical"


output_options = gathered(
    "output_options",
    OutputOptions,
    option(
        "--output",
        "-o",
        "folder",
        type=PATH,
        default=Path("depth"),
        heading=_OUTPUT,
        help="Folder for the results; made if missing.",
    ),
    option(
        "--overwrite",
        is_flag=True,
        heading=_OUTPUT,
        help="Do again what is there already, and replace files that this program did not write.",
    ),
    option(
        "--pred-only", is_flag=True, heading=_OUTPUT, help="Preview without the image beside it."
    ),
    option("--grayscale", is_flag=True, heading=_OUTPUT, help="Preview in grey: near is bright."),
    option(
        "--cloud",
        is_flag=True,
        heading=_OUTPUT,
        help="Write a point cloud; needs metres and a camera.",
    ),
    option(
        "--frames",
        is_flag=True,
        heading=_OUTPUT,
        help="Write depth (and cloud) of every frame of a video, too.",
    ),
    option(
        "--png-scale",
        type=click.FloatRange(min=0, min_open=True),
        default=1000.0,
        heading=_OUTPUT,
        help="Units of _depth.png per metre: 1000 (millimetres), 256 (KITTI), 5000 (TUM).",
    ),
    option(
        "--ply-frame",
        type=click.Choice(["optical", "ros", "gl"]),
        default="optical",
        heading=_OUTPUT,
        help="Axes of the cloud: optical (x right, y down, z forward), ros (x forward, y left, z "
        "up), gl (x right, y up, z backward).",
    ),
)
"""Adds the options; the function gets them as `output_options`."""
