"""From inputs through the network to files: the work behind `depth_anything run`."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from depth_anything_ros.api import DepthFrame, Model, load
from depth_anything_ros.cli.support.camera_options import CameraOptions
from depth_anything_ros.cli.support.limit_options import LimitOptions
from depth_anything_ros.cli.support.measured import MeasuredOptions
from depth_anything_ros.cli.support.output_options import OutputOptions
from depth_anything_ros.cli.support.scale_options import ScaleOptions
from depth_anything_ros.cli.support.terminal import DONE_OF_ALL, STDERR, warn
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats import results
from depth_anything_ros.formats.depth_files import farthest_of_png
from depth_anything_ros.formats.inputs import Input, Item, Kind, find_inputs, read_input
from depth_anything_ros.formats.media import video_info
from depth_anything_ros.formats.point_files import read_points
from depth_anything_ros.formats.preview import DepthColors, side_by_side
from depth_anything_ros.formats.video import VideoWriter, has_h264
from depth_anything_ros.frames import Frame
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.pipeline import DepthLimits
from depth_anything_ros.settings import ModelSettings

CameraOfSize = Callable[[int, int], Camera | None]
"""From (width, height) of an image to its camera, None where it is not known."""

_USUAL_FPS = 10.0


@dataclass
class Tally:
    """What came of the inputs.

    Attributes:
        done: Inputs with results, new or from before.
        present: Inputs whose results were there already.
        pictures: Pictures that went through the network.
        beyond_png: Known pixels too far for the 16-bit PNG.
        qualities: Pictures by the quality of their metres; empty for disparity.
        previews: Previews that were written.
    """

    done: int = 0
    present: int = 0
    pictures: int = 0
    beyond_png: int = 0
    qualities: Counter[str] | None = None
    previews: tuple[Path, ...] = ()


def process(
    arguments: Sequence[str],
    recursive: bool,
    model: ModelSettings,
    scale: ScaleOptions,
    camera: CameraOfSize,
    measured: MeasuredOptions,
    limits: DepthLimits,
    output: OutputOptions,
    request: Mapping[str, object],
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
        request: Everything that decides the results besides the input.

    Raises:
        DepthAnythingError: The model cannot be used, a setting does not fit it, or no input gave
            a result.
    """
    _make_folder(output.folder)
    inputs = find_inputs(
        arguments, recursive, lambda folder: results.own_results(folder, recursive), warn
    )
    single = len(inputs) == 1 and not inputs[0].is_sequence
    if measured.points is not None and not measured.points.is_dir() and not single:
        raise SettingError(
            "--points names the points of one image; for several images or a video give a folder "
            "with NAME.npz or NAME.csv for each (a video's pictures are NAME_000000, ...)"
        )
    if measured.points is not None and not measured.points.is_dir():
        read_points(measured.points)  # says what is wrong with it before the network is loaded
    requests = {each: _digest(each, request) for each in inputs}
    waiting = [
        each
        for each in inputs
        if output.overwrite or not results.is_done(output.folder / each.name, requests[each])
    ]
    tally = Tally(done=len(inputs) - len(waiting), present=len(inputs) - len(waiting))
    if not waiting:
        STDERR.print(
            f"{output.folder}: results of all {len(inputs)} inputs are there already; --overwrite "
            "makes them again",
            markup=False,
            soft_wrap=True,
        )
        return
    with STDERR.status("loading the network"):
        network = load(model, scaler=scale.settings, limits=limits)
    if output.cloud and not (network.is_metric or scale.wants_metres):
        raise SettingError(
            f"--cloud needs metres, but {network.info.name} gives {network.kind.words}; use a "
            "metric model (`depth_anything models` lists them) or a source of metres like --points"
        )
    start = time.perf_counter()
    with _progress(waiting) as progress:
        for each in waiting:
            job = Job(network, each, camera, measured, output, requests[each], tally, progress)
            try:
                job.run()
            except InputError as error:
                warn(f"{error}; left out")
    if not tally.done:
        raise InputError("none of the inputs gave a result")
    if tally.beyond_png:
        warn(
            f"{tally.beyond_png} pixels lie beyond {farthest_of_png(output.png_scale):.1f} m and "
            "are 0 (unknown) in the 16-bit PNG files; the .npy files have them"
        )
    _say_what_came(tally, len(inputs), network, output.folder, time.perf_counter() - start)


