"""Draws to learn from: what the correction would see, and what it should answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import reading
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.frames import FloatImage, Frame, Prediction, PredictionKind, RgbImage
from depth_anything_ros.metric.apply import to_inverse
from depth_anything_ros.metric.correction import evidence
from depth_anything_ros.metric.fit import UnmeasurableError
from depth_anything_ros.metric.fusion import fuse
from depth_anything_ros.metric.sources.sparse import SparseSource
from depth_anything_ros.training.correction.networks import nearly_right, spoilt, warped
from depth_anything_ros.training.correction.recipe import CorrectionRecipe
from depth_anything_ros.training.correction.sensors import measured_points

PICTURES = 4
"""Pictures whose draws are in one file."""

DRAWS = 5
"""Draws of one picture."""

# Own choices.
_NUMBERS = ((8, 300), (300, 2_000), (2_000, 8_000))  # of points, uniform in their logarithm
_SHARE_OF_NUMBERS = (0.45, 0.4, 0.15)
_NEARLY_RIGHT = 0.3  # share of draws with a network that is nearly right
_SPOILT = 0.7  # share of the others whose network is made worse
_UNREGISTERED, _OFF_BY = 0.5, 0.5  # share of pictures whose points are off, and pixels
_LARGEST = 3.0  # logarithm of the wanted factor
_LEAST_KNOWN = 0.2


@dataclass(frozen=True)
class Draw:
    """One lattice.

    Attributes:
        seen: C x rows x columns float16, as of `metric.correction.evidence`.
        wanted: Rows x columns float16 logarithm of the factor that makes the kriged value right;
            NaN where the true depth is not known.
    """

    seen: npt.NDArray[np.float16]
    wanted: npt.NDArray[np.float16]


def draws_of(
    rng: np.random.Generator, rgb: RgbImage, depth_m: FloatImage, disparities: list[FloatImage]
) -> Iterator[Draw]:
    """Draws of one picture.

    Args:
        rng: Decides everything.
        rgb: HxWx3 image.
        depth_m: HxW metres, infinite for sky, NaN where unknown.
        disparities: HxW float32 of the networks.
    """
    source = SparseSource()
    for _ in range(DRAWS):
        if rng.random() < _NEARLY_RIGHT:
            disparity = nearly_right(rng, depth_m)
        else:
            disparity = disparities[int(rng.integers(len(disparities)))]
            if rng.random() < _SPOILT:
                disparity = spoilt(rng, disparity)
        few, many = _NUMBERS[int(rng.choice(len(_NUMBERS), p=_SHARE_OF_NUMBERS))]
        count = int(np.exp(rng.uniform(np.log(few), np.log(many))))
        points = measured_points(rng, depth_m, rgb, count)
        if points is None:
            continue
        prediction = Prediction(disparity, PredictionKind.RELATIVE_DISPARITY, disparity.shape)
        try:
            measured = source.measure(prediction, Frame(rgb, points=points))
        except UnmeasurableError:
            continue
        if measured.points is None:
            continue
        inverse = to_inverse(prediction, measured.scale, measured.shift)
        fused = fuse(inverse, measured.points, 0, rgb)
        if fused is None:
            continue
        seen = evidence(fused.few, fused.lattice, fused.value, fused.left_out, fused.reach)
        rows, columns = (
            ((np.arange(nodes) + 0.5) * side / nodes).astype(np.intp)
            for nodes, side in zip(fused.value.shape, depth_m.shape, strict=True)
        )
        true = depth_m[rows][:, columns]
        with np.errstate(invalid="ignore", divide="ignore"):
            wanted = -np.log(true) - np.log(np.maximum(fused.value, np.float32(1e-6)))
        wanted[~np.isfinite(true)] = np.nan
        wanted = np.clip(wanted, -_LARGEST, _LARGEST)
        yield Draw(seen.astype(np.float16), wanted.astype(np.float16))


def make_draws(recipe: CorrectionRecipe) -> Iterator[int]:
    """Make the files of draws that are not there yet, in processes of their own.

    Args:
        recipe: The training.

    Yields:
        Number of files that are there.
    """
    folder = folder_of(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(files_of(recipe))
    missing = [number for number in numbers if not _path(folder, number).exists()]
    done = len(numbers) - len(missing)
    if recipe.workers == 1:
        for number in missing:
            _make(recipe, number)
            done += 1
            yield done
        return
    with ProcessPoolExecutor(recipe.workers) as pool:
        for _ in pool.map(partial(_make, recipe), missing):
            done += 1
            yield done


def files_of(recipe: CorrectionRecipe) -> int:
    """Number of files of draws."""
    return -(-recipe.pictures // PICTURES)


def folder_of(recipe: CorrectionRecipe) -> Path:
    """Folder of the draws."""
    return Path(recipe.output).expanduser() / "draws"


def read_draws(path: Path) -> list[Draw]:
    """Draws of one file.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read.
    """
    with reading(path, "draws (delete it)"), np.load(path, allow_pickle=False) as file:
        count = len(file.files) // 2
        return [Draw(file[f"seen_{number}"], file[f"wanted_{number}"]) for number in range(count)]


_makers: dict[CorrectionRecipe, Any] = {}  # of this process


def _make(recipe: CorrectionRecipe, number: int) -> None:
    """Make the file of a number."""
    if recipe not in _makers:
        _makers[recipe] = _Maker(recipe)
    _makers[recipe].make(number)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.npz"


class _Maker:
    """Worlds and networks of one process."""

    def __init__(self, recipe: CorrectionRecipe) -> None:
        import torch

        from depth_anything_ros.inference.selection import make_estimator
        from depth_anything_ros.settings import ModelSettings
        from depth_anything_ros.synthetic.generator import Generator

        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        self._recipe = recipe
        photos = [None, Path(recipe.textures).expanduser()] if recipe.textures else [None]
        self._worlds = [
            Generator(recipe.width, recipe.height, recipe.seed + turn, folder)
            for turn, folder in enumerate(photos)
        ]
        self._estimators = [
            make_estimator(ModelSettings(name, "cpu", "fp32", num_threads=1)).estimator
            for name in recipe.networks
        ]

    def make(self, number: int) -> None:
        rng = np.random.default_rng([self._recipe.seed, number])
        worlds = self._worlds[number % len(self._worlds)]
        kept: dict[str, Any] = {}
        for image in worlds.images(range(number * PICTURES, (number + 1) * PICTURES)):
            depth_m = np.where(image.valid, image.depth, np.float32(np.nan))
            if np.isfinite(depth_m).mean() < _LEAST_KNOWN:
                continue
            rgb = image.rgb
            if rng.random() < _UNREGISTERED:
                off = rng.normal(0, _OFF_BY, 2)
                rgb = warped(rng, rgb, 0.0, (float(off[0]), float(off[1])))
            disparities = [self._disparity(estimator, rgb) for estimator in self._estimators]
            for draw in draws_of(rng, rgb, depth_m, disparities):
                place = len(kept) // 2
                kept |= {f"seen_{place}": draw.seen, f"wanted_{place}": draw.wanted}
        with whole_file(_path(folder_of(self._recipe), number)) as part:
            np.savez(part, **kept)

    @staticmethod
    def _disparity(estimator: Any, rgb: RgbImage) -> FloatImage:
        (prediction,) = estimator.estimate([rgb])
        values = prediction.values.astype(np.float32)
        return values if prediction.kind.inverse else 1 / np.maximum(values, np.float32(1e-2))
