"""One answer as files: image, depth, cloud and how they came to be."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.formats.depth_files import write_metric_png, write_npy
from depth_anything_ros.formats.media import write_image
from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.formats.preview import DepthColors
from depth_anything_ros.formats.results import state_report, write_json
from depth_anything_ros.formats.whole_file import whole_folder
from depth_anything_ros.frames import DepthFrame
from depth_anything_ros.geometry.cloud import build_cloud


def write_snapshot(folder: Path, camera_name: str, answer: DepthFrame) -> Path:
    """Write everything that is known of one answer.

    Args:
        folder: Where to make a folder for it.
        camera_name: Name of the camera, empty for the only one.
        answer: Depth of one image.

    Returns:
        The folder made, whole or not there: `<stamp in ns>[_<camera>][_<n>]`, with image.png,
        preview.png, state.json, network_<kind>.npy and, as far as known, depth.npy, depth.png (mm),
        camera.yaml, cloud.ply.

    Raises:
        OSError: The folder cannot be written.
    """
    frame = answer.frame
    name = f"{frame.stamp}{f'_{camera_name}' if camera_name else ''}"
    target = folder / name
    for number in itertools.count(2):
        if not target.exists():
            break
        target = folder / f"{name}_{number}"  # simulated time has begun anew
    with whole_folder(target) as part:
        _write(part, answer)
    return target


def _write(target: Path, answer: DepthFrame) -> None:
    frame = answer.frame
    write_image(target / "image.png", frame.rgb)
    write_image(target / "preview.png", DepthColors().answer(answer))
    write_npy(target / f"network_{answer.prediction.kind.value}.npy", answer.prediction.values)
    if frame.camera is not None:
        write_camera(target / "camera.yaml", frame.camera)
    if answer.depth_m is not None:
        write_npy(target / "depth.npy", answer.depth_m)
        write_metric_png(target / "depth.png", answer.depth_m)
        if frame.camera is not None:
            cloud = build_cloud(answer.depth_m, frame.camera, frame.rgb, organized=False)
            write_ply(target / "cloud.ply", cloud.xyz, cloud.rgb)
    report: dict[str, Any] = {"stamp": frame.stamp, "frame_id": frame.frame_id}
    report["scale_state"] = state_report(answer.scale_state)
    write_json(target / "state.json", report)