class Job:
    """One input on its way to its results.

    Args:
        network: The network.
        source: The input.
        camera: What is known about the camera.
        measured: What is known of the scene.
        output: What is written, and where.
        request: What the JSON of the result names as `request`.
        tally: What came of the inputs so far.
        progress: The progress bar.
    """

    def __init__(
        self,
        network: Model,
        source: Input,
        camera: CameraOfSize,
        measured: MeasuredOptions,
        output: OutputOptions,
        request: str,
        tally: Tally,
        progress: _Bar,
    ) -> None:
        self._network = network
        self._source = source
        self._camera = camera
        self._measured = measured
        self._output = output
        self._request = request
        self._tally = tally
        self._progress = progress
        self._stem = output.folder / source.name

    def run(self) -> None:
        """Do it.

        Raises:
            InputError: The input cannot be read, or its results would replace other files.
        """
        self._progress.start(self._source)
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        if self._source.is_sequence:
            self._run_sequence()
        else:
            self._run_image()
        self._tally.done += 1

    def _run_image(self) -> None:
        (item,) = read_input(self._source)
        frame = self._complete(item)
        start = time.perf_counter()
        answer = self._network(frame, confidence=self._network.needs_confidence)
        milliseconds = 1000 * (time.perf_counter() - start)
        self._count(answer)
        output = self._output
        paths = answer.save(
            output.folder,
            self._source.name,
            cloud=output.cloud,
            grayscale=output.grayscale,
            image_beside=not output.pred_only,
            png_scale=output.png_scale,
            ply_frame=output.ply_frame,
            overwrite=output.overwrite,
            request=self._request,
            details={"source": self._source.path.name, "timing_ms": round(milliseconds, 3)},
        )
        self._tally.previews += tuple(path for path in paths if "_preview." in path.name)
        if answer.metres and answer.depth_m is None:
            warn(f"{self._source.name} has no metres: {answer.scale_state.reason}")
        self._progress.advance()

    def _run_sequence(self) -> None:
        output, stem = self._output, self._stem
        own = results.own_names(stem)
        if not output.overwrite:
            results.check_replaceable(stem, ("_preview.mp4", ".json"), own)
        fps, items = self._items()
        path = results.named(stem, "_preview.mp4")
        colors = DepthColors(output.grayscale)
        files, states, timings = [path.name], [], []
        reasons: Counter[str] = Counter()
        answer: DepthFrame | None = None
        stopped = False
        with results.whole_file(path) as part:
            with VideoWriter(part, fps) as video:
                try:
                    for item, answer, milliseconds in self._answers(items):
                        timings.append(milliseconds)
                        states.append(results.state_report(answer.scale_state))
                        if answer.metres and answer.depth_m is None:
                            reasons[answer.scale_state.reason] += 1
                        if output.frames:
                            files += self._write_frame(item.name, answer, own)
                        picture = answer.preview(colors=colors)
                        if not output.pred_only:
                            picture = side_by_side(answer.frame.rgb, picture, colors.legend())
                        video.write(picture)
                        self._progress.advance()
                except KeyboardInterrupt:
                    stopped = True
            if answer is None:
                raise InputError(f"{self._source.path} holds no picture that can be read")
        report = answer.describe(output.png_scale) | {
            "source": self._source.path.name,
            "frames": len(timings),
            "fps": fps,
            "timing_ms": round(float(np.median(timings)), 3),
            "scale_states": states,
        }
        del report["scale_state"]
        ended = self._source.kind is Kind.WEBCAM  # a webcam has no other end
        results.write_report(stem, files, report, self._request, ended or not stopped)
        self._tally.previews += (path,)
        if reasons:
            reason, _ = reasons.most_common(1)[0]
            warn(
                f"{self._source.name}: {reasons.total()} of {len(states)} pictures have no "
                f"metres: {reason}"
            )
        if stopped and not ended:
            raise KeyboardInterrupt

    def _items(self) -> tuple[float, Iterator[Item]]:
        """Pictures per second, and the pictures."""
        items = read_input(self._source, warn)
        if self._source.kind is Kind.VIDEO:
            return video_info(self._source.path).fps, items
        first = list(islice(items, 2))
        gap = first[1].frame.stamp - first[0].frame.stamp if len(first) == 2 else 0
        return (1e9 / gap if gap > 0 else _USUAL_FPS), chain(first, items)

    def _answers(self, items: Iterator[Item]) -> Iterator[tuple[Item, DepthFrame, float]]:
        """Every picture with its depth and the milliseconds it took."""
        read: list[Item] = []

        def frames() -> Iterator[Frame]:
            for item in items:
                read.append(item)
                yield self._complete(item)

        stream = self._network.stream(frames(), confidence=self._network.needs_confidence)
        while True:
            start = time.perf_counter()
            answer = next(stream, None)
            if answer is None:
                return
            self._count(answer)
            yield read.pop(), answer, 1000 * (time.perf_counter() - start)

    def _complete(self, item: Item) -> Frame:
        height, width = item.frame.rgb.shape[:2]
        camera = self._camera(width, height) or item.frame.camera
        return self._measured.complete(replace(item.frame, camera=camera), item.name)

    def _write_frame(self, name: str, answer: DepthFrame, own: set[str]) -> list[str]:
        """Write depth and cloud of one picture of a sequence; the names of its files."""
        output, stem = self._output, self._output.folder / name
        writers = answer.writers(
            cloud=output.cloud, png_scale=output.png_scale, ply_frame=output.ply_frame
        )
        if not output.overwrite:
            results.check_replaceable(stem, writers, own)
        names = []
        for ending, write in writers.items():
            path = results.named(stem, ending)
            with results.whole_file(path) as part:
                write(part)
            names.append(path.name)
        return names

    def _count(self, answer: DepthFrame) -> None:
        self._tally.pictures += 1
        self._tally.beyond_png += answer.beyond_png(self._output.png_scale)
        if answer.metres:
            self._tally.qualities = self._tally.qualities or Counter()
            self._tally.qualities[answer.scale_state.quality.value] += 1


