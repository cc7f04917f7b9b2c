"""`depth_anything bench`: what the network, the node and its parts cost on this machine."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from depth_anything_ros.cli.support.terminal import STDERR, STDOUT, warn
from depth_anything_ros.errors import DepthAnythingError, SettingError, require

if TYPE_CHECKING:
    from depth_anything_ros.benchmark.implementations import Implementation
    from depth_anything_ros.benchmark.timing import Contender, Timing

app = typer.Typer(help="Measure speed: contenders take turns, medians count.", no_args_is_help=True)

_SIZES = ("518x518", "480x640")
_IMAGES = ("480x640", "720x1280")
_WAYS = ("node", "straightforward")
_REST_S = 0.1
_PERCENTILES = ("p50", "p95", "p99", "most")

Rounds = Annotated[int, typer.Option(min=1, help="Counted rounds; two more warm up.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest.")]
Encoder = Annotated[str, typer.Option(help="Size of the network: vits, vitb, vitl or vitg.")]


@app.command()
def network(
    encoder: Encoder = "vits",
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Catalogue name or file. [default: random weights of --encoder]"
        ),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="HxW", help="Size of the images; may be repeated."),
    ] = None,
    backends: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME[:PRECISION]",
            help="torch, onnxruntime, openvino, tensorrt; may be repeated. [default: all]",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="official=PATH | transformers[:PRECISION]",
            help="Who else takes part: the official V2 code in a folder, Hugging Face's network.",
        ),
    ] = None,
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images at once; may be repeated. [default: 1]"),
    ] = None,
    rounds: Rounds = 7,
    threads: Threads = 0,
    device: Device = "auto",
    json_file: JsonFile = None,
) -> None:
    """One image (uint8) to its depth (float32), for every backend and precision.

    Each contender is a process of its own; times are per image. The difference is the largest one
    to the first contender's output on a smooth image, as a share of that output's standard
    deviation. MB is the most memory the process held, GPU MB the most that PyTorch held there.
    """
    shapes = [_size(text) for text in sizes or _SIZES]

    from depth_anything_ros.benchmark.implementations import NetworkSettings
    from depth_anything_ros.benchmark.network import PAUSE_S, compare
    from depth_anything_ros.benchmark.network_process import network_processes
    from depth_anything_ros.benchmark.random_network import write_random_network
    from depth_anything_ros.benchmark.timing import usable_cores
    from depth_anything_ros.network.checkpoints import resolve

    implementations = _implementations(backends, against, device)
    with tempfile.TemporaryDirectory(prefix="depth_anything_bench_") as scratch:
        if model is None:
            path = Path(scratch) / f"random_{encoder}.safetensors"
            write_random_network(encoder, path)
        else:
            path = resolve(model).path
        # Exports of random weights are of no use to anybody later.
        cache = Path(scratch) if model is None else None
        settings = NetworkSettings(path, device, threads or usable_cores(), cache)
        with network_processes(implementations, settings) as (ready, missing):
            rows = [
                row
                for shape in shapes
                for batch in batches or [1]
                for row in compare(
                    ready, shape, batch, lambda runs: _measure(runs, rounds, PAUSE_S)
                )
            ]
            memory = {process.name: round(process.peak_memory_mb()) for process in ready}
            gpu_memory = {
                process.name: round(megabytes)
                for process in ready
                if (megabytes := process.peak_gpu_memory_mb()) is not None
            }
    for name, reason in missing.items():
        warn(f"{name} does not take part: {reason}")
    table = _table(
        *("contender", "image", "median ms", "best ms", "CPU ms"),
        *("faster", "differs", "MB"),
        *(["GPU MB"] if gpu_memory else []),
    )
    for row in rows:
        timing = row.timing
        table.add_row(
            row.contender,
            (f"{row.batch} x " if row.batch > 1 else "") + row.image,
            *(f"{ms:.1f}" for ms in (timing.median_ms, timing.best_ms, timing.cpu_ms)),
            *(f"{row.speed:.2f}", "-" if row.difference is None else f"{row.difference:.1e}"),
            str(memory[row.contender]),
            *([str(gpu_memory.get(row.contender, "-"))] if gpu_memory else []),
        )
    STDOUT.print(table)
    _finish(
        json_file,
        {
            "benchmark": "network",
            "network": model or f"{encoder}, random weights",
            "threads": settings.threads,
            "rows": [row.as_dict() for row in rows],
            "peak_memory_mb": memory,
            "peak_gpu_memory_mb": gpu_memory,
            "missing": missing,
        },
    )


@app.command()
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE.md", help="The Markdown file to write.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SECTION", help="May be repeated. [default: all]"),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="official=PATH | transformers[:PRECISION]", help="As for `bench network`."
        ),
    ] = None,
) -> None:
    """Run every benchmark as it is by default and write one page: about ten minutes.

    Sections: network, compute, scaling, stages, node, node_large, node_embedded, node_overload,
    cloud, growth.
    """
    from depth_anything_ros.benchmark.report import SECTIONS
    from depth_anything_ros.benchmark.report import report as run_report

    known = {section.name: section for section in SECTIONS}
    for name in only or ():
        if name not in known:
            raise typer.BadParameter(
                f"'{name}' is not one of {', '.join(known)}", param_hint="--only"
            )
    chosen = [section for section in SECTIONS if not only or section.name in only]
    parts: list[str] = []
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("benchmarks", total=len(chosen) + 1)
        for part in run_report(chosen, against or ()):
            parts.append(part)
            # Written as it grows: a run that is stopped leaves what it has measured.
            file.write_text("\n".join(parts), encoding="utf-8")
            progress.advance(task)
    STDOUT.print(f"{file}", markup=False)


@app.command()
def compute(
    encoders: Annotated[
        list[str] | None, typer.Option("--encoder", help="May be repeated. [default: vits, vitl]")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or bf16. [default: bf16 where there is, else fp32]")
    ] = "",
    batches: Annotated[
        list[int] | None,
        typer.Option("--batch", min=1, help="Images at once; may be repeated. [default: 1, 8]"),
    ] = None,
    size: Annotated[str, typer.Option(metavar="HxW", help="Size of the input.")] = "518x686",
    peak: Annotated[
        float, typer.Option(min=0, help="TFLOP/s in the data sheet, for its share, too.")
    ] = 0.0,
    rounds: Rounds = 7,
    threads: Threads = 0,
    device: Device = "auto",
    json_file: JsonFile = None,
) -> None:
    """The network alone, beside the fastest the processor gets: a large matrix product."""
    height, width = _size(size)
    if height % 14 or width % 14:
        raise typer.BadParameter(f"'{size}' is no input: both sides must be multiples of 14")

    import torch

    from depth_anything_ros.benchmark.compute import PRECISIONS, PRODUCT, workloads
    from depth_anything_ros.benchmark.timing import usable_cores
    from depth_anything_ros.inference.backends.torch.devices import choose_device
    from depth_anything_ros.inference.cpu import computes_bf16

    place = choose_device(device)
    precision = precision or ("bf16" if place.type == "cuda" or computes_bf16() else "fp32")
    if precision not in PRECISIONS:
        raise typer.BadParameter(f"'{precision}' is not one of {', '.join(PRECISIONS)}")
    torch.set_num_threads(threads or usable_cores())
    jobs = dict(
        workloads(
            encoders or ["vits", "vitl"], precision, batches or [1, 8], (height, width), place
        )
    )
    timings = _measure({name: work.run for name, work in jobs.items()}, rounds)
    rates = {name: jobs[name].gflop / timing.median_ms for name, timing in timings.items()}
    shares = ["of the product"] + (["of the peak"] if peak else [])
    table = _table("forward", "GFLOP", "median ms", "best ms", "CPU ms", "TFLOP/s", *shares)
    rows: list[dict[str, Any]] = []
    for name, timing in timings.items():
        row = {
            "forward": name,
            "gflop": round(jobs[name].gflop, 3),
            **timing.as_dict(),
            "tflop_per_s": rates[name],
            "share_of_product": rates[name] / rates[PRODUCT],
            "share_of_peak": rates[name] / peak if peak else None,
        }
        rows.append(row)
        parts = [
            rates[name] / each for each in ([rates[PRODUCT], peak] if peak else [rates[PRODUCT]])
        ]
        table.add_row(
            *(name, f"{row['gflop']:.1f}", *_figures(timing), f"{rates[name]:.2f}"),
            *(f"{100 * part:.0f} %" for part in parts),
        )
    STDOUT.print(table)
    _finish(
        json_file,
        {
            "benchmark": "compute",
            "input": size,
            "precision": precision,
            "device": str(place),
            "rows": rows,
        },
    )


@app.command()
def scaling(
    size: Annotated[str, typer.Option(metavar="HxW", help="Size of the images.")] = "480x640",
    points: Annotated[int, typer.Option(min=0, help="LiDAR points per image.")] = 20_000,
    names: Annotated[
        list[str] | None, typer.Option("--method", help="May be repeated. [default: all]")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="Network to measure beside it, or none: vits, vitb, vitl, none.")
    ] = "vits",
    rounds: Rounds = 15,
    threads: Threads = 0,
    device: Device = "auto",
    json_file: JsonFile = None,
) -> None:
    """From a prediction and its frame to metres, for every method, beside the network."""
    height, width = _size(size)

    from depth_anything_ros.benchmark.scaling import (
        Size,
        methods,
        network_contender,
        scaling_contenders,
    )
    from depth_anything_ros.benchmark.timing import usable_cores

    shape = Size(height, width, points)
    contenders = scaling_contenders(shape, names or list(methods()))
    forward = f"one forward of {encoder}"
    if encoder != "none":
        estimator = _random_estimator(encoder, device, threads or usable_cores())
        contenders[forward] = network_contender(estimator, shape)
    timings = _measure(contenders, rounds)
    share = timings[forward].median_ms if encoder != "none" else None
    table = _table("method", "median ms", "best ms", "CPU ms", "share of the network")
    for name, timing in timings.items():
        table.add_row(
            name,
            *_figures(timing),
            "-" if share is None else f"{100 * timing.median_ms / share:.1f} %",
        )
    STDOUT.print(table)
    _finish(
        json_file,
        {
            "benchmark": "scaling",
            "image": size,
            "points": points,
            "threads": threads or usable_cores(),
            "rows": [{"method": name, **timing.as_dict()} for name, timing in timings.items()],
        },
    )


@app.command()
def growth(
    model: Annotated[str, typer.Option(help="Name or file of the network.")] = "embedded",
    rounds: Rounds = 7,
    threads: Threads = 0,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the curves to this file as Mermaid charts.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """How the cost grows with the network's input, the image, the cameras and the points."""
    from depth_anything_ros.benchmark.growth import chart, growths
    from depth_anything_ros.benchmark.timing import usable_cores

    table = _table("what", "where", "median ms", "best ms", "CPU ms")
    charts: list[str] = []
    rows: list[dict[str, Any]] = []
    for curve in growths(model, threads or usable_cores()):
        timings = _measure(curve.contenders, rounds)
        charts.append(chart(curve, timings))
        for label, timing in timings.items():
            table.add_row(curve.title, f"{label} ({curve.axis})", *_figures(timing))
            rows.append({"what": curve.title, "axis": curve.axis, "at": label, **timing.as_dict()})
    STDOUT.print(table)
    if markdown is not None:
        markdown.write_text("\n\n".join(charts) + "\n", encoding="utf-8")
    _finish(json_file, {"benchmark": "growth", "network": model, "rows": rows})


