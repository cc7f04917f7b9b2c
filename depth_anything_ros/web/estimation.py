"""The work behind the demo page: a picture or video becomes files that the page shows."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.api import DepthFrame, Model, PointCloud, as_frame, points_of_file
from depth_anything_ros.errors import DepthAnythingError, InputError
from depth_anything_ros.formats.image_header import encoded_size
from depth_anything_ros.formats.media import (
    VIDEO_SUFFIXES,
    MediaFile,
    read_image,
    read_media,
    spread,
    video_info,
    write_image,
)
from depth_anything_ros.formats.preview import ColorRange, DepthColors, side_by_side
from depth_anything_ros.formats.results import state_report
from depth_anything_ros.formats.video import VideoWriter, has_h264
from depth_anything_ros.frames import Frame, RgbImage
from depth_anything_ros.web.demo_request import DemoRequest
from depth_anything_ros.web.files import Entry, PrivateFolder
from depth_anything_ros.web.jobs import Job
from depth_anything_ros.web.models import ModelShelf

DEPTH, CONFIDENCE, SIGMA = "depth", "confidence", "sigma"
"""Layers that the page shows over a picture."""

VIEW_IMAGE, VIEW_CLOUD, VIDEO = "view.jpg", "view.ply", "video.mp4"
"""Files for the page besides the layers."""

DOWNLOADS = {
    "depth.npy": ("result_depth.npy", "application/octet-stream"),
    "depth.png": ("result_depth.png", "image/png"),
    "preview.png": ("result_preview.png", "image/png"),
    "cloud.ply": ("result_cloud.ply", "application/octet-stream"),
    "description.json": ("result.json", "application/json"),
}
"""Files for the user: their file in a result's folder and their type, by what a request says."""

_STEM = "result"
_VIEW_PIXELS = 1_500_000
_VIEW_POINTS = 400_000
_VIDEO_PIXELS = 640 * 480

