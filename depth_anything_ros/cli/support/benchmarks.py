"""What the benchmarks share: options, taking turns, tables and the report file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from depth_anything_ros.cli.support.command_line import F, option
from depth_anything_ros.formats.whole_file import write_whole

if TYPE_CHECKING:
    from rich.table import Table

    from depth_anything_ros.benchmark.fusion import Scene
    from depth_anything_ros.benchmark.timing import Contender, Timing

IMAGES = ("480x640", "720x1280")
"""Sizes of images where none is given, HxW."""

PERCENTILES = ("p50", "p95", "p99", "most")
"""Columns of latencies."""

threads_option = option(
    "--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0 takes all cores."
)
encoder_option = option(
    "--encoder",
    default="vits",
    help="The network: vits, vitb, vitl or vitg of V2, da3_small, da3_base or da3mono_large.",
)
sizes_option = option(
    "--size",
    "sizes",
    multiple=True,
    metavar="HxW",
    help="Size of the images; may be repeated.",
)


def rounds_option(default: int) -> Callable[[F], F]:
    """The option `--rounds`.

    Args:
        default: Rounds where it is not given.

    Returns:
        The decorator.
    """
    return option(
        "--rounds",
        type=click.IntRange(min=1),
        default=default,
        help="Counted rounds; two more warm up.",
    )


def random_estimator(encoder: str, device: str, threads: int) -> Any:
    """A network with random weights, in PyTorch and float32.

    Args:
        encoder: Its size.
        device: Where it runs.
        threads: CPU threads.

    Returns:
        The estimator.
    """
    from depth_anything_ros.benchmark.random_network import write_random_network
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    with tempfile.TemporaryDirectory(prefix="depth_anything_bench_") as scratch:
        path = Path(scratch) / f"random_{encoder}.safetensors"
        write_random_network(encoder, path)
        settings = ModelSettings(str(path), device, "fp32", num_threads=threads, backend="torch")
        return make_estimator(settings).estimator


def measure(
    contenders: Mapping[str, Contender], rounds: int, pause: float = 0.0
) -> dict[str, Timing]:
    """Let contenders take turns.

    Args:
        contenders: By name.
        rounds: Counted rounds.
        pause: Seconds between turns.

    Returns:
        Times by name.
    """
    from rich.progress import Progress

    from depth_anything_ros.benchmark.timing import WARM_UP, interleaved
    from depth_anything_ros.cli.support.terminal import STDERR

    timings: dict[str, Timing] = {}
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("rounds", total=WARM_UP + rounds)
        for known in interleaved(contenders, rounds, pause):
            timings = known
            progress.advance(task)
    return timings


def scenes_of(index: Path | None, model: str) -> Iterator[Scene]:
    """What a network says of pictures whose depth is known.

    Args:
        index: CSV or YAML file with the columns image and depth; None for synthetic rooms.
        model: Name or file of the network; for pictures only.

    Yields:
        One scene per picture.
    """
    from depth_anything_ros.benchmark.fusion import scene_of, synthetic_scenes

    if index is None:
        yield from synthetic_scenes()
        return
    from depth_anything_ros.formats.depth_files import read_depth
    from depth_anything_ros.formats.depth_index import read_index
    from depth_anything_ros.formats.media import read_image
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    estimator = make_estimator(ModelSettings(model)).estimator
    for sample in read_index(index):
        rgb = read_image(sample.image)
        (prediction,) = estimator.estimate([rgb])
        depth = read_depth(sample.depth, sample.png_scale)
        yield scene_of(sample.image.stem, prediction, depth, rgb)


def figures(timing: Timing) -> tuple[str, str, str]:
    """Median, best and CPU milliseconds of a timing, as words."""
    return f"{timing.median_ms:.2f}", f"{timing.best_ms:.2f}", f"{timing.cpu_ms:.2f}"


def size_of(text: str) -> tuple[int, int]:
    """Rows and columns of a size such as "480x640".

    Args:
        text: The option's value.

    Returns:
        (height, width).

    Raises:
        click.BadParameter: It is no size.
    """
    try:
        height, width = (int(part) for part in text.split("x"))
    except ValueError:
        height = width = 0
    if height < 1 or width < 1:
        raise click.BadParameter(f"'{text}' is not a size like 480x640 (rows x columns)")
    return height, width


def table_of(first: str, *others: str) -> Table:
    """An empty table.

    Args:
        first: Heading of the first column.
        others: Headings of the others, which hold numbers.

    Returns:
        The table.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def finish(
    table: Table, json_file: Path | None, report: dict[str, Any], words: Sequence[str] = ()
) -> None:
    """Print a table and the machine below it, and write the report.

    Args:
        table: The table.
        json_file: Where the report goes, or None.
        report: Everything that was measured.
        words: Lines between table and machine.
    """
    from depth_anything_ros.benchmark.timing import machine
    from depth_anything_ros.cli.support.terminal import STDOUT

    STDOUT.print(table)
    for line in words:
        STDOUT.print(line, markup=False)

    here = machine()
    STDOUT.print(
        f"{here['processor']}, {here['cores']} cores, load average {here['load_average']}",
        markup=False,
    )
    if json_file is not None:
        text = json.dumps(report | {"machine": here}, indent=2, allow_nan=False)
        write_whole(json_file, text + "\n")
