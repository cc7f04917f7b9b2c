"""`depth_anything run`: depth of images, folders and videos, as files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer


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
    intrinsics: Annotated[
        str | None,
        typer.Option(metavar="FX,FY,CX,CY", help="Camera in pixels of the images."),
    ] = None,
    hfov: Annotated[
        float | None, typer.Option(metavar="DEGREES", help="Camera by horizontal field of view.")
    ] = None,
    camera: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="Camera by its ROS camera_info calibration file."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(help="Metres by 1/Z = scale * disparity + shift (metric model: Z = ...)."),
    ] = None,
    shift: Annotated[float, typer.Option(help="Goes with --scale.")] = 0.0,
    input_size: Annotated[
        int | None,
        typer.Option(min=14, help="Shorter side in the network. [default: as it was trained]"),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, bf16.")] = "auto",
) -> None:
    """Estimate the depth of images, folders and videos.

    An image gives NAME_depth.npy (metres, or disparity of a relative model), NAME_depth.png (16
    bit: millimetres with 0 = unknown, or disparity stretched with near = bright),
    NAME_preview.png, NAME.json and with --cloud NAME_cloud.ply. A video gives NAME_preview.mp4 and
    NAME.json, and with --frames the depth files of every frame as NAME_000000_depth.npy.
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
    if hfov is not None and not 0 < hfov < 180:
        raise typer.BadParameter(f"{hfov:g} is not between 0 and 180", param_hint="--hfov")
    numbers = _numbers(intrinsics) if intrinsics is not None else None

    # The libraries behind these take a second to load: too long for --help and typing errors.
    from depth_anything_ros.cli.processing import CameraOptions, OutputOptions, process
    from depth_anything_ros.factory import ModelSettings, ScalerSettings
    from depth_anything_ros.formats.camera_yaml import read_camera

    scaler = ScalerSettings()
    if scale is not None:
        scaler = ScalerSettings(scaler="fixed", scale=scale, shift=shift)
    process(
        inputs,
        recursive,
        ModelSettings(model, device, precision, input_size or 0),
        scaler,
        CameraOptions(numbers, hfov, read_camera(camera) if camera is not None else None),
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
