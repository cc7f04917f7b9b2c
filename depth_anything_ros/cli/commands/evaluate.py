"""`depth_anything eval`: a network against measured depth, or against ordered point pairs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.progress import track
from rich.table import Table

from depth_anything_ros.cli.support.terminal import STDERR, STDOUT
from depth_anything_ros.evaluation.protocol import Alignment, Crop, Protocol

if TYPE_CHECKING:
    from depth_anything_ros.evaluation.accuracy import SampleScore
    from depth_anything_ros.evaluation.pairs import PairScore

app = typer.Typer(help="Measure how good a network is.", no_args_is_help=True)

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

Model = Annotated[
    str,
    typer.Option("--model", "-m", help="Catalogue name, or a .pth, .safetensors or .onnx file."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.")]
InputSize = Annotated[
    int | None,
    typer.Option(min=14, help="Shorter side in the network. [default: as it was trained]"),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Write a row per image to this file.")]
T = TypeVar("T")


@app.command()
def depth(
    index: Annotated[
        Path,
        typer.Argument(
            help="CSV with header image,depth[,png_scale][,fx,fy,cx,cy], or a YAML list of such."
        ),
    ],
    model: Model = "auto",
    align: Annotated[
        Alignment | None,
        typer.Option(
            help="Scale of predictions before scoring. [default: disparity for relative models, "
            "none for metric ones]"
        ),
    ] = None,
    crop: Annotated[
        Crop, typer.Option(help="Part of the image that is scored: NYU's, or KITTI's two.")
    ] = Crop.NONE,
    min_depth: Annotated[float, typer.Option(help="Metres; nearer truth is left out.")] = 1e-3,
    max_depth: Annotated[
        float, typer.Option(help="Metres; farther truth is left out (NYU: 10, KITTI: 80).")
    ] = 80.0,
    focal: Annotated[
        bool,
        typer.Option("--focal", help="Correct metric depth for each image's focal length (fx)."),
    ] = False,
    each: Annotated[bool, typer.Option("--each", help="Print a row for every image.")] = False,
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    device: Device = "auto",
    input_size: InputSize = None,
) -> None:
    """Score a network on images of measured depth, with the figures of the depth papers."""
    from depth_anything_ros.errors import SettingError
    from depth_anything_ros.evaluation.accuracy import mean_figures, score_depth
    from depth_anything_ros.formats.depth_index import read_index
    from depth_anything_ros.frames import PredictionKind
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    samples = read_index(index)
    loaded = make_estimator(ModelSettings(model, device, input_size=input_size or 0))
    relative = loaded.estimator.kind is PredictionKind.RELATIVE_DISPARITY
    protocol = Protocol(
        align or (Alignment.DISPARITY if relative else Alignment.NONE), crop, min_depth, max_depth
    )
    if focal and loaded.info.train_focal is None:
        raise SettingError(
            f"--focal needs the focal length {loaded.info.name} was trained with, which is not "
            "known; leave it out"
        )
    scores = list(
        score_depth(
            _progress(samples),
            loaded.estimator,
            protocol,
            loaded.info.train_focal if focal else None,
        )
    )
    mean = mean_figures(scores)
    _print_depth(scores if each else [], mean, len(scores))
    rows = [
        {"image": str(score.image), "pixels": score.pixels, **score.figures()} for score in scores
    ]
    if json_file is not None:
        report = {
            "model": loaded.description(),
            "protocol": {
                "align": protocol.alignment.value,
                "crop": crop.value,
                "min_depth": min_depth,
                "max_depth": max_depth,
                "focal": focal,
            },
            "mean": mean,
            "images": rows,
        }
        _write_json(json_file, report)
    if csv_file is not None:
        _write_csv(csv_file, rows)


@app.command()
def pairs(
    annotations: Annotated[Path, typer.Argument(help="annotations.json in DA-2K's format.")],
    images: Annotated[
        Path | None,
        typer.Option(help="Folder the image paths start from. [default: the annotations' own]"),
    ] = None,
    model: Model = "auto",
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    device: Device = "auto",
    input_size: InputSize = None,
) -> None:
    """Score a network on point pairs of which one is closer, by scenario (DA-2K)."""
    from depth_anything_ros.errors import InputError
    from depth_anything_ros.evaluation.pairs import PairScore, by_scenario, read_pairs, score_pairs
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    annotated = {image: each for image, each in read_pairs(annotations).items() if each}
    if not annotated:
        raise InputError(f"{annotations} holds no pair")
    loaded = make_estimator(ModelSettings(model, device, input_size=input_size or 0))
    folder = images or annotations.parent
    scores = list(score_pairs(_progress(list(annotated.items())), folder, loaded.estimator))
    scenarios = list(by_scenario(scores).values())
    total = PairScore(
        "all", sum(score.correct for score in scores), sum(score.pairs for score in scores)
    )
    _print_pairs([*scenarios, total])
    if json_file is not None:
        report = {
            "model": loaded.description(),
            "accuracy": total.correct / total.pairs,
            "scenarios": [_pair_row("scenario", score) for score in scenarios],
            "images": [_pair_row("image", score) for score in scores],
        }
        _write_json(json_file, report)
    if csv_file is not None:
        _write_csv(csv_file, [_pair_row("image", score) for score in scores])


def _progress(items: Sequence[T]) -> Iterable[T]:
    return track(items, "images", console=STDERR, transient=True, disable=not STDERR.is_terminal)


def _table(first: str, *others: str) -> Table:
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
    STDOUT.print(table)


def _rounded(figures: Mapping[str, float]) -> list[str]:
    return [f"{figures[name]:.3f}" if math.isfinite(figures[name]) else "-" for name in _HEADERS]


def _print_pairs(scores: Sequence[PairScore]) -> None:
    table = _table("scenario", "pairs", "accuracy")
    for score in scores:
        style = "bold" if score is scores[-1] else None
        accuracy = f"{100 * score.correct / score.pairs:.1f} %"
        table.add_row(score.image, str(score.pairs), accuracy, style=style)
    STDOUT.print(table)


def _pair_row(name: str, score: PairScore) -> dict[str, Any]:
    return {
        name: score.image,
        "pairs": score.pairs,
        "correct": score.correct,
        "accuracy": score.correct / score.pairs,
    }


def _write_json(path: Path, report: object) -> None:
    text = json.dumps(_without_nan(report), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
