from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.formats.image_header import encoded_size


@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("size", [(37, 61), (480, 640), (1, 1)])
def test_the_header_tells_the_size(ending: str, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    content = cv2.imencode(ending, picture)[1].tobytes()
    assert encoded_size(content) == (size[1], size[0])
    for length in range(0, 40):
        found = encoded_size(content[:length])
        assert found in (None, (size[1], size[0]))


def test_a_progressive_jpeg_and_one_with_a_comment() -> None:
    picture = np.zeros((30, 50, 3), np.uint8)
    content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert encoded_size(content) == (50, 30)
    commented = content[:2] + b"\xff\xfe\x00\x06abcd" + content[2:]
    assert encoded_size(commented) == (50, 30)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8" * 20, b"BM", b"P6 9 9 255", b"II*\0"],
)
def test_anything_else_tells_nothing(content: bytes) -> None:
    assert encoded_size(content) is None


def test_lossless_and_lossy_webp() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (45, 77, 3), dtype=np.uint8)
    for quality in (30, 101):
        content = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
        assert encoded_size(content) == (77, 45)
