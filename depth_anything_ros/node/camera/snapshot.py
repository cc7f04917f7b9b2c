"""One answer as files: image, depth, cloud and how they came to be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.formats.camera_yaml import write_camera
from depth_anything_ros.formats.depth_files import write_metric_png, write_npy
from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.frames import DepthFrame
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.node.camera.outputs.preview import preview_of


def write_snapshot(folder: Path, camera_name: str, answer: DepthFrame) -> Path:
    """Write everything that is known of one answer.

    Args:
        folder: Where to make a folder for it.
        camera_name: Name of the camera, empty for the only one.
        answer: Depth of one image.

    Returns:
        The folder made: `<stamp in ns>[_<camera>]`, with image.png, preview.png, state.json,
        network_<kind>.npy and, as far as known, depth.npy, depth.png (mm), camera.yaml, cloud.ply.

    Raises:
        OSError: The folder cannot be written.
    """
    frame = answer.frame
    target = folder / f"{frame.stamp}{f'_{camera_name}' if camera_name else ''}"
    target.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target / "image.png"), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    preview = preview_of(answer, grayscale=False)
    cv2.imwrite(str(target / "preview.png"), cv2.cvtColor(preview, cv2.COLOR_RGB2BGR))
    write_npy(target / f"network_{answer.prediction.kind.value}.npy", answer.prediction.values)
    if frame.camera is not None:
        write_camera(target / "camera.yaml", frame.camera)
    if answer.depth_m is not None:
        write_npy(target / "depth.npy", answer.depth_m)
        write_metric_png(target / "depth.png", answer.depth_m)
        if frame.camera is not None:
            cloud = build_cloud(answer.depth_m, frame.camera, frame.rgb, organized=False)
            write_ply(target / "cloud.ply", cloud.xyz, cloud.rgb)
    state = {
        name: value.value if name == "quality" else value
        for name, value in dataclasses.asdict(answer.scale_state).items()
    }
    known = {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in state.items()
    }
    report = {"stamp": frame.stamp, "frame_id": frame.frame_id, "scale_state": known}
    (target / "state.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return target
