"""`depth_anything run`: depth of images, folders and videos, as files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from depth_anything_ros.cli.support.scale_options import (
    METRES,
    FitShift,
    FitShiftOption,
    MinPointsOption,
    Refinement,
    scaler_name,
)

_CAMERA = "Camera"


def run(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Images, folders and videos.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; made if missing.")
    ] = Path("depth"),
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Catalogue name, or a .pth, .safetensors or .onnx file."
        ),
    ] = "auto",
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders below, too.")
    ] = False,
    pred_only: Annotated[
        bool, typer.Option("--pred-only", help="Preview without the image beside it.")
    ] = False,
    grayscale: Annotated[
        bool, typer.Option("--grayscale", help="Preview in grey: near is bright.")
    ] = False,
    cloud: Annotated[
        bool, typer.Option("--cloud", help="Write a point cloud; needs metres and a camera.")
    ] = False,
    frames: Annotated[
        bool,
        typer.Option("--frames", help="Write depth (and cloud) of every frame of a video, too."),
    ] = False,
    input_size: Annotated[
        int | None,
        typer.Option(min=14, help="Shorter side in the network; by default as it was trained."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.")
    ] = "auto",
    backend: Annotated[
        str,
        typer.Option(help="auto, torch, openvino, onnxruntime, tensorrt; auto takes the fastest."),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(help="auto, fp32, fp16, bf16, int8 (after `export MODEL --int8 FOLDER`)."),
    ] = "auto",
    intrinsics: Annotated[
        str | None,
        typer.Option(
            metavar="FX,FY,CX,CY", help="In pixels of the images.", rich_help_panel=_CAMERA
        ),
    ] = None,
    hfov: Annotated[
        float | None,
        typer.Option(metavar="DEGREES", help="Horizontal field of view.", rich_help_panel=_CAMERA),
    ] = None,
    camera: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="ROS camera_info calibration file.", rich_help_panel=_CAMERA
        ),
    ] = None,
    scaler: Annotated[
        str | None,
        typer.Option(
            parser=scaler_name,
            metavar="NAME",
            help="The way to metres: auto (the best that the options allow), none, sparse, "
            "ground_plane, focal, baseline, fixed, network or another scale source. By default "
            "fixed where only --scale or --scale-file is given, else auto.",
            rich_help_panel=METRES,
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Measured points of the image: .npz with arrays u v z (pixels, metres) or xyz, or "
            ".csv with such columns; for several images a folder of NAME.npz or NAME.csv.",
            rich_help_panel=METRES,
        ),
    ] = None,
    extrinsics: Annotated[
        str | None,
        typer.Option(
            metavar="'X Y Z QX QY QZ QW'",
            help="Brings points in x y z into the camera's optical frame; also 16 numbers, or a "
            "YAML file with either. By default what the points file holds as `extrinsics`.",
            rich_help_panel=METRES,
        ),
    ] = None,
    fit_shift: FitShiftOption = FitShift.AUTO,
    min_points: MinPointsOption = 6,
    refinement: Annotated[
        Refinement,
        typer.Option(
            help="Whether points correct the depth around them, too.", rich_help_panel=METRES
        ),
    ] = Refinement.LOCAL,
    camera_height: Annotated[
        float | None,
        typer.Option(help="Metres above the ground (ground_plane).", rich_help_panel=METRES),
    ] = None,
    camera_pitch: Annotated[
        float,
        typer.Option(
            min=-90, max=90, help="Degrees the camera looks down.", rich_help_panel=METRES
        ),
    ] = 0.0,
    camera_roll: Annotated[
        float,
        typer.Option(
            min=-180, max=180, help="Degrees it leans to the right.", rich_help_panel=METRES
        ),
    ] = 0.0,
    baseline: Annotated[
        float | None,
        typer.Option(
            help="Virtual stereo baseline of a relative model in metres: Z = f * B / disparity.",
            rich_help_panel=METRES,
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="1/Z = scale * disparity + shift (metric model: Z = scale * Z + shift).",
            rich_help_panel=METRES,
        ),
    ] = None,
    shift: Annotated[float, typer.Option(help="Goes with --scale.", rich_help_panel=METRES)] = 0.0,
    scale_file: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML",
            help="Scale and shift as `calibrate` or the node saved them.",
            rich_help_panel=METRES,
        ),
    ] = None,
    max_age: Annotated[
        float,
        typer.Option(
            help="Seconds a video's scale is held without a measurement.", rich_help_panel=METRES
        ),
    ] = 2.0,
) -> None:
    """Estimate the depth of images, folders and videos, in metres where there is a way to them.

    An image gives NAME_depth.npy (metres, or disparity of a relative model), NAME_depth.png (16
    bit: millimetres with 0 = unknown, or disparity stretched with near = bright),
    NAME_preview.png, NAME.json and with --cloud NAME_cloud.ply. A video gives NAME_preview.mp4 and
    NAME.json, and with --frames the depth files of every frame as NAME_000000_depth.npy. Where
    metres are asked for but cannot be had, depth is NaN (PNG: 0) and NAME.json says why.
    """
    given = [
        name
        for name, value in (("--intrinsics", intrinsics), ("--hfov", hfov), ("--camera", camera))
        if value is not None
    ]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other; give one")
    if cloud and not given:
        raise typer.BadParameter(
            "a cloud needs the camera: give --intrinsics, --hfov or --camera", param_hint="--cloud"
        )
    if shift and scale is None:
        raise typer.BadParameter("it needs --scale", param_hint="--shift")
    if scale is not None and scale_file is not None:
        raise typer.BadParameter("--scale and --scale-file exclude each other; give one")
    if camera_height is not None and not camera_height > 0:
        raise typer.BadParameter(f"{camera_height:g} is not above 0", param_hint="--camera-height")
    if (camera_pitch or camera_roll) and camera_height is None:
        raise typer.BadParameter("--camera-pitch and --camera-roll need --camera-height")
    if extrinsics is not None and points is None:
        raise typer.BadParameter("it needs --points", param_hint="--extrinsics")
    if hfov is not None and not 0 < hfov < 180:
        raise typer.BadParameter(f"{hfov:g} is not between 0 and 180", param_hint="--hfov")
    numbers = _numbers(intrinsics) if intrinsics is not None else None
    given_scale = scale is not None or scale_file is not None
    measured = not (points is None and camera_height is None and baseline is None)
    way = scaler or ("fixed" if given_scale and not measured else "auto")
    lacking = {
        "sparse": points is None and "--points",
        "ground_plane": camera_height is None and "--camera-height",
        "baseline": baseline is None and "--baseline",
        "fixed": not given_scale and "--scale or --scale-file",
    }.get(way)
    if not lacking and not given and way in ("ground_plane", "baseline", "focal"):
        lacking = "--intrinsics, --hfov or --camera"
    if lacking:
        raise typer.BadParameter(f"{way} needs {lacking}", param_hint="--scaler")

    # The libraries behind these take a second to load: too long for --help and typing errors.
    from depth_anything_ros.cli.support.measured import MeasuredOptions
    from depth_anything_ros.cli.support.processing import CameraOptions, OutputOptions, process
    from depth_anything_ros.formats.camera_yaml import read_camera
    from depth_anything_ros.formats.extrinsics import read_extrinsics
    from depth_anything_ros.formats.point_files import read_points
    from depth_anything_ros.frames import Plane
    from depth_anything_ros.geometry.ground import up_of_attitude
    from depth_anything_ros.settings import ModelSettings, ScalerSettings

    ground = None
    if camera_height is not None:
        x, y, z = up_of_attitude(camera_pitch, camera_roll)
        ground = Plane((float(x), float(y), float(z)), camera_height)
    folder = points if points is not None and points.is_dir() else None
    process(
        inputs,
        recursive,
        ModelSettings(model, device, precision, input_size or 0, backend=backend),
        ScalerSettings(
            scaler=way,
            scale=scale or 0.0,
            shift=shift,
            scale_file=scale_file,
            baseline=baseline or 0.0,
            fit_shift=fit_shift.flag,
            min_points=min_points,
            refinement=refinement.value,
            max_age=max_age,
        ),
        CameraOptions(numbers, hfov, read_camera(camera) if camera is not None else None),
        MeasuredOptions(
            points=read_points(points) if points is not None and folder is None else None,
            folder=folder,
            extrinsics=read_extrinsics(extrinsics) if extrinsics is not None else None,
            ground=ground,
        ),
        OutputOptions(
            folder=output, pred_only=pred_only, grayscale=grayscale, cloud=cloud, frames=frames
        ),
    )


def _numbers(text: str) -> tuple[float, float, float, float]:
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError:
        fx = fy = cx = cy = math.nan
    if not (fx > 0 and fy > 0 and math.isfinite(fx + fy + cx + cy)):
        raise typer.BadParameter(
            f"'{text}' is not a camera like 518.8,519.4,325.5,253.7", param_hint="--intrinsics"
        )
    return fx, fy, cx, cy
