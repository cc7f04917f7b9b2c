"""What Nav2 sees of our depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import finish, table_of, threads_option
from depth_anything_ros.cli.support.command_line import Subcommand, command, option
from depth_anything_ros.cli.support.files import json_option

if TYPE_CHECKING:
    from depth_anything_ros.inference.backend import LoadedModel

_COLUMNS = {
    "right": "right %",
    "exact": "to a cell %",
    "found": "found %",
    "found_exact": "to a cell %",
    "phantom": "phantom %",
}


@command("navigation")
@option(
    "--model",
    "models",
    multiple=True,
    help="Name or file of a network; may be repeated.  [default: embedded]",
)
@option("--source", "sources", multiple=True, help="May be repeated.  [default: all]")
@option("--world", "worlds", multiple=True, help="room or street; may be repeated.  [default: all]")
@option("--seeds", type=click.IntRange(min=1), default=1, help="Worlds of each kind.")
@option("--first-seed", type=click.IntRange(min=0), default=0, help="Seed of the first of them.")
@option("--seconds", type=click.FloatRange(min=0.1), default=10.0, help="Length of each drive.")
@option("--rate", type=click.FloatRange(min=0.1), default=5.0, help="Pictures per second.")
@option(
    "--camera-height",
    type=click.FloatRange(min=0.05, max=5.0),
    default=0.85,
    help="Metres of the robot's camera above the ground.",
)
@option(
    "--camera-pitch",
    type=click.FloatRange(min=-60.0, max=60.0),
    default=0.0,
    help="Degrees it looks down.",
)
@option(
    "--hfov",
    type=click.FloatRange(min=10.0, max=150.0),
    default=70.0,
    help="Its horizontal field of view in degrees.",
)
@option(
    "--turns",
    type=click.FloatRange(min=0.0, max=180.0),
    default=0.0,
    help="Degrees the robot turns to both sides wherever it stops, every 1.5 m.",
)
@option("--odometry/--no-odometry", default=True, help="Whether the robot publishes where it is.")
@option(
    "--height-error",
    type=click.FloatRange(min=-50.0, max=100.0),
    default=0.0,
    help="Percent by which the camera is said to be higher than it is.",
)
@option(
    "--pitch-error",
    type=click.FloatRange(min=-30.0, max=30.0),
    default=0.0,
    help="Degrees by which the camera is said to look down more than it does.",
)
@option(
    "--odometry-noise",
    type=click.FloatRange(min=0.0, max=1000.0),
    default=0.0,
    help="Millimetres by which each pose is off at random, per axis; its attitude by 0.02 degrees "
    "for each of them.",
)
@option(
    "--exposure-noise",
    type=click.FloatRange(min=0.0, max=100.0),
    default=0.0,
    help="Percent by which each image is brighter or darker at random.",
)
@option(
    "--flicker",
    type=click.FloatRange(min=0.0, max=100.0),
    default=0.0,
    help="Percent by which lamps flicker, which a rolling shutter shows as bands.",
)
@option(
    "--ground-fusion/--no-ground-fusion",
    default=True,
    help="As the node's parameter ground_fusion.",
)
@threads_option
@json_option
def navigation(
    models: tuple[str, ...],
    sources: tuple[str, ...],
    worlds: tuple[str, ...],
    seeds: int,
    first_seed: int,
    seconds: float,
    rate: float,
    camera_height: float,
    camera_pitch: float,
    hfov: float,
    turns: float,
    odometry: bool,
    height_error: float,
    pitch_error: float,
    odometry_noise: float,
    exposure_noise: float,
    flicker: float,
    ground_fusion: bool,
    threads: int,
    json_file: Path | None,
) -> None:
    """Mark a costmap as Nav2 does with the clouds of a simulated robot, and compare it with truth.

    Right: marked cells within 0.2 m of an obstacle. Found: cells with obstacles in sight, up to
    4 m, within 0.2 m of a marked cell. Phantom: cells of free floor that are marked.
    """
    from depth_anything_ros.benchmark.navigation import (
        SOURCES,
        TRUTH,
        Score,
        Told,
        View,
        answers,
        navigate,
        record,
    )
    from depth_anything_ros.benchmark.timing import usable_cores
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings
    from depth_anything_ros.synthetic.robot import KINDS

    for name, known, where in (
        *((source, SOURCES, "--source") for source in sources),
        *((world, KINDS, "--world") for world in worlds),
    ):
        if name not in known:
            raise click.BadParameter(f"'{name}' is not one of {', '.join(known)}", param_hint=where)
    networks = {
        name: make_estimator(
            ModelSettings(
                name,
                precision="fp32",
                num_threads=threads or usable_cores(),
                backend="onnxruntime" if Path(name).suffix == ".onnx" else "torch",
            )
        )
        for name in models or ("embedded",)
    }
    scores: dict[tuple[str, str, str], Score] = {}
    view = View(camera_height, camera_pitch, hfov)
    told = Told(
        odometry,
        height_error / 100,
        pitch_error,
        odometry_noise,
        exposure_noise / 100,
        flicker / 100,
    )
    for kind in worlds or KINDS:
        for seed in range(first_seed, first_seed + seeds):
            drive = record(kind, seed, seconds, rate, view, turns)
            ways: list[tuple[str, LoadedModel | None, str]] = [(TRUTH, None, "ground plane")]
            ways += [
                (Path(name).stem, network, source)
                for name, network in networks.items()
                for source in sources or SOURCES
            ]
            for name, network, source in ways:
                depths = answers(drive, network, source, ground_fusion, told)
                score = navigate(drive, depths)
                key = (kind, name, source)
                scores[key] = scores.get(key, Score()) + score
    table = table_of("world", "network", "source", *_COLUMNS.values())
    rows: list[dict[str, Any]] = []
    for (kind, name, source), score in scores.items():
        shares = score.percentages()
        figures = ("-" if share is None else f"{share:.1f}" for share in shares.values())
        table.add_row(kind, name, source if name != TRUTH else "-", *figures)
        rows.append({"world": kind, "network": name, "source": source, **shares})
    finish(
        table,
        json_file,
        {
            "benchmark": "navigation",
            "seeds": seeds,
            "first_seed": first_seed,
            "seconds": seconds,
            "rate": rate,
            "camera_height": camera_height,
            "camera_pitch": camera_pitch,
            "odometry": odometry,
            "height_error": height_error,
            "pitch_error": pitch_error,
            "hfov": hfov,
            "turns": turns,
            "ground_fusion": ground_fusion,
            "rows": rows,
        },
    )


BENCHMARKS.register(Subcommand("navigation", navigation, 90))
