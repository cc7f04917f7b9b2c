"""`depth_anything demo`: the real node on real DDS, fed with pictures, watched from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from depth_anything_ros.errors import CheckpointError, DepthAnythingError, InputError, require

PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
"""Photographs in scikit-image's wheel (its data/README.txt has their licences)."""

_STOP_PATIENCE = 20.0


def demo(
    images: Annotated[
        Path | None,
        typer.Option(help="Folder, image, video or rosbag2; else scikit-image's photographs."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Catalogue name or path of a model; auto takes what can be had.")
    ] = "auto",
    seconds: Annotated[float, typer.Option(help="How long; 0 runs until Ctrl-C.", min=0)] = 30.0,
    rate: Annotated[float, typer.Option(help="Images per second.", min=0.01)] = 10.0,
    hfov: Annotated[
        float, typer.Option(help="Horizontal field of view to assume without a calibration.")
    ] = 60.0,
    output: Annotated[Path, typer.Option(help="Folder for preview, cloud and summary.")] = Path(
        "demo_output"
    ),
) -> None:
    """Run image player and depth node as processes of their own, then sum up what came out."""
    console = Console()
    require("rclpy", "ros")
    chosen = _find_model(model)
    console.print(f"model: {chosen}")
    for name in ("summary.json", "preview.png", "cloud.ply"):
        (output / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="depth_anything_demo_") as scratch:
        source = images or _photographs(Path(scratch))
        processes = {
            "output_recorder": _start("output_recorder", output=str(output)),
            "depth_node": _start("depth_node", model=chosen),
            "image_player": _start(
                "image_player", path=str(source), rate=rate, loop=True, hfov=hfov
            ),
        }
        try:
            died = _wait(processes, seconds)
        except KeyboardInterrupt:
            died = None
        finally:
            _stop(processes)
    if died:
        raise InputError(f"{died} stopped early; its last words are above")
    console.print(_summary(output / "summary.json", source if images else "scikit-image", hfov))


def _find_model(model: str) -> str:
    """The model to show: the one asked for, the default, or a small open one that lies beside."""
    if model != "auto":
        return model
    from depth_anything_ros.factory import DEFAULT_MODEL
    from depth_anything_ros.network.checkpoints import resolve

    try:
        resolve(DEFAULT_MODEL)
    except CheckpointError as error:
        beside = Path(__file__).parents[3] / "shared" / "data" / "fastdepth" / "fastdepth_7.onnx"
        if beside.is_file():
            return str(beside)
        raise CheckpointError(
            f"no model for the demo: {error}. With network access run `depth_anything models pull "
            f"{DEFAULT_MODEL}`, or give one with --model (make demo DEMO_MODEL=path)"
        ) from error
    return DEFAULT_MODEL


def _photographs(folder: Path) -> Path:
    """A folder with links to the photographs of scikit-image."""
    data = Path(str(require("skimage", "demo").__file__)).parent / "data"
    found = [data / name for name in PHOTOGRAPHS if (data / name).is_file()]
    if not found:
        raise InputError(f"{data} holds none of {', '.join(PHOTOGRAPHS)}; give images")
    for path in found:
        (folder / path.name).symlink_to(path)
    return folder


def _start(node: str, **parameters: object) -> subprocess.Popen[bytes]:
    settings = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    module = f"depth_anything_ros.node.{node}"
    # A session of its own: Ctrl-C reaches only this process, which stops the nodes in order.
    return subprocess.Popen(
        [sys.executable, "-m", module, "--ros-args", *settings], start_new_session=True
    )


def _wait(processes: dict[str, subprocess.Popen[bytes]], seconds: float) -> str | None:
    """Wait until the time is over; name the process that ends before."""
    until = time.monotonic() + seconds if seconds else float("inf")
    while time.monotonic() < until:
        for name, process in processes.items():
            if process.poll() is not None:
                return name
        time.sleep(0.1)
    return None


def _stop(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Stop the player first, so that the last answers still arrive; the recorder last."""
    for name in ("image_player", "depth_node", "output_recorder"):
        process = processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if name == "image_player":
            time.sleep(1.5)  # one more diagnostics period


def _summary(path: Path, source: object, hfov: float) -> Table:
    try:
        seen: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DepthAnythingError(f"the recorder left no summary in {path}: {error}") from error
    node: dict[str, str] = seen["diagnostics"]
    table = Table(title="depth_anything demo", show_header=False)
    rows = {
        "input": str(source),
        "model": " ".join(node.get(key, "?") for key in ("model", "kind", "licence")),
        "runs on": " ".join(node.get(key, "?") for key in ("backend", "device", "precision")),
        "scaler": f"{node.get('scaler', '?')}: {node.get('message', '?')}",
        "frames in / out / dropped": " / ".join(
            node.get(key, "?") for key in ("frames_in", "frames_out", "frames_dropped")
        ),
        "received over DDS": f"{seen['previews']} previews, {seen['depth_images']} depth images, "
        f"{seen['clouds']} clouds",
        "rate": f"{seen.get('rate_hz', 0):.2f} Hz",
        "latency p50 / p95": f"{seen.get('latency_p50_ms', float('nan')):.0f} / "
        f"{seen.get('latency_p95_ms', float('nan')):.0f} ms (stamp to received)",
        "preview": seen.get("preview", "none received"),
        "cloud": f"{seen['cloud']} ({seen['cloud_points']} points, {hfov:g} degrees assumed where "
        "the input has no calibration)"
        if "cloud" in seen
        else "none received",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table
