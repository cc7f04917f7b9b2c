"""From inputs through the network to files: the work behind `depth_anything run`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

from depth_anything_ros.cli.support.camera_options import CameraOptions
from depth_anything_ros.cli.support.engine import ENGINES
from depth_anything_ros.cli.support.engine_options import EngineOptions
from depth_anything_ros.cli.support.measured import MeasuredOptions
from depth_anything_ros.cli.support.output_options import OutputOptions
from depth_anything_ros.cli.support.run_job import Job, Tally
from depth_anything_ros.cli.support.run_request import digest
from depth_anything_ros.cli.support.run_worker import Ran, RunPlan, set_up
from depth_anything_ros.cli.support.scale_options import ScaleOptions
from depth_anything_ros.cli.support.terminal import DONE_OF_ALL, STDERR, warn
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.depth_files import farthest_of_png
from depth_anything_ros.formats.depth_layouts import lists_of
from depth_anything_ros.formats.inputs import Input, find_inputs
from depth_anything_ros.formats.point_files import read_points
from depth_anything_ros.formats.recording import Topics
from depth_anything_ros.formats.remote import is_url
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.formats.results import own_results
from depth_anything_ros.formats.video import has_h264
from depth_anything_ros.pipeline import DepthLimits
from depth_anything_ros.settings import ModelSettings


def process(
    arguments: Sequence[str],
    recursive: bool,
    model: ModelSettings,
    scale: ScaleOptions,
    camera: CameraOptions,
    measured: MeasuredOptions,
    limits: DepthLimits,
    output: OutputOptions,
    topics: Topics,
    request: Mapping[str, object],
    engine: EngineOptions,
) -> None:
    """Estimate the depth of what some arguments name and write the results.

    An input that cannot be read is reported and passed over; one whose results are there already
    is not done again.

    Args:
        arguments: Images, folders, videos, recordings, as `find_inputs` takes them.
        recursive: Include subfolders.
        model: The network to use.
        scale: Options of the scaler.
        camera: What is known about the camera.
        measured: What is known of the scene.
        limits: Which depths are given out.
        output: What is written, and where.
        topics: The topics of a recording that the user names.
        request: Everything that decides the results besides the input.
        engine: Who does the work.

    Raises:
        DepthAnythingError: The model cannot be used, a setting does not fit it, or no input gave
            a result.
    """
    folder = ResultFolder(output.folder)
    folder.make()
    _refuse_input_as_output(arguments, output.folder, recursive)
    inputs = find_inputs(arguments, recursive, lambda place: own_results(place, recursive), warn)
    single = len(inputs) == 1 and not inputs[0].is_sequence
    if measured.points is not None and not measured.points.is_dir() and not single:
        raise SettingError(
            "--points names the points of one image; for several images or a video give a folder "
            "with NAME.npz or NAME.csv for each (a video's pictures are NAME_000000, ...)"
        )
    if measured.points is not None and not measured.points.is_dir():
        read_points(measured.points)  # says what is wrong with it before the network is loaded
    camera.camera_of_size()  # likewise
    requests = {each: digest(each, request) for each in inputs}
    waiting = [
        each for each in inputs if output.overwrite or not folder.is_done(each.name, requests[each])
    ]
    tally = Tally(done=len(inputs) - len(waiting), present=len(inputs) - len(waiting))
    if not waiting:
        STDERR.print(
            f"{folder}: results of all {len(inputs)} inputs are there already; --overwrite "
            "makes them again",
            markup=False,
            soft_wrap=True,
        )
        return
    with _saying_where_stopped(inputs, requests, folder):
        start = time.perf_counter()
        plan = RunPlan(
            model,
            scale,
            camera,
            measured,
            limits,
            output,
            topics,
            {each.name: requests[each] for each in inputs},
        )
        alone = engine.engine == "local" and min(engine.workers, len(waiting)) <= 1
        ran = (
            _run_here(plan, waiting, tally) if alone else _run_spread(plan, waiting, tally, engine)
        )
    if output.layout:
        _write_lists(folder, output.layout)
    if not tally.done:
        raise InputError("none of the inputs gave a result")
    if tally.beyond_png:
        warn(
            f"{tally.beyond_png} pixels lie beyond {farthest_of_png(output.png_scale):.1f} m and "
            "are 0 (unknown) in the 16-bit PNG files; the .npy files have them"
        )
    folder.forget_stopped_run()
    if ran is not None:
        _say_what_came(ran, len(inputs), folder, time.perf_counter() - start)


def _run_here(plan: RunPlan, waiting: Sequence[Input], tally: Tally) -> Ran:
    """Do the inputs in this process."""
    with STDERR.status("loading the network"):
        network = plan.load(frozenset(each.kind for each in waiting))
    camera = plan.camera.camera_of_size()
    with _progress(waiting) as progress:
        for each in waiting:
            job = Job(
                network,
                each,
                camera,
                plan.measured,
                plan.output,
                plan.topics,
                plan.requests[each.name],
                tally,
                progress,
            )
            try:
                job.run()
            except InputError as error:
                warn(f"{error}; left out")
    return Ran(tally, network.kind, network.description)


def _run_spread(
    plan: RunPlan, waiting: Sequence[Input], tally: Tally, engine: EngineOptions
) -> Ran | None:
    """Do the inputs with the workers of an engine; None where none gave a result."""
    known: Ran | None = None
    set_up_worker = partial(set_up, plan, frozenset(each.kind for each in waiting))
    outcomes = ENGINES.get(engine.engine).run(set_up_worker, waiting, engine.workers)
    shown = track(
        outcomes,
        "inputs",
        total=len(waiting),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,
    )
    for outcome in shown:
        if outcome.error:
            warn(f"{outcome.error}; left out")
            continue
        known = outcome.result
        assert isinstance(known, Ran)
        tally.add(known.tally)
    return None if known is None else Ran(tally, known.kind, known.description)


@contextmanager
def _saying_where_stopped(
    inputs: Sequence[Input], requests: Mapping[Input, str], folder: ResultFolder
) -> Iterator[None]:
    """On Ctrl-C among several inputs, leave word in the folder of how far the run came."""
    try:
        yield
    except KeyboardInterrupt:
        if len(inputs) > 1:
            done = {each.name for each in inputs if folder.is_done(each.name, requests[each])}
            folder.write_stopped_run(done, {each.name for each in inputs} - done)
            STDERR.print(
                f"{folder}: {len(done)} of {len(inputs)} inputs are done; the same command goes on "
                "there",
                markup=False,
                soft_wrap=True,
            )
        raise


def _refuse_input_as_output(arguments: Sequence[str], output: str, recursive: bool) -> None:
    """In a store results are not told from pictures, as they are in a folder of this machine."""
    place = output.rstrip("/") + "/"
    for each in arguments:
        source = each.rstrip("/") + "/"
        if is_url(each) and (place == source or (recursive and place.startswith(source))):
            raise SettingError(f"--output {output} is among the inputs; choose another folder")


def _write_lists(folder: ResultFolder, layout: str) -> None:
    """Write the lists of all pictures that a layout has."""
    for name, text in lists_of(layout, folder.names).items():
        with folder.writing_file(name) as part:
            part.write_text(text, encoding="utf-8")


def _say_what_came(ran: Ran, inputs: int, folder: ResultFolder, seconds: float) -> None:
    """The last line: what the numbers are, how good, and what to open."""
    tally, about = ran.tally, ran.description
    if tally.qualities is None:
        near = "near is large" if ran.kind.inverse else "near is small"
        values = f"{ran.kind.words} ({near}, of unknown scale)"
    else:
        counts = ", ".join(f"{word} {count}" for word, count in tally.qualities.items())
        values = f"depth in metres ({counts})"
    before = f", {tally.present} of them from before" if tally.present else ""
    look = f"; look at {tally.previews[-1]}" if tally.previews else ""
    STDERR.print(
        f"{folder}: {tally.done} of {inputs} inputs{before}, pictures: {tally.pictures}, {values}, "
        f"{seconds:.1f} s with {about['model']} ({about['device']}, {about['precision']}){look}",
        markup=False,
        soft_wrap=True,
    )
    if any(path.endswith(".mp4") for path in tally.previews) and not has_h264():
        STDERR.print(
            "browsers do not play this kind of MP4; `pip install av` makes it H.264",
            markup=False,
            soft_wrap=True,
        )


class _Bar:
    """The progress bar: one step per picture, named by the input at hand."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total or 1, start=total > 0)

    def start(self, source: Input) -> None:
        self._progress.update(self._task, description=source.name)

    def advance(self) -> None:
        self._progress.advance(self._task)


@contextmanager
def _progress(inputs: Sequence[Input]) -> Iterator[_Bar]:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(DONE_OF_ALL),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,
    ) as progress:
        yield _Bar(progress, sum(source.length for source in inputs))
