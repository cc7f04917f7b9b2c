"""The texture atlas: procedural patterns and, where a folder is given, crops of photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from depth_anything_ros.errors import InputError

SIZE = 256
"""Side of a texture in pixels at its finest level."""

LEVELS = 7
"""Levels of a texture, each half the side of the one before."""

STRIDE = sum((SIZE >> level) ** 2 for level in range(LEVELS))
"""Pixels of one texture over all levels."""

FloatTexture = npt.NDArray[np.float32]

_OFFSETS = [sum((SIZE >> finer) ** 2 for finer in range(level)) for level in range(LEVELS)]
_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


@dataclass(frozen=True)
class Atlas:
    """Textures with their smaller levels, packed for gathering.

    Attributes:
        texels: N * STRIDE int32, four bytes RGB0 each.
        names: What each texture shows.
    """

    texels: Tensor
    names: tuple[str, ...]

    def numbers(self, *names: str) -> list[int]:
        """Numbers of the textures with some names.

        Args:
            names: As in the attribute `names`.

        Returns:
            The numbers.
        """
        return [number for number, name in enumerate(self.names) if name in names]

    def to(self, device: torch.device | str) -> Atlas:
        """The same atlas on another device.

        Args:
            device: Where to put the texels.

        Returns:
            The atlas.
        """
        return Atlas(self.texels.to(device), self.names)


def sample(atlas: Atlas, texture: Tensor, u: Tensor, v: Tensor, level: Tensor) -> Tensor:
    """Sample textures, bilinear in the nearest level.

    Args:
        atlas: The textures.
        texture: Numbers of textures, any shape S, any dtype.
        u: S, repetitions along the texture's columns.
        v: S, repetitions along the texture's rows, upwards.
        level: S, log2 of how many of the finest pixels one image pixel covers.

    Returns:
        3 x S in 0..1.
    """
    level = level.round().clamp(0, LEVELS - 1).int()
    size = SIZE >> level
    offsets = torch.tensor(_OFFSETS, device=u.device, dtype=torch.int32)
    base = texture.int() * STRIDE + offsets[level]
    x = (u - u.floor()) * size - 0.5
    y = (v.floor() - v + 1) * size - 0.5
    left, top = x.floor(), y.floor()
    right, down = x - left, y - top
    mask = size - 1  # sizes are powers of two: wraps -1 and size, too
    x0, y0 = left.int(), top.int()
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    x0, y0 = x0 & mask, y0 & mask
    shifts = torch.tensor([0, 8, 16], device=u.device, dtype=torch.int32)
    shifts = shifts.view(3, *[1] * u.ndim)

    def texel(column: Tensor, row: Tensor) -> Tensor:
        index = base + row * size + column
        packed = atlas.texels.index_select(0, index.flatten()).view(1, *index.shape)
        return ((packed >> shifts) & 255).float()

    upper = torch.lerp(texel(x0, y0), texel(x1, y0), right)
    lower = torch.lerp(texel(x0, y1), texel(x1, y1), right)
    return torch.lerp(upper, lower, down) / 255


def build(seed: int, photos: Path | None = None, photo_count: int = 64) -> Atlas:
    """Draw the textures.

    Args:
        seed: Decides all patterns and which parts of photographs are taken.
        photos: Folder with photographs (searched through), or None.
        photo_count: How many crops of photographs to take.

    Returns:
        The atlas, on the CPU.

    Raises:
        InputError: The folder holds no photograph.
    """
    rng = np.random.default_rng([seed, 7])
    drawn: list[tuple[str, FloatTexture]] = []
    for name, (draw, count) in _PATTERNS.items():
        drawn += [(name, draw(rng)) for _ in range(count)]
    if photos is not None:
        drawn += [("photo", crop) for crop in _crops(rng, photos, photo_count)]
    texels = np.concatenate([_pack(texture) for _, texture in drawn])
    return Atlas(torch.from_numpy(texels), tuple(name for name, _ in drawn))


def _pack(texture: FloatTexture) -> npt.NDArray[np.int32]:
    """All levels of a HxWx3 (or HxW) texture as packed integers."""
    colour = texture if texture.ndim == 3 else np.repeat(texture[..., None], 3, 2)
    parts = []
    for level in range(LEVELS):
        side = SIZE >> level
        small = cv2.resize(colour, (side, side), interpolation=cv2.INTER_AREA)
        byte = np.rint(np.clip(small, 0, 1) * 255).astype(np.int32)
        parts.append((byte[..., 0] | byte[..., 1] << 8 | byte[..., 2] << 16).ravel())
    return np.concatenate(parts)


def _crops(rng: np.random.Generator, folder: Path, count: int) -> list[FloatTexture]:
    """Random square crops of photographs."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PHOTO_SUFFIXES)
    crops: list[FloatTexture] = []
    for number in rng.permutation(len(files) * count)[: 4 * count] if files else ():
        raw = np.fromfile(files[number % len(files)], np.uint8)
        image = cv2.imdecode(raw, cv2.IMREAD_COLOR) if raw.size else None
        if image is None or min(image.shape[:2]) < 32:
            continue
        side = int(min(image.shape[:2]) * rng.uniform(0.25, 1))
        y = int(rng.integers(0, image.shape[0] - side + 1))
        x = int(rng.integers(0, image.shape[1] - side + 1))
        square = cv2.resize(
            image[y : y + side, x : x + side, ::-1], (SIZE, SIZE), interpolation=cv2.INTER_AREA
        )
        crops.append((square / 255).astype(np.float32))
        if len(crops) == count:
            return crops
    if not crops:
        raise InputError(f"{folder} holds no photograph that can be read; give another folder")
    return crops