@app.command()
def cloud(
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="HxW", help="Size of the images; may be repeated."),
    ] = None,
    rounds: Rounds = 15,
    json_file: JsonFile = None,
) -> None:
    """From metres to a point cloud, beside the straightforward way to do it."""
    shapes = [_size(text) for text in sizes or _IMAGES]

    from depth_anything_ros.benchmark.cloud import STRAIGHTFORWARD, cloud_contenders

    table = _table("cloud", "image", "median ms", "best ms", "CPU ms", "times faster")
    rows: list[dict[str, Any]] = []
    for height, width in shapes:
        timings = _measure(cloud_contenders(height, width), rounds)
        reference = timings[STRAIGHTFORWARD].median_ms
        for name, timing in timings.items():
            row = {
                "cloud": name,
                "image": f"{height}x{width}",
                **timing.as_dict(),
                "speed": reference / timing.median_ms,
            }
            rows.append(row)
            table.add_row(*(name, f"{height}x{width}", *_figures(timing), f"{row['speed']:.1f}"))
    STDOUT.print(table)
    _finish(json_file, {"benchmark": "cloud", "rows": rows})


@app.command()
def node(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Catalogue name or file, scaled by constants unless --points or a parameter "
            "gives it metres. [default: a constant after --network-ms]",
        ),
    ] = None,
    network_ms: Annotated[
        float, typer.Option(min=0, help="Time of the network that answers a constant.")
    ] = 10.0,
    size: Annotated[str, typer.Option(metavar="HxW", help="Size of the images.")] = "480x640",
    rate: Annotated[float, typer.Option(min=0.1, help="Images per second.")] = 30.0,
    points: Annotated[int, typer.Option(min=0, help="LiDAR points with each image.")] = 0,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            metavar="TOPIC",
            help="What is subscribed to; may be repeated. [default: depth/image, "
            "depth/camera_info, points]",
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME:=VALUE",
            help="Parameter of the depth node; may be repeated.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long is measured.")] = 30.0,
    soak: Annotated[
        float,
        typer.Option(min=0, help="Measure so many seconds instead; memory must stay flat."),
    ] = 0.0,
    json_file: JsonFile = None,
) -> None:
    """The depth node between a camera and a consumer, three processes on real DDS.

    Latency is from the stamp of an image to the arrival of its answer. With --soak, exit code 1
    says that memory has grown by more than 2 %.
    """
    height, width = _size(size)
    require("rclpy", "ros")

    from depth_anything_ros.benchmark.node.runner import (
        MOST_DRIFT_PERCENT,
        OUTPUTS,
        NodeLoad,
        measure_node,
    )

    given = list(parameters or [])
    if model is not None:
        given.append(f"model:={model}")
        if not points and not any(each.startswith("scaler:=") for each in given):
            # A relative network alone has no metres, and without metres there is no answer.
            given += ["scaler:=fixed", "scale:=0.3", "shift:=0.05"]
    load = NodeLoad(
        height=height,
        width=width,
        rate=rate,
        points=points,
        network_ms=network_ms if model is None else None,
        outputs=tuple(outputs or OUTPUTS),
        parameters=given,
    )
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("node", total=1.0)
        figures = measure_node(
            load, soak or seconds, lambda share: progress.update(task, completed=share)
        )
    latency = _table("answer", "received", "p50 ms", "p95 ms", "p99 ms", "most ms")
    for output, row in figures["latency_ms"].items():
        shown = (f"{row[name]:.1f}" if name in row else "-" for name in _PERCENTILES)
        latency.add_row(output, str(row["count"]), *shown)
    STDOUT.print(latency)
    for line in _words(figures, model):
        STDOUT.print(line, markup=False)
    settings = {**dataclasses.asdict(load), "model": model}
    _finish(json_file, {"benchmark": "node", "load": settings, **figures})
    if soak and figures["memory_drift_percent"] > MOST_DRIFT_PERCENT:
        raise DepthAnythingError(
            f"memory grew by {figures['memory_drift_percent']} % in {soak:g} s; "
            f"{MOST_DRIFT_PERCENT:g} % is flat"
        )


