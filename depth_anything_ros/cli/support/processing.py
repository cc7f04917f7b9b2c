"""From files through the pipeline to files: the work behind `depth_anything run`."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from depth_anything_ros.cli.support.measured import MeasuredOptions
from depth_anything_ros.cli.support.scale_options import ScaleOptions
from depth_anything_ros.cli.support.terminal import STDERR, warn
from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats.depth_files import (
    FARTHEST_PNG_M,
    write_metric_png,
    write_npy,
    write_relative_png,
)
from depth_anything_ros.formats.media import (
    MediaFile,
    Picture,
    find_media,
    read_media,
    video_info,
)
from depth_anything_ros.formats.ply import write_ply
from depth_anything_ros.formats.preview import colorize_depth, colorize_disparity, side_by_side
from depth_anything_ros.frames import (
    DepthFrame,
    FloatImage,
    Frame,
    Prediction,
    RgbImage,
    ScaleState,
)
from depth_anything_ros.geometry.camera import Camera
from depth_anything_ros.geometry.cloud import build_cloud
from depth_anything_ros.inference.backend import LoadedModel
from depth_anything_ros.inference.selection import make_estimator
from depth_anything_ros.metric.selection import make_scaler
from depth_anything_ros.pipeline import Pipeline
from depth_anything_ros.settings import ModelSettings, ScalerSettings

CameraOfSize = Callable[[int, int], Camera | None]
"""From (width, height) of an image to its camera, None where it is not known."""


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What is written, and where.

    Attributes:
        folder: Where results go.
        pred_only: Preview without the image beside it.
        grayscale: Preview in grey.
        cloud: Write point clouds.
        frames: Write depth and cloud of every frame of a video.
    """

    folder: Path
    pred_only: bool = False
    grayscale: bool = False
    cloud: bool = False
    frames: bool = False


def process(
    inputs: Sequence[Path],
    recursive: bool,
    model: ModelSettings,
    scale: ScaleOptions,
    camera: CameraOfSize,
    measured: MeasuredOptions,
    output: OutputOptions,
) -> None:
    """Estimate the depth of files and write the results.

    A file that cannot be read is reported and stepped over. Where metres are asked for but cannot
    be had, the depth is written as unknown and the reason is said.

    Args:
        inputs: Images, folders and videos.
        recursive: Look into folders below those given.
        model: The network to use.
        scale: The way to metres.
        camera: From (width, height) of an image to its camera, None where it is not known.
        measured: What is known of the scene.
        output: What is written, and where.

    Raises:
        DepthAnythingError: The model cannot be used, a setting does not fit it, or no file gave
            a result.
    """
    files = find_media(inputs, recursive)
    if measured.points is not None and (len(files) > 1 or files[0].is_video):
        raise SettingError(
            "--points names the points of one image; for several images or a video give a folder "
            "with NAME.npz or NAME.csv for each (a video's pictures are NAME_000000, ...)"
        )
    _make_folder(output.folder)
    loaded = make_estimator(model)
    metres = (
        loaded.estimator.kind.metric
        or loaded.info.canonical_focal is not None
        or scale.wants_metres
    )
    if output.cloud and not metres:
        raise SettingError(
            f"--cloud needs metres, but {loaded.info.name} gives {loaded.estimator.kind.words}; "
            "use a metric model (`depth_anything models` lists them) or a way to metres such as "
            "--points"
        )
    job = _Job(loaded, scale.settings, camera, measured, output, metres)
    unread = 0
    start = time.perf_counter()
    with _progress(files) as progress:
        for file in files:
            progress.start(file)
            try:
                job.process_file(file, progress)
            except InputError as error:
                warn(f"{error}; left out")
                unread += 1
    if unread == len(files):
        raise InputError("none of the inputs gave a result")
    if job.too_far:
        warn(
            f"{job.too_far} pixels lie beyond {FARTHEST_PNG_M:.1f} m and are 0 (unknown) in the "
            "16-bit PNG files; the .npy files have them"
        )
    STDERR.print(
        f"{output.folder}: {len(files) - unread} of {len(files)} files, pictures: {job.pictures}, "
        f"{time.perf_counter() - start:.1f} s with {loaded.info.name} "
        f"({loaded.estimator.device}, {loaded.estimator.precision})",
        markup=False,
        soft_wrap=True,
    )


