"""What a result was asked for: the same request is not answered twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from depth_anything_ros.cli.support.camera_options import CameraOptions
from depth_anything_ros.cli.support.limit_options import LimitOptions
from depth_anything_ros.cli.support.output_options import OutputOptions
from depth_anything_ros.cli.support.scale_options import ScaleOptions
from depth_anything_ros.formats.inputs import Input
from depth_anything_ros.formats.recording import Topics
from depth_anything_ros.settings import ModelSettings


def fingerprint(path: Path | None) -> list[object]:
    """What changes when a file does.

    Args:
        path: A file or folder, or None.

    Returns:
        Its path, size and time of change.
    """
    if path is None or not path.exists():
        return [str(path)]
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def request_of(
    model: ModelSettings,
    scale: ScaleOptions,
    camera: CameraOptions,
    limits: LimitOptions,
    output: OutputOptions,
    topics: Topics,
) -> dict[str, object]:
    """Everything that decides the results besides the input, as JSON takes it.

    Args:
        model: The network to use.
        scale: Options of the scaler.
        camera: What is known about the camera.
        limits: Which depths are given out.
        output: What is written.
        topics: The topics of a recording that the user names.
    """
    written = {
        name: value for name, value in asdict(output).items() if name not in ("folder", "overwrite")
    }
    files = [Path(model.model), scale.points, scale.settings.scale_file, camera.file, limits.mask]
    parts = [asdict(model), asdict(scale), asdict(camera), asdict(limits), asdict(topics), written]
    return {
        "options": json.loads(json.dumps(parts, default=str)),
        "files": [fingerprint(file) for file in files],
    }


def digest(source: Input, request: Mapping[str, object]) -> str:
    """A short name of what is asked of an input.

    Args:
        source: The input.
        request: As `request_of` gives it.
    """
    file = [source.url, source.version] if source.url else fingerprint(source.path)
    about = json.dumps([file, request], sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()[:16]
