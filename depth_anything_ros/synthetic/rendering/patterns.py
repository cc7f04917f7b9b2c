"""Procedural texture patterns: SIZE x SIZE (x 3) float32 in 0..1, repeating without a seam."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

SIZE = 256
"""Side of a texture in pixels at its finest level."""

FloatTexture = npt.NDArray[np.float32]


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


PATTERNS: dict[str, tuple[Callable[[np.random.Generator], FloatTexture], int]] = {
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
"""Function and number of variants of each pattern."""
