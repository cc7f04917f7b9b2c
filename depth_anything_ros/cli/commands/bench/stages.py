"""The node around the network, stage by stage."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.cli.commands.bench import BENCHMARKS
from depth_anything_ros.cli.support.benchmarks import (
    IMAGES,
    finish,
    measure,
    rounds_option,
    size_of,
    sizes_option,
    table_of,
)
from depth_anything_ros.cli.support.command_line import Subcommand, command
from depth_anything_ros.cli.support.files import json_option

if TYPE_CHECKING:
    from depth_anything_ros.benchmark.timing import Contender

_WAYS = ("node", "straightforward")
_REST_S = 0.1


@command("stages")
@sizes_option
@rounds_option(40)
@json_option
def stages(sizes: tuple[str, ...], rounds: int, json_file: Path | None) -> None:
    """The node around the network, stage by stage, beside the straightforward way to do it.

    From an image message to depth, camera_info and coloured cloud, published to a consumer in a
    process of its own.
    """
    from depth_anything_ros.node.start import require_ros

    shapes = [size_of(text) for text in sizes or IMAGES]
    require_ros()

    from depth_anything_ros.benchmark.node.runner import domain, listening
    from depth_anything_ros.benchmark.node.stages import DEPTH_STAGES, STAGES, publishing
    from depth_anything_ros.benchmark.timing import total

    table = table_of("stage", "image", "median ms", "straightforward ms", "times faster")
    rows: list[dict[str, Any]] = []
    with listening(), publishing(domain()) as publish:
        for height, width in shapes:
            timings = measure(_stage_contenders(height, width, publish), rounds)
            parts = {name: (name,) for name in STAGES} | {"depth": DEPTH_STAGES, "all": STAGES}
            for name, stages in parts.items():
                ours, theirs = (
                    total([timings[key] for s in stages if (key := f"{way}, {s}") in timings])
                    for way in _WAYS
                )
                row: dict[str, Any] = {
                    "stage": name,
                    "image": f"{height}x{width}",
                    **ours.as_dict(),
                }
                figures = ["-", "-"]
                if theirs.costs:
                    row["straightforward"] = theirs.as_dict()
                    row["speed"] = theirs.median_ms / ours.median_ms
                    figures = [f"{theirs.median_ms:.2f}", f"{row['speed']:.1f}"]
                rows.append(row)
                table.add_row(name, row["image"], f"{ours.median_ms:.2f}", *figures)
    finish(table, json_file, {"benchmark": "stages", "rows": rows})


def _stage_contenders(height: int, width: int, publish: Any) -> dict[str, Contender]:
    """Both ways in turn, stage after stage; between them the consumer has time to catch up."""
    from depth_anything_ros.benchmark.node.stages import (
        Calculations,
        NodeStages,
        Scene,
        StraightforwardStages,
    )
    from depth_anything_ros.benchmark.straightforward import (
        straightforward_cloud,
        straightforward_input,
        straightforward_metres,
    )
    from depth_anything_ros.benchmark.timing import stopwatch

    scene = Scene.random(height, width)
    calculate = Calculations(straightforward_input, straightforward_metres, straightforward_cloud)
    jobs = zip(
        _WAYS,
        (
            NodeStages(scene, publish).stages(),
            StraightforwardStages(scene, publish, calculate).stages(),
        ),
        strict=True,
    )
    contenders: dict[str, Contender] = {}
    for way, stages in jobs:
        contenders |= {f"{way}, {name}": stopwatch(job) for name, job in stages.items()}
        contenders[f"{way}, rest"] = stopwatch(functools.partial(time.sleep, _REST_S))
    return contenders


BENCHMARKS.register(Subcommand("stages", stages, 50))
