from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from full_disk import no_file_longer_than

from depth_anything_ros.formats import video
from depth_anything_ros.formats.media import video_info
from depth_anything_ros.formats.video import VideoWriter, has_h264
from depth_anything_ros.formats.whole_file import whole_file


def write(path: Path, sizes: list[tuple[int, int]]) -> None:
    with VideoWriter(path, 12.5) as writer:
        for number, (height, width) in enumerate(sizes):
            rgb = np.zeros((height, width, 3), np.uint8)
            rgb[..., 0] = 40 * number
            writer.write(rgb)
    assert writer.count == len(sizes)


@pytest.mark.parametrize("h264", [True, False])
def test_pictures_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, h264: bool) -> None:
    if h264 and not has_h264():
        pytest.skip("PyAV with an H.264 encoder is not installed (extra 'video')")
    monkeypatch.setattr(video, "has_h264", lambda: h264)
    path = tmp_path / "clip.mp4"
    write(path, [(48, 64)] * 5)
    info = video_info(path)
    assert (info.fps, info.frames) == (12.5, 5)
    capture = cv2.VideoCapture(str(path))
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode().lower()
    assert codec == ("h264" if h264 else "fmp4")
    reds = []
    while (frame := capture.read()[1]) is not None:
        assert frame.shape == (48, 64, 3)
        reds.append(float(frame[..., 2].mean()))
    np.testing.assert_allclose(reds, 40 * np.arange(5), atol=6)


@pytest.mark.parametrize("size", [(47, 63), (1, 1), (48, 63)])
def test_odd_sizes_are_written(tmp_path: Path, size: tuple[int, int]) -> None:
    if not has_h264():
        pytest.skip("PyAV with an H.264 encoder is not installed (extra 'video')")
    write(tmp_path / "odd.mp4", [size] * 2)
    assert video_info(tmp_path / "odd.mp4").frames == 2


def test_a_picture_of_another_size_is_fitted(tmp_path: Path) -> None:
    write(tmp_path / "mixed.mp4", [(48, 64), (24, 32), (96, 128)])
    assert video_info(tmp_path / "mixed.mp4").frames == 3


@pytest.mark.parametrize("h264", [True, False])
def test_a_full_disk_is_no_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, h264: bool
) -> None:
    if h264 and not has_h264():
        pytest.skip("PyAV with an H.264 encoder is not installed (extra 'video')")
    monkeypatch.setattr(video, "has_h264", lambda: h264)
    noise = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), np.uint8)
    path = tmp_path / "clip.mp4"
    text = "File too large" if h264 else "not written whole; is the disk full?"
    with (
        pytest.raises(OSError, match=rf"{text}.*clip\.mp4"),
        no_file_longer_than(8192),
        whole_file(path) as part,
        VideoWriter(part, 10) as writer,
    ):
        for picture in noise:
            writer.write(picture)
    assert not list(tmp_path.iterdir())
