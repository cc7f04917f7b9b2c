"""Videos that browsers and players show: H.264 through PyAV where it is installed."""

from __future__ import annotations

import errno
import importlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import cv2
import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.frames import RgbImage

_QUALITY = "20"
"""Constant rate factor of x264: 18 looks nearly like the original, 23 is its default."""


class VideoFile(Protocol):
    """A video that is open for writing; closing it makes it whole."""

    def write(self, rgb: RgbImage) -> None:
        """Add a picture, HxWx3 uint8 RGB, of the size of the first one."""
        ...

    def close(self) -> None:
        """Write what is left, and close the file."""
        ...


def has_h264() -> bool:
    """Whether videos are written as H.264: PyAV is installed and has an encoder for it."""
    try:
        av = importlib.import_module("av")
        av.Codec("h264", "w")
    except (ImportError, ValueError):
        return False
    return True


class VideoWriter:
    """An MP4 video, opened when its first picture comes; use it in a `with` statement.

    Args:
        path: The `.mp4` file.
        fps: Pictures per second.

    Attributes:
        size: Columns and rows of its pictures.
        count: Pictures written so far.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._file: VideoFile | None = None
        self.size = (0, 0)
        self.count = 0

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, rgb: RgbImage) -> None:
        """Add a picture.

        Args:
            rgb: HxWx3 uint8 RGB; one of another size than the first is resized.

        Raises:
            InputError: The video cannot be written.
        """
        if self._file is None:
            self.size = rgb.shape[1], rgb.shape[0]
            make = _H264File if has_h264() else _Mpeg4File
            self._file = make(self._path, self._fps, *self.size)
        if (rgb.shape[1], rgb.shape[0]) != self.size:
            rgb = np.asarray(cv2.resize(rgb, self.size, interpolation=cv2.INTER_AREA), np.uint8)
        self._file.write(rgb)
        self.count += 1


class _H264File:
    """H.264 in yuv420p, which every browser plays."""

    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        av = importlib.import_module("av")
        self._frame_of = av.VideoFrame.from_ndarray
        self._container: Any = av.open(str(path), "w")
        rate = Fraction(fps).limit_denominator(1000)
        self._stream = self._container.add_stream("h264", rate=rate)
        # Chroma has half the size: an odd last row or column is repeated.
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": _QUALITY, "preset": "fast"}

    def write(self, rgb: RgbImage) -> None:
        height, width = rgb.shape[:2]
        if height % 2 or width % 2:
            rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._frame_of(np.ascontiguousarray(rgb), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


class _Mpeg4File:
    """MPEG-4 Part 2 through OpenCV, which desktop players show and browsers do not."""

    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        self._path = path
        self._count = 0
        codec = cv2.VideoWriter.fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(path), codec, fps, (width, height))
        if not self._writer.isOpened():
            raise InputError(f"{path} cannot be written as an MP4 video of {width}x{height}")

    def write(self, rgb: RgbImage) -> None:
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        self._writer.release()
        # The writer says nothing of pictures that it could not write.
        written = cv2.VideoCapture(str(self._path))
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        if count != self._count:
            raise OSError(errno.EIO, "a video was not written whole; is the disk full?")
