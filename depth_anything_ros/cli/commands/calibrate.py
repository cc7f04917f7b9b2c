"""`depth_anything calibrate`: constants of a robot, estimated from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from depth_anything_ros.cli.support.scale_options import FitShift, FitShiftOption, MinPointsOption


def calibrate(
    recording: Annotated[
        Path, typer.Argument(metavar="BAG", help="rosbag2 recording of camera and LiDAR.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="YAML file to write, for the node to load.")
    ],
    ground: Annotated[
        bool,
        typer.Option(
            "--ground", help="Find the camera's height, pitch and roll instead of a scale."
        ),
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Catalogue name, or a .pth, .safetensors or .onnx file."
        ),
    ] = "auto",
    image_topic: Annotated[
        str | None, typer.Option(help="Images; needed where the recording has several such topics.")
    ] = None,
    camera_info_topic: Annotated[
        str | None, typer.Option(help="Calibration; by default `camera_info` beside the images.")
    ] = None,
    points_topic: Annotated[
        str | None,
        typer.Option(help="PointCloud2; needed where the recording has several such topics."),
    ] = None,
    extrinsics: Annotated[
        str | None,
        typer.Option(
            metavar="'X Y Z QX QY QZ QW'",
            help="Brings the points into the camera's optical frame; also 16 numbers, or a YAML "
            "file with either. By default /tf_static of the recording.",
        ),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Use each n-th cloud only.")] = 1,
    fit_shift: FitShiftOption = FitShift.AUTO,
    min_points: MinPointsOption = 6,
    input_size: Annotated[
        int | None,
        typer.Option(min=14, help="Shorter side in the network; by default as it was trained."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.")
    ] = "auto",
) -> None:
    """Estimate from a recording what stays the same: scale and shift, or how the camera stands.

    The scale file is for `scaler: fixed` (the node's parameter scale_file, or `run --scale-file`).
    With --ground the output is a parameter file of the node for `scaler: ground_plane`.
    """
    from depth_anything_ros.cli.support.recordings import (
        Recording,
        calibrate_ground,
        calibrate_scale,
    )
    from depth_anything_ros.formats.bags import Bag
    from depth_anything_ros.formats.extrinsics import read_extrinsics
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.metric.fit import FitSettings
    from depth_anything_ros.settings import ModelSettings

    known = read_extrinsics(extrinsics) if extrinsics is not None else None
    with Bag(recording) as bag:
        source = Recording(bag, image_topic, camera_info_topic, points_topic, known, every)
        if ground:
            calibrate_ground(source, output)
        else:
            loaded = make_estimator(ModelSettings(model, device, input_size=input_size or 0))
            calibrate_scale(source, loaded, FitSettings(fit_shift.flag, min_points), output)