class _Job:
    """One run: the model and options that stay, and what is counted."""

    def __init__(
        self,
        loaded: LoadedModel,
        scaler: ScalerSettings,
        camera: CameraOfSize,
        measured: MeasuredOptions,
        output: OutputOptions,
        metres: bool,
    ) -> None:
        self._loaded = loaded
        self._pipeline = Pipeline(loaded.estimator, make_scaler(scaler, loaded.info))
        self._camera = camera
        self._measured = measured
        self._output = output
        self._metres = metres
        self.pictures = 0
        self.too_far = 0

    def process_file(self, file: MediaFile, progress: _Bar) -> None:
        self._pipeline.scaler.reset()  # files have nothing to do with each other
        stem = self._output.folder / file.name
        stem.parent.mkdir(parents=True, exist_ok=True)
        if file.is_video:
            self._process_video(file, stem, progress)
        else:
            (picture,) = read_media(file)
            answer, milliseconds = self._estimate(picture)
            self._write_depth(stem, answer)
            _write_picture(_named(stem, "_preview.png"), self._preview(answer))
            report = self._report(file, answer) | {
                "scale_state": _state(answer.scale_state),
                "timing_ms": round(milliseconds, 3),
            }
            _write_json(_named(stem, ".json"), report)
            if self._lacks_metres(answer):
                warn(f"{file.name} has no metres: {answer.scale_state.reason}")
            progress.advance()

    def _process_video(self, file: MediaFile, stem: Path, progress: _Bar) -> None:
        timings = []
        states = []
        unknown = 0
        fps = video_info(file.path).fps
        path = _named(stem, "_preview.mp4")
        writer: cv2.VideoWriter | None = None
        try:
            for picture in read_media(file):
                answer, milliseconds = self._estimate(picture)
                timings.append(milliseconds)
                states.append(_state(answer.scale_state))
                if self._lacks_metres(answer):
                    unknown, reason = unknown + 1, answer.scale_state.reason
                if self._output.frames:
                    self._write_depth(self._output.folder / picture.name, answer)
                preview = self._preview(answer)
                writer = writer or _open_writer(path, fps, preview)
                writer.write(cv2.cvtColor(preview, cv2.COLOR_RGB2BGR))
                progress.advance()
        finally:
            if writer is not None:
                writer.release()
        report = self._report(file, answer) | {
            "frames": len(timings),
            "fps": fps,
            "timing_ms": round(float(np.median(timings)), 3),
            "scale_states": states,
        }
        _write_json(_named(stem, ".json"), report)
        if unknown:
            warn(f"{file.name}: {unknown} of {len(states)} pictures have no metres: {reason}")

    def _estimate(self, picture: Picture) -> tuple[DepthFrame, float]:
        height, width = picture.rgb.shape[:2]
        camera = self._camera(width, height)
        frame = Frame(picture.rgb, picture.stamp, camera=camera)
        frame = self._measured.complete(frame, picture.name)
        start = time.perf_counter()
        answer = self._pipeline.process(frame)
        self.pictures += 1
        return answer, 1000 * (time.perf_counter() - start)

    def _lacks_metres(self, answer: DepthFrame) -> bool:
        return self._metres and answer.depth_m is None

    def _write_depth(self, stem: Path, answer: DepthFrame) -> None:
        if not self._metres:
            write_npy(_named(stem, "_depth.npy"), answer.prediction.values)
            write_relative_png(_named(stem, "_depth.png"), _nearness(answer.prediction))
            return
        depth_m = answer.depth_m
        if depth_m is None:
            depth_m = np.full_like(answer.prediction.values, np.nan)
        write_npy(_named(stem, "_depth.npy"), depth_m)
        self.too_far += write_metric_png(_named(stem, "_depth.png"), depth_m)
        camera = answer.frame.camera
        if self._output.cloud and answer.depth_m is not None and camera is not None:
            cloud = build_cloud(depth_m, camera, answer.frame.rgb, organized=False)
            write_ply(_named(stem, "_cloud.ply"), cloud.xyz, cloud.rgb)

    def _preview(self, answer: DepthFrame) -> RgbImage:
        picture = self._colours(answer)
        if self._output.pred_only:
            return picture
        return side_by_side(answer.frame.rgb, picture)

    def _colours(self, answer: DepthFrame) -> RgbImage:
        """Metres, or where there are none what the network saw: colours show no scale."""
        values = answer.prediction.values
        if answer.depth_m is not None:
            return colorize_depth(answer.depth_m, self._output.grayscale)
        if not answer.prediction.kind.inverse:
            return colorize_depth(values, self._output.grayscale)
        return colorize_disparity(values, self._output.grayscale)

    def _report(self, file: MediaFile, answer: DepthFrame) -> dict[str, Any]:
        height, width = answer.frame.rgb.shape[:2]
        camera = answer.frame.camera
        return self._loaded.description() | {
            "source": file.path.name,
            "values": "metres" if self._metres else answer.prediction.kind.words.split()[1],
            "max_depth": self._loaded.info.max_depth,
            "size": {"width": width, "height": height},
            "network_size": dict(
                zip(("height", "width"), map(int, answer.prediction.input_size), strict=True)
            ),
            "camera": None if camera is None else dataclasses.asdict(camera),
        }


def _nearness(prediction: Prediction) -> FloatImage:
    """Larger is nearer; the sky is unknown."""
    if prediction.kind.inverse:
        return prediction.values
    nearness = 1 / np.maximum(prediction.values, np.float32(1e-6))
    if prediction.sky is not None:
        nearness[prediction.sky] = np.nan
    return nearness


class _Bar:
    """The progress bar: one step per picture, named by the file at hand."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def start(self, file: MediaFile) -> None:
        self._progress.update(self._task, description=file.name)

    def advance(self) -> None:
        self._progress.advance(self._task)


@contextmanager
def _progress(files: Sequence[MediaFile]) -> Iterator[_Bar]:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,
    ) as progress:
        yield _Bar(progress, sum(_pictures_in(file) for file in files))


def _pictures_in(file: MediaFile) -> int:
    try:
        return video_info(file.path).frames if file.is_video else 1
    except InputError:
        return 1  # reported when its turn comes


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--output {folder} cannot be made: {error.strerror}") from error


def _named(stem: Path, ending: str) -> Path:
    """`stem` with an ending; unlike with_suffix, dots in the name stay."""
    return stem.with_name(stem.name + ending)


def _state(state: ScaleState) -> dict[str, Any]:
    """A scale state as JSON has it: words for enumerations, null for NaN."""
    fields = dataclasses.asdict(state) | {"quality": state.quality.value}
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in fields.items()
    }


def _write_json(path: Path, report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_picture(path: Path, rgb: RgbImage) -> None:
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def _open_writer(path: Path, fps: float, preview: RgbImage) -> cv2.VideoWriter:
    height, width = preview.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise InputError(f"{path} cannot be written as an MP4 video of {width}x{height}")
    return writer
