"""Many pictures from few, for a teacher to label: crops and blends.

A student that sees what its teacher sees, also where that is no picture anybody would take, learns
the teacher's function rather than the answers for a few places (Beyer et al. 2022, "Knowledge
distillation: A good teacher is patient and consistent", arXiv 2106.05237).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import IMAGE_SUFFIXES, read_image, write_image

_AREA = (0.2, 1.0)  # of the largest crop of the target shape
_STRETCH = 0.35  # of the natural logarithm of width / height, to both sides of 4:3
_TURN = 6.0  # degrees to both sides
_SHRINK = 0.75  # of a crop's height is written, but not less than _SHORTEST
_SHORTEST = 168  # pixels
_PATCHES = (1, 3)
_PATCH_WIDTH = (0.15, 0.65)  # of the width of a blend
_PATCH_HEIGHT = (0.15, 0.65)  # of its height


def cut_crops(pictures: Path, output: Path, per_picture: int = 60, seed: int = 0) -> int:
    """Write every picture of a folder whole and as random crops, turned a little and mirrored.

    Args:
        pictures: Folder of pictures; searched through.
        output: Folder for the crops (JPEG), made when it is missing.
        per_picture: Crops of each, the whole picture among them.
        seed: Decides the crops.

    Returns:
        How many crops were written.

    Raises:
        InputError: There is no picture, or one cannot be read.
    """
    paths = _pictures(pictures)
    output.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        picture = read_image(path)
        rng = np.random.default_rng([seed, number])
        for turn in range(per_picture):
            crop = picture if turn == 0 else random_crop(picture, rng)
            _write(output / f"{path.stem}_{turn:03d}.jpg", crop)
    return per_picture * len(paths)


def random_crop(picture: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A part of a picture, around 4:3, turned by up to 6 degrees, every second one mirrored.

    Args:
        picture: HxWx3 uint8.
        rng: Decides everything.

    Returns:
        hxwx3 uint8, h at least 168; beyond the edge the picture is mirrored.
    """
    rows, columns = picture.shape[:2]
    shape = 4 / 3 * np.exp(rng.uniform(-_STRETCH, _STRETCH))
    height = min(rows, columns / shape) * np.sqrt(rng.uniform(*_AREA))
    width = height * shape
    x, y = rng.uniform(width / 2, columns - width / 2), rng.uniform(height / 2, rows - height / 2)
    written = max(_SHORTEST, round(_SHRINK * height))
    zoom = written / height
    size = round(width * zoom), written
    warp = cv2.getRotationMatrix2D((x, y), rng.uniform(-_TURN, _TURN), zoom)
    warp[:, 2] += size[0] / 2 - x, size[1] / 2 - y
    # Warping does not average what it shrinks, so the picture is shrunk before.
    if zoom < 1:
        picture = np.asarray(
            cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8
        )
        warp[:, :2] = warp[:, :2] / zoom
    crop = cv2.warpAffine(
        picture, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(crop[:, ::-1] if rng.uniform() < 0.5 else crop, np.uint8)


def write_blends(
    folders: Sequence[Path],
    output: Path,
    count: int = 8000,
    seed: int = 0,
    size: tuple[int, int] = (192, 256),
) -> int:
    """Write pictures that are each made of two, drawn evenly from the folders.

    Every second one is their weighted mean (mixup), the others show rectangles and ellipses of one
    in the other (as CutMix does).

    Args:
        folders: Folders of pictures; searched through. A folder counts as often as it is named.
        output: Folder for the blends (JPEG), made when it is missing.
        count: How many.
        seed: Decides them.
        size: (height, width) of a blend.

    Returns:
        `count`.

    Raises:
        InputError: A folder holds no picture, or one cannot be read.
    """
    lists = [_pictures(folder) for folder in folders]
    output.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        one, other = (_drawn(lists, rng, size) for _ in range(2))
        _write(output / f"{number:06d}.jpg", blend(one, other, rng))
    return count


def blend(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """One picture of two: their mean with random weights, or patches of the other in the one.

    Args:
        one: HxWx3 uint8.
        other: HxWx3 uint8.
        rng: Decides everything.

    Returns:
        HxWx3 uint8.
    """
    height, width = one.shape[:2]
    share = np.zeros((height, width, 1), np.float32)
    if rng.uniform() < 0.5:
        share += np.float32(rng.uniform())
    else:
        for _ in range(rng.integers(_PATCHES[0], _PATCHES[1] + 1)):
            half = (
                max(1, round(width * rng.uniform(*_PATCH_WIDTH) / 2)),
                max(1, round(height * rng.uniform(*_PATCH_HEIGHT) / 2)),
            )
            middle = int(rng.integers(width)), int(rng.integers(height))
            if rng.uniform() < 0.5:
                corner = middle[0] - half[0], middle[1] - half[1]
                end = middle[0] + half[0], middle[1] + half[1]
                cv2.rectangle(share, corner, end, 1.0, -1)
            else:
                cv2.ellipse(share, middle, half, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    return np.asarray(np.rint(one * (1 - share) + other * share), np.uint8)


def _drawn(
    lists: Sequence[Sequence[Path]], rng: np.random.Generator, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    paths = lists[int(rng.integers(len(lists)))]
    picture = read_image(paths[int(rng.integers(len(paths)))])
    resized = cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _pictures(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def _write(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    write_image(path, picture, 93)