_SAMPLED = 8
"""Pictures of a video, at least, from which the range of its colours is taken."""
_HEADER_BYTES = 1 << 20
_LARGEST_ARRAYS = 256 << 20
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes:
        upload_bytes: Bytes of an uploaded file.
        pixels: Pixels of a picture.
        video_pictures: Pictures of a video; of a longer one every n-th is taken.
        waiting: Jobs that may wait.
        seconds: How long one job may run.
        stored_bytes: Bytes of all uploads and results together.
    """

    upload_bytes: int = 200 << 20
    pixels: int = 25_000_000
    video_pictures: int = 120
    waiting: int = 8
    seconds: float = 600.0
    stored_bytes: int = 4 << 30


class Estimation:
    """Answers requests of the page, one at a time.

    Args:
        shelf: The networks.
        folder: Uploads and results.
        limits: What one request may cost.
    """

    def __init__(self, shelf: ModelShelf, folder: PrivateFolder, limits: Limits) -> None:
        self._shelf = shelf
        self._folder = folder
        self._limits = limits

    def run(self, request: DemoRequest, source: Entry, points: Entry | None, job: Job) -> Any:
        """Do what was asked for.

        Args:
            request: How the depth is to be made.
            source: The picture or video.
            points: Measured points, or None.
            job: Told how far the work is.

        Returns:
            What the page needs to know, for JSON.

        Raises:
            DepthAnythingError: It cannot be done; the sentence names files as the user does.
        """
        results = self._folder.new_folder(source.name)
        try:
            if not self._shelf.is_loaded(request.model):
                job.report(f"loading the model {request.model}")
            model = Model(self._shelf.get(request.model), request.scaler)
            if source.path.suffix.lower() in VIDEO_SUFFIXES:
                made = self._run_video(request, model, source, results, job)
            else:
                made = self._run_picture(request, model, source, points, results, job)
        except BaseException as error:
            self._folder.add(results)
            self._folder.remove(results.id)
            if isinstance(error, DepthAnythingError):
                sentence = _as_the_user_names(str(error), source, points)
                raise InputError(sentence) from error
            raise
        self._folder.add(results)
        return {"id": results.id, "name": source.name, "model": model.description, **made}

    def _run_picture(
        self,
        request: DemoRequest,
        model: Model,
        source: Entry,
        points: Entry | None,
        results: Entry,
        job: Job,
    ) -> dict[str, Any]:
        job.report("reading the picture")
        check_size(source.path, self._limits.pixels)
        frame = as_frame(read_image(source.path), request.camera(), ground=request.ground)
        measured = request.marks
        if points is not None:
            check_arrays(points.path)
            measured = points_of_file(points.path, frame.camera)
        job.report("estimating depth")
        answer = model(frame, points=measured, confidence=request.confidence)
        job.report("writing the files")
        picture = write_picture(results.path / "0", answer, self._folder.root)
        return {"pictures": [picture], "video": False, "remarks": []}

    def _run_video(
        self, request: DemoRequest, model: Model, source: Entry, results: Entry, job: Job
    ) -> dict[str, Any]:
        info = video_info(source.path)
        step = max(1, math.ceil(info.frames / self._limits.video_pictures))
        total = math.ceil(info.frames / step)
        remarks = []
        if request.marks is not None or request.points_file is not None:
            remarks.append("measured points belong to one picture, so a video goes without them")
        if step > 1:
            remarks.append(f"every {step}. picture of {info.frames} was taken")
        frames = self._video_frames(source, step)
        job.report("looking through the video", 0, total)
        some = spread(islice(self._video_frames(source, step), total), _SAMPLED)
        colors = DepthColors(
            fixed=ColorRange.of_pictures(
                model(each, camera=request.camera(), ground=request.ground) for each in some
            )
        )
        pictures: list[dict[str, Any]] = []
        stream = model.stream(
            frames, camera=request.camera(), ground=request.ground, confidence=request.confidence
        )
        with VideoWriter(results.path / VIDEO, info.fps / step) as video:
            for number, answer in enumerate(stream):
                job.report(f"picture {number + 1} of {max(total, number + 1)}", number, total)
                beside = side_by_side(answer.frame.rgb, answer.preview(colors=colors))
                video.write(beside)
                folder = results.path / str(number)
                pictures.append(write_picture(folder, answer, self._folder.root))
                if number + 1 == self._limits.video_pictures:
                    break
        if not has_h264():
            remarks.append("browsers do not play this video; with the extra 'video' they do")
        return {"pictures": pictures, "video": True, "plays": has_h264(), "remarks": remarks}

    def _video_frames(self, source: Entry, step: int) -> Iterator[Frame]:
        """Every n-th picture, reduced to a size that a browser scrolls through quickly."""
        for number, picture in enumerate(read_media(MediaFile(source.path, source.name))):
            height, width = picture.rgb.shape[:2]
            if height * width > self._limits.pixels:
                raise InputError(
                    f"the video has pictures of {width}x{height}, more than "
                    f"{self._limits.pixels} pixels"
                )
            if number % step == 0:
                yield Frame(_reduced(picture.rgb, _VIDEO_PIXELS), picture.stamp)


def write_picture(folder: Path, answer: DepthFrame, root: Path) -> dict[str, Any]:
    """Write what is shown and what is downloaded of one picture.

    Args:
        folder: Where; made.
        answer: Its depth.
        root: Removed from the front of `folder` for the page.

    Returns:
        What the page needs to know, for JSON.
    """
    has_cloud = answer.depth_m is not None and answer.frame.camera is not None
    answer.save(folder, _STEM, cloud=has_cloud)
    height, width = answer.frame.rgb.shape[:2]
    stride = max(1, math.ceil(math.sqrt(height * width / _VIEW_PIXELS)))
    values = answer.prediction.values if answer.depth_m is None else answer.depth_m
    layers = {DEPTH: values, CONFIDENCE: answer.confidence, SIGMA: answer.sigma_m}
    shown = {name: each for name, each in layers.items() if each is not None}
    for name, layer in shown.items():
        _write_layer(folder / f"{name}.f32", layer[::stride, ::stride])
    view_height, view_width = values[::stride, ::stride].shape
    rgb = answer.frame.rgb
    small = cv2.resize(rgb, (view_width, view_height), interpolation=cv2.INTER_AREA)
    write_image(folder / VIEW_IMAGE, np.asarray(small, np.uint8), _JPEG_QUALITY)
    if has_cloud:
        _write_view_cloud(folder / VIEW_CLOUD, answer.cloud())
    metres = answer.depth_m is not None
    inverse = not metres and answer.prediction.kind.inverse
    near, far = _range(values, inverse)
    return {
        "width": width,
        "height": height,
        "stride": stride,
        "view": [view_width, view_height],
        "values": "metres" if metres else "disparity" if inverse else "relative depth",
        "inverse": inverse,
        "near": near,
        "far": far,
        "layers": list(shown),
        "cloud": has_cloud,
        "scale_state": _finite(state_report(answer.scale_state)),
        "why_no_cloud": "" if has_cloud else _why_no_cloud(answer),
    }


def check_size(path: Path, pixels: int) -> None:
    """Refuse a picture that is too large before it is decoded: kilobytes may hold gigapixels.

    Args:
        path: The picture.
        pixels: Most pixels that it may have.

    Raises:
        InputError: It is too large, or its header says no size.
    """
    with path.open("rb") as file:
        size = encoded_size(file.read(_HEADER_BYTES))
    if size is None:
        raise InputError(
            f"{path} is no JPEG, PNG, TIFF, BMP or WebP picture, or its header is damaged"
        )
    if size[0] * size[1] > pixels:
        raise InputError(
            f"{path} has {size[0]}x{size[1]} pixels, more than the {pixels} that this server takes"
        )


def check_arrays(path: Path) -> None:
    """Refuse a points file that unpacks to gigabytes.

    Args:
        path: A .npz or .csv file.

    Raises:
        InputError: It is too large.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > _LARGEST_ARRAYS:
        raise InputError(f"{path} holds {size} bytes of arrays, more than {_LARGEST_ARRAYS}")


