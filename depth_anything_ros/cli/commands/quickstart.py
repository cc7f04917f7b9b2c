"""`depth_anything quickstart`: three questions, a parameter file and the line that starts it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import PATH, Subcommand, command, option

WEBCAM = "webcam"
"""The answer of who has no camera driver yet."""

_WEBCAM_TOPIC = "/image_raw"  # of v4l2_camera


@dataclass(frozen=True)
class Choice:
    """One answer to a question.

    Attributes:
        meaning: What it stands for, in the question.
        parameters: Parameters of the node that follow from it.
        topics: The parameter that names the sensor's topics, or empty.
        example: A topic of such a sensor.
        note: What else is needed, or empty.
    """

    meaning: str
    parameters: dict[str, object]
    topics: str = ""
    example: str = ""
    note: str = ""


_PLACE = (
    "Where the sensor stands comes from tf2 (its frame to the camera's optical frame), or give "
    "sensor_extrinsics in the parameter file."
)
_POINTS: dict[str, object] = {
    "model": "depth_anything_v2_vits",
    "scaler": "auto",
    "scale_max_age": 1.0,
}
_RANGE: dict[str, object] = {
    "model": "depth_anything_v2_metric_hypersim_vits",
    "scaler": "auto",
    "min_points": 1,
}
SENSORS = {
    "lidar": Choice("a LiDAR", _POINTS, "cloud_topics", "/points", _PLACE),
    "scan": Choice("a laser scanner", _POINTS, "scan_topics", "/scan", _PLACE),
    "depth": Choice("a depth camera", _POINTS, "depth_topics", "/depth/image", _PLACE),
    "range": Choice("a range finder", _RANGE, "range_topics", "/range", _PLACE),
    "indoors": Choice(
        "none, indoors",
        {"model": "depth_anything_v2_metric_hypersim_vits", "scaler": "auto", "max_range": 10.0},
        note="The metres are the network's own; odometry (odom) makes them better.",
    ),
    "outdoors": Choice(
        "none, outdoors",
        {"model": "depth_anything_v2_metric_vkitti_vits", "scaler": "auto", "max_range": 60.0},
        note="The metres are the network's own; odometry (odom) makes them better.",
    ),
}
"""What measures distance, by the word that selects it."""

COMPUTERS = {
    "cpu": Choice("no GPU", {"device": "cpu", "input_size": 280}),
    "nvidia": Choice("an NVIDIA card", {"device": "cuda"}),
    "jetson": Choice("a Jetson", {"device": "cuda", "input_size": 364}),
    "auto": Choice("whatever is there", {"device": "auto"}),
}
"""What the node runs on, by the word that selects it."""


@command("quickstart")
@option("--camera", metavar="TOPIC", help=f"Topic of the images, or {WEBCAM} for v4l2_camera's.")
@option("--sensor", type=click.Choice(list(SENSORS)), help="What measures distance.")
@option("--sensor-topic", metavar="TOPIC", help="Its topic; by default the usual one.")
@option("--computer", type=click.Choice(list(COMPUTERS)), help="What the node runs on.")
@option("--embedded", is_flag=True, help="Use the network that comes along: no download.")
@option(
    "--output",
    "-o",
    "file",
    type=PATH,
    default=Path("depth_anything.yaml"),
    help="Parameter file to write.",
)
@option("--overwrite", is_flag=True, help="Replace the file where it is there already.")
def quickstart(
    camera: str | None,
    sensor: str | None,
    sensor_topic: str | None,
    computer: str | None,
    embedded: bool,
    file: Path,
    overwrite: bool,
) -> None:
    """Ask for camera, range sensor and computer; write a parameter file and print how to start.

    What is given as an option is not asked. Without a terminal nothing is asked and everything but
    --sensor-topic and --output has to be given.
    """
    if file.exists() and not overwrite:
        raise click.BadParameter(
            f"{file} is there already; choose another one, or replace it with --overwrite",
            param_hint="--output",
        )
    _check_complete({"--camera": camera, "--sensor": sensor, "--computer": computer})
    camera = camera or click.prompt(
        f"Topic of the camera's images ({WEBCAM}: one that v4l2_camera drives)", default=WEBCAM
    )
    sensor = sensor or _ask("What measures distance?", SENSORS, "indoors")
    chosen = SENSORS[sensor]
    if chosen.topics and sensor_topic is None and sys.stdin.isatty():
        sensor_topic = click.prompt("Its topic", default=chosen.example)
    if sensor_topic is not None and not chosen.topics:
        raise click.BadParameter(f"sensor {sensor} has no topic", param_hint="--sensor-topic")
    computer = computer or _ask("What does the node run on?", COMPUTERS, "auto")

    parameters = {**chosen.parameters, **COMPUTERS[computer].parameters}
    if embedded:
        parameters["model"] = "embedded"
        parameters.pop("input_size", None)
    if chosen.topics:
        parameters[chosen.topics] = [sensor_topic or chosen.example]
    _write(parameters, f"{camera}, {chosen.meaning}, {COMPUTERS[computer].meaning}", file)
    for line in (*_start_lines(camera, file), *filter(None, [chosen.note])):
        click.echo(line)


def _check_complete(given: dict[str, str | None]) -> None:
    missing = [name for name, value in given.items() if value is None]
    if missing and not sys.stdin.isatty():
        raise click.UsageError(f"there is no terminal to ask on: give {', '.join(missing)}")


def _ask(question: str, choices: dict[str, Choice], default: str) -> str:
    click.echo(question)
    for name, choice in choices.items():
        click.echo(f"  {name:<9} {choice.meaning}")
    return str(click.prompt("One of these", type=click.Choice(list(choices)), default=default))


def _write(parameters: dict[str, object], about: str, file: Path) -> None:
    import yaml

    from depth_anything_ros.formats.whole_file import write_whole

    body = yaml.safe_dump({"/**": {"ros__parameters": parameters}}, sort_keys=False)
    head = f"# Made by `depth_anything quickstart` for: {about}.\n"
    head += "# What is not named here has its default.\n"
    write_whole(file, head + body)


def _start_lines(camera: str, file: Path) -> list[str]:
    """What to type, one command a line."""
    from depth_anything_ros.installed_commands import own_command, ros2_command

    images = _WEBCAM_TOPIC if camera == WEBCAM else camera
    info = f"{images.rpartition('/')[0]}/camera_info"
    quoted = shlex.quote(str(file))
    launch = ros2_command(
        f"launch depth_anything_ros depth_anything.launch.py params_file:={quoted} "
        f"image:={images} camera_info:={info}",
        own_command(
            f"--ros-args --params-file {quoted} -r image:={images} -r camera_info:={info}",
            "depth_node",
        ),
    ).strip("`")
    driver = [ros2_command("run v4l2_camera v4l2_camera_node", "").strip("`")]
    if not driver[0]:
        driver = [own_command("--ros-args -p path:=webcam:0 -r image:=/image_raw", "image_player")]
    doctor = f"{own_command('doctor')}  # says why nothing comes"
    return [f"{file} is written. Start it with:", *(driver if camera == WEBCAM else []), launch,
            doctor]  # fmt: skip


COMMANDS.register(Subcommand("quickstart", quickstart, 5))
