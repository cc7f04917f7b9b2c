"""A webcam that needs no device: cv2.VideoCapture with pictures of a known colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest


class FakeWebcam:
    """Opens as device 0 and gives some pictures, in BGR as OpenCV does; then it is unplugged.

    Attributes:
        pictures: How many pictures each opening gives.
        opened: The openings that were not released.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pictures: int) -> None:
        """Take the place of cv2.VideoCapture for device numbers; files are read as before."""
        self.pictures = pictures
        self.opened: list[_Opening] = []
        real = cv2.VideoCapture

        def open_video(source: Any, *arguments: Any) -> Any:
            return _Opening(self, source) if isinstance(source, int) else real(source, *arguments)

        monkeypatch.setattr(cv2, "VideoCapture", open_video)


class _Opening:
    def __init__(self, webcam: FakeWebcam, device: int) -> None:
        self._webcam = webcam
        self._device = device
        self._count = 0
        webcam.opened.append(self)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._device == 0

    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]:
        if self._count == self._webcam.pictures:
            return False, None
        self._count += 1
        return True, bgr_of(self._count - 1)

    def release(self) -> None:
        self._webcam.opened.remove(self)


def bgr_of(number: int) -> npt.NDArray[np.uint8]:
    """The picture of this number: red tells the number, blue is 200."""
    picture = np.full((48, 64, 3), (200, 40, number), np.uint8)
    picture[:24, :, 1] = 90
    return picture
