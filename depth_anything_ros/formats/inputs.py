"""What `run` and `Model.stream` read: images, videos, folders, recordings, webcams."""

from __future__ import annotations

import enum
import glob
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.bags import BAG_SUFFIXES, is_recording
from depth_anything_ros.formats.media import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    MediaFile,
    decode_compressed,
    find_media,
    read_media,
    unique_name,
    video_info,
)
from depth_anything_ros.formats.recording import Recording, Topics
from depth_anything_ros.formats.remote import (
    is_stored,
    is_url,
    local_copy,
    stored_at,
)
from depth_anything_ros.frames import Frame

STANDARD_INPUT = "-"
WEBCAM = re.compile(r"webcam:(\d+)")
"""The name of a webcam."""
_READ_FROM_STORES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *BAG_SUFFIXES)
_WILDCARD = re.compile(r"[*?\[]")


class Kind(enum.Enum):
    """What an input is."""

    IMAGE = "image"
    VIDEO = "video"
    RECORDING = "recording"
    WEBCAM = "webcam"


@dataclass(frozen=True)
class Input:
    """One thing to read.

    Attributes:
        kind: What it is.
        path: Where it lies; for a webcam its number, for standard input "-".
        name: What its outputs are called; no two inputs of one search share it.
        url: Where it is stored on another machine (`path` is then its name alone); empty for files
            of this one.
        version: Of what is stored: changes when the content does.
    """

    kind: Kind
    path: Path
    name: str
    url: str = ""
    version: str = ""

    @contextmanager
    def fetched(self) -> Iterator[Input]:
        """The input on this machine, for as long as the context lasts.

        Raises:
            InputError: It cannot be fetched.
        """
        if not self.url:
            yield self
            return
        with local_copy(self.url) as copy:
            yield replace(self, path=copy, url="")

    @property
    def is_sequence(self) -> bool:
        """Whether it holds more than one picture."""
        return self.kind is not Kind.IMAGE

    @property
    def length(self) -> int:
        """Number of its pictures as far as it is known; 0 where it is not."""
        if self.kind is Kind.VIDEO:
            try:
                return video_info(self.path).frames
            except InputError:
                return 0  # reported when it is read, or not here yet
        return 0 if self.is_sequence else 1


@dataclass(frozen=True)
class Item:
    """One picture of an input.

    Attributes:
        name: What its outputs are called; `NAME_000123` in a sequence.
        frame: The picture with the input's metadata.
    """

    name: str
    frame: Frame


def find_inputs(
    arguments: Sequence[str],
    recursive: bool = False,
    skip: Callable[[Path], Collection[Path]] = lambda folder: (),
    report: Callable[[str], None] = lambda sentence: None,
) -> list[Input]:
    """List what some arguments name.

    Args:
        arguments: Files, folders, patterns such as "*.jpg", recordings, "webcam:0", "-" (an image
            or lines of paths on standard input), URLs of files or folders in stores (s3://, ...).
        recursive: Include subfolders.
        skip: Gives the files of a folder that are left out without a word.
        report: Called with what is left out, and why.

    Returns:
        The inputs in the order of the arguments; those of a folder in natural order.

    Raises:
        InputError: An argument names nothing that can be read.
    """
    found: list[Input] = []
    taken: set[str] = set()

    def add(
        kind: Kind, path: Path, name: str, suffix: str = "", url: str = "", version: str = ""
    ) -> None:
        unique = unique_name(name, suffix, taken)
        taken.add(unique)
        found.append(Input(kind, path, unique, url, version))

    for argument in _expanded(arguments):
        webcam = WEBCAM.fullmatch(argument)
        path = Path(argument).expanduser()
        if webcam:
            add(Kind.WEBCAM, Path(webcam[1]), f"webcam{webcam[1]}")
        elif argument == STANDARD_INPUT:
            add(Kind.IMAGE, Path(STANDARD_INPUT), "stdin")
        elif is_stored(argument):
            for stored in stored_at(argument, _READ_FROM_STORES, recursive):
                path = Path(stored.name)
                kind = Kind.RECORDING if stored.is_folder else _kind_of(path)
                suffix = "" if stored.is_folder else path.suffix
                name = stored.name.removesuffix(suffix)
                add(kind, Path(path.name), name, suffix, stored.url, stored.version)
        elif is_url(argument):
            raise InputError(f"{argument} is a URL, which is not read; download the file first")
        elif path.exists() and is_recording(path):
            add(Kind.RECORDING, path, path.name if path.is_dir() else path.name.partition(".")[0])
        else:
            hidden = skip(path) if path.is_dir() else ()
            for file in find_media([path], recursive, hidden, report):
                kind = Kind.VIDEO if file.is_video else Kind.IMAGE
                add(kind, file.path, file.name, file.path.suffix)
    return found


def read_input(
    source: Input,
    report: Callable[[str], None] = lambda sentence: None,
    topics: Topics | None = None,
) -> Iterator[Item]:
    """Read the pictures of one input.

    Args:
        source: The input.
        report: Called with what of a recording is skipped.
        topics: The topics of a recording that the user names.

    Yields:
        Its pictures in order, with time, and for a recording with camera and LiDAR points.

    Raises:
        InputError: It cannot be read.
    """
    if source.kind is Kind.RECORDING:
        with Recording(source.path, topics, report=report) as recording:
            for number, frame in enumerate(recording.frames()):
                yield Item(f"{source.name}_{number:06d}", frame)
    elif source.kind is Kind.WEBCAM:
        yield from _read_webcam(source)
    elif str(source.path) == STANDARD_INPUT:
        content = np.frombuffer(sys.stdin.buffer.read(), np.uint8)
        yield Item(source.name, Frame(decode_compressed(content, "standard input")))
    else:
        for picture in read_media(MediaFile(source.path, source.name)):
            yield Item(picture.name, Frame(picture.rgb, picture.stamp))


def _kind_of(path: Path) -> Kind:
    name = path.name.lower()
    if name.endswith(BAG_SUFFIXES):
        return Kind.RECORDING
    return Kind.VIDEO if path.suffix.lower() in VIDEO_SUFFIXES else Kind.IMAGE


def _expanded(arguments: Sequence[str]) -> list[str]:
    """The arguments with patterns in place of which stand the files they match."""
    found = []
    for argument in arguments:
        if is_url(argument) or Path(argument).exists() or not _WILDCARD.search(argument):
            found.append(argument)
            continue
        pattern = str(Path(argument).expanduser())
        matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - may be absolute
        if not matches:
            raise InputError(f"no file matches {argument}")
        found += matches
    return found


def _read_webcam(source: Input) -> Iterator[Item]:
    capture = cv2.VideoCapture(int(str(source.path)))
    try:
        if not capture.isOpened():
            raise InputError(
                f"webcam:{source.path} cannot be opened; is the camera plugged in, and in use by "
                "no other program?"
            )
        start = cv2.getTickCount()
        number = 0
        while True:
            good, bgr = capture.read()
            if not good:
                raise InputError(f"webcam:{source.path} gives no more pictures")
            seconds = (cv2.getTickCount() - start) / cv2.getTickFrequency()
            rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            yield Item(f"{source.name}_{number:06d}", Frame(rgb, round(seconds * 1e9)))
            number += 1
    finally:
        capture.release()
