"""Files of draws, each of a few pictures of synthetic worlds, made in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.training.sparse.networks import warped
from depth_anything_ros.training.sparse.recipe import SparseRecipe

PICTURES = 4
"""Pictures whose draws are in one file."""

# Own choices.
_UNREGISTERED, _OFF_BY = 0.5, 0.5  # share of pictures whose points are off, and pixels
_LEAST_KNOWN = 0.2


@dataclass(frozen=True)
class Picture:
    """One picture of a world.

    Attributes:
        rgb: HxWx3.
        depth_m: HxW metres, infinite for sky, NaN where unknown.
        disparities: HxW float32 of the networks.
    """

    rgb: RgbImage
    depth_m: FloatImage
    disparities: list[FloatImage]


Draws = Callable[[np.random.Generator, list[Picture]], dict[str, np.ndarray[Any, Any]]]
"""Arrays of one file, from its pictures."""


def make_files(recipe: SparseRecipe, draws: Draws) -> Iterator[int]:
    """Make the files of draws that are not there yet, in processes of their own.

    Args:
        recipe: The training.
        draws: A function of a module, for other processes find it by its name.

    Yields:
        Number of files that are there.
    """
    folder_of(recipe).mkdir(parents=True, exist_ok=True)
    numbers = range(files_of(recipe))
    missing = [number for number in numbers if not _path(recipe, number).exists()]
    done = len(numbers) - len(missing)
    make = partial(_make, recipe, draws)
    if recipe.workers == 1:
        for number in missing:
            make(number)
            done += 1
            yield done
        return
    with ProcessPoolExecutor(recipe.workers) as pool:
        for _ in pool.map(make, missing):
            done += 1
            yield done


def files_of(recipe: SparseRecipe) -> int:
    """Number of files of draws."""
    return -(-recipe.pictures // PICTURES)


def folder_of(recipe: SparseRecipe) -> Path:
    """Folder of the draws."""
    return Path(recipe.output).expanduser() / "draws"


def _path(recipe: SparseRecipe, number: int) -> Path:
    return folder_of(recipe) / f"{number:05d}.npz"


_worlds: dict[SparseRecipe, _Worlds] = {}  # of this process


def _make(recipe: SparseRecipe, draws: Draws, number: int) -> None:
    """Make the file of a number."""
    if recipe not in _worlds:
        _worlds[recipe] = _Worlds(recipe)
    rng = np.random.default_rng([recipe.seed, number])
    arrays = draws(rng, list(_worlds[recipe].pictures(rng, number)))
    with whole_file(_path(recipe, number)) as part:
        np.savez(part, **arrays)  # type: ignore[arg-type]


class _Worlds:
    """Worlds and networks of one process."""

    def __init__(self, recipe: SparseRecipe) -> None:
        import torch

        from depth_anything_ros.inference.selection import make_estimator
        from depth_anything_ros.settings import ModelSettings
        from depth_anything_ros.synthetic.generator import Generator

        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        photos = [None, Path(recipe.textures).expanduser()] if recipe.textures else [None]
        self._generators = [
            Generator(recipe.width, recipe.height, recipe.seed + turn, folder)
            for turn, folder in enumerate(photos)
        ]
        self._estimators = [
            make_estimator(ModelSettings(name, "cpu", "fp32", num_threads=1)).estimator
            for name in recipe.networks
        ]

    def pictures(self, rng: np.random.Generator, number: int) -> Iterator[Picture]:
        generator = self._generators[number % len(self._generators)]
        for image in generator.images(range(number * PICTURES, (number + 1) * PICTURES)):
            depth_m = np.where(image.valid, image.depth, np.float32(np.nan))
            if np.isfinite(depth_m).mean() < _LEAST_KNOWN:
                continue
            rgb = image.rgb
            if rng.random() < _UNREGISTERED:
                off = rng.normal(0, _OFF_BY, 2)
                rgb = warped(rng, rgb, 0.0, (float(off[0]), float(off[1])))
            disparities = [self._disparity(estimator, rgb) for estimator in self._estimators]
            yield Picture(rgb, depth_m, disparities)

    @staticmethod
    def _disparity(estimator: Any, rgb: RgbImage) -> FloatImage:
        (prediction,) = estimator.estimate([rgb])
        values = prediction.values.astype(np.float32)
        return values if prediction.kind.inverse else 1 / np.maximum(values, np.float32(1e-2))
