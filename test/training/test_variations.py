"""Crops and blends of pictures: what they show, determinism, refusals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import read_image
from depth_anything_ros.training.variations import blend, cut_crops, random_crop, write_blends


def slope(height: int = 300, width: int = 400) -> np.ndarray:
    """Red tells the column, green the row."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return np.stack([red, green, np.zeros((height, width))], -1).astype(np.uint8)


def test_a_crop_shows_a_part_turned_a_little() -> None:
    rng = np.random.default_rng(3)
    mirrored, sizes = 0, []
    for _ in range(60):
        crop = random_crop(slope(), rng).astype(float)
        height, width = crop.shape[:2]
        assert height >= 168
        assert 4 / 3 * np.exp(-0.36) < width / height < 4 / 3 * np.exp(0.36)
        middle = crop[height // 4 : -height // 4, width // 4 : -width // 4]
        # Change of the column and of the row over one pixel, in pixels of the whole picture.
        right = np.diff(middle[..., 0], axis=1).mean() * 399 / 255
        down = np.diff(middle[..., 1], axis=0).mean() * 299 / 255
        across = np.diff(middle[..., 0], axis=0).mean() * 399 / 255
        assert abs(right) == pytest.approx(down, rel=0.05)
        assert abs(across) <= down * np.tan(np.radians(6.5)) + 0.02
        mirrored += right < 0
        sizes.append(down * height / 300)
    assert 15 < mirrored < 45
    assert min(sizes) < 0.55
    assert 0.8 < max(sizes) < 1.02


def test_a_small_crop_is_enlarged_and_a_large_one_shrunk_without_aliasing() -> None:
    rng = np.random.default_rng(0)
    checks = np.kron(np.indices((500, 600)).sum(0) % 2, np.ones((2, 2))) * 255
    picture = np.repeat(checks[..., None], 3, -1).astype(np.uint8)
    crop = max((random_crop(picture, rng) for _ in range(20)), key=lambda crop: crop.shape[0])
    assert crop.shape[0] > 500
    # Squares of two pixels shrunk to 1.5 are averaged: the mean stays, the contrast falls.
    assert crop.mean() == pytest.approx(127.5, abs=2)
    assert crop.std() < 115


def test_crops_of_a_folder_are_the_same_every_time(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "room.png"), slope()[..., ::-1])
    assert cut_crops(folder, tmp_path / "one", 3, seed=5) == 3
    cut_crops(folder, tmp_path / "two", 3, seed=5)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["room_000.jpg", "room_001.jpg", "room_002.jpg"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    whole = read_image(tmp_path / "one" / "room_000.jpg")
    assert whole.shape == (300, 400, 3)
    assert np.abs(whole.astype(float) - slope()).mean() < 4


def test_a_blend_is_a_mean_or_patches() -> None:
    one, other = np.full((60, 80, 3), 40, np.uint8), np.full((60, 80, 3), 200, np.uint8)
    rng = np.random.default_rng(1)
    means, shares = [], []
    for _ in range(200):
        blended = blend(one, other, rng)
        values = np.unique(blended)
        if len(values) == 1 and 40 < values[0] < 200:
            means.append(values[0])
        else:
            assert set(values) <= {40, 200}
            shares.append((blended == 200).mean())
    assert 70 < len(means) < 130
    assert min(means) < 60
    assert max(means) > 180
    assert 0.1 < np.mean(shares) < 0.6


def test_blends_come_from_every_folder(tmp_path: Path) -> None:
    for name, value in (("dark", 0), ("bright", 255)):
        (tmp_path / name).mkdir()
        picture = np.full((30, 40, 3), value, np.uint8)
        cv2.imwrite(str(tmp_path / name / "a.png"), picture)
    folders = [tmp_path / "dark", tmp_path / "bright"]
    assert write_blends(folders, tmp_path / "one", 40, seed=2, size=(48, 64)) == 40
    write_blends(folders, tmp_path / "two", 40, seed=2, size=(48, 64))
    seen = []
    for number in range(40):
        path = tmp_path / "one" / f"{number:06d}.jpg"
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert read_image(path).shape == (48, 64, 3)
        seen.append(read_image(path).mean())
    # A quarter is dark with dark, a quarter bright with bright, the rest is of both.
    assert 3 <= sum(mean < 1 for mean in seen) <= 18
    assert 3 <= sum(mean > 254 for mean in seen) <= 18
    assert sum(1 <= mean <= 254 for mean in seen) >= 10


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no picture"):
        cut_crops(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="holds no picture"):
        write_blends([tmp_path], tmp_path / "out")
    (tmp_path / "broken.jpg").write_bytes(b"no")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        cut_crops(tmp_path, tmp_path / "out")
