"""Options of what `run` writes, and where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import click

from depth_anything_ros.cli.support.command_line import FOLDER_OR_URL, LateChoice, gathered, option

_OUTPUT = "Output"


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where.

    Attributes:
        folder: Where results go: a folder, or the URL of one in a store.
        overwrite: Replace what is there, whoever wrote it.
        pred_only: Preview without the image beside it.
        grayscale: Preview in grey.
        cloud: Write point clouds.
        frames: Write depth and cloud of every frame of a video.
        png_scale: Units of the 16-bit PNG per metre.
        ply_frame: Axes of the cloud.
        preview_range: Metres of the brightest and the darkest colour, or None.
        controlnet: Write the picture that depth ControlNets are conditioned with.
        layout: Name of the data set whose layout of files is written, too; empty for none.
    """

    folder: str
    overwrite: bool = False
    pred_only: bool = False
    grayscale: bool = False
    cloud: bool = False
    frames: bool = False
    png_scale: float = 1000.0
    ply_frame: str = "optical"
    preview_range: tuple[float, float] | None = None
    controlnet: bool = False
    layout: str = ""


def _output_options(
    folder: str,
    overwrite: bool,
    pred_only: bool,
    grayscale: bool,
    cloud: bool,
    frames: bool,
    png_scale: float,
    ply_frame: str,
    preview_range: str | None,
    controlnet: bool,
    layout: str | None,
) -> OutputOptions:
    return OutputOptions(
        folder,
        overwrite,
        pred_only,
        grayscale,
        cloud,
        frames,
        png_scale,
        ply_frame,
        None if preview_range is None else _range(preview_range),
        controlnet,
        layout or "",
    )


def _range(text: str) -> tuple[float, float]:
    try:
        near, far = (float(part) for part in text.split(","))
    except ValueError:
        near = far = math.nan
    if not 0 < near < far < math.inf:
        raise click.BadParameter(f"'{text}' is no range like 0.5,10", param_hint="--preview-range")
    return near, far


def _layouts() -> Sequence[str]:
    from depth_anything_ros.formats.depth_layouts import LAYOUTS

    return tuple(LAYOUTS)


output_options = gathered(
    "output_options",
    _output_options,
    option(
        "--output",
        "-o",
        "folder",
        type=FOLDER_OR_URL,
        default="depth",
        heading=_OUTPUT,
        help="Folder for the results, made if missing, or its URL in a store (s3://, gs://, ...).",
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
    option(
        "--preview-range",
        metavar="NEAR,FAR",
        heading=_OUTPUT,
        help="Metres of the brightest and the darkest colour, the same in all pictures and videos.",
    ),
    option(
        "--controlnet",
        is_flag=True,
        heading=_OUTPUT,
        help="Write NAME_controlnet.png, too: 8 bit, near is white, as depth ControlNets take it.",
    ),
    option(
        "--layout",
        type=LateChoice(_layouts),
        heading=_OUTPUT,
        help="Write pictures and depth as a data set has them, too: tum (videos and recordings), "
        "kitti, nyu.",
    ),
)
"""Adds the options; the function gets them as `output_options`."""