@app.command()
def stages(
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="HxW", help="Size of the images; may be repeated."),
    ] = None,
    rounds: Rounds = 40,
    json_file: JsonFile = None,
) -> None:
    """The node around the network, stage by stage, beside the straightforward way to do it.

    From an image message to depth, camera_info and coloured cloud, published to a consumer in a
    process of its own.
    """
    shapes = [_size(text) for text in sizes or _IMAGES]
    require("rclpy", "ros")

    from depth_anything_ros.benchmark.node.runner import domain, listening
    from depth_anything_ros.benchmark.node.stages import DEPTH_STAGES, STAGES, publishing
    from depth_anything_ros.benchmark.timing import total

    table = _table("stage", "image", "median ms", "straightforward ms", "times faster")
    rows: list[dict[str, Any]] = []
    with listening(), publishing(domain()) as publish:
        for height, width in shapes:
            timings = _measure(_stage_contenders(height, width, publish), rounds)
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
    STDOUT.print(table)
    _finish(json_file, {"benchmark": "stages", "rows": rows})


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


def _words(figures: dict[str, Any], model: str | None) -> list[str]:
    """What the node did besides its answers, line by line."""
    images, memory = figures["images"], figures["memory_mb"]
    why = ", ".join(f"{count} {reason}" for reason, count in images["why_dropped"].items())
    network = f"network {figures['network_ms']:.1f} ms" + ("" if model else " (a constant)")
    return [
        f"images: {images['sent']} sent, {images['in']} came in, {images['answered']} answered, "
        f"{images['dropped']} dropped" + (f" ({why})" if why else ""),
        f"{network}; oldest answer {figures['oldest_in_network_times']} network times old",
        f"CPU {figures['cpu_percent']} % of a core, {figures['cpu_ms_per_answer']} ms per answer",
        f"memory {memory['start']:.0f} MB, after "
        f"{figures['seconds']:.0f} s {memory['end']:.0f} MB "
        f"({figures['memory_drift_percent']:+.1f} %)",
        f"ready {figures['ready_s']:.1f} s after its start",
    ]


