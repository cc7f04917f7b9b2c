"""`depth_anything eval`: a network against measured depth, or against ordered point pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import (
    PATH,
    SETTINGS,
    HeadedCommand,
    Subcommand,
    option,
)
from depth_anything_ros.cli.support.files import check_writable, csv_option, json_option, write_csv
from depth_anything_ros.cli.support.model_options import model_options
from depth_anything_ros.evaluation.protocol import Alignment, Crop

if TYPE_CHECKING:
    from rich.table import Table

    from depth_anything_ros.evaluation.accuracy import SampleScore
    from depth_anything_ros.evaluation.pairs import PairScore
    from depth_anything_ros.settings import ModelSettings

_HEADERS = {
    "abs_rel": "AbsRel",
    "sq_rel": "SqRel",
    "rmse": "RMSE",
    "rmse_log": "RMSElog",
    "log10": "log10",
    "silog": "SILog",
    "delta1": "delta1",
    "delta2": "delta2",
    "delta3": "delta3",
    "boundary_f1": "edgeF1",
}

_ALIGNED = {
    Alignment.NONE: "scored as it is, in metres; not to be compared with aligned figures",
    Alignment.MEDIAN: "each image scaled to the median of its truth before scoring; not to be "
    "compared with metres as they are",
    Alignment.DISPARITY: "scale and shift of 1/Z fitted to the truth of each image before scoring; "
    "not to be compared with metres as they are",
    Alignment.DEPTH: "scale and shift of Z fitted to the truth of each image before scoring; not "
    "to be compared with metres as they are",
}

T = TypeVar("T")


@click.group("eval", no_args_is_help=True, context_settings=SETTINGS)
def evaluate() -> None:
    """Measure how good a network is."""


@evaluate.command("depth", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("index", type=PATH)
@model_options
@option(
    "--align",
    type=click.Choice([each.value for each in Alignment]),
    help="Scale of predictions before scoring.  [default: disparity or depth for relative models, "
    "none for metric ones]",
)
@option(
    "--crop",
    type=click.Choice([each.value for each in Crop]),
    default="none",
    help="Part of the image that is scored: NYU's, or KITTI's two.",
)
@option("--min-depth", type=float, default=1e-3, help="Metres; nearer truth is left out.")
@option(
    "--max-depth",
    type=float,
    default=80.0,
    help="Metres; farther truth is left out (NYU: 10, KITTI: 80).",
)
@option("--focal", is_flag=True, help="Correct metric depth for each image's focal length (fx).")
@option("--each", is_flag=True, help="Print a row for every image.")
@json_option
@csv_option
def depth(
    index: Path,
    model_settings: ModelSettings,
    align: str | None,
    crop: str,
    min_depth: float,
    max_depth: float,
    focal: bool,
    each: bool,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Score a network on images of measured depth, with the figures of the depth papers.

    INDEX is a CSV with header image,depth[,png_scale][,sparse][,fx,fy,cx,cy], or a YAML list of
    such; `train` reads and writes the same format.
    """
    from depth_anything_ros.api import load
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.evaluation.accuracy import mean_figures, score_depth
    from depth_anything_ros.evaluation.metrics import default_alignment
    from depth_anything_ros.evaluation.protocol import Alignment, Crop, Protocol
    from depth_anything_ros.formats.depth_index import read_index
    from depth_anything_ros.formats.results import write_json

    check_writable(json_file, csv_file)
    samples = read_index(index)
    model = load(model_settings)
    alignment = Alignment(align) if align else default_alignment(model.estimator.kind)
    protocol = Protocol(alignment, Crop(crop), min_depth, max_depth)
    if focal and model.info.train_focal is None:
        raise SettingError(
            f"--focal needs the focal length {model.info.name} was trained with, which is not "
            "known; leave it out"
        )
    scores = list(
        score_depth(
            _progress(samples),
            model.estimator,
            protocol,
            model.info.train_focal if focal else None,
        )
    )
    mean = mean_figures(scores)
    _print_depth(scores if each else [], mean, len(scores))
    say(f"{model.info.name}: {_ALIGNED[protocol.alignment]}")
    rows = [
        {"image": str(score.image), "pixels": score.pixels, **score.figures()} for score in scores
    ]
    if json_file is not None:
        report = {
            "model": model.description,
            "protocol": {
                "align": protocol.alignment.value,
                "crop": crop,
                "min_depth": min_depth,
                "max_depth": max_depth,
                "focal": focal,
            },
            "mean": mean,
            "images": rows,
        }
        write_json(json_file, report)
    if csv_file is not None:
        write_csv(csv_file, rows)


