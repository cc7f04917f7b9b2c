"""What an import brings along, counted in modules and not in seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "cv2", "scipy", "onnxruntime", "openvino", "rclpy", "transformers", "rosbags"}


def brought_along(module: str) -> set[str]:
    """Modules that are loaded by the import of one, in a fresh interpreter."""
    code = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        f"import {module}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_package_brings_nothing_along() -> None:
    assert brought_along("depth_anything_ros") <= {"depth_anything_ros", "__future__"}


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "geometry.arrays",
        "cli.commands.bench",
        "cli.main",
    ],
)
def test_nothing_heavy_comes_before_it_is_needed(module: str) -> None:
    loaded = brought_along(f"depth_anything_ros.{module}")
    assert f"depth_anything_ros.{module}" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "module",
    [
        "frames",
        "pipeline",
        "settings",
        "inference.selection",
        "metric.selection",
        "benchmark.node.runner",
    ],
)
def test_what_computes_needs_neither_torch_nor_ros(module: str) -> None:
    assert not brought_along(f"depth_anything_ros.{module}") & (HEAVY - {"cv2", "scipy"})