def _implementations(
    backends: list[str] | None, against: list[str] | None, device: str
) -> list[Implementation]:
    """What is compared, the reference first."""
    from depth_anything_ros.benchmark.network import backend_implementations, rival

    try:
        rivals = [rival(text) for text in against or []]
    except SettingError as error:
        raise typer.BadParameter(str(error), param_hint="--against") from error
    try:
        return rivals + backend_implementations(backends, device)
    except SettingError as error:
        raise typer.BadParameter(str(error), param_hint="--backend") from error


def _random_estimator(encoder: str, device: str, threads: int) -> Any:
    from depth_anything_ros.benchmark.random_network import write_random_network
    from depth_anything_ros.inference.selection import make_estimator
    from depth_anything_ros.settings import ModelSettings

    with tempfile.TemporaryDirectory(prefix="depth_anything_bench_") as scratch:
        path = Path(scratch) / f"random_{encoder}.safetensors"
        write_random_network(encoder, path)
        settings = ModelSettings(str(path), device, "fp32", num_threads=threads, backend="torch")
        return make_estimator(settings).estimator


def _measure(
    contenders: Mapping[str, Contender], rounds: int, pause: float = 0.0
) -> dict[str, Timing]:
    from depth_anything_ros.benchmark.timing import WARM_UP, interleaved

    timings: dict[str, Timing] = {}
    with Progress(console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task("rounds", total=WARM_UP + rounds)
        for known in interleaved(contenders, rounds, pause):
            timings = known
            progress.advance(task)
    return timings


def _figures(timing: Timing) -> tuple[str, str, str]:
    return f"{timing.median_ms:.2f}", f"{timing.best_ms:.2f}", f"{timing.cpu_ms:.2f}"


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.split("x"))
    except ValueError:
        height = width = 0
    if height < 1 or width < 1:
        raise typer.BadParameter(f"'{text}' is not a size like 480x640 (rows x columns)")
    return height, width


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _finish(json_file: Path | None, report: dict[str, Any]) -> None:
    """Describe the machine below the table and write the report."""
    from depth_anything_ros.benchmark.timing import machine

    here = machine()
    STDOUT.print(
        f"{here['processor']}, {here['cores']} cores, load average {here['load_average']}",
        markup=False,
    )
    if json_file is not None:
        text = json.dumps(report | {"machine": here}, indent=2, allow_nan=False)
        json_file.write_text(text + "\n", encoding="utf-8")