@evaluate.command("pairs", cls=HeadedCommand, context_settings=SETTINGS)
@click.argument("annotations", type=PATH)
@option(
    "--images",
    type=PATH,
    help="Folder the image paths start from.  [default: the annotations' own]",
)
@model_options
@json_option
@csv_option
def pairs(
    annotations: Path,
    images: Path | None,
    model_settings: ModelSettings,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Score a network on point pairs of which one is closer, by scenario (DA-2K).

    ANNOTATIONS is an annotations.json in DA-2K's format.
    """
    from depth_anything_ros.api import load
    from depth_anything_ros.errors import InputError
    from depth_anything_ros.evaluation.pairs import PairScore, by_scenario, read_pairs, score_pairs
    from depth_anything_ros.formats.results import write_json

    check_writable(json_file, csv_file)
    annotated = {image: each for image, each in read_pairs(annotations).items() if each}
    if not annotated:
        raise InputError(f"{annotations} holds no pair")
    model = load(model_settings)
    folder = images or annotations.parent
    scores = list(score_pairs(_progress(list(annotated.items())), folder, model.estimator))
    scenarios = list(by_scenario(scores).values())
    total = PairScore(
        "all", sum(score.correct for score in scores), sum(score.pairs for score in scores)
    )
    _print_pairs([*scenarios, total])
    if json_file is not None:
        report = {
            "model": model.description,
            "accuracy": total.correct / total.pairs,
            "scenarios": [_pair_row("scenario", score) for score in scenarios],
            "images": [_pair_row("image", score) for score in scores],
        }
        write_json(json_file, report)
    if csv_file is not None:
        write_csv(csv_file, [_pair_row("image", score) for score in scores])


def _progress(items: Sequence[T]) -> Iterable[T]:
    from rich.progress import track

    from depth_anything_ros.cli.support.terminal import STDERR

    return track(items, "images", console=STDERR, transient=True, disable=not STDERR.is_terminal)


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    # Narrow gaps: ten figures and a name fit into 80 columns.
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print_depth(scores: Sequence[SampleScore], mean: Mapping[str, float], images: int) -> None:
    table = _table("image", *_HEADERS.values())
    for score in scores:
        table.add_row(score.image.name, *_rounded(score.figures()))
    table.add_row(f"mean of {images}", *_rounded(mean), style="bold")
    _show(table)


def _rounded(figures: Mapping[str, float]) -> list[str]:
    return [f"{figures[name]:.3f}" if math.isfinite(figures[name]) else "-" for name in _HEADERS]


def _print_pairs(scores: Sequence[PairScore]) -> None:
    table = _table("scenario", "pairs", "accuracy")
    for score in scores:
        style = "bold" if score is scores[-1] else None
        accuracy = f"{100 * score.correct / score.pairs:.1f} %"
        table.add_row(score.image, str(score.pairs), accuracy, style=style)
    _show(table)


def _pair_row(name: str, score: PairScore) -> dict[str, Any]:
    return {
        name: score.image,
        "pairs": score.pairs,
        "correct": score.correct,
        "accuracy": score.correct / score.pairs,
    }


def _show(table: Table) -> None:
    from depth_anything_ros.cli.support.terminal import STDOUT

    STDOUT.print(table)


COMMANDS.register(Subcommand("eval", evaluate, 60))
