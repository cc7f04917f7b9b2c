"""Pictures from image files, folders and videos, as upright 8-bit RGB."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.encodings import decode_image, to_8_bit
from depth_anything_ros.formats.whole_file import write_whole

Item = TypeVar("Item")

RgbImage = npt.NDArray[np.uint8]

_HIDDEN_BELOW = 128
"""Levels of a mask that count as black."""

_NAMED = 5
"""Files that are left out and named."""

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".webp", ".avif", ".gif", ".bmp", ".dib", ".tif")
) | {".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".exr", ".hdr", ".ras", ".sr"}
VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts")
) | {".wmv", ".flv", ".3gp", ".3g2", ".ogv", ".vob", ".mjpeg", ".mjpg"}
"""Endings of the files that OpenCV reads."""


@dataclass(frozen=True)
class MediaFile:
    """An image or video file to read.

    Attributes:
        path: Where it lies.
        name: What its outputs are called: no two files of one search share it. A path with
            folders for a file found below the given folder.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether the file holds more than one picture."""
        return self.path.suffix.lower() in VIDEO_SUFFIXES


@dataclass(frozen=True)
class Picture:
    """One image of a file.

    Attributes:
        name: The file's name; for a video with the frame's number, `name_000123`.
        rgb: HxWx3 uint8 RGB.
        stamp: Time since the start of the video in nanoseconds; 0 for an image.
    """

    name: str
    rgb: RgbImage
    stamp: int = 0


@dataclass(frozen=True)
class VideoInfo:
    """Metadata of a video.

    Attributes:
        fps: Pictures per second; 30 where unknown.
        frames: Number of pictures, 0 where unknown.
    """

    fps: float
    frames: int


def find_media(
    inputs: Sequence[Path],
    recursive: bool = False,
    skip: Collection[Path] = (),
    report: Callable[[str], None] = lambda sentence: None,
) -> list[MediaFile]:
    """List the images and videos of some files and folders.

    Args:
        inputs: Files and folders, in the order of the result.
        recursive: Include subfolders.
        skip: Files of folders that are left out without a word.
        report: Called with the files of a folder are left out because of their suffix.

    Returns:
        The files; those of a folder in natural order (2 before 10), hidden ones left out.

    Raises:
        InputError: A path does not exist, or a folder holds neither image nor video.
    """
    found: list[MediaFile] = []
    taken: set[str] = set()
    for entry in inputs:
        if entry.is_dir():
            paths = _files_of_folder(entry, recursive, skip, report)
            names = [path.relative_to(entry).with_suffix("").as_posix() for path in paths]
        elif entry.exists():
            paths, names = [entry], [entry.stem]
        else:
            raise InputError(f"{entry} does not exist")
        for path, name in zip(paths, names, strict=True):
            unique = unique_name(name, path.suffix, taken)
            taken.add(unique)
            found.append(MediaFile(path, unique))
    return found


def read_media(file: MediaFile) -> Iterator[Picture]:
    """Read the pictures of one file.

    Args:
        file: The image or video.

    Yields:
        The image, or the video's frames in order.

    Raises:
        InputError: The file cannot be read.
    """
    if file.is_video:
        yield from _read_video(file)
    else:
        yield Picture(file.name, read_image(file.path))


def read_all_media(
    files: Iterable[MediaFile], report: Callable[[InputError], None]
) -> Iterator[Picture]:
    """Read the pictures of some files and step over those that are broken.

    Args:
        files: Images and videos.
        report: Called with each file that cannot be read.

    Yields:
        The pictures of the others, in order.
    """
    for file in files:
        try:
            yield from read_media(file)
        except InputError as error:  # noqa: PERF203 - one broken file is not the end
            report(error)


def read_image(path: Path) -> RgbImage:
    """Read an image file.

    Args:
        path: Any format OpenCV reads.

    Returns:
        HxWx3 uint8 RGB, upright by its EXIF orientation. Of 16-bit samples the upper 8 of the
        bits in use are kept, grey becomes RGB, alpha is left out.

    Raises:
        InputError: The file cannot be read or holds no image.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return decode_compressed(content, str(path))


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read which pixels of a camera show the robot itself.

    Args:
        path: An image that is black there.

    Returns:
        HxW bool, True where it is black.

    Raises:
        InputError: The file cannot be read or holds no image.
    """
    return np.asarray((read_image(path) < _HIDDEN_BELOW).all(axis=2))


def decode_compressed(content: npt.NDArray[np.uint8], name: str, upright: bool = True) -> RgbImage:
    """Decode the bytes of an image file.

    Args:
        content: JPEG, PNG or any other format OpenCV reads, as N uint8.
        name: What an error calls the image.
        upright: Rotate the image by its EXIF orientation.

    Returns:
        HxWx3 uint8 RGB, as `read_image` returns it.

    Raises:
        InputError: The bytes hold no image.
    """
    how = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    image = _decoded(content, how if upright else how | cv2.IMREAD_IGNORE_ORIENTATION, name)
    if image.dtype == np.uint16:
        image = to_8_bit(image)
    elif image.dtype != np.uint8:
        image = _decoded(content, cv2.IMREAD_COLOR, name)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def decode_compressed_message(content: npt.NDArray[np.uint8], format_name: str) -> RgbImage:
    """Decode the bytes of a sensor_msgs/CompressedImage.

    A camera's picture stays as the camera_info describes it, whatever its EXIF orientation is.

    Args:
        content: The data, as N uint8.
        format_name: The message's format, as "jpeg" or "bayer_rggb8; png compressed"; before the
            semicolon stands the encoding of the picture that was compressed.

    Returns:
        HxWx3 uint8 RGB.

    Raises:
        InputError: The bytes hold no image.
    """
    name = f"compressed image ({format_name})"
    encoding = format_name.partition(";")[0].strip()
    if encoding.startswith("bayer_"):
        mosaic = _decoded(content, cv2.IMREAD_UNCHANGED, name)
        if mosaic.ndim == 2:  # else the publisher has made colours of it
            height, width = mosaic.shape
            pattern = f"{encoding.rstrip('0123456789')}{8 * mosaic.itemsize}"
            data = np.ascontiguousarray(mosaic).view(np.uint8).ravel()
            big = sys.byteorder == "big"
            return decode_image(data, height, width, width * mosaic.itemsize, pattern, big)
    return decode_compressed(content, name, upright=False)


def write_image(path: Path, rgb: RgbImage, jpeg_quality: int = 95) -> None:
    """Write an image file; it is whole or not there.

    Args:
        path: The file; its suffix selects the format.
        rgb: HxWx3 uint8 RGB.
        jpeg_quality: Of JPEG, 0 to 100.

    Raises:
        InputError: The picture cannot be written in this format.
        OSError: The file cannot be written.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if path.suffix in (".jpg", ".jpeg") else []
    bgr = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    write_whole(path, encoded(bgr, path.suffix, options))


