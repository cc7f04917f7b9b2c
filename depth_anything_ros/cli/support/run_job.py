"""One input of `depth_anything run` on its way to its results."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import numpy as np

from depth_anything_ros.api import DepthFrame, Model
from depth_anything_ros.cli.support.measured import MeasuredOptions
from depth_anything_ros.cli.support.output_options import OutputOptions
from depth_anything_ros.cli.support.stop_request import StopRequest
from depth_anything_ros.cli.support.terminal import warn
from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import results
from depth_anything_ros.formats.depth_layouts import write_pair
from depth_anything_ros.formats.inputs import Input, Item, Kind, read_input
from depth_anything_ros.formats.media import spread, video_info
from depth_anything_ros.formats.preview import ColorRange, DepthColors, side_by_side
from depth_anything_ros.formats.recording import Topics
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.formats.video import VideoWriter
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.frames import Frame
from depth_anything_ros.geometry.camera import Camera

CameraOfSize = Callable[[int, int], Camera | None]
"""From (width, height) of an image to its camera, None where it is not known."""

Answered = tuple[Item, DepthFrame, float]
"""A picture, its depth and the milliseconds it took."""

_USUAL_FPS = 10.0

_SAMPLED = 8
"""Pictures of a sequence, at least, from which the range of its colours is taken."""


class ProgressBar(Protocol):
    """Shows the current input and its progress."""

    def start(self, source: Input) -> None:
        """An input is begun."""
        ...

    def advance(self) -> None:
        """A picture is done."""
        ...


@dataclass
class Tally:
    """What came of the inputs.

    Attributes:
        done: Inputs with results, new or from before.
        present: Inputs whose results were there already.
        pictures: Pictures that went through the network.
        beyond_png: Known pixels too far for the 16-bit PNG.
        qualities: Pictures by the quality of their metres; empty for disparity.
        previews: Previews that were written, as the user finds them.
    """

    done: int = 0
    present: int = 0
    pictures: int = 0
    beyond_png: int = 0
    qualities: Counter[str] | None = None
    previews: tuple[str, ...] = ()

    def add(self, other: Tally) -> None:
        """Take in what came of other inputs."""
        self.done += other.done
        self.pictures += other.pictures
        self.beyond_png += other.beyond_png
        if other.qualities is not None:
            self.qualities = (self.qualities or Counter()) + other.qualities
        self.previews += other.previews


class Job:
    """One input on its way to its results.

    Args:
        network: The network.
        source: The input.
        camera: What is known about the camera.
        measured: What is known of the scene.
        output: What is written, and where.
        topics: The topics of a recording that the user names.
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
        topics: Topics,
        request: str,
        tally: Tally,
        progress: ProgressBar,
    ) -> None:
        self._network = network
        self._source = source
        self._camera = camera
        self._measured = measured
        self._output = output
        self._topics = topics
        self._request = request
        self._tally = tally
        self._progress = progress
        self._folder = self._stem = Path()
        self._broken = False  # the input ended in the middle

    def run(self) -> None:
        """Do it.

        Raises:
            InputError: The input cannot be read, or its results would replace other files.
        """
        self._progress.start(self._source)
        place = ResultFolder(self._output.folder)
        with (
            self._source.fetched() as here,
            place.writing(self._source.name, self._output.overwrite) as self._folder,
        ):
            self._source = here
            self._stem = self._folder / here.name
            self._stem.parent.mkdir(parents=True, exist_ok=True)
            if here.is_sequence:
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
            self._folder,
            self._source.name,
            cloud=output.cloud,
            grayscale=output.grayscale,
            image_beside=not output.pred_only,
            png_scale=output.png_scale,
            ply_frame=output.ply_frame,
            overwrite=output.overwrite,
            request=self._request,
            details={"source": self._source.path.name, "timing_ms": round(milliseconds, 3)},
            preview_range=output.preview_range,
            controlnet=output.controlnet,
        )
        if output.layout:
            results.add_files(self._stem, self._write_layout(item, answer))
        self._tally.previews += tuple(
            self._place(each) for each in paths if "_preview." in each.name
        )
        if answer.metres and answer.depth_m is None:
            warn(f"{self._source.name} has no metres: {answer.scale_state.reason}")
        self._progress.advance()

    def _run_sequence(self) -> None:
        output, stem = self._output, self._stem
        if not output.overwrite:
            self._check_replaceable()
        fps, items = self._items()
        path = results.named(stem, "_preview.mp4")
        colors = DepthColors(output.grayscale, fixed=self._colors_of_all())
        files, states = [path.name], []
        timings: list[float] = []
        reasons: Counter[str] = Counter()
        answer: DepthFrame | None = None
        complete, self._broken = True, False
        with whole_file(path) as part, StopRequest() as stop:
            with VideoWriter(part, fps) as video:
                for item, answer, milliseconds in self._until_broken(self._answers(items)):
                    if not timings:
                        results.claim(stem, files, self._request, output.frames)
                    timings.append(milliseconds)
                    states.append(results.state_report(answer.scale_state))
                    if answer.metres and answer.depth_m is None:
                        reasons[answer.scale_state.reason] += 1
                    if output.frames:
                        files += self._write_frame(item.name, answer)
                    files += self._write_layout(item, answer)
                    picture = answer.preview(colors=colors)
                    if not output.pred_only:
                        picture = side_by_side(answer.frame.rgb, picture, colors.legend())
                    video.write(picture)
                    self._progress.advance()
                    if stop.made:
                        complete = self._source.kind is Kind.WEBCAM  # it has no other end
                        break
            if answer is None:
                raise InputError(f"{self._source.path} holds no picture that can be read")
        complete = complete and not self._broken
        report = answer.describe(output.png_scale) | {
            "source": self._source.path.name,
            "frames": video.count,
            "fps": fps,
            "timing_ms": round(float(np.median(timings)), 3),
            "scale_states": states,
        }
        del report["scale_state"]
        if stop.made and not complete:
            report["stopped"] = True
        results.write_report(stem, files, report, self._request, complete)
        self._tally.previews += (self._place(path),)
        if reasons:
            reason, _ = reasons.most_common(1)[0]
            warn(
                f"{self._source.name}: {reasons.total()} of {len(states)} pictures have no "
                f"metres: {reason}"
            )
        if stop.made and self._source.kind is not Kind.WEBCAM:
            raise KeyboardInterrupt

    def _place(self, path: Path) -> str:
        """Where the user finds a file of the result: it may be stored elsewhere."""
        folder = self._output.folder.rstrip("/") or "/"
        return f"{folder}/{path.relative_to(self._folder).as_posix()}"

    def _until_broken(self, answers: Iterator[Answered]) -> Iterator[Answered]:
        """The answers up to where the input cannot be read any more; what came before is kept."""
        count = 0
        while True:
            try:
                answer = next(answers, None)
            except InputError as error:
                if not count:
                    raise
                warn(f"{error}; {self._source.name} ends after {count} pictures")
                self._broken = True
                return
            if answer is None:
                return
            count += 1
            yield answer

    def _items(self) -> tuple[float, Iterator[Item]]:
        """Pictures per second, and the pictures."""
        items = read_input(self._source, warn, self._topics)
        if self._source.kind is Kind.VIDEO:
            return video_info(self._source.path).fps, items
        first = list(islice(items, 2))
        gap = first[1].frame.stamp - first[0].frame.stamp if len(first) == 2 else 0
        return (1e9 / gap if gap > 0 else _USUAL_FPS), chain(first, items)

    def _answers(self, items: Iterator[Item]) -> Iterator[Answered]:
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

    def _check_replaceable(self) -> None:
        stem, own = self._stem, results.own_names(self._stem)
        endings = ["_preview.mp4", ".json"]
        if self._output.frames:
            endings += [name[len(stem.name) :] for name in sorted(results.files_of_frames(stem))]
        results.check_replaceable(stem, endings, own)

    def _colors_of_all(self) -> ColorRange | None:
        """The range of colours of the whole sequence; None where its end is not there yet."""
        if self._output.preview_range is not None:
            return ColorRange.of_metres(*self._output.preview_range)
        if self._source.kind is Kind.WEBCAM:
            return None

        def readable() -> Iterator[Item]:
            with suppress(InputError):  # reported when the sequence itself is read
                yield from read_input(self._source, topics=self._topics)

        return ColorRange.of_pictures(
            self._network(self._complete(item), confidence=self._network.needs_confidence)
            for item in spread(readable(), _SAMPLED)
        )

    def _write_frame(self, name: str, answer: DepthFrame) -> list[str]:
        """Write depth and cloud of one picture of a sequence; the names of its files."""
        output, stem = self._output, self._folder / name
        writers = answer.writers(
            cloud=output.cloud,
            png_scale=output.png_scale,
            ply_frame=output.ply_frame,
            controlnet=output.controlnet,
        )
        names = []
        for ending, write in writers.items():
            path = results.named(stem, ending)
            with whole_file(path) as part:
                write(part)
            names.append(path.name)
        return names

    def _write_layout(self, item: Item, answer: DepthFrame) -> list[str]:
        """Write picture and depth as a data set has them, where that is asked for."""
        output = self._output
        if not output.layout:
            return []
        frame = answer.frame
        files = write_pair(
            self._folder, output.layout, item.name, frame.stamp, frame.rgb, answer.values
        )
        # As all files of a result they are named from the folder of its JSON.
        return [
            Path(os.path.relpath(self._folder / each, self._stem.parent)).as_posix()
            for each in files
        ]

    def _count(self, answer: DepthFrame) -> None:
        self._tally.pictures += 1
        self._tally.beyond_png += answer.beyond_png(self._output.png_scale)
        if answer.metres:
            self._tally.qualities = self._tally.qualities or Counter()
            self._tally.qualities[answer.scale_state.quality.value] += 1
