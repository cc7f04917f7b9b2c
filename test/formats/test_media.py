from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import (
    MediaFile,
    find_media,
    read_all_media,
    read_image,
    read_media,
    spread,
    video_info,
)


def ramp() -> npt.NDArray[np.uint8]:
    rows, columns = np.mgrid[:24, :40]
    return np.stack([100 + 3 * columns, 60 + 4 * rows, 20 + columns], axis=-1).astype(np.uint8)


def write(path: Path, rgb: npt.NDArray[np.integer]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = rgb[..., [2, 1, 0, *range(3, rgb.shape[2])]] if rgb.ndim == 3 else rgb
    assert cv2.imwrite(str(path), bgr)
    return path


def write_video(path: Path, frames: int = 7, fps: float = 10.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = 20 + 30 * number  # red in BGR
        writer.write(frame)
    writer.release()
    return path


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Put a minimal EXIF block (TIFF tag 0x0112) behind the JPEG's start marker."""
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + b"\x00\x01"
    tiff += b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0]) + b"\x00" * 4
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_png_is_exact_and_rgb(tmp_path: Path) -> None:
    rgb = ramp()
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.png", rgb)), rgb)


def test_sixteen_bit_alpha_and_grey_become_rgb(tmp_path: Path) -> None:
    rgb = ramp()
    deep = rgb.astype(np.uint16) << 8 | 0x7F
    np.testing.assert_array_equal(read_image(write(tmp_path / "deep.png", deep)), rgb)
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 128, np.uint8)])
    np.testing.assert_array_equal(read_image(write(tmp_path / "alpha.png", rgba)), rgb)
    grey = np.repeat(rgb[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(read_image(write(tmp_path / "g.png", rgb[..., 0])), grey)
    deep_grey = write(tmp_path / "dg.png", deep[..., 0])
    np.testing.assert_array_equal(read_image(deep_grey), grey)


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_rotated_jpegs_come_upright(tmp_path: Path, orientation: int, quarter_turns: int) -> None:
    plain = write(tmp_path / "plain.jpg", ramp())
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(with_orientation(plain.read_bytes(), orientation))
    expected = np.rot90(read_image(plain), quarter_turns)
    np.testing.assert_array_equal(read_image(turned), expected)


def test_folders_are_read_in_natural_order(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.PNG", "f1.jpg", "sub/f3.png", ".hidden.png"):
        write(tmp_path / name, ramp())
    (tmp_path / "notes.txt").write_text("no image")
    assert [file.name for file in find_media([tmp_path])] == ["f1", "f2", "f10"]
    everything = find_media([tmp_path], recursive=True)
    assert [file.name for file in everything] == ["f1", "f2", "f10", "sub/f3"]


def test_equal_stems_get_different_names(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.jpg", "a.png", "other/a.png", "third/a.png")]
    for path in paths:
        write(path, ramp())
    assert [file.name for file in find_media(paths)] == ["a", "a_png", "a_png_2", "a_png_3"]


def test_broken_images_are_reported_and_stepped_over(tmp_path: Path) -> None:
    write(tmp_path / "1.png", ramp())
    (tmp_path / "2.png").write_bytes(b"<html>not found</html>")
    (tmp_path / "3.jpg").write_bytes(b"")
    (tmp_path / "4.mp4").write_bytes(b"nothing")
    write(tmp_path / "5.png", ramp())
    reported: list[InputError] = []
    pictures = list(read_all_media(find_media([tmp_path]), reported.append))
    assert [picture.name for picture in pictures] == ["1", "5"]
    for error, name in zip(reported, ("2.png", "3.jpg", "4.mp4"), strict=True):
        assert name in str(error)


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image and no video"):
        find_media([tmp_path])
    with pytest.raises(InputError, match=r"gone\.png does not exist"):
        find_media([tmp_path / "gone.png"])
    with pytest.raises(InputError, match=r"gone\.png cannot be read: No such file"):
        read_image(tmp_path / "gone.png")


def test_videos_give_their_frames_with_times(tmp_path: Path) -> None:
    path = write_video(tmp_path / "drive.mp4")
    assert (video_info(path).fps, video_info(path).frames) == (10.0, 7)
    pictures = list(read_media(MediaFile(path, "drive")))
    assert [p.name for p in pictures] == [f"drive_{number:06d}" for number in range(7)]
    assert [p.stamp for p in pictures] == [number * 100_000_000 for number in range(7)]
    red = [float(p.rgb[..., 0].mean()) for p in pictures]
    np.testing.assert_allclose(red, 20 + 30 * np.arange(7), atol=8)
    assert max(float(p.rgb[..., 2].mean()) for p in pictures) < 16


def test_real_photographs(data_dir: Path) -> None:
    files = find_media([data_dir / "photos"])
    assert len(files) == 10
    first = next(read_media(files[0]))
    assert first.name == "demo01"
    assert first.rgb.ndim == 3
    assert min(first.rgb.shape[:2]) > 300


@pytest.mark.parametrize("length", [0, 3, 16, 17, 1000])
def test_pictures_are_taken_evenly_from_all_of_a_clip(length: int) -> None:
    taken = spread(range(length), 8)
    assert len(taken) == length if length <= 16 else 8 <= len(taken) <= 16
    assert len(set(np.diff(taken))) <= 1
    if taken:
        assert taken[0] == 0
        assert length - taken[-1] <= max(length // 8, 1)