def _say_what_came(tally: Tally, inputs: int, network: Model, folder: Path, seconds: float) -> None:
    """The last line: what the numbers are, how good, and what to open."""
    if tally.qualities is None:
        near = "near is large" if network.kind.inverse else "near is small"
        values = f"{network.kind.words} ({near}, of unknown scale)"
    else:
        counts = ", ".join(f"{word} {count}" for word, count in tally.qualities.items())
        values = f"depth in metres ({counts})"
    about = network.description
    before = f", {tally.present} of them from before" if tally.present else ""
    look = f"; look at {tally.previews[-1]}" if tally.previews else ""
    STDERR.print(
        f"{folder}: {tally.done} of {inputs} inputs{before}, pictures: {tally.pictures}, {values}, "
        f"{seconds:.1f} s with {about['model']} ({about['device']}, {about['precision']}){look}",
        markup=False,
        soft_wrap=True,
    )
    if any(path.suffix == ".mp4" for path in tally.previews) and not has_h264():
        STDERR.print(
            "browsers do not play this kind of MP4; `pip install av` makes it H.264",
            markup=False,
            soft_wrap=True,
        )


def fingerprint(path: Path | None) -> list[object]:
    """What changes when a file does.

    Args:
        path: A file or folder, or None.

    Returns:
        Its path, size and time of change.
    """
    if path is None or not path.exists():
        return [str(path)]
    found = path.stat()
    return [str(path.resolve()), found.st_size, found.st_mtime_ns]


def request_of(
    model: ModelSettings,
    scale: ScaleOptions,
    camera: CameraOptions,
    limits: LimitOptions,
    output: OutputOptions,
) -> dict[str, object]:
    """Everything that decides the results besides the input, as JSON takes it.

    Args:
        model: The network to use.
        scale: Options of the scaler.
        camera: What is known about the camera.
        limits: Which depths are given out.
        output: What is written.
    """
    written = {
        name: value for name, value in asdict(output).items() if name not in ("folder", "overwrite")
    }
    files = [Path(model.model), scale.points, scale.settings.scale_file, camera.file, limits.mask]
    parts = [asdict(model), asdict(scale), asdict(camera), asdict(limits), written]
    return {
        "options": json.loads(json.dumps(parts, default=str)),
        "files": [fingerprint(file) for file in files],
    }


def _digest(source: Input, request: Mapping[str, object]) -> str:
    about = json.dumps([fingerprint(source.path), request], sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()[:16]


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


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--output {folder} cannot be made: {error.strerror}") from error