def encoded(picture: npt.NDArray[Any], suffix: str, options: Sequence[int] = ()) -> bytes:
    """A picture as the bytes of a file.

    Args:
        picture: HxW or HxWx3 BGR, in a type that the format has.
        suffix: Names the format, as ".png".
        options: OpenCV's pairs of flag and value.

    Raises:
        InputError: The picture cannot be written in this format.
    """
    try:
        done, content = cv2.imencode(suffix, picture, list(options))
    except cv2.error as error:
        raise InputError(f"a picture cannot be written as '{suffix}': {error.err}") from error
    if not done:
        raise InputError(f"a picture of {picture.shape} cannot be written as '{suffix}'")
    return content.tobytes()


def _decoded(content: npt.NDArray[np.uint8], how: int, name: str) -> npt.NDArray[Any]:
    try:
        image = cv2.imdecode(content, how) if content.size else None
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise InputError(f"{name} is not an image that OpenCV can read, or it is damaged")
    return image


def spread(items: Iterable[Item], count: int) -> list[Item]:
    """Some of a sequence whose length is not known, evenly over all of it.

    Args:
        items: The sequence; it is read to its end.
        count: How many at least, where there are as many.

    Returns:
        At most twice as many, the first one among them.
    """
    kept: list[Item] = []
    step = 1
    for number, item in enumerate(items):
        if number % step == 0:
            kept.append(item)
        if len(kept) > 2 * count:
            kept = kept[::2]
            step *= 2
    return kept


def video_info(path: Path) -> VideoInfo:
    """Read the metadata of a video.

    Args:
        path: The video file.

    Returns:
        Frame rate and number of frames.

    Raises:
        InputError: The file is not a video that OpenCV can read.
    """
    capture = _open_video(path)
    fps = capture.get(cv2.CAP_PROP_FPS)
    frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return VideoInfo(fps if 0 < fps < 1000 else 30.0, max(frames, 0))


def _read_video(file: MediaFile) -> Iterator[Picture]:
    capture = _open_video(file.path)
    try:
        number = 0
        start = 0.0
        while True:
            good, image = capture.read()
            if not good:
                break
            # OpenCV versions count from this frame or from the next; differences are the same.
            position = capture.get(cv2.CAP_PROP_POS_MSEC)
            start = position if number == 0 else start
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            stamp = round((position - start) * 1e6)
            yield Picture(f"{file.name}_{number:06d}", rgb, stamp)
            number += 1
    finally:
        capture.release()
    if number == 0:
        raise InputError(f"{file.path} holds no frame that OpenCV can read")


def _open_video(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InputError(f"{path} is not a video that OpenCV can read, or it is damaged")
    return capture


def _files_of_folder(
    folder: Path, recursive: bool, skip: Collection[Path], report: Callable[[str], None]
) -> list[Path]:
    wanted = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    files = [
        path
        for path in (folder.rglob("*") if recursive else folder.iterdir())
        if path.is_file()
        and path not in skip
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    paths = [path for path in files if path.suffix.lower() in wanted]
    if not paths:
        raise InputError(f"{folder} holds no image and no video")
    others = sorted(path.name for path in files if path.suffix.lower() not in wanted)
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        report(
            f"{folder}: left out, neither image nor video by their suffix: "
            f"{', '.join(others[:_NAMED])}{more}"
        )
    return sorted(paths, key=lambda path: _natural_key(path.relative_to(folder).as_posix()))


def _natural_key(text: str) -> list[tuple[int, str]]:
    """Sort key by which 2 comes before 10: runs of digits compare as numbers."""
    return [
        (int(part), part) if part.isdigit() else (-1, part.lower())
        for part in re.split(r"([0-9]+)", text)
    ]


def unique_name(name: str, suffix: str, taken: Collection[str]) -> str:
    """A name that is not taken: with the file's suffix (a.png beside a.jpg: a_png) or a number.

    Args:
        name: The name wanted.
        suffix: The file's suffix with its dot, or empty.
        taken: Names that are taken.

    Returns:
        The name itself where it is free.
    """
    if name not in taken:
        return name
    named = f"{name}_{suffix[1:].lower()}" if suffix else name
    candidate, number = named, 2
    while candidate in taken:
        candidate, number = f"{named}_{number}", number + 1
    return candidate
