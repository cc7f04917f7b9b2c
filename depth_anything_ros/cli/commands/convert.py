"""`depth_anything convert`: recordings with the depth node's topics added."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import (
    FOLDER_OR_URL,
    PATH,
    Subcommand,
    command,
    option,
)
from depth_anything_ros.cli.support.engine_options import engine_options
from depth_anything_ros.cli.support.recording_options import topic_options
from depth_anything_ros.errors import InputError, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from depth_anything_ros.cli.support.convert_job import Conversion, ConvertOptions
    from depth_anything_ros.cli.support.engine import Outcome
    from depth_anything_ros.cli.support.engine_options import EngineOptions
    from depth_anything_ros.formats.recording import Topics

_NODE = "The node"
_NEW = "New recording"


@command("convert")
@click.argument("bags", metavar="BAG...", nargs=-1, required=True)
@option(
    "--output",
    "-o",
    "folder",
    type=FOLDER_OR_URL,
    required=True,
    help="Folder of the new recordings, or its URL in a store (s3://, gs://, ...).",
)
@option("--overwrite", is_flag=True, help="Convert again what is there already.")
@option("--model", "-m", default=None, help="As the parameter `model` of the node.")
@option("--params-file", type=PATH, heading=_NODE, help="The robot's ROS 2 parameter file.")
@option(
    "--param",
    "-p",
    "assignments",
    multiple=True,
    heading=_NODE,
    help="NAME:=VALUE, a parameter of the node.",
)
@option(
    "--remap",
    "-r",
    "remaps",
    multiple=True,
    heading=_NODE,
    help="NAME:=/TOPIC, a recorded topic in place of one the node asks for (odom:=/odometry).",
)
@option(
    "--namespace",
    default="/depth_anything",
    heading=_NODE,
    help="Full name of the node, below which its topics are named.",
)
@option(
    "--outputs",
    default=None,
    heading=_NEW,
    help="Topics of the node to add, separated by commas, or all; by default depth/image, "
    "depth/camera_info and, where there is one, depth/sigma.",
)
@option("--cloud", is_flag=True, heading=_NEW, help="Add the point cloud, too (points).")
@option(
    "--topics",
    "copied",
    multiple=True,
    heading=_NEW,
    help="A topic of the recording to copy; may be given several times; by default all.",
)
@option("--start", type=click.FloatRange(min=0), default=0.0, heading=_NEW, help="First second.")
@option("--end", type=click.FloatRange(min=0), heading=_NEW, help="Last second.  [default: all]")
@option(
    "--storage",
    type=click.Choice(["auto", "sqlite3", "mcap"]),
    default="auto",
    heading=_NEW,
    help="Format of rosbag2; auto: as the recording's, mcap for ROS 1.",
)
@option(
    "--compression",
    type=click.Choice(["none", "zstd"]),
    default="none",
    heading=_NEW,
    help="Compression of the messages.",
)
@topic_options
@engine_options
def convert(
    bags: tuple[str, ...],
    folder: str,
    overwrite: bool,
    model: str | None,
    params_file: Path | None,
    assignments: tuple[str, ...],
    remaps: tuple[str, ...],
    namespace: str,
    outputs: str | None,
    cloud: bool,
    copied: tuple[str, ...],
    start: float,
    end: float | None,
    storage: str,
    compression: str,
    topics: Topics,
    engine_options: EngineOptions,
) -> int:
    """Add depth to recordings: everything they hold, and what the depth node publishes for it.

    BAG is a rosbag2 recording (sqlite3 or mcap, also zstd), a ROS 1 .bag, a folder with recordings,
    or the URL of any of them in a store (s3://, gs://, ...). OUT/NAME is the new
    rosbag2 recording, OUT/NAME.json says what is in it. The node's own code does the work with the
    recording's camera_info, range sensors and transforms, so the numbers are those of `ros2 bag
    play` into the node, but every image is answered. What is done already is not done again. The
    exit code is 1 where a recording could not be converted.
    """
    from depth_anything_ros.node.start import require_ros

    require("rosbags", "demo")
    require_ros()
    from depth_anything_ros.cli.support.convert_job import (
        ConvertOptions,
        is_done,
    )
    from depth_anything_ros.cli.support.terminal import STDERR, warn
    from depth_anything_ros.formats.result_folder import ResultFolder
    from depth_anything_ros.node.recorded.parameters import read_parameters

    if model is not None:
        assignments = (*assignments, f"model:='{model}'")
    parameters = read_parameters(params_file, assignments, warn)
    options = ConvertOptions(
        folder=folder,
        parameters=parameters,
        outputs=_outputs(outputs, cloud),
        topics=topics,
        remappings=tuple(_remapping(text) for text in remaps),
        copied=copied,
        start=start,
        end=end,
        storage=storage,
        compression=compression,
        name="/" + namespace.strip("/"),
        overwrite=overwrite,
    )
    conversions = _conversions(bags)
    ResultFolder(folder).make()
    waiting = [each for each in conversions if not is_done(options, each)]
    present = len(conversions) - len(waiting)
    if not waiting:
        STDERR.print(
            f"{folder}: all {present} recordings are converted already; --overwrite does it again",
            markup=False,
            soft_wrap=True,
        )
        return 0
    started = time.perf_counter()
    outcomes = _run(options, waiting, engine_options)
    return _say_what_came(outcomes, present, folder, time.perf_counter() - started)


def _outputs(named: str | None, cloud: bool) -> tuple[str, ...]:
    from depth_anything_ros.node.camera.output import OUTPUTS
    from depth_anything_ros.node.recorded.node import check_outputs, default_outputs

    if named is None:
        names = default_outputs()
    elif named == "all":
        names = OUTPUTS.names()
    else:
        names = tuple(name.strip() for name in named.split(",") if name.strip())
        check_outputs(names)
    return tuple(dict.fromkeys((*names, "points") if cloud else names))


def _remapping(text: str) -> tuple[str, str]:
    name, separator, topic = text.partition(":=")
    if not separator or not name or not topic:
        raise click.BadParameter(f"'{text}' is no remapping; write NAME:=/TOPIC", param_hint="-r")
    return name, topic


def _conversions(arguments: Sequence[str]) -> list[Conversion]:
    from depth_anything_ros.cli.support.convert_job import Conversion
    from depth_anything_ros.formats.bags import BAG_SUFFIXES, recordings_in
    from depth_anything_ros.formats.media import unique_name
    from depth_anything_ros.formats.remote import is_url, stored_at

    found: list[Conversion] = []
    taken: set[str] = set()

    def add(source: Path, is_folder: bool, url: str = "", version: str = "") -> None:
        own = source.name if is_folder else source.name.partition(".")[0]
        name = unique_name(own, "" if is_folder else source.suffix, taken)
        taken.add(name)
        found.append(Conversion(source, name, url, version))

    for argument in arguments:
        if is_url(argument):
            for stored in stored_at(argument, BAG_SUFFIXES, recursive=True):
                source = Path(Path(stored.name).name)
                add(source, stored.is_folder, stored.url, stored.version)
        else:
            for source in recordings_in(Path(argument)):
                add(source, source.is_dir())
    return found


def _run(
    options: ConvertOptions, waiting: Sequence[Conversion], engine: EngineOptions
) -> list[Outcome]:
    """Convert with a progress bar: of messages in one process, else of recordings."""
    from functools import partial

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from depth_anything_ros.cli.support.convert_job import set_up
    from depth_anything_ros.cli.support.engine import ENGINES
    from depth_anything_ros.cli.support.terminal import DONE_OF_ALL, STDERR, warn

    outcomes = []
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(DONE_OF_ALL),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=STDERR, transient=True, disable=not STDERR.is_terminal) as bar:
        row = bar.add_task("recordings", total=len(waiting))
        current = bar.add_task("messages", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(current, completed=done, total=total)

        alone = engine.engine == "local" and min(engine.workers, len(waiting)) <= 1
        set_up_worker = partial(set_up, options, advance) if alone else partial(set_up, options)
        for outcome in ENGINES.get(engine.engine).run(set_up_worker, waiting, engine.workers):
            if outcome.error:
                warn(f"{outcome.item.source}: {outcome.error}")
            outcomes.append(outcome)
            bar.advance(row)
    return outcomes


def _say_what_came(outcomes: list[Outcome], present: int, folder: str, seconds: float) -> int:
    """The last line; the exit code."""
    from depth_anything_ros.cli.support.terminal import STDERR

    done = [each for each in outcomes if not each.error]
    if not done and not present:
        raise InputError("no recording could be converted")
    images = sum(int(each.result["images"].get("frames_in", 0)) for each in done)
    recorded = sum(each.result["seconds_recorded"] for each in done)
    qualities: dict[str, int] = {}
    for each in done:
        for word, count in each.result["qualities"].items():
            qualities[word] = qualities.get(word, 0) + count
    words = ", ".join(f"{word} {count}" for word, count in qualities.items()) or "none answered"
    before = f", {present} of them from before" if present else ""
    STDERR.print(
        f"{folder}: {len(done) + present} of {len(outcomes) + present} recordings{before}, "
        f"{images} images ({words}), {recorded:.0f} s of recordings in {seconds:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    return int(len(done) < len(outcomes))


COMMANDS.register(Subcommand("convert", convert, 15))