def _as_the_user_names(sentence: str, *entries: Entry | None) -> str:
    """The sentence with the user's names in place of the private paths."""
    for entry in entries:
        if entry is not None:
            sentence = sentence.replace(str(entry.path), f"{entry.name}{entry.path.suffix}")
            sentence = sentence.replace(entry.path.name, f"{entry.name}{entry.path.suffix}")
    return sentence


def _why_no_cloud(answer: DepthFrame) -> str:
    if answer.depth_m is None:
        why = answer.scale_state.reason
        return (
            f"the 3D view needs metres: {why}"
            if answer.metres
            else (
                "the 3D view needs metres: measure points in the picture, give the "
                "camera's height or choose a metric model"
            )
        )
    return "the 3D view needs the camera: give its field of view or its intrinsics"


def _write_layer(path: Path, values: npt.NDArray[np.float32]) -> None:
    """Write values as little-endian float32, row by row, as a browser's Float32Array reads them."""
    path.write_bytes(np.ascontiguousarray(values, "<f4").tobytes())


def _write_view_cloud(path: Path, cloud: PointCloud) -> None:
    step = max(1, math.ceil(cloud.data.shape[1] / _VIEW_POINTS))
    PointCloud(cloud.data[:, ::step], cloud.fields).save(path)


def _range(values: npt.NDArray[np.float32], inverse: bool) -> tuple[float, float]:
    """The values of the brightest and the darkest colour: 1 % of the pixels lie beyond each."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 1.0, 2.0
    low, high = np.percentile(known, [1, 99])
    return (float(high), float(low)) if inverse else (float(low), float(high))


def _reduced(rgb: RgbImage, pixels: int) -> RgbImage:
    height, width = rgb.shape[:2]
    factor = math.sqrt(pixels / (height * width))
    if factor >= 1:
        return rgb
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _finite(report: dict[str, Any]) -> dict[str, Any]:
    """The report with null for numbers that are not finite, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in report.items()
    }
