"""The texture atlas: procedural patterns and, where a folder is given, crops of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from depth_anything_ros.errors import InputError
from depth_anything_ros.synthetic.rendering.patterns import PATTERNS, SIZE, FloatTexture

LEVELS = 7
"""Levels of a texture, each half the side of the one before."""

STRIDE = sum((SIZE >> level) ** 2 for level in range(LEVELS))
"""Pixels of one texture over all levels."""

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
    for name, (draw, count) in PATTERNS.items():
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