# --- patterns: each SIZE x SIZE (x 3) float32 in 0..1 that repeats without a seam --------------


def _noise(rng: np.random.Generator, power: float, stretch: float = 1.0) -> FloatTexture:
    """Noise with a falling spectrum (1 / f^power), stretched along the rows."""
    fy = np.fft.fftfreq(SIZE)[:, None] * SIZE
    fx = np.fft.rfftfreq(SIZE)[None] * SIZE
    radius = np.sqrt(fy**2 + (fx * stretch) ** 2)
    radius[0, 0] = 1
    white = np.fft.rfft2(rng.standard_normal((SIZE, SIZE)))
    field = np.fft.irfft2(white / radius**power, (SIZE, SIZE))
    field -= field.mean()
    return np.clip(0.5 + field / (4 * field.std()), 0, 1).astype(np.float32)


def _plain(rng: np.random.Generator) -> FloatTexture:
    fine = _noise(rng, rng.uniform(0.2, 1.0))
    return (0.5 + rng.uniform(0.05, 0.25) * (fine - 0.5)).astype(np.float32)


def _blotches(rng: np.random.Generator) -> FloatTexture:
    return _noise(rng, rng.uniform(0.9, 1.9))


def _cloud(rng: np.random.Generator) -> FloatTexture:
    return _noise(rng, rng.uniform(1.5, 2.0))


def _speckle(rng: np.random.Generator) -> FloatTexture:
    field = _noise(rng, rng.uniform(0.1, 0.7))
    return np.clip((field - rng.uniform(0.35, 0.6)) * rng.uniform(3, 8) + 0.5, 0, 1)


def _leaves(rng: np.random.Generator) -> FloatTexture:
    field = 0.6 * _noise(rng, 0.8) + 0.4 * _noise(rng, 1.6)
    return np.clip((field - 0.5) * rng.uniform(2, 4) + 0.45, 0, 1).astype(np.float32)


def _wood(rng: np.random.Generator) -> FloatTexture:
    rings = _noise(rng, 1.7, rng.uniform(0.06, 0.15)) * rng.uniform(4, 14)
    fibre = _noise(rng, 0.5, 0.04)
    return (0.65 * (0.5 + 0.5 * np.sin(2 * np.pi * rings)) + 0.35 * fibre).astype(np.float32)


