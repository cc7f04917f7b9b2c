"""Faults of this machine: mixed installations, full shared memory, the GPU.

Nothing here imports rclpy: a mixed installation may not even let it be imported.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from depth_anything_ros.node.doctor.findings import Finding, problem, warning
from depth_anything_ros.node.runtime.shared_memory import FOLDER, leaked_segments

_SEARCH_PATHS = ("AMENT_PREFIX_PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_ROS_WHEEL = re.compile(r"ros[-_](\w+)[-_]rclpy")
_NEEDED_BYTES = 128 * 1024 * 1024
"""Room for the segments of a depth node and its camera, as the node itself asks for."""
_LEAKED_SHARE = 0.1
_GPU_DEVICES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu")
"""An NVIDIA card; the GPU of a Jetson, older and newer."""


def check_machine(
    environment: Mapping[str, str] = os.environ, shared_memory: Path = FOLDER
) -> list[Finding]:
    """Check the installation and shared memory.

    Args:
        environment: Environment variables.
        shared_memory: Where shared memory is mounted.

    Returns:
        What is wrong; empty when all is well.
    """
    return [*_mixed_installations(environment), *_shared_memory(shared_memory)]


def has_gpu() -> bool:
    """Whether this machine shows an NVIDIA GPU."""
    return any(Path(device).exists() for device in _GPU_DEVICES)


def _mixed_installations(environment: Mapping[str, str]) -> Iterator[Finding]:
    sourced = [name for name in _SEARCH_PATHS if "/opt/ros/" in environment.get(name, "")]
    wheels = [
        name
        for distribution in importlib.metadata.distributions()
        if (name := distribution.metadata["Name"]) and _ROS_WHEEL.fullmatch(name)
    ]
    if sourced and wheels:
        yield problem(
            f"this Python has ROS 2 from PyPI ({wheels[0]}), but {', '.join(sourced)} also "
            "leads to /opt/ros: libraries of both get mixed and crash or find no messages",
            "use one of them: open a terminal that does not source /opt/ros, or install this "
            "package without the PyPI wheels (colcon)",
        )


def _shared_memory(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        return
    usage = shutil.disk_usage(folder)
    leaked = leaked_segments(folder)
    size = sum(segment.stat().st_size for segment in leaked)
    clean = f"stop the ROS nodes and delete {folder}/*fastrtps_* (or run `fastdds shm clean`)"
    if usage.free < _NEEDED_BYTES:
        left = f", {size / 1e6:.0f} MB of it held by nodes that were killed" if leaked else ""
        more = "give the container more (docker run --shm-size=1g)"
        yield problem(
            f"{folder} has only {usage.free / 1e6:.0f} MB of {usage.total / 1e6:.0f} MB free{left}:"
            " images and clouds go over the network stack and get lost",
            f"{clean}; {more}" if leaked else more,
        )
    elif size > _LEAKED_SHARE * usage.total:
        yield warning(
            f"{len(leaked)} segments ({size / 1e6:.0f} MB) in {folder} belong to nodes that were "
            "killed",
            clean,
        )
