"""`depth_anything demo`: the real node on real DDS, fed with pictures, watched from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option
from depth_anything_ros.errors import DepthAnythingError, InputError, require

if TYPE_CHECKING:
    from rich.table import Table

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


@command("demo")
@option(
    "--images",
    default="robot",
    help="Folder, image, video, rosbag2 or webcam:0; photographs: those of scikit-image's wheel; "
    "robot: a simulated robot with LiDAR that knows the true depth.",
)
@option(
    "--model",
    "-m",
    default="embedded",
    help="Catalogue name or path of a model; embedded needs no download.",
)
@option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    help="How long; 0 runs until Ctrl-C.",
)
@option("--rate", type=click.FloatRange(min=0.01), default=10.0, help="Images per second.")
@option(
    "--hfov",
    type=float,
    default=60.0,
    help="Horizontal field of view to assume without a calibration.",
)
@option(
    "--output",
    "-o",
    type=PATH,
    default=Path("demo_output"),
    help="Folder for preview, cloud and summary.",
)
def demo(images: str, model: str, seconds: float, rate: float, hfov: float, output: Path) -> None:
    """Show the depth node at work: a source of images, the node, a summary."""
    from depth_anything_ros.cli.support.terminal import STDOUT, say
    from depth_anything_ros.node.start import require_ros

    require_ros()
    say(f"model: {model}")
    for name in ("summary.json", "preview.png", "cloud.ply"):
        (output / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="depth_anything_demo_") as scratch:
        processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            processes["output_recorder"] = _start("output_recorder", output=str(output))
            if images == "robot":
                extrinsics = f'"{_lidar_in_camera()}"'
                processes["depth_node"] = _start(
                    "depth_node", model=model, sensor_extrinsics=extrinsics, points_timeout=0.1
                )
                processes["source"] = _start("simulated_robot", world="room", seed=1)
            else:
                source = _photographs(Path(scratch)) if images == "photographs" else Path(images)
                processes["depth_node"] = _start("depth_node", model=model)
                processes["source"] = _start(
                    "image_player", path=str(source), rate=rate, loop=True, hfov=hfov
                )
            died = _wait(processes, seconds)
        except KeyboardInterrupt:
            died = None
        finally:
            _stop(processes)
    if died:
        raise InputError(f"{died} stopped early; its last output is above")
    assumed = "" if _has_camera(images) else f", {hfov:g} degrees assumed without a calibration"
    STDOUT.print(_summary(output / "summary.json", images, assumed))


def _lidar_in_camera() -> str:
    """Where the simulated robot's LiDAR stands, as the depth node's sensor_extrinsics."""
    import numpy as np
    from scipy.spatial.transform import Rotation

    from depth_anything_ros.geometry.camera import Camera
    from depth_anything_ros.synthetic.robot import Robot

    robot = Robot("room", 1, {"": Camera.from_hfov(4, 3, 60.0)})
    extrinsics = np.linalg.inv(robot.base_camera[""]) @ robot.base_lidar
    turn = Rotation.from_matrix(extrinsics[:3, :3]).as_quat()
    numbers = [round(float(number), 9) for number in (*extrinsics[:3, 3], *turn)]
    return f"{{points: {numbers}}}"


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
    room = "node" if node == "depth_node" else "node.tools"
    module = f"depth_anything_ros.{room}.{node}"
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
    """Stop the source first, so that the last answers still arrive; the recorder last."""
    for name in ("source", "depth_node", "output_recorder"):
        process = processes.get(name)
        if process is None:  # stopped before it was started
            continue
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if name == "source":
            time.sleep(1.5)  # one more diagnostics period


def _has_camera(images: str) -> bool:
    """Whether the source of images brings its calibration."""
    from depth_anything_ros.formats.bags import is_recording
    from depth_anything_ros.formats.recording import Recording

    if images == "robot":
        return True
    if not Path(images).exists() or not is_recording(Path(images)):
        return False
    with Recording(Path(images)) as recording:
        return recording.camera is not None


def _summary(path: Path, source: object, assumed: str) -> Table:
    from rich.table import Table

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
        "scaler": f"{node.get('scaler', '?')}: {node.get('scale_reason', '?')}",
        "frames in / out / dropped": " / ".join(
            node.get(key, "?") for key in ("frames_in", "frames_out", "frames_dropped")
        ),
        "received over DDS": f"{seen['previews']} previews, {seen['depth_images']} depth images, "
        f"{seen['clouds']} clouds",
        "rate": f"{seen.get('rate_hz', 0):.2f} Hz",
        "latency p50 / p95": f"{seen.get('latency_p50_ms', float('nan')):.0f} / "
        f"{seen.get('latency_p95_ms', float('nan')):.0f} ms (stamp to received)",
        "error against the truth": f"AbsRel {seen['abs_rel']:.3f} (median over the images)"
        if "abs_rel" in seen
        else "not known",
        "preview": seen.get("preview", "none received"),
        "cloud": f"{seen['cloud']} ({seen['cloud_points']} points{assumed})"
        if "cloud" in seen
        else "none received",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return table


COMMANDS.register(Subcommand("demo", demo, 50))