def _planks(rng: np.random.Generator) -> FloatTexture:
    count = int(rng.choice([4, 5, 8]))
    rows = (np.arange(SIZE) * count // SIZE).astype(int)
    tone = rng.uniform(0.6, 1, count)[rows][:, None]
    texture = (0.5 + 0.5 * _wood(rng)) * tone
    texture[np.diff(rows, prepend=rows[-1]) != 0] *= 0.4
    for plank in range(count):
        joint = int(rng.integers(SIZE))
        texture[rows == plank, joint : joint + 2] *= 0.5
    return texture.astype(np.float32)


def _grid_of(
    rng: np.random.Generator, columns: int, rows: int, gap: int, brick: bool
) -> FloatTexture:
    """Cells of their own tone with joints between them."""
    y, x = np.mgrid[:SIZE, :SIZE]
    row = y * rows // SIZE
    shifted = x + np.where(row % 2 == 1, SIZE // columns // 2, 0) * brick
    column = shifted * columns // SIZE % columns
    tone = rng.uniform(0.55, 0.95, (rows, columns))[row, column]
    tone = tone * (0.8 + 0.4 * (_noise(rng, 0.9) - 0.5))
    joint = (y % (SIZE / rows) < gap) | (shifted % (SIZE / columns) < gap)
    return np.where(joint, rng.uniform(0, 0.9), tone).astype(np.float32)


def _bricks(rng: np.random.Generator) -> FloatTexture:
    return _grid_of(rng, int(rng.choice([4, 6])), int(rng.choice([8, 12])), 3, True)


def _tiles(rng: np.random.Generator) -> FloatTexture:
    count = int(rng.choice([2, 4, 8]))
    return _grid_of(rng, count, count, int(rng.integers(1, 5)), False)


def _checks(rng: np.random.Generator) -> FloatTexture:
    count = int(rng.choice([4, 8, 16]))
    y, x = np.mgrid[:SIZE, :SIZE] * count // SIZE
    return (0.8 * ((x + y) % 2) + 0.2 * _noise(rng, 0.8)).astype(np.float32)


def _stripes(rng: np.random.Generator) -> FloatTexture:
    count = int(rng.integers(3, 24))
    wave = np.sin(2 * np.pi * (np.arange(SIZE) / SIZE * count + rng.uniform()))
    band = np.clip(0.5 + wave * rng.uniform(0.5, 6), 0, 1)
    field = np.repeat(band[None], SIZE, 0) * 0.85 + 0.15 * _noise(rng, 0.6)
    return (field if rng.uniform() < 0.6 else field.T).astype(np.float32)


def _fabric(rng: np.random.Generator) -> FloatTexture:
    count = int(rng.integers(24, 60))
    axis = 2 * np.pi * np.arange(SIZE) / SIZE * count
    weave = 0.5 + 0.25 * np.sin(axis)[None] + 0.25 * np.sin(axis)[:, None]
    return (0.6 * weave + 0.4 * _noise(rng, 1.0)).astype(np.float32)


def _marble(rng: np.random.Generator) -> FloatTexture:
    veins = np.abs(_noise(rng, 1.8) - 0.5) * rng.uniform(6, 16)
    return np.clip(veins, 0, 1) * 0.8 + 0.2 * _noise(rng, 1.2)


def _asphalt(rng: np.random.Generator) -> FloatTexture:
    return (0.35 * _noise(rng, 0.1) + 0.65 * _noise(rng, 1.5)).astype(np.float32)


def _facade(rng: np.random.Generator) -> FloatTexture:
    """Windows in a wall, some lit or reflecting the sky."""
    columns, rows = int(rng.choice([2, 4, 5])), int(rng.choice([2, 4]))
    texture = np.repeat((0.55 + 0.3 * (_noise(rng, 1.0) - 0.5))[..., None], 3, 2)
    texture *= rng.uniform(0.85, 1.1, 3)
    width, height = SIZE // columns, SIZE // rows
    margin_x, margin_y = rng.uniform(0.15, 0.3), rng.uniform(0.12, 0.3)
    for row in range(rows):
        for column in range(columns):
            x0, x1 = (int((column + f) * width) for f in (margin_x, 1 - margin_x))
            y0, y1 = (int((row + f) * height) for f in (margin_y, 1 - margin_y))
            texture[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = rng.uniform(0.6, 0.95)
            glass = rng.uniform(0.02, 0.3) + rng.uniform(0, 0.35) * np.linspace(1, 0, y1 - y0)
            texture[y0:y1, x0:x1] = glass[:, None, None] * np.array([0.85, 0.95, 1.1])
            texture[y0:y1, (x0 + x1) // 2] = 0.7
    return np.clip(texture, 0, 1).astype(np.float32)


def _poster(rng: np.random.Generator) -> FloatTexture:
    """Something printed: patches of colour, discs and lines like writing."""
    texture = np.empty((SIZE, SIZE, 3), np.float32)
    texture[:] = rng.uniform(0, 1, 3)
    for _ in range(int(rng.integers(2, 9))):
        colour = [float(c) for c in rng.uniform(0, 1, 3)]
        x, y, w, h = (int(v) for v in rng.integers(0, SIZE, 4))
        if rng.uniform() < 0.5:
            cv2.rectangle(texture, (x, y), (x + w // 2, y + h // 2), colour, -1)
        else:
            cv2.circle(texture, (x, y), 4 + w // 4, colour, -1, cv2.LINE_AA)
    ink = float(rng.uniform() < 0.5)
    y = int(rng.integers(10, 200))
    while y < SIZE - 10 and rng.uniform() < 0.85:
        x = 16
        while x < SIZE - 30:
            step = int(rng.integers(4, 22))
            cv2.line(texture, (x, y), (x + step, y), (ink, ink, ink), 3)
            x += step + 5
        y += 11
    return texture


def _shelf(rng: np.random.Generator) -> FloatTexture:
    """Rows of upright things of many colours: books, packets, bottles."""
    texture = np.full((SIZE, SIZE, 3), 0.12, np.float32)
    rows = int(rng.choice([1, 2, 4]))
    for row in range(rows):
        bottom, height, x = (row + 1) * SIZE // rows - 4, SIZE // rows, 2
        while x < SIZE - 4:
            width = int(rng.integers(5, 30))
            top = bottom - int(height * rng.uniform(0.55, 0.92))
            colour = rng.uniform(0.05, 0.95, 3) * rng.uniform(0.5, 1)
            shade = 1 - 0.5 * np.abs(np.linspace(-1, 1, width)) ** 2
            part = texture[top:bottom, x : x + width]
            part[:] = (colour * shade[:, None])[: part.shape[1]]
            middle = (top + bottom) // 2
            texture[middle : middle + 5, x + 2 : x + max(3, width - 2)] = rng.uniform(0, 1)
            x += width + int(rng.integers(0, 4))
        texture[bottom : bottom + 4] = 0.6
    return texture


_PATTERNS: dict[str, tuple[Callable[[np.random.Generator], FloatTexture], int]] = {
    "plain": (_plain, 5),
    "blotches": (_blotches, 5),
    "cloud": (_cloud, 4),
    "speckle": (_speckle, 4),
    "leaves": (_leaves, 5),
    "wood": (_wood, 5),
    "planks": (_planks, 4),
    "bricks": (_bricks, 5),
    "tiles": (_tiles, 5),
    "checks": (_checks, 3),
    "stripes": (_stripes, 5),
    "fabric": (_fabric, 4),
    "marble": (_marble, 3),
    "asphalt": (_asphalt, 4),
    "facade": (_facade, 8),
    "poster": (_poster, 10),
    "shelf": (_shelf, 5),
}
